"""What Prometheus is told, by the real operator in virtual time."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError

import pytest
from prometheus_client import Metric
from prometheus_client.parser import text_string_to_metric_families
from tests.support import virtual_time
from tests.support.fake_api import Object
from tests.support.records import RUN, a_driver, a_pod, a_run, a_task, meta
from tests.support.world import Outcome, World, living

from apprun_operator.observe.pods import PodRecord
from apprun_operator.observe.records import RunRecord, TaskRecord
from apprun_operator.telemetry import metrics as metrics_module
from apprun_operator.telemetry.label_limit import OTHERS, AppLabels
from apprun_operator.telemetry.loop_lag import measure_lag
from apprun_operator.telemetry.metrics import Metrics
from apprun_operator.telemetry.samples import AttemptFailed, RunBegan, SampleBatch

LABELS = ("namespace", "app", "kind", "role", "budget", "reason", "phase", "state", "stage", "outcome")


def families(metrics: Metrics) -> Iterator[Metric]:
    return text_string_to_metric_families(metrics.text().decode())


def values(metrics: Metrics, name: str) -> dict[tuple[str, ...], float]:
    """The samples of that name that aren't zero."""
    found = samples(metrics, name)
    return {labels: value for labels, value in found.items() if value}


def samples(metrics: Metrics, name: str) -> dict[tuple[str, ...], float]:
    """All samples of that name, by the values of their labels in the order of `LABELS`."""
    return {
        tuple(sample.labels[label] for label in LABELS if label in sample.labels): sample.value
        for family in families(metrics)
        for sample in family.samples
        if sample.name == name
    }


def fails_once(call: Object) -> Outcome:
    if call["task"] == "b" and call["attempt"] == 1:
        return Outcome(error={"type": "Hiccup", "message": "once"})
    return Outcome(seconds=7.0)


def test_a_runs_life_in_figures() -> None:
    async def scenario() -> None:
        async with living(World([["a", "b"], ["c"]], fails_once)) as world:
            world.start_operator()
            name = world.apply_run("nightly-2027-01-15")
            await world.until_phase(name, "Succeeded", seconds=200)
            told = world.metrics
            (app,) = values(told, "apprun_runs_started_total")
            assert app[0] == "default"
            assert values(told, "apprun_runs_finished_total") == {(*app, "Succeeded"): 1}
            assert values(told, "apprun_run_duration_seconds_count") == {(*app, "Succeeded"): 1}
            assert values(told, "apprun_tasks_committed_total") == {(*app, "Succeeded"): 3}
            assert values(told, "apprun_commits_total") == {(): 3}
            assert values(told, "apprun_attempts_failed_total") == {(*app, "task", "App", "Exception"): 1}
            # One of the calls needed a second attempt: how long that waited for its turn isn't
            # known.
            counts = values(told, "apprun_task_stage_seconds_count")
            assert counts == {(*app, "queue"): 2, (*app, "start"): 3, (*app, "run"): 3, (*app, "commit"): 3}
            assert values(told, "apprun_task_stage_seconds_sum")[*app, "run"] == pytest.approx(21, abs=3)
            assert "nightly" not in told.text().decode(), "runs have no series of their own"

    virtual_time.run(scenario())


def census(
    runs: list[tuple[RunRecord, list[TaskRecord], list[PodRecord]]], *, leads: bool = True, most: int = 100
) -> Metrics:
    metrics = Metrics(most)
    metrics.watch_runs(
        lambda: [
            (run, {t.meta.key.name: t for t in tasks}, {p.meta.key.name: p for p in pods}) for run, tasks, pods in runs
        ],
        lambda: leads,
    )
    return metrics


def test_runs_are_counted_by_phase() -> None:
    metrics = census([(a_run(), [], []), (a_run(), [], []), (a_run(phase="Failed"), [], [])])
    assert values(metrics, "apprun_runs") == {("default", "App", "Running"): 2, ("default", "App", "Failed"): 1}
    assert values(metrics, "apprun_held") == {}


