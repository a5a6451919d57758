"""The operator's Prometheus metrics. No label has the name of a run, task or pod: their number is
unbounded.

`samples` derives samples from accepted writes, which become counters and histograms here; `gauges`
counts what exists.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from importlib.metadata import PackageNotFoundError, version

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    Info,
    PlatformCollector,
    ProcessCollector,
    disable_created_metrics,
    generate_latest,
)

from application_sdk.wire import reasons
from apprun_operator.telemetry.gauges import RunGauges, Survey, WarmPodGauges, WarmPodSurvey
from apprun_operator.telemetry.label_limit import MAX_APPS, AppLabels
from apprun_operator.telemetry.samples import (
    EXCEPTION,
    AttemptFailed,
    CallAssigned,
    CallCommitted,
    RunBegan,
    RunEnded,
    SampleBatch,
)

PLAN_BUCKETS = (0.0002, 0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.5)
STAGE_BUCKETS = (0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 1800, 7200)
RUN_BUCKETS = (1, 5, 15, 60, 300, 900, 3600, 4 * 3600, 24 * 3600, 7 * 24 * 3600)
REQUEST_BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 5, 20)
LAG_BUCKETS = (0.005, 0.02, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 10)

# Without this, each counter has a second series with its creation time.
disable_created_metrics()  # type: ignore[no-untyped-call]


class Metrics:
    """All metrics, in a registry of their own. `max_apps` limits the values of the label `app`."""

    def __init__(self, max_apps: int = MAX_APPS) -> None:
        self.registry = registry = CollectorRegistry()
        self._labels = AppLabels(max_apps)
        self._known: set[tuple[str, str]] = set()
        ProcessCollector(registry=registry)
        PlatformCollector(registry=registry)
        Info("apprun_build", "Version of this operator.", registry=registry).info({"version": _version()})
        app = ["namespace", "app"]
        self._began = Counter("apprun_runs_started", "Runs that began.", app, registry=registry)
        self._run = Histogram(
            "apprun_run_duration_seconds",
            "From a run's start to its end.",
            [*app, "outcome"],
            buckets=RUN_BUCKETS,
            registry=registry,
        )
        self._runs = Counter("apprun_runs_finished", "Runs that ended.", [*app, "outcome"], registry=registry)
        self._calls = Counter(
            "apprun_tasks_committed", "Task calls whose end is in the ledger.", [*app, "outcome"], registry=registry
        )
        self._stages = Histogram(
            "apprun_task_stage_seconds",
            "Where the time of committed task calls went: queue (called, no pod), start (pod, no process), "
            "run (process to report), commit (report to ledger).",
            [*app, "stage"],
            buckets=STAGE_BUCKETS,
            registry=registry,
        )
        self._attempts = Counter(
            "apprun_attempts_failed",
            "Attempts that ended without a result, by whom they were charged to and why.",
            [*app, "role", "budget", "reason"],
            registry=registry,
        )
        self._assigned = Counter("apprun_warm_calls_assigned", "Calls assigned to a warm pod.", registry=registry)
        self._not_acknowledged = Counter(
            "apprun_warm_calls_not_acknowledged",
            "Calls taken back from a warm pod that neither began nor reported them.",
            registry=registry,
        )
        self._commits = Counter("apprun_commits", "Checkpoints appended to ledgers.", registry=registry)
        self._commit_writes = Counter("apprun_commit_writes", "Status writes that did so.", registry=registry)
        self._plan = Histogram("apprun_plan_seconds", "Time of one plan.", buckets=PLAN_BUCKETS, registry=registry)
        self._failures = Counter("apprun_failures", "Actions that failed, by error.", ["error"], registry=registry)
        self._requests = Counter(
            "apprun_api_requests", "Requests to the API server; code `none`: no answer.", ["verb", "code"],
            registry=registry,
        )  # fmt: skip
        self._request_time = Histogram(
            "apprun_api_request_seconds", "Until the API server had answered.", ["verb"], buckets=REQUEST_BUCKETS,
            registry=registry,
        )  # fmt: skip
        self._lag = Histogram(
            "apprun_loop_lag_seconds",
            "How much later than wanted the event loop did something, asked once a second.",
            buckets=LAG_BUCKETS,
            registry=registry,
        )

    @contextmanager
    def planning(self) -> Iterator[None]:
        """Measure the time of one plan."""
        started = time.perf_counter()
        yield
        self._plan.observe(time.perf_counter() - started)

    def record(self, batch: SampleBatch) -> None:
        """Count the samples of an accepted write."""
        app = self._labels.of(batch.namespace, batch.app)
        self._make_known(app)
        committed = 0
        for sample in batch.samples:
            if isinstance(sample, RunBegan):
                self._began.labels(*app).inc()
            elif isinstance(sample, RunEnded):
                self._runs.labels(*app, sample.outcome).inc()
                if sample.seconds is not None:
                    self._run.labels(*app, sample.outcome).observe(sample.seconds)
            elif isinstance(sample, CallCommitted):
                committed += 1
                self._calls.labels(*app, sample.outcome).inc()
                for stage, seconds in sample.stages.items():
                    self._stages.labels(*app, stage).observe(seconds)
            elif isinstance(sample, AttemptFailed):
                self._attempts.labels(*app, sample.role, sample.budget, sample.reason).inc()
                if sample.reason == reasons.NOT_ACKNOWLEDGED:
                    self._not_acknowledged.inc()
            elif isinstance(sample, CallAssigned):
                self._assigned.inc()
        if committed:
            self._commits.inc(committed)
            self._commit_writes.inc()

    def _make_known(self, app: tuple[str, str]) -> None:
        """Start counters that alerts use at zero: to Prometheus, a counter that starts at one
        hasn't increased."""
        if app in self._known:
            return
        self._known.add(app)
        for outcome in ("Succeeded", "Failed", "Cancelled"):
            self._runs.labels(*app, outcome)
            self._calls.labels(*app, outcome)
        for reason in (EXCEPTION, reasons.OOM_KILLED):
            self._attempts.labels(*app, "task", "App", reason)

    def failed(self, error: str) -> None:
        """Count an action that failed, by the type of its error."""
        self._failures.labels(error).inc()

    def requested(self, verb: str, code: str, seconds: float | None = None) -> None:
        """Count a request; its code is `none` if there was no response.

        May be called from any thread.
        """
        self._requests.labels(verb, code).inc()
        if seconds is not None:
            self._request_time.labels(verb).observe(seconds)

    def lagged(self, seconds: float) -> None:
        """Record how late the event loop was, in seconds."""
        self._lag.observe(seconds)

    def watch_runs(self, survey: Survey, leads: Callable[[], bool]) -> None:
        """Count runs and calls at each scrape, while this replica leads."""
        self.registry.register(RunGauges(survey, leads, self._labels))

    def watch_warm_pods(self, survey: WarmPodSurvey, leads: Callable[[], bool]) -> None:
        """Count warm pods at each scrape, while this replica leads."""
        self.registry.register(WarmPodGauges(survey, leads))

    def watch_sizes(self, sizes: Callable[[], Mapping[str, int]], queue: Callable[[], int]) -> None:
        """Report at each scrape how many objects are cached and how many runs wait for a plan."""
        known = Gauge("apprun_known_objects", "Objects in memory.", ["kind"], registry=self.registry)
        for kind in sizes():
            known.labels(kind).set_function(partial(_value, sizes, kind))
        Gauge("apprun_queue_length", "Runs that wait for a plan.", registry=self.registry).set_function(queue)

    def watch_unreadable(self, unreadable: Callable[[], Mapping[str, int]]) -> None:
        """Report at each scrape how many objects can't be read."""
        gauge = Gauge(
            "apprun_unreadable_objects",
            "Objects that this operator can't read, and leaves alone; they or their runs say why.",
            ["kind"],
            registry=self.registry,
        )
        for kind in unreadable():
            gauge.labels(kind).set_function(partial(_value, unreadable, kind))

    def watch_silence(self, silence: Callable[[], Mapping[str, float]]) -> None:
        """Report at each scrape how long each kind has been without contact with the API server."""
        gauge = Gauge(
            "apprun_watch_silence_seconds",
            "Seconds since the API server was heard, or asked, about a kind.",
            ["kind"],
            registry=self.registry,
        )
        for kind in silence():
            gauge.labels(kind).set_function(partial(_value, silence, kind))

    def watch_leadership(self, leads: Callable[[], bool]) -> None:
        """Report at each scrape whether this replica leads."""
        gauge = Gauge(
            "apprun_is_leader", "1 for the replica that plans and acts, 0 for a standby.", registry=self.registry
        )
        gauge.set_function(lambda: float(leads()))

    def text(self) -> bytes:
        """All metrics in Prometheus' text format."""
        return generate_latest(self.registry)


def _value(values: Callable[[], Mapping[str, float]], name: str) -> float:
    return values()[name]


def _version() -> str:
    """The version of the installed package. The image has none: its tag says the version there."""
    try:
        return version("apprun")
    except PackageNotFoundError:
        return "unknown"
