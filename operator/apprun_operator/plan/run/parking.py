"""Drivers that come and go: one whose route only waits leaves, and the next result starts another.

A driver *parks* by writing how many checkpoints it has delivered (`status.parked`), then exits.
Everything that its route waits for is in the cluster by then: AppTasks at work, and timers. So two
numbers say whether the route has something to do: the ledger is longer than the parked driver has
seen, or fewer calls are open than it waits for, since somebody deleted an AppTask. Both are read
again by each plan, so a crash between the commit and the next driver's start only delays that.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from application_sdk.wire import reasons
from application_sdk.wire.fields import PAGE_SIZE
from apprun_operator.observe.observed import Observed
from apprun_operator.observe.records import RunRecord, TaskRecord
from apprun_operator.observe.times import parse
from apprun_operator.plan.actions import DeletePod
from apprun_operator.plan.call import attempts
from apprun_operator.plan.call.attempts import CallDecision
from apprun_operator.plan.call.pod_status import PodEnded
from apprun_operator.plan.conditions import RunCondition
from apprun_operator.plan.limits import PARK_AFTER, Limits
from apprun_operator.plan.run.stall import RUNNING

ENDED: Final = PodEnded(reasons.PARKED, "the route waited, and its driver left until there was a result", "None")


def ledger_length(run: RunRecord) -> int:
    """How many checkpoints the run has."""
    return run.pages * PAGE_SIZE + len(run.checkpoints)


def is_parked(driver: TaskRecord) -> bool:
    """Whether the current attempt has parked, and hasn't been followed by another one yet."""
    return driver.parked is not None and not driver.finished and driver.reported_error is None


def is_woken(driver: TaskRecord) -> bool:
    """Whether the current attempt is the first one after a driver that parked."""
    return bool(driver.attempts) and driver.attempts[-1]["reason"] == reasons.PARKED


def decide_driver(observed: Observed, driver: TaskRecord, commits: int, now: float, limits: Limits) -> CallDecision:
    """Decide about the driver of a run that goes on, whose ledger grows by `commits` in this plan."""
    if not is_parked(driver):
        return attempts.decide(observed, driver, now, limits)
    pod = observed.pods.get(driver.pod_name)
    if driver.meta.key.name in observed.in_flight or driver.pod_name in observed.in_flight:
        return CallDecision()
    if _has_work(observed, driver, commits):
        ended = replace(ENDED, pause=_pause(observed.run, driver, now))
        return CallDecision([attempts.end_attempt(driver, ended, pod, now, limits)])
    if pod is None or pod.gone or pod.deletion_at is not None:
        return CallDecision()
    # It has said all that it has to say. The next attempt starts in a pod of its own anyway.
    return CallDecision([DeletePod(pod.meta.key, pod.meta.uid)])


def with_parking(observed: Observed, condition: RunCondition, driver: TaskRecord, commits: int) -> RunCondition:
    """`Parked`, with what the route waits for, if the driver has left and nothing else is to say.

    The message changes only with the ledger: a run that waits for a week costs no writes.
    """
    if condition != RUNNING or not is_parked(driver) or _has_work(observed, driver, commits):
        return condition
    open_calls = _open_calls(observed)
    timers = sum(1 for task in open_calls if task.role == "timer")
    parts = [_count(len(open_calls) - timers, "call"), _count(timers, "timer")]
    waits = " and ".join(part for part in parts if part) or "the next result"
    return RunCondition(
        "Running", reasons.PARKED, f"the route waits for {waits}: no driver runs until one of them is done"
    )


def _pause(run: RunRecord, driver: TaskRecord, now: float) -> float:
    """Seconds until the next attempt, for a driver that parked sooner than its App lets it."""
    park_after = (run.app or {}).get("parkAfterSeconds")
    seconds = float(park_after) if isinstance(park_after, int) and park_after > 0 else PARK_AFTER
    ended_before = parse(driver.attempts[-1]["finishedAt"]) if driver.attempts else driver.meta.created
    # guard: early-park-pauses - a driver that always says that it waits for what there isn't would
    # have one pod after the other, charged to nobody
    return seconds if now < max(ended_before, driver.not_before) + seconds else 0.0


def _has_work(observed: Observed, driver: TaskRecord, commits: int) -> bool:
    """Whether the route of a parked driver has something to do."""
    parked = driver.parked
    if parked is None:
        return True
    # guard: parked-at-this-length - what was committed before the driver parked would never reach
    # the route
    if ledger_length(observed.run) + commits > parked.ledger_length:
        return True
    # guard: parked-calls-there - nobody else would notice that a call's AppTask was deleted
    return len(_open_calls(observed)) < parked.open_calls


def _open_calls(observed: Observed) -> list[TaskRecord]:
    return [
        task for task in observed.tasks.values() if task.role != "driver" and task.key not in observed.committed_keys
    ]


def _count(number: int, noun: str) -> str:
    return "" if not number else f"{number} {noun}{'' if number == 1 else 's'}"
