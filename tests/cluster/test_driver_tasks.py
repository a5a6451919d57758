"""Driver tasks on a real cluster: executed beside the route, recorded once, and nobody else records for a run."""

from __future__ import annotations

import json
import re
import time
import zlib
from collections.abc import Iterator
from typing import Any

import pytest
from tests.cluster import admission_world as worlds
from tests.cluster.admission_world import World, expect, owner, task_body
from tests.cluster.apiserver import Answer
from tests.support.kube import Object, eventually
from tests.support.runs import APPS, Runs, source

from application_sdk.wire import names

OUTCOME: dict[str, Any] = {
    "phase": "Succeeded",
    "attempt": 1,
    "output": {"number": 1, "said": ""},
    "startedAt": "2026-01-01T00:00:00Z",
    "finishedAt": "2026-01-01T00:00:01Z",
}
NOT_THE_DRIVER = "apprun: not the driver of this run"
RECORDED = "recorded its outcome, which never changes"


@pytest.fixture
def beside(runs: Runs) -> Runs:
    runs.upload("beside-route", (APPS / "beside_route.py").read_text())
    runs.app("beside-route", "app:BesideRoute", source=source("beside-route"), pod={"memory": "256Mi"})
    return runs


@pytest.fixture(scope="module")
def world(request: pytest.FixtureRequest) -> Iterator[World]:
    made = worlds.build(*worlds.connect(request))
    yield made
    made.admin.delete(f"/api/v1/namespaces/{made.namespace}")


@pytest.fixture
def run(request: pytest.FixtureRequest) -> str:
    return f"r{zlib.crc32(request.node.name.encode())}"


def local(run: str, *, outcome: dict[str, Any] | None = None, **spec: Any) -> dict[str, Any]:
    return task_body(run, owned=True, **({"role": "local", "outcome": outcome or OUTCOME} | spec))


def refused(answer: Answer, words: str, code: int = 403) -> None:
    assert (answer.code, words in answer.message) == (code, True), f"{answer.code}: {answer.message or 'was allowed'}"


def bodies(runs: Runs, run: str) -> list[str]:
    """What the bodies printed into the logs of all of the run's drivers."""
    printed: list[str] = []
    for pod in runs.pods(run):
        text = runs.kube.raw(f"{runs.core}/pods/{pod['metadata']['name']}/log")
        lines = [json.loads(line) for line in text.splitlines() if line.startswith("{")]
        printed += [line["message"] for line in lines if line["message"].startswith("body of")]
    return printed


def outcomes(runs: Runs, run: str) -> list[Object]:
    return [item["spec"]["outcome"] for item in
            sorted(runs.tasks(run, "local"), key=lambda item: item["spec"]["sequence"])]  # fmt: skip


# Executed


def test_twenty_calls_in_sequence_take_no_pod(beside: Runs) -> None:
    beside.start("many", "beside-route", {"steps": 20})
    status = beside.until_phase("many", "Succeeded", "Failed", "Stalled")
    assert status["output"] == {"number": sum(range(20)), "said": ""}, status
    assert [entry["outcome"] for entry in beside.checkpoints("many")] == ["Succeeded"] * 20
    assert status["tasks"]["succeeded"] == 20
    assert beside.tasks("many", "task") == []
    assert [outcome["output"]["number"] for outcome in outcomes(beside, "many")] == list(range(20))
    # Nothing was written into any of them after it was created.
    assert {item["metadata"].get("generation", 1) for item in beside.tasks("many", "local")} == {1}


