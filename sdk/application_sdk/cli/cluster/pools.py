"""Parses the pools of warm pods in an App's status, and says why a call waits for one of their pods.

Pure, and lenient: a malformed entry reads as a missing one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from application_sdk.cli.cluster.api import Object
from application_sdk.cli.sources.records import POOL_AT_MAXIMUM, TERMINAL_STATES, Call, Pool


def pools_of(app: Object | None) -> tuple[Pool, ...]:
    """The pools that an App's status lists; none for no App."""
    status: Any = (app or {}).get("status")
    entries = status.get("pools") if isinstance(status, dict) else None
    return tuple(
        Pool(
            name=str(entry.get("name") or "?"),
            tasks=tuple(str(task) for task in entry.get("tasks") or ()),
            size=int(entry.get("size") or 0),
            busy=int(entry.get("busy") or 0),
            idle=int(entry.get("idle") or 0),
            draining=int(entry.get("draining") or 0),
            renewed=int(entry.get("renewed") or 0),
        )
        for entry in (entries if isinstance(entries, list) else ())
        if isinstance(entry, dict)
    )


def pools_for(calls: Sequence[Call], pools: Sequence[Pool]) -> tuple[Pool, ...]:
    """The pools that execute open ones of these calls, or may."""
    tasks = {call.task for call in calls if call.max_pods and _is_open(call)}
    return tuple(pool for pool in pools if tasks.intersection(pool.tasks))


def with_waits(calls: Sequence[Call], pools: Sequence[Pool]) -> list[Call]:
    """The calls of a run; those that wait for a warm pod say why."""
    waits: dict[tuple[str, int], str] = {}
    for call in calls:
        if _waits(call) and (call.task, call.max_pods) not in waits:
            waits[call.task, call.max_pods] = _wait_of(call, calls, pools)
    return [replace(call, message=waits[call.task, call.max_pods]) if _waits(call) else call for call in calls]


def _waits(call: Call) -> bool:
    return call.state == "Queued" and call.max_pods > 0


def _wait_of(call: Call, calls: Sequence[Call], pools: Sequence[Pool]) -> str:
    """Why a queued call hasn't been given a pod; empty if the next moment may bring one."""
    pods = {other.pod for other in calls if other.pod and other.task == call.task and _is_open(other)}
    pool = _pool_of(call, pods, pools)
    if pool is not None and pool.idle:
        return ""
    size = len(pods) if pool is None else pool.size - pool.draining
    starting = 0 if pool is None else pool.starting
    name = "" if pool is None else f" ({pool.name})"
    pods_of = f"{_pods(call.max_pods)}, {f'{starting} of them starting' if starting else 'and all are busy'}"
    if size >= call.max_pods:
        return f"{POOL_AT_MAXIMUM} of {pods_of}{name}"
    return f"the pool has {size} of at most {pods_of}{name}" if size else "the pool has no pod yet"


def _pool_of(call: Call, pods: set[str], pools: Sequence[Pool]) -> Pool | None:
    """The pool that takes calls like this one; None if that isn't clear.

    A task has several pools while calls of the App's older code are open.
    """
    candidates = [pool for pool in pools if call.task in pool.tasks and pool.size > pool.draining]
    used = {pod.rpartition("-")[0] for pod in pods}
    candidates = [pool for pool in candidates if pool.name in used] or candidates
    return candidates[0] if len(candidates) == 1 else None


def _is_open(call: Call) -> bool:
    return call.state not in TERMINAL_STATES


def _pods(count: int) -> str:
    return f"{count} pod{'' if count == 1 else 's'}"
