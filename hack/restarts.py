"""The operator's pods over time: which of them ended or restarted, and whether somebody had said so before. Pure.

Cluster tests, soak and demo all end with the same claim: no operator pod restarted that nobody killed. An operator that
a probe kills every few minutes loses nothing, since another replica takes over, so no other claim would ever fail.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from time import localtime, strftime
from typing import Any

SELECTOR = "app.kubernetes.io/part-of=apprun,app.kubernetes.io/component=operator"
CONTAINER = "operator"
SLACK_SECONDS = 10.0
"""Between a kill and what kubelet says about it; its clock may differ from ours by as much."""


@dataclass(frozen=True)
class ContainerExit:
    """How a container ended, as kubelet tells it."""

    exit_code: int
    reason: str
    at: float | None
    """Seconds since the epoch; None where kubelet has no time, as after the loss of a node."""

    def __str__(self) -> str:
        when = "" if self.at is None else f" at {clock(self.at)}"
        return f"exit code {self.exit_code}, reason {self.reason or 'none'}{when}"


@dataclass(frozen=True)
class OperatorPod:
    """One pod of the operator at one moment."""

    namespace: str
    name: str
    uid: str
    node: str
    restarts: int
    ready: bool
    leaving: bool
    """Marked for deletion, or evicted: its containers don't start again."""
    last: ContainerExit | None = None
    """How its container ended the last time that it did."""


@dataclass(frozen=True)
class Termination:
    """An operator's container that was restarted, or a pod that was removed, between two samples of the cluster."""

    pod: OperatorPod
    """As it was last seen."""
    restarted: bool
    """Its container started again, so often is `pod.restarts`; otherwise the pod is going, or gone."""
    after: float
    before: float

    @property
    def text(self) -> str:
        what = "restarted" if self.restarted else "was removed"
        how = f": {self.pod.last}" if self.restarted and self.pod.last else ""
        where = f"{self.pod.namespace}/{self.pod.name} on {self.pod.node or 'no node'}"
        return f"{where} {what} between {clock(self.after)} and {clock(self.before)}{how}"


@dataclass(frozen=True)
class Expectation:
    """What somebody kills on purpose. Explains one restart and one removal of each pod that it is about."""

    why: str
    since: float
    until: float
    uids: frozenset[str] | None = None
    """The pods that it is about; None: all."""
    node: str | None = None
    """Only those on this node; None: on any."""
    restarts: bool = False
    """Whether a container may start again. A roll-out removes pods, and restarts none."""

    def explains(self, termination: Termination) -> bool:
        if termination.restarted and not self.restarts:
            return False
        if self.uids is not None and termination.pod.uid not in self.uids:
            return False
        if self.node is not None and termination.pod.node != self.node:
            return False
        since, until = self.since - SLACK_SECONDS, self.until + SLACK_SECONDS
        return any(since <= end and begin <= until for begin, end in _when(termination))


def _when(termination: Termination) -> list[tuple[float, float]]:
    """Spans in which it may have happened: between two samples, and when kubelet says that the container ended.

    The container may be away for minutes before it is started again, which is what a sample can see.
    """
    last = termination.pod.last
    reported = [(last.at, last.at)] if termination.restarted and last is not None and last.at is not None else []
    return [(termination.after, termination.before), *reported]


@dataclass
class TerminationLog:
    """Every termination that samples of the cluster have shown, in their order."""

    found: list[Termination] = field(default_factory=list)
    _known: dict[str, OperatorPod] = field(default_factory=dict)
    _sampled: float | None = None

    def observe(self, pods: Iterable[OperatorPod], at: float) -> list[Termination]:
        """What terminated since the sample before. The first sample is what all that follow are compared with."""
        now = {pod.uid: pod for pod in pods}
        new: list[Termination] = []
        if self._sampled is not None:
            # A pod that is new was created with no restart.
            before = {uid: replace(pod, restarts=0, leaving=False) for uid, pod in now.items()} | self._known
            for uid, was in before.items():
                new += self._changes(was, now.get(uid), self._sampled, at)
        self._known, self._sampled = now, at
        self.found += new
        return new

    def _changes(self, was: OperatorPod, now: OperatorPod | None, after: float, at: float) -> list[Termination]:
        new = []
        if now is not None and now.restarts > was.restarts:
            count = now.restarts - was.restarts
            new += [Termination(replace(now, node=now.node or was.node), True, after, at)] * count
        if (now is None or now.leaving) and not was.leaving:
            new.append(Termination(now or was, False, after, at))
        return new


def unexpected(terminations: Sequence[Termination], expectations: Sequence[Expectation]) -> list[Termination]:
    """Those that nobody had announced."""
    used: Counter[tuple[int, str, bool]] = Counter()
    remaining = []
    for termination in terminations:
        for place, expectation in enumerate(expectations):
            identity = (place, termination.pod.uid, termination.restarted)
            if not used[identity] and expectation.explains(termination):
                used[identity] += 1
                break
        else:
            remaining.append(termination)
    return remaining


def operator_pods(items: Iterable[Mapping[str, Any]]) -> list[OperatorPod]:
    """From Pod objects of the API server."""
    return [_pod(item) for item in items]


def _pod(item: Mapping[str, Any]) -> OperatorPod:
    metadata, status = item["metadata"], item.get("status", {})
    container = next((c for c in status.get("containerStatuses", []) if c["name"] == CONTAINER), {})
    ended = container.get("lastState", {}).get("terminated")
    return OperatorPod(
        namespace=metadata["namespace"],
        name=metadata["name"],
        uid=metadata["uid"],
        node=item["spec"].get("nodeName", ""),
        restarts=container.get("restartCount", 0),
        ready=any(c["type"] == "Ready" and c["status"] == "True" for c in status.get("conditions", [])),
        leaving="deletionTimestamp" in metadata or status.get("phase") in ("Failed", "Succeeded"),
        last=None if ended is None else ContainerExit(ended["exitCode"], ended.get("reason", ""), _time(ended)),
    )


def _time(ended: Mapping[str, Any]) -> float | None:
    at = ended.get("finishedAt")
    return None if not at else datetime.fromisoformat(at).timestamp()


def probe_events(items: Iterable[Mapping[str, Any]]) -> list[str]:
    """What `kubectl describe` says of a pod's probes and kills, from its Event objects, oldest first."""
    events = [
        event
        for event in items
        if event.get("reason") in ("Unhealthy", "Killing", "BackOff", "Evicted", "NodeNotReady")
    ]
    events.sort(key=lambda event: event.get("lastTimestamp") or event.get("eventTime") or "")
    return [f"{e.get('reason')} ×{e.get('count') or 1}: {str(e.get('message', '')).strip()}" for e in events]


def clock(at: float) -> str:
    return strftime("%H:%M:%S", localtime(at))
