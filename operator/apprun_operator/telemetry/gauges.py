"""Gauges of runs, calls and warm pods, counted from the cache at each scrape, so that they can't drift or
leak.

Only the replica that leads reports them; otherwise every run would be counted once per replica.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Final, Literal, TypeAlias

from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector
from typing_extensions import override

from application_sdk.wire.call_state import CallState, call_state
from application_sdk.wire.waiting import is_of_calls
from apprun_operator.observe.pods import PodRecord
from apprun_operator.observe.records import RunRecord, TaskRecord
from apprun_operator.observe.workers import WorkerRecord
from apprun_operator.telemetry.label_limit import AppLabels
from apprun_operator.telemetry.samples import app_of, message_reason, wait_reason

Survey: TypeAlias = Callable[[], Iterable[tuple[RunRecord, Mapping[str, TaskRecord], Mapping[str, PodRecord]]]]

WarmPodSurvey: TypeAlias = Callable[[], Iterable[tuple[PodRecord, WorkerRecord, bool]]]
WarmPodState: TypeAlias = Literal["starting", "idle", "busy", "draining"]
WARM_POD_STATES: Final[tuple[WarmPodState, ...]] = ("starting", "idle", "busy", "draining")

UNFINISHED_PHASES: Final = frozenset({"Pending", "Running", "Suspended", "Cancelling"})


class RunGauges(Collector):
    """Runs by phase, open calls by state, and what they wait for."""

    def __init__(self, survey: Survey, leads: Callable[[], bool], labels: AppLabels) -> None:
        self._survey = survey
        self._leads = leads
        self._labels = labels

    def describe(self) -> Iterator[GaugeMetricFamily]:
        yield from self._families({}, {}, {})

    @override
    def collect(self) -> Iterator[GaugeMetricFamily]:
        runs: Counter[tuple[str, str, str]] = Counter()
        tasks: Counter[tuple[str, str, str]] = Counter()
        waiting: Counter[tuple[str, str, str, str]] = Counter()
        for run, calls, pods in self._survey() if self._leads() else ():
            app = self._labels.of(run.meta.key.namespace, app_of(run))
            runs[*app, run.phase] += 1
            reason = _run_wait_reason(run)
            if reason:
                waiting[*app, "run", reason] += 1
            if run.finished:
                continue
            for task in calls.values():
                if task.role == "driver" or task.finished:
                    continue
                tasks[*app, _state(task, pods)] += 1
                if task.phase == "Waiting":
                    waiting[*app, "task", message_reason(task.message)] += 1
        yield from self._families(runs, tasks, waiting)

    @staticmethod
    def _families(
        runs: Mapping[tuple[str, str, str], int],
        tasks: Mapping[tuple[str, str, str], int],
        waiting: Mapping[tuple[str, str, str, str], int],
    ) -> Iterator[GaugeMetricFamily]:
        kinds = (
            ("apprun_runs", "AppRuns that there are, by phase.", ["namespace", "app", "phase"], runs),
            ("apprun_tasks", "Task calls that aren't committed yet, by state.", ["namespace", "app", "state"], tasks),
            (
                "apprun_held",
                "Runs that are stalled, and runs and task calls that can't start, by what they wait for.",
                ["namespace", "app", "kind", "reason"],
                waiting,
            ),
        )
        for name, text, labels, counts in kinds:
            family = GaugeMetricFamily(name, text, labels=labels)
            for values, count in sorted(counts.items()):
                family.add_metric(values, count)
            yield family


class WarmPodGauges(Collector):
    """Warm pods of all pools by state. An App may have many pools, so they have no series of their
    own: its status has the numbers of each."""

    def __init__(self, survey: WarmPodSurvey, leads: Callable[[], bool]) -> None:
        self._survey = survey
        self._leads = leads

    def describe(self) -> Iterator[GaugeMetricFamily]:
        yield self._family({})

    @override
    def collect(self) -> Iterator[GaugeMetricFamily]:
        if not self._leads():
            yield self._family({})
            return
        counts: Counter[WarmPodState] = Counter(dict.fromkeys(WARM_POD_STATES, 0))
        counts.update(warm_pod_state(*warm) for warm in self._survey() if not warm[0].ended)
        yield self._family(counts)

    @staticmethod
    def _family(counts: Mapping[WarmPodState, int]) -> GaugeMetricFamily:
        family = GaugeMetricFamily("apprun_warm_pods", "Warm pods, by state.", labels=["state"])
        for state, count in counts.items():
            family.add_metric([state], count)
        return family


def warm_pod_state(pod: PodRecord, worker: WorkerRecord, assigned: bool) -> WarmPodState:
    """The state of a warm pod that hasn't ended, from its inbox and whether calls are assigned to it."""
    if worker.drain or pod.deletion_at is not None or pod.disruption:
        return "draining"
    if assigned:
        return "busy"
    return "idle" if pod.running else "starting"


def _run_wait_reason(run: RunRecord) -> str:
    """What an unfinished run waits for; empty while it makes progress.

    Waiting calls are counted as calls.
    """
    ready = run.condition("Ready")
    if run.finished or ready is None or (run.phase == "Running" and is_of_calls(run.message)):
        return ""
    if run.problem or run.phase == "Stalled":
        return wait_reason(ready.reason)
    return wait_reason(ready.reason) if run.phase in UNFINISHED_PHASES and ready.reason not in UNFINISHED_PHASES else ""


def _state(task: TaskRecord, pods: Mapping[str, PodRecord]) -> CallState:
    if task.assigned_uid:
        # Its pod isn't one of the run's. A call is only ever assigned to a pod that runs.
        return call_state(task.phase, task.role, "started")
    pod = pods.get(task.pod_name)
    if pod is None or pod.gone:
        return call_state(task.phase, task.role, "absent")
    return call_state(task.phase, task.role, "started" if pod.running or pod.ended else "starting")
