"""What the operator tells Prometheus: few figures, none per run, so that their number never grows."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

PLAN_BUCKETS = (0.0002, 0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.5)


class Metrics:
    """One registry per operator, so that tests can have several."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self._commits = Counter("apprun_commits", "Checkpoints appended to ledgers.", registry=self.registry)
        self._commit_writes = Counter("apprun_commit_writes", "Status writes that did so.", registry=self.registry)
        self._plan = Histogram("apprun_plan_seconds", "Time of one plan.", buckets=PLAN_BUCKETS, registry=self.registry)
        self._failures = Counter("apprun_failures", "Actions that failed, by error.", ["error"], registry=self.registry)

    @contextmanager
    def planning(self) -> Iterator[None]:
        started = time.perf_counter()
        yield
        self._plan.observe(time.perf_counter() - started)

    def committed(self, count: int) -> None:
        if count:
            self._commits.inc(count)
            self._commit_writes.inc()

    def failed(self, error: str) -> None:
        self._failures.labels(error).inc()

    def watch_sizes(self, sizes: Callable[[], Mapping[str, int]], queue: Callable[[], int]) -> None:
        """Report how many objects are known, and how many runs wait for a plan, when asked."""
        known = Gauge("apprun_known_objects", "Objects in memory.", ["kind"], registry=self.registry)
        for kind in sizes():
            known.labels(kind).set_function(partial(_size, sizes, kind))
        Gauge("apprun_queue_length", "Runs that wait for a plan.", registry=self.registry).set_function(queue)

    def watch_leadership(self, leads: Callable[[], bool]) -> None:
        """Report whether this replica works off the queue, when asked."""
        gauge = Gauge(
            "apprun_is_leader", "1 for the replica that plans and acts, 0 for a standby.", registry=self.registry
        )
        gauge.set_function(lambda: float(leads()))

    def text(self) -> bytes:
        return generate_latest(self.registry)


def _size(sizes: Callable[[], Mapping[str, int]], kind: str) -> float:
    return sizes()[kind]
