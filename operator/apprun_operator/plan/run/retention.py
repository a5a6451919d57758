"""What is left of a finished run: its pods go at once, its open calls are closed, the run goes
after its time."""

from __future__ import annotations

from operator import itemgetter

from apprun_operator.observe.observed import Observed
from apprun_operator.observe.pods import PodRecord
from apprun_operator.plan.actions import DeletePod, DeleteRun, ItemAction, Plan
from apprun_operator.plan.call import attempts
from apprun_operator.plan.run.app_resolution import ttl_seconds


def clean_up(observed: Observed, now: float) -> Plan:
    """Leave nothing that runs, then delete the run when its time is over."""
    run = observed.run
    closing: list[ItemAction] = [
        attempts.cancel(task, f"the run ended as {run.phase}", now)
        for name, task in sorted(observed.tasks.items())
        if not task.finished and name not in observed.in_flight
    ]
    ttl = ttl_seconds(observed)
    expires = None if ttl is None or run.finished_at is None else run.finished_at + ttl
    expired = expires is not None and now >= expires
    return Plan(
        first=[DeleteRun(run.meta.key, run.meta.uid)] if expired else [],
        then=[*delete_pods(observed), *closing],
        wake_at=None if expired else expires,
    )


def delete_pods(observed: Observed) -> list[ItemAction]:
    """Delete every pod of the run that nobody deletes yet."""
    return [
        DeletePod(pod.meta.key, pod.meta.uid)
        for name, pod in sorted(observed.pods.items())
        if not pod.gone and pod.deletion_at is None and name not in observed.in_flight
    ]


def delete_unneeded(observed: Observed) -> tuple[list[ItemAction], list[ItemAction]]:
    """Delete the strays, whose room the next attempts may need, and the pods of committed calls:
    the commit is the completion, so nobody waits for their end."""
    strays: list[tuple[str, PodRecord]] = []
    done: list[tuple[str, PodRecord]] = []
    for name, pod in observed.pods.items():
        if pod.gone or pod.deletion_at is not None or name in observed.in_flight:
            continue
        if pod.task in observed.committed_tasks:
            done.append((name, pod))
        # guard: strays-deleted - a pod of an earlier attempt would keep its resources, and its side
        # effects
        elif _is_stray(observed, pod):
            strays.append((name, pod))
    return _delete(strays), _delete(done)


def _delete(pods: list[tuple[str, PodRecord]]) -> list[ItemAction]:
    return [DeletePod(pod.meta.key, pod.meta.uid) for _, pod in sorted(pods, key=itemgetter(0))]


def _is_stray(observed: Observed, pod: PodRecord) -> bool:
    """Whether the pod is an open call's, and not that of its current attempt: of an earlier one, or
    named by an older version of the operator. The API server refuses its report, so it only costs
    resources. It ends no attempt, hence it is charged to nobody."""
    task = observed.tasks.get(pod.task)
    # guard: strays-of-this-run - a pod of another run of the same name isn't ours to delete
    return task is not None and pod.meta.owner_uid == task.meta.uid and pod.meta.key.name != task.pod_name