def test_calls_are_counted_by_what_becomes_of_them() -> None:
    queued, starting, running, waiting, timer = (
        a_task("a"), a_task("b"), a_task("c"), a_task("d", phase="Waiting", message="Unschedulable: no node"),
        a_task("e", role="timer"),
    )  # fmt: skip
    pending = {"phase": "Pending", "running_since": None}
    pods = [a_pod(starting, **pending), a_pod(running), a_pod(waiting, **pending)]
    metrics = census([(a_run(), [a_driver(), queued, starting, running, waiting, timer], pods)])
    app = ("default", "App")
    assert values(metrics, "apprun_tasks") == {
        (*app, "Queued"): 1,
        (*app, "Starting"): 1,
        (*app, "Running"): 1,
        (*app, "Waiting"): 1,
        (*app, "Sleeping"): 1,
    }
    assert values(metrics, "apprun_held") == {(*app, "task", "Unschedulable"): 1}


@pytest.mark.parametrize(
    ("run", "reason"),
    [
        (a_run(phase="Stalled", reason="InvalidInput"), "InvalidInput"),
        (a_run(reason="QuotaExceeded"), "QuotaExceeded"),
        (a_run(phase="Stalled", reason="NewInThisVersion"), "Other"),
        (a_run(phase="Suspended"), None),
        (a_run(phase="Failed", reason="MyOwnError"), None),
    ],
    ids=["stalled", "held", "unknown", "suspended", "failed"],
)
def test_what_runs_wait_for_is_told(run: RunRecord, reason: str | None) -> None:
    told = values(census([(run, [], [])]), "apprun_held")
    assert told == ({("default", "App", "run", reason): 1} if reason else {})


def test_only_the_replica_that_leads_counts_runs() -> None:
    assert values(census([(a_run(), [a_task()], [])], leads=False), "apprun_runs") == {}


def test_apps_beyond_the_limit_share_their_figures() -> None:
    runs: list[tuple[RunRecord, list[TaskRecord], list[PodRecord]]] = [
        (a_run(meta=meta(RUN), app={"entry": "app:App", "name": f"app{number}"}), [], []) for number in range(5)
    ]
    metrics = census(runs, most=2)
    expected = {("default", "app0", "Running"): 1, ("default", "app1", "Running"): 1, (OTHERS, OTHERS, "Running"): 3}
    assert values(metrics, "apprun_runs") == expected
    metrics.record(SampleBatch("default", "app4", (RunBegan(),)))
    metrics.record(SampleBatch("default", "app1", (RunBegan(),)))
    assert values(metrics, "apprun_runs_started_total") == {(OTHERS, OTHERS): 1, ("default", "app1"): 1}


def test_the_same_app_of_two_namespaces_counts_twice() -> None:
    labels = AppLabels(1)
    assert labels.of("a", "app") == ("a", "app")
    assert labels.of("b", "app") == (OTHERS, OTHERS)
    assert labels.of("a", "app") == ("a", "app")


def test_the_number_of_series_has_a_bound() -> None:
    """However many apps, runs and kinds of error there are."""
    metrics = Metrics(max_apps=3)

    def series() -> int:
        return sum(len(family.samples) for family in families(metrics))

    def tell(first: int) -> None:
        for number in range(first, first + 50):
            for reason in ("Exception", "OOMKilled"):
                figures = (RunBegan(), AttemptFailed("task", "App", reason))
                metrics.record(SampleBatch(f"namespace{number}", f"app{number}", figures))

    tell(0)
    before = series()
    tell(1000)
    assert series() == before


def test_a_loop_that_is_held_up_is_told_so() -> None:
    late: list[float] = []

    async def scenario() -> None:
        loop = asyncio.get_running_loop()
        measuring = asyncio.create_task(measure_lag(late.append))
        await asyncio.sleep(2.5)
        measuring.cancel()
        assert late == [0.0, 0.0]
        assert isinstance(loop, virtual_time.VirtualLoop)

    virtual_time.run(scenario())


def test_metrics_work_without_an_installed_package(monkeypatch: pytest.MonkeyPatch) -> None:
    """As in its image, which holds nothing but the files."""

    def absent(name: str) -> str:
        raise PackageNotFoundError(name)

    monkeypatch.setattr(metrics_module, "version", absent)
    assert values(Metrics(), "apprun_build_info") == {(): 1.0}


def test_failures_are_counted_from_zero_on() -> None:
    """Else Prometheus would see no increase in the first of them."""
    metrics = Metrics()
    metrics.record(SampleBatch("default", "App", (RunBegan(),)))
    assert samples(metrics, "apprun_runs_finished_total")["default", "App", "Failed"] == 0
    assert samples(metrics, "apprun_attempts_failed_total")["default", "App", "task", "App", "OOMKilled"] == 0
