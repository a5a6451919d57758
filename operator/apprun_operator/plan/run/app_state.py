"""What tasks have saved of the app's state: kept in one write, and only then do they count as succeeded.

A pod reports its output and what it saved together, in the phase Saving. The AppState is written first, with the
version that the decision rests on and the names of the calls whose writes it holds; then each call is told that it has
succeeded, and is committed as ever. A crash between the two finds the call in `applied`: nothing is kept twice, and
what others have saved since isn't taken for a conflict.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final, cast

from application_sdk.wire import names
from application_sdk.wire import state as rules
from application_sdk.wire.digest import JSON, JSONObject, digest
from application_sdk.wire.fields import StateWrite
from apprun_operator.observe.observed import Observed
from apprun_operator.observe.records import Key, StateRecord, TaskRecord
from apprun_operator.observe.times import rfc3339
from apprun_operator.plan.actions import PatchTask, WriteState
from apprun_operator.plan.limits import Limits
from apprun_operator.plan.run.attempts import end_attempt
from apprun_operator.plan.run.pod_status import PodEnded

REMEMBERED: Final = 256
"""So many calls are remembered as applied: more than can be between their two writes at a time."""


@dataclass(frozen=True, slots=True)
class Kept:
    """What to write of the state first, and what to tell the calls then."""

    write: WriteState | None = None
    answers: Sequence[PatchTask] = ()


def keep(seen: Observed, now: float, limits: Limits) -> Kept:
    """Keep what the calls in the phase Saving want kept, in the order in which they ended."""
    saving = sorted(
        (task for name, task in seen.tasks.items() if task.phase == "Saving" and name not in seen.in_flight),
        key=lambda task: (task.finished_at, task.key),
    )
    if not saving:
        return Kept()
    there = seen.state
    values = _values(there)
    applied = list(there.applied) if there is not None else []
    answers: list[PatchTask] = []
    savers: dict[str, TaskRecord] = {}
    changed = False
    for task in saving[:REMEMBERED]:
        # guard: restored-state-once - the save of a restored call was applied before the backup
        call = digest([seen.run.origin_uid, task.key])
        if call not in applied:
            problem, after = _apply(task, values)
            if problem is not None:
                ended = end_attempt(task, problem, seen.pods.get(task.pod_name), now, limits)
                # What it returned rests on state that isn't there any more.
                answers.append(replace(ended, status={**ended.status, "output": None, "state": None}))
                continue
            values, changed = after, True
            applied.append(call)
            savers |= {write["key"]: task for write in _saves(task)}
        answers.append(PatchTask(task.meta.key, task.meta.version, {"phase": "Succeeded"}))
    return Kept(_write(seen, values, applied, savers, now) if changed else None, answers)


def _apply(task: TaskRecord, values: dict[str, JSON]) -> tuple[PodEnded | None, dict[str, JSON]]:
    saves = _saves(task)
    lost = rules.conflicts(saves, values)
    if lost:
        return PodEnded(rules.CONFLICT, rules.conflict_message(lost), "App"), values
    after = rules.applied(saves, values)
    excess = rules.excess(after)
    if excess:
        return PodEnded(rules.TOO_LARGE, excess, "App", retryable=False), values
    return None, after


def _values(state: StateRecord | None) -> dict[str, JSON]:
    """What is kept, by key."""
    entries = {} if state is None else cast("dict[str, JSONObject]", state.spec.object().get("entries") or {})
    return {key: entry["value"] for key, entry in entries.items()}


def _saves(task: TaskRecord) -> Sequence[StateWrite]:
    return () if task.saves is None else cast("list[StateWrite]", task.saves.decode())


def _write(
    seen: Observed, values: dict[str, JSON], applied: list[str], savers: dict[str, TaskRecord], now: float
) -> WriteState:
    there, run = seen.state, seen.run
    at = rfc3339(now)
    written: JSONObject = {} if there is None else there.spec.object()
    before = cast("JSONObject", written.get("entries") or {})
    entries: JSONObject = {}
    for key in sorted(values):
        if key in savers:
            entries[key] = {"value": values[key], "savedAt": at, "run": run.meta.key.name, "task": savers[key].task}
        else:
            entries[key] = before[key]
    spec: JSONObject = {
        **written,
        "entries": entries,
        "savedAt": at,
        "run": run.meta.key.name,
        "applied": cast("JSON", applied[-REMEMBERED:]),
    }
    place = Key(run.meta.key.namespace, names.state_name(str((run.app or {})["name"])))
    metadata: JSONObject = {
        "name": place.name,
        "namespace": place.namespace,
        "labels": {names.MANAGED_BY_LABEL: names.MANAGED_BY},
    }
    body: JSONObject = {
        "apiVersion": names.API_VERSION,
        "kind": names.APP_STATE_KIND,
        "metadata": metadata,
        "spec": spec,
    }
    uid, version = (there.meta.uid, there.meta.version) if there is not None else ("", 0)
    return WriteState(place, uid, version, body)


def variable(state: StateRecord | None) -> list[JSON]:
    """The environment variable that shows a task pod what its app keeps."""
    values = _values(state)
    if not values:
        return []
    text = json.dumps(values, separators=(",", ":"), ensure_ascii=False)
    # Kubelet replaces `$(…)` and `$$` in values; JSON has another way to write a dollar, which only texts can hold.
    return [{"name": names.STATE_VARIABLE, "value": text.replace("$", "\\u0024")}]
