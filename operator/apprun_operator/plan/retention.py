"""What is left of a finished run: its pods go at once, its open calls are closed, the run goes after its time."""

from __future__ import annotations

from operator import itemgetter

from apprun_operator.observe.records import Observed
from apprun_operator.plan import attempts
from apprun_operator.plan.actions import DeletePod, DeleteRun, ItemAction, Plan
from apprun_operator.plan.resolve import ttl_seconds


def clean_up(seen: Observed, now: float) -> Plan:
    """Leave nothing that runs, then delete the run when its time is over."""
    run = seen.run
    closing: list[ItemAction] = [
        attempts.cancel(task, f"the run ended as {run.phase}", now)
        for name, task in sorted(seen.tasks.items())
        if not task.finished and name not in seen.in_flight
    ]
    ttl = ttl_seconds(seen)
    expires = None if ttl is None or run.finished_at is None else run.finished_at + ttl
    expired = expires is not None and now >= expires
    return Plan(
        first=[DeleteRun(run.meta.key, run.meta.uid)] if expired else [],
        then=[*delete_pods(seen), *closing],
        wake_at=None if expired else expires,
    )


def delete_pods(seen: Observed) -> list[ItemAction]:
    """Delete every pod of the run that nobody deletes yet."""
    return [
        DeletePod(pod.meta.key, pod.meta.uid)
        for name, pod in sorted(seen.pods.items())
        if not pod.gone and pod.deletion_at is None and name not in seen.in_flight
    ]


def delete_settled(seen: Observed) -> list[ItemAction]:
    """Delete the pods of committed calls: the commit is the completion, so nobody waits for their end."""
    done = [
        (name, pod)
        for name, pod in seen.pods.items()
        if pod.task in seen.settled and not pod.gone and pod.deletion_at is None and name not in seen.in_flight
    ]
    return [DeletePod(pod.meta.key, pod.meta.uid) for _, pod in sorted(done, key=itemgetter(0))]
