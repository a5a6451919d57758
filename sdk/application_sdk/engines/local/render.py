"""Formats the events of a run as lines of text. The lines are for people, and their form may
change."""

from __future__ import annotations

import json

from application_sdk.engines.local.events import (
    AttemptFailed,
    AttemptStarted,
    Called,
    Committed,
    Event,
    NotForked,
    NotYielding,
    Progressed,
    Replayed,
)
from application_sdk.execution.engine import CANCEL_KEY
from application_sdk.wire.digest import JSON
from application_sdk.wire.fields import ProgressFields
from application_sdk.wire.printable import printable_line


def format_event(event: Event, now: float) -> str | None:
    """An event as a line, None if it isn't worth one. `now` is the time in seconds since the
    epoch."""
    if isinstance(event, Replayed):
        return f"going on from checkpoint {event.checkpoints}"
    if isinstance(event, Called):
        return f"{event.call.task}: until in {duration(max(event.due - now, 0))}" if event.due else None
    if isinstance(event, AttemptStarted):
        return f"{event.call.task}: started{_attempt(event.attempt)}"
    if isinstance(event, AttemptFailed):
        again = duration(max(event.retry_at - now, 0))
        return (
            f"{event.call.task}: attempt {event.attempt} failed, {event.error['type']}: "
            f"{_first_line(event.error['message'])}; again in {again}"
        )
    if isinstance(event, NotYielding):
        return event.message
    if isinstance(event, NotForked):
        return (
            f"importing the app has {event.reason}, which processes can't share: as in a pod, each attempt imports it "
            f"itself, and starts later"
        )
    if isinstance(event, Progressed):
        return f"{event.call.task}: {progress_text(event.progress)}"
    return _committed(event)


def _committed(event: Committed) -> str:
    completion = event.completion
    if completion.key == CANCEL_KEY:
        return "the run is being cancelled"
    if completion.outcome == "Succeeded":
        result = f" {one_line(completion.output, 100)}" if completion.output else ""
        return f"{completion.task}: done{_attempt(completion.attempts)}{result}"
    if completion.error is None:
        return f"{completion.task}: cancelled"
    return (
        f"{completion.task}: failed for good after attempt {completion.attempts}, {completion.error['type']}: "
        f"{_first_line(completion.error['message'])}"
    )


def _attempt(number: int) -> str:
    return f" (attempt {number})" if number > 1 else ""


def _first_line(text: str) -> str:
    first, _, rest = text.partition("\n")
    return f"{first} …" if rest else first


def progress_text(progress: ProgressFields) -> str:
    """How far a task says it is."""
    done, total, message = progress.get("done"), progress.get("total"), progress.get("message")
    count = "" if done is None else f"{done}" if total is None else f"{done}/{total}"
    return " ".join(part for part in (count, message) if part)


def one_line(value: JSON, width: int) -> str:
    """JSON on one line, cut at a width."""
    text = printable_line(json.dumps(value, ensure_ascii=False))
    return text if len(text) <= width else f"{text[: width - 1]}…"


def duration(seconds: float) -> str:
    """How long something took, in two digits that matter."""
    if seconds < 60:
        return f"{seconds:.1f} s" if seconds < 10 else f"{seconds:.0f} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes:02} min" if hours else f"{minutes} min {rest:02} s"