@pytest.mark.parametrize(
    ("how", "said", "attempts"),
    [
        ("fails", "NonRetryableError after 1", 1),
        ("exits", "ProcessDied after 3", 3),
        # By its own limit where the container's is in cgroup v2, by the kernel's OOM killer where it is in v1.
        ("hungry", "(MemoryError|ProcessDied) after 3", 3),
    ],
)
def test_failure_is_recorded_and_given_to_the_route(beside: Runs, how: str, said: str, attempts: int) -> None:
    beside.start(how, "beside-route", {"steps": 1, "fail": how})
    status = beside.until_phase(how, "Succeeded", "Failed", "Stalled")
    assert re.fullmatch(said, status["output"]["said"]), status
    outcome = outcomes(beside, how)[-1]
    assert (outcome["phase"], outcome["attempt"]) == ("Failed", attempts)
    assert len(outcome["attempts"]) == attempts
    # One driver all along: what ends a body's process ends no driver.
    assert beside.kube.get(f"{beside.api}/apptasks/{names.driver_task_name(how)}")["status"].get("attempts", []) == []


@pytest.mark.parametrize("how", ["second", "killed"])
def test_attempt_that_fails_is_repeated_in_place(beside: Runs, how: str) -> None:
    beside.start(how, "beside-route", {"steps": 1, "fail": how})
    status = beside.until_phase(how, "Succeeded", "Failed", "Stalled")
    attempt, folder, *_ = status["output"]["said"].split()
    assert (attempt, folder) == ("2", "/tmp"), status
    outcome = outcomes(beside, how)[-1]
    assert (outcome["attempt"], [entry["attempt"] for entry in outcome["attempts"]]) == (2, [1])


def test_call_that_the_route_gives_up_is_ended(beside: Runs) -> None:
    beside.start("left", "beside-route", {"steps": 1, "fail": "abandon"})
    status = beside.until_phase("left", "Succeeded", "Failed", "Stalled")
    assert status["output"]["said"] == "abandoned", status


def test_cancelled_run_ends_its_driver_tasks(beside: Runs) -> None:
    beside.start("stopped", "beside-route", {"steps": 2, "fail": "slow"})
    beside.until_committed("stopped", 2)
    time.sleep(1)
    beside.kube.merge(f"{beside.api}/appruns/stopped", {"spec": {"cancel": True}})
    began = time.monotonic()
    beside.until_phase("stopped", "Cancelled")
    assert time.monotonic() - began < 5
    # The body would have slept for longer; the two steps before it are all that came to an end.
    assert [outcome["phase"] for outcome in outcomes(beside, "stopped")].count("Succeeded") == 2


def test_killed_driver_executes_nothing_again_that_was_recorded(beside: Runs) -> None:
    beside.start("again", "beside-route", {"steps": 5, "fail": "slow"})
    beside.until_committed("again", 5)
    # A line can reach the log after the call's outcome, and a killed pod takes its log along. The sixth line is
    # the slow call's: without it, a driver that is killed late has recorded that call, and nothing shows it.
    eventually("the bodies' logs are written", lambda: len(bodies(beside, "again")) >= 6 or None)
    printed = bodies(beside, "again")
    beside.kube.delete(f"{beside.core}/pods/{beside.driver_pod('again')}", gracePeriodSeconds=0)
    status = beside.until_phase("again", "Succeeded", "Failed", "Stalled")
    assert status["output"]["said"].endswith(" 99"), status
    printed += bodies(beside, "again")
    recorded = [line for line in printed if " slow " not in line and " 99 " not in line]
    assert len(recorded) == len(set(recorded)) == 5, recorded
    # The call that wasn't recorded was executed again, under the same key.
    assert len({line for line in printed if " slow " in line}) == 1


def test_app_moves_a_task_into_the_driver(beside: Runs) -> None:
    beside.kube.merge(f"{beside.api}/apps/beside-route", {"spec": {"tasks": {"apart": {"runsIn": "driver"}}}})
    beside.start("moved", "beside-route", {"steps": 0, "fail": "apart"})
    status = beside.until_phase("moved", "Succeeded", "Failed", "Stalled")
    assert status["output"]["said"] == "apart", status
    assert (len(beside.tasks("moved", "local")), beside.tasks("moved", "task")) == (1, [])


