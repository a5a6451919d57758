"""Finds the lines of a run's calls in the logs of warm pods, which several runs share.

A line in the log of a warm pod belongs to the call whose AppTask it names. A line that names none
may be of any run, so it is never shown.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable
from dataclasses import dataclass, field

from application_sdk.cli.cluster.api import CORE, Api, Object
from application_sdk.cli.cluster.errors import NotAllowedError
from application_sdk.cli.sources.protocol import LogLine, LogQuery, is_selected
from application_sdk.wire import names
from application_sdk.wire.logs import LineOrigin, origin_of, plain


@dataclass(frozen=True, slots=True)
class PodId:
    """A pod that calls are assigned to. A later pod of the same name has another uid."""

    name: str
    uid: str


@dataclass(slots=True)
class RunCalls:
    """The AppTasks of a run, which the threads that read logs share."""

    run: str
    _tasks: dict[str, tuple[str, str]] = field(default_factory=dict)
    """Task and key by the name of the AppTask."""
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def add(self, task: Object) -> None:
        spec = task["spec"]
        with self._lock:
            self._tasks[task["metadata"]["name"]] = (str(spec.get("task") or "?"), str(spec.get("key") or ""))

    def find(self, api: Api, origin: LineOrigin) -> tuple[str, str] | None:
        """Task and key of the call that a line belongs to; None for a call of another run."""
        # guard: shared-pod-log - the pod's log has the lines of other runs as well
        if origin.run != self.run:
            return None
        with self._lock:
            call = self._tasks.get(origin.app_task)
        if call is None:
            # The line may arrive before the event of the watch that tells of its AppTask.
            task = api.find(api.path(names.APP_TASKS, origin.app_task))
            if task is None:
                return None
            self.add(task)
            return self.find(api, origin)
        return call


@dataclass(slots=True)
class WarmLog:
    """The log of a warm pod, of which it selects the lines that a query asks for."""

    api: Api
    calls: RunCalls
    query: LogQuery
    node: str
    anonymous: int = 0
    """How many lines name no call, and aren't AppRun's own about the pod."""

    def line(self, at: str, text: str) -> LogLine | None:
        """A line of the log; None if it isn't of a call that the query asks for."""
        origin = origin_of(text)
        if origin is None:
            self.anonymous += 1
            return None
        call = self.calls.find(self.api, origin) if origin.app_task else None
        if call is None or self.query.attempt not in (0, origin.attempt) or not is_selected(self.query.task, *call):
            return None
        return LogLine(*call, origin.attempt, plain(text), at, self.node)


def anonymous_lines(pod: str) -> str:
    """The note about lines that name no call."""
    return (
        f"{pod}: lines of this warm pod that name no call aren't shown, since they may be of another run;"
        f" `kubectl logs {pod}` has them"
    )


def assigned_pod(task: Object) -> PodId | None:
    """The warm pod that a call's attempt is, or was, assigned to; None for a call with a pod of its own."""
    pod = (task.get("status") or {}).get("pod") or {}
    return PodId(str(pod["name"]), str(pod.get("uid") or "")) if pod.get("name") else None


def existing_pods(api: Api, tasks: Iterable[Object]) -> list[Object]:
    """The warm pods that AppTasks name and that still exist. Empty if the user may not list pods."""
    assigned = {pod for pod in map(assigned_pod, tasks) if pod is not None}
    pools = sorted({pod.name.rpartition("-")[0] for pod in assigned} - {""})
    path = api.path("pods", group=CORE)
    try:
        pods = [pod for pool in pools for pod in api.items(path, f"{names.POOL_LABEL}={pool}")]
    except NotAllowedError:
        return []
    return [pod for pod in pods if pod_id(pod) in assigned]


def pod_id(pod: Object) -> PodId:
    return PodId(pod["metadata"]["name"], pod["metadata"].get("uid", ""))
