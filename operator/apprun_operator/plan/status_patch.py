"""Status patches of a run: the precondition that each carries, and how to replace an object by
merging."""

from __future__ import annotations

from application_sdk.wire.digest import JSONObject
from apprun_operator.observe.records import RunRecord
from apprun_operator.plan import conditions
from apprun_operator.plan.actions import PatchRun
from apprun_operator.plan.conditions import RunCondition


def patch_run(run: RunRecord, status: JSONObject, *, commits: int = 0, exact: bool = False) -> PatchRun:
    """Write `status` into exactly the version of the run that was planned with."""
    return PatchRun(run.meta.key, run.meta.version, status, commits, exact)


def patch_condition(run: RunRecord, condition: RunCondition, now: float) -> list[PatchRun]:
    """Write `condition`; nothing if the status says it already."""
    status = conditions.changes(run, condition, now)
    return [patch_run(run, status)] if status else []


def replacing(old: JSONObject, new: JSONObject) -> JSONObject:
    """The merge patch that turns `old` into `new`: fields that are gone become null."""
    patch: JSONObject = {name: None for name in old if name not in new}
    for name, value in new.items():
        before = old.get(name)
        patch[name] = replacing(before, value) if isinstance(before, dict) and isinstance(value, dict) else value
    return patch