def test_task_that_is_unknown_stalls_the_run_with_the_remedy(beside: Runs) -> None:
    beside.kube.merge(f"{beside.api}/apps/beside-route", {"spec": {"tasks": {"typo": {"runsIn": "driver"}}}})
    beside.start("unknown", "beside-route", {"steps": 0})
    status = beside.until_phase("unknown", "Succeeded", "Failed", "Stalled")
    assert (status["phase"], "no task of that name" in status["message"]) == ("Stalled", True), status


# Admitted


def test_driver_records_an_outcome_for_its_own_run(world: World, run: str) -> None:
    driver = world.pod(names.pod_name(f"{run}-driver", 1, worlds.RUN_UID), "apprun-driver")
    expect(driver.create(world.path("apptasks"), local(run)))


def test_second_record_of_a_call_meets_the_first(world: World, run: str) -> None:
    body = local(run)
    # Owned by something that is there, so that no garbage collector takes it away in between.
    body["metadata"]["ownerReferences"] = [world.keeper]
    expect(world.operator_as_admin().create(world.path("apptasks"), body))
    zombie = world.pod(names.pod_name(f"{run}-driver", 1, worlds.RUN_UID), "apprun-driver")
    answer = zombie.create(world.path("apptasks"), local(run, outcome={**OUTCOME, "output": {"number": 2}}))
    assert (answer.code, "already exists" in answer.message) == (409, True), answer.message


def test_nobody_else_records_an_outcome(world: World, run: str) -> None:
    other = world.pod(names.pod_name(f"x{run}-driver", 1, worlds.RUN_UID), "apprun-driver")
    refused(other.create(world.path("apptasks"), local(run)), NOT_THE_DRIVER)
    earlier = world.pod(names.pod_name(f"{run}-driver", 1, "a0000000-0000-4000-8000-000000000000"), "apprun-driver")
    refused(earlier.create(world.path("apptasks"), local(run)), NOT_THE_DRIVER)
    task = world.pod(names.pod_name(f"{run}-0123456789abcdef", 1, worlds.RUN_UID))
    assert not task.create(world.path("apptasks"), local(run)).allowed
    refused(world.admin.create(world.path("apptasks"), local(run)), NOT_THE_DRIVER)


def test_outcome_is_of_a_call_and_whole(world: World, run: str) -> None:
    driver = world.pod(names.pod_name(f"{run}-driver", 1, worlds.RUN_UID), "apprun-driver")

    def create(body: dict[str, Any]) -> Answer:
        return driver.create(world.path("apptasks"), body)

    refused(create(local(run, role="task")), "no other call does", 422)
    refused(create(task_body(run, owned=True, role="local")), "comes with its outcome", 422)
    failed = {name: value for name, value in OUTCOME.items() if name != "output"} | {"phase": "Failed"}
    refused(create(local(run, outcome=failed)), "has an error unless it is Succeeded", 422)
    large = {**OUTCOME, "output": {"text": "x" * 400_000}}
    refused(create(local(run, outcome=large)), "spec.outcome.output is too large")
    stranger = local(run)
    stranger["metadata"]["ownerReferences"] = [owner("other")]
    refused(create(stranger), "not owned by its run")


def test_recorded_outcome_is_never_changed_or_deleted(world: World, run: str) -> None:
    body = local(run)
    # Owned by something that is there, so that no garbage collector comes between.
    body["metadata"]["ownerReferences"] = [world.keeper]
    name = expect(world.operator_as_admin().create(world.path("apptasks"), body))["metadata"]["name"]
    driver = world.pod(names.pod_name(f"{run}-driver", 1, str(world.keeper["uid"])), "apprun-driver")
    report = {"status": {"phase": "Succeeded", "output": {}}}
    assert not driver.patch(world.status(name), report).allowed
    refused(world.pod_of(name).patch(world.status(name), report), RECORDED)
    refused(world.operator.patch(world.status(name), {"status": {"phase": "Failed"}}), RECORDED)
    spec = {"spec": {"outcome": {"output": {"number": 3}}}}
    assert not world.admin.patch(world.path("apptasks", name), spec).allowed
    refused(world.admin.delete(world.path("apptasks", name)), "a finished task can't be deleted")
