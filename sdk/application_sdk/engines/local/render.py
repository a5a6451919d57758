"""What happens in a run, as words: a line for each notice. The lines are for people, and their form may change."""

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


def format_event(notice: Event, now: float) -> str | None:
    """An event as a line, None if it isn't worth one. `now` is the time in seconds since the epoch."""
    if isinstance(notice, Replayed):
        return f"going on from checkpoint {notice.checkpoints}"
    if isinstance(notice, Called):
        return f"{notice.call.task}: until in {duration(max(notice.due - now, 0))}" if notice.due else None
    if isinstance(notice, AttemptStarted):
        return f"{notice.call.task}: started{_attempt(notice.attempt)}"
    if isinstance(notice, AttemptFailed):
        again = duration(max(notice.retry_at - now, 0))
        return (
            f"{notice.call.task}: attempt {notice.attempt} failed, {notice.error['type']}: "
            f"{_first_line(notice.error['message'])}; again in {again}"
        )
    if isinstance(notice, NotYielding):
        return notice.message
    if isinstance(notice, NotForked):
        return (
            f"importing the app has {notice.reason}, which processes can't share: as in a pod, each attempt imports it "
            f"itself, and starts later"
        )
    if isinstance(notice, Progressed):
        return f"{notice.call.task}: {progress_text(notice.progress)}"
    return _committed(notice)


def _committed(notice: Committed) -> str:
    done = notice.completion
    if done.key == CANCEL_KEY:
        return "the run is being cancelled"
    if done.outcome == "Succeeded":
        result = f" {one_line(done.output, 100)}" if done.output else ""
        return f"{done.task}: done{_attempt(done.attempts)}{result}"
    if done.error is None:
        return f"{done.task}: cancelled"
    return (
        f"{done.task}: failed for good after attempt {done.attempts}, {done.error['type']}: "
        f"{_first_line(done.error['message'])}"
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
