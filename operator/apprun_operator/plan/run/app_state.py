"""What tasks have saved of the app's state: kept in one write, and only then do they count as
succeeded.

A pod reports its output and what it saved together, in the phase Saving. The AppState is written
first, with the version that the decision rests on and the names of the calls whose writes it holds;
then each call is told that it has succeeded, and is committed as ever. A crash between the two
finds the call in `applied`: nothing is kept twice, and what others have saved since isn't taken for
a conflict.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final, cast

from application_sdk.wire import names
from application_sdk.wire import state as rules
from application_sdk.wire.digest import JSON, JSONObject, digest
from application_sdk.wire.fields import StateWrite
from apprun_operator.observe.observed import Observed
from apprun_operator.observe.records import Key, TaskRecord
from apprun_operator.observe.times import rfc3339
from apprun_operator.plan.actions import PatchTask, WriteState
from apprun_operator.plan.call.attempts import end_attempt
from apprun_operator.plan.call.pod_status import PodEnded
from apprun_operator.plan.limits import Limits
from apprun_operator.plan.saved_state import saved_values

REMEMBERED: Final = 256
"""So many calls are remembered as applied: more than can be between their two writes at a time."""


@dataclass(frozen=True, slots=True)
class StateSave:
    """What to write of the state first, and what to tell the calls then."""

    write: WriteState | None = None
    answers: Sequence[PatchTask] = ()


def save_state(observed: Observed, now: float, limits: Limits) -> StateSave:
    """Keep what the calls in the phase Saving want kept, in the order in which they ended."""
    saving = sorted(
        (task for name, task in observed.tasks.items() if task.phase == "Saving" and name not in observed.in_flight),
        key=lambda task: (task.finished_at, task.key),
    )
    if not saving:
        return StateSave()
    state = observed.state
    values = saved_values(state)
    applied = list(state.applied) if state is not None else []
    answers: list[PatchTask] = []
    savers: dict[str, TaskRecord] = {}
    changed = False
    for task in saving[:REMEMBERED]:
        # guard: restored-state-once - the save of a restored call was applied before the backup
        call = digest([observed.run.origin_uid, task.key])
        if call not in applied:
            problem, after = _apply(task, values)
            if problem is not None:
                ended = end_attempt(task, problem, observed.pods.get(task.pod_name), now, limits)
                # What it returned rests on state that isn't there any more.
                answers.append(replace(ended, status={**ended.status, "output": None, "state": None}))
                continue
            values, changed = after, True
            applied.append(call)
            savers |= {write["key"]: task for write in _saves(task)}
        answers.append(PatchTask(task.meta.key, task.meta.version, {"phase": "Succeeded"}))
    return StateSave(_write(observed, values, applied, savers, now) if changed else None, answers)


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


def _saves(task: TaskRecord) -> Sequence[StateWrite]:
    return () if task.saves is None else cast("list[StateWrite]", task.saves.decode())


def _write(
    observed: Observed, values: dict[str, JSON], applied: list[str], savers: dict[str, TaskRecord], now: float
) -> WriteState:
    state, run = observed.state, observed.run
    at = rfc3339(now)
    written: JSONObject = {} if state is None else state.spec.object()
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
    object_key = Key(run.meta.key.namespace, names.state_name(str((run.app or {})["name"])))
    metadata: JSONObject = {
        "name": object_key.name,
        "namespace": object_key.namespace,
        "labels": {names.MANAGED_BY_LABEL: names.MANAGED_BY},
    }
    body: JSONObject = {
        "apiVersion": names.API_VERSION,
        "kind": names.APP_STATE_KIND,
        "metadata": metadata,
        "spec": spec,
    }
    uid, version = (state.meta.uid, state.meta.version) if state is not None else ("", 0)
    return WriteState(object_key, uid, version, body)
