"""Drivers that come and go: one whose route only waits leaves, and the next result starts another.

A driver *parks* by writing how many checkpoints it has delivered (`status.parked`), then exits.
Everything that its route waits for is in the cluster by then: AppTasks at work, and timers. So the
run needs nothing but the ledger's length to know whether the route has something to do: it is
longer than the parked driver has seen. Both are read again by each plan, so a crash between the
commit and the next driver's start only delays that.
"""

from __future__ import annotations

from typing import Final

from application_sdk.wire import reasons
from application_sdk.wire.fields import PAGE_SIZE
from apprun_operator.observe.observed import Observed
from apprun_operator.observe.records import RunRecord, TaskRecord
from apprun_operator.plan.actions import DeletePod
from apprun_operator.plan.call import attempts
from apprun_operator.plan.call.attempts import CallDecision
from apprun_operator.plan.call.pod_status import PodEnded
from apprun_operator.plan.conditions import RunCondition
from apprun_operator.plan.limits import Limits
from apprun_operator.plan.run.stall import RUNNING

ENDED: Final = PodEnded(reasons.PARKED, "the route waited, and its driver left until there was a result", "None")


def ledger_length(run: RunRecord) -> int:
    """How many checkpoints the run has."""
    return run.pages * PAGE_SIZE + len(run.checkpoints)


def is_parked(driver: TaskRecord) -> bool:
    """Whether the current attempt has parked, and hasn't been followed by another one yet."""
    return driver.parked_length is not None and not driver.finished and driver.reported_error is None


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
    # guard: parked-at-this-length - what was committed before the driver parked would never reach
    # the route
    if ledger_length(observed.run) + commits > (driver.parked_length or 0):
        return CallDecision([attempts.end_attempt(driver, ENDED, pod, now, limits)])
    if pod is None or pod.gone or pod.deletion_at is not None:
        return CallDecision()
    # It has said all that it has to say. The next attempt starts in a pod of its own anyway.
    return CallDecision([DeletePod(pod.meta.key, pod.meta.uid)])


def with_parking(
    observed: Observed, condition: RunCondition, driver: TaskRecord, decision: CallDecision, commits: int
) -> RunCondition:
    """`Parked`, with what the route waits for, if the driver has left and nothing else is to say.

    The message changes only with the ledger: a run that waits for a week costs no writes.
    """
    asleep = is_parked(driver) and ledger_length(observed.run) + commits <= (driver.parked_length or 0)
    if condition != RUNNING or not asleep:
        return condition
    open_calls = [task for task in observed.tasks.values() if task.role != "driver" and not task.finished]
    timers = sum(1 for task in open_calls if task.role == "timer")
    parts = [_count(len(open_calls) - timers, "call"), _count(timers, "timer")]
    waits = " and ".join(part for part in parts if part) or "the next result"
    return RunCondition(
        "Running", reasons.PARKED, f"the route waits for {waits}: no driver runs until one of them is done"
    )


def _count(number: int, noun: str) -> str:
    return "" if not number else f"{number} {noun}{'' if number == 1 else 's'}"
