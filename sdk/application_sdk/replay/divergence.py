"""The only author of the message that says how a route and its ledger disagree. Pure: it is given all it speaks of."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from application_sdk.execution.engine import RecordedCall, ScheduledCall
from application_sdk.replay.identity import ROOT
from application_sdk.wire.digest import JSON, JSONObject, canonical_json
from application_sdk.wire.names import TIMER_TASK

_REMEDIES: Final = """\
What to do:
  - Put back the code that the run began with: it then goes on where it stopped.
  - If the plan is meant to have changed, start a new run for it; this one can be cancelled.
  - If the code is the same, the route isn't deterministic: what it passes on must come from the run's input and from
    tasks, not from the order of a set, a global, or what an unguarded block read. `check_durability` finds it."""

_SHOWN_DIFFERENCES: Final = 5
_SHOWN_CALLS: Final = 3
_SHOWN_CHARACTERS: Final = 80


@dataclass(frozen=True, slots=True)
class Disagreement:
    """What is known at the place where the ledger can't be followed."""

    position: int | None
    """Of the ledger's entry, from 0; None for a call that is under way and that the ledger doesn't hold yet."""
    task: str
    """As the ledger's entry names it."""
    key: str
    recorded: RecordedCall | None
    """The call that the entry answers, or that is under way, as it was made."""
    outstanding: Sequence[ScheduledCall]
    """What today's route waits for at that place."""
    ended: str = ""
    """How today's route ended, if it has."""


def divergence_message(disagreement: Disagreement) -> str:
    """Which call, what the ledger holds, what differs, where in the route, and what to do."""
    lines = [
        "The route no longer makes the calls that this run has made before, so its results can't be given back to "
        "it. Nothing was run again.",
        f"  {_place(disagreement)}: {_recorded(disagreement)}",
    ]
    partner = _partner(disagreement)
    if partner is not None and disagreement.recorded is not None:
        lines.append(f"  Route, at that place: {_called(partner)}")
        lines.extend(f"    {difference}" for difference in _differences(disagreement.recorded, partner))
    elif disagreement.ended:
        lines.append(f"  Route, at that place: it has ended ({disagreement.ended}) without making this call")
    elif disagreement.outstanding:
        calls = disagreement.outstanding[:_SHOWN_CALLS]
        more = len(disagreement.outstanding) - len(calls)
        listed = "; ".join(_called(call) for call in calls) + (f"; and {more} more" if more > 0 else "")
        lines.append(f"  Route, at that place: it doesn't make this call. It waits for {listed}")
    else:
        lines.append("  Route, at that place: it makes no call at all")
    lines.append(_REMEDIES)
    return "\n".join(lines)


def _place(disagreement: Disagreement) -> str:
    return "Under way" if disagreement.position is None else f"Ledger, entry {disagreement.position}"


def _recorded(disagreement: Disagreement) -> str:
    recorded = disagreement.recorded
    if recorded is None:
        return f"{_name(disagreement.task)} (key {disagreement.key[:8]}…), whose call isn't on record any more"
    what = _name(recorded.task) if disagreement.position is None else f"the completion of {_name(recorded.task)}"
    return f"{what}, called at {recorded.line}{_keyed(recorded.identity.get('keyedBy'))}"


def _called(call: ScheduledCall) -> str:
    return f"{_name(call.task)}, called at {call.line}{_keyed(call.identity.get('keyedBy'))}"


def _name(task: str) -> str:
    return "a timer" if task == TIMER_TASK else f"{task}()"


def _keyed(key: str | None) -> str:
    return f" with the key {key!r}" if key is not None else ""


def _partner(disagreement: Disagreement) -> ScheduledCall | None:
    """Today's call that stands where the recorded one stood, if one does: of the same task, alike in most parts."""
    recorded = disagreement.recorded
    if recorded is None:
        return None
    same_task = [call for call in disagreement.outstanding if call.task == recorded.task]

    def likeness(call: ScheduledCall) -> tuple[int, int]:
        mine, theirs = call.identity, recorded.identity
        parts = sum(mine.get(part) == theirs.get(part) for part in ("inputDigest", "lineage", "occurrence"))
        return parts, int(call.line == recorded.line)

    # Of equally likely ones the first made is taken, so that the message is the same each time.
    return max(same_task, key=likeness, default=None)


def _differences(recorded: RecordedCall, today: ScheduledCall) -> list[str]:
    before, now = recorded.identity, today.identity
    differences: list[str] = []
    if before.get("keyedBy") != now.get("keyedBy"):
        differences.append(f"key: {before.get('keyedBy')!r} → {now.get('keyedBy')!r}")
    if recorded.entrypoint != today.entrypoint:
        differences.append(f"entry point: {recorded.entrypoint} → {today.entrypoint}")
    if before["inputDigest"] != now["inputDigest"]:
        changes = _counted_changes(recorded.input, today)
        if not changes:
            differences.append("input: its values are the same, so a default that one of them equals has been changed")
        differences.extend(f"input field {change}" for change in changes[:_SHOWN_DIFFERENCES])
        if len(changes) > _SHOWN_DIFFERENCES:
            differences.append(f"and {len(changes) - _SHOWN_DIFFERENCES} more fields")
    if before["lineage"] != now["lineage"]:
        differences.append(f"made after {_after(before['lineage'])} → made after {_after(now['lineage'])}")
    if not differences and before["occurrence"] != now["occurrence"]:
        differences.append(
            f"the same call is made {_ordinal(before['occurrence'])} → {_ordinal(now['occurrence'])} time: an equal "
            f"call was added or dropped before it"
        )
    return differences


def _counted_changes(before: JSONObject, today: ScheduledCall) -> list[str]:
    """What differs in the inputs, but for new fields that equal their defaults: those are no part of the identity."""
    counted = today.counted if today.counted is not None else today.input
    added: list[str] = []
    _compare("", before, today.input, added)
    compared: list[str] = []
    _compare("", before, counted, compared)
    new = {change for change in added if ": absent → " in change} - set(compared)
    return [change for change in added if change not in new]


def _after(lineage: str) -> str:
    task, _, digest = lineage.partition(":")
    return f"{task}() (input {digest[:8]}…)" if lineage != ROOT else "the start of the route"


def _ordinal(occurrence: int) -> str:
    return f"for the {occurrence + 1}."


def input_changes(before: JSONObject, now: JSONObject) -> list[str]:
    """`path: old → new` for each part of an input that differs, by path."""
    changes: list[str] = []
    _compare("", before, now, changes)
    return changes


def _compare(path: str, before: JSON, now: JSON, changes: list[str]) -> None:
    if isinstance(before, dict) and isinstance(now, dict):
        for name in sorted(before.keys() | now.keys()):
            inner = f"{path}.{name}" if path else name
            if name not in before:
                changes.append(f"{inner}: absent → {_shown(now[name])}")
            elif name not in now:
                changes.append(f"{inner}: {_shown(before[name])} → absent")
            else:
                _compare(inner, before[name], now[name], changes)
    elif isinstance(before, list) and isinstance(now, list) and len(before) == len(now):
        for index, (old, new) in enumerate(zip(before, now, strict=True)):
            _compare(f"{path}[{index}]", old, new, changes)
    elif type(before) is not type(now) or before != now:
        changes.append(f"{path}: {_shown(before)} → {_shown(now)}")


def _shown(value: JSON) -> str:
    text = canonical_json(value).decode("utf-8", "replace")
    return text if len(text) <= _SHOWN_CHARACTERS else f"{text[: _SHOWN_CHARACTERS - 1]}…"
