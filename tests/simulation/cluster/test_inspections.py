"""An App's code is inspected once, whoever is killed meanwhile, and runs beside it are judged by what was found."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from tests.support.fake_api import Object, Place
from tests.support.sim.access import PERSON
from tests.support.sim.cluster import APPS, NAMESPACE, Cluster, simulate
from tests.support.sim.crashes import Crash

from application_sdk.wire import names

APP = Place("apps", NAMESPACE, "shop")


def apply_app(cluster: Cluster, entry: str = "Chain", **spec: object) -> None:
    body = {
        "apiVersion": names.API_VERSION,
        "kind": "App",
        "metadata": {"name": APP.name},
        "spec": {"entry": f"{APPS}:{entry}", "image": "app:1", **spec},
    }
    cluster.server.create(PERSON, APP, body)


def apply_run(cluster: Cluster, name: str, input: Object, **spec: object) -> Place:
    place = Place("appruns", NAMESPACE, name)
    body = {
        "apiVersion": names.API_VERSION,
        "kind": "AppRun",
        "metadata": {"name": name},
        "spec": {"appRef": {"name": APP.name}, "input": input, **spec},
    }
    cluster.server.create(PERSON, place, body)
    cluster.invariants.expect(name)
    return place


def conditions(cluster: Cluster) -> dict[str, tuple[str, str]]:
    listed = cluster.status(APP).get("conditions") or []
    return {condition["type"]: (condition["status"], condition["reason"]) for condition in listed}


def made(cluster: Cluster, label: str, value: str) -> list[str]:
    """Names of all pods that there ever were with that label."""
    return [
        place.name
        for _, event, place, item, _ in cluster.server.log
        if place.plural == "pods" and event == "ADDED" and item["metadata"]["labels"].get(label) == value
    ]


def pods(cluster: Cluster) -> list[str]:
    return made(cluster, names.APP_LABEL, APP.name)


async def inspected(cluster: Cluster, result: str = "Published") -> None:
    """Until the App says so, and nothing is left of the inspection."""

    def over() -> bool:
        status = cluster.status(APP)
        return (status.get("inspection") or {}).get("result") == result and not cluster.of("apptasks")

    await cluster.until(over, 120, f"the inspection is {result} and gone")


async def play(crash: Crash) -> dict[str, Any]:
    """One App and a run of it, with at most one crash; what is left at the end."""
    cluster = Cluster(hook=crash)
    crash.cluster = cluster
    async with cluster.living():
        apply_app(cluster)
        await cluster.until(lambda: conditions(cluster).get("Ready", ("", ""))[0] == "True", 120, "the App is ready")
        await inspected(cluster)
        await cluster.until_quiet()
        status = cluster.status(APP)
        contracts = status["contracts"]
        contracts.pop("imageDigest", None)  # kubelet may tell it too late, or never
        return {"conditions": conditions(cluster), "contracts": contracts, "pods": len(pods(cluster))}


@pytest.mark.slow
@pytest.mark.parametrize("moment", ["before", "after"])
def test_an_operator_killed_in_an_inspection_makes_no_second_pod(moment: str) -> None:
    watcher = Crash("operator", 0, moment)
    expected = simulate(play(watcher))
    assert expected["pods"] == 1
    assert len(watcher.requests) > 5
    for number in range(1, len(watcher.requests) + 1):
        crash = Crash("operator", number, moment)
        what = f"the operator was killed {moment} its call {number}: {watcher.requests[number - 1]}"
        assert simulate(play(crash)) == expected, what


@pytest.mark.parametrize("moment", ["before", "after"])
def test_an_inspection_whose_pod_dies_is_made_once_more(moment: str) -> None:
    expected = simulate(play(Crash("nobody", 0, "before")))
    crash = Crash("inspect", 1, moment)
    found = simulate(play(crash))
    assert crash.done
    assert {**found, "pods": 0} == {**expected, "pods": 0}
    assert found["pods"] == (2 if moment == "before" else 1)


def test_contracts_are_published_with_the_image_that_ran() -> None:
    async def story() -> Object:
        cluster = Cluster()
        async with cluster.living():
            apply_app(cluster)
            await inspected(cluster)
            return cluster.status(APP)

    status = simulate(story())
    contracts = status["contracts"]
    assert [one["name"] for one in contracts["entrypoints"]] == ["run"]
    assert contracts["schemas"]["entrypoints"]["run"]["input"]["properties"]["width"]["type"] == "integer"
    assert (contracts["image"], contracts["imageDigest"]) == ("app:1", "app:1@sha256:0")


def test_a_bad_run_applied_with_its_app_starts_no_pod() -> None:
    async def story() -> tuple[Object, list[str]]:
        cluster = Cluster()
        async with cluster.living():
            apply_app(cluster)
            run = apply_run(cluster, "r", {"width": "many"})
            await cluster.until(lambda: cluster.status(run).get("phase") == "Stalled", 60)
            first = cluster.status(run)
            cluster.server.patch(PERSON, run, {"spec": {"input": {"width": 1}}}, "")
            assert made(cluster, names.RUN_LABEL, "r") == []
            await cluster.until_ended(run)
            assert cluster.status(run)["phase"] == "Succeeded"
            return first, made(cluster, names.RUN_LABEL, "r")

    status, started = simulate(story())
    assert status["message"].startswith('spec.input.width is "many", not a whole number')
    assert [one["reason"] for one in status["conditions"]] == ["InvalidInput"] * 4
    assert started, "it began once it was corrected"


def test_an_import_error_is_inspected_again_with_back_off() -> None:
    async def story() -> tuple[Any, ...]:
        cluster = Cluster()
        async with cluster.living():
            apply_app(cluster, "Nowhere")
            await inspected(cluster, "Failed")
            first = conditions(cluster)
            await cluster.until(lambda: len(pods(cluster)) >= 4, 3000)
            times = [
                item["metadata"]["creationTimestamp"]
                for _, event, place, item, _ in cluster.server.log
                if place.plural == "pods" and event == "ADDED"
            ]
            cluster.server.patch(PERSON, APP, {"spec": {"entry": f"{APPS}:Chain"}}, "")
            await inspected(cluster)
            return first, times, conditions(cluster)

    first, times, last = simulate(story())
    assert (first["Inspected"], first["Stalled"]) == (("False", "LoadFailed"), ("True", "LoadFailed"))
    assert len(set(times)) == len(times)
    assert last["Ready"] == ("True", "Inspected")


def test_an_app_that_changes_meanwhile_publishes_its_latest_code() -> None:
    async def story(after: float) -> Object:
        cluster = Cluster()
        async with cluster.living():
            apply_app(cluster)
            await cluster.until(lambda: len(cluster.of("apptasks")) > 0)
            cluster.nodes.later(after, lambda: cluster.server.patch(PERSON, APP, mixed, ""))
            await cluster.until(lambda: entry_input(cluster) == "MixedInput", 120)
            await inspected(cluster)
            return cluster.status(APP)

    def entry_input(cluster: Cluster) -> str:
        contracts = cluster.status(APP).get("contracts") or {}
        return str(contracts.get("schemas", {}).get("entrypoints", {}).get("run", {}).get("input", {}).get("title"))

    mixed = {"spec": {"entry": f"{APPS}:Mixed"}}
    for after in (0.0, 0.3, 0.6, 1.0, 2.0):
        status = simulate(story(after))
        assert status["inspection"]["result"] == "Published"


def test_a_refused_contract_change_starts_no_run() -> None:
    async def story() -> tuple[Any, ...]:
        cluster = Cluster()
        async with cluster.living():
            apply_app(cluster, "Tally", contractChanges="Refuse")
            before = apply_run(cluster, "before", {})
            await cluster.until(lambda: len(made(cluster, names.RUN_LABEL, "before")) >= 2)
            cluster.server.patch(PERSON, APP, {"spec": {"entry": f"{APPS}:Chain"}}, "")
            late = apply_run(cluster, "late", {"width": 1})
            await inspected_as(cluster, "Refused")
            await cluster.until(lambda: cluster.status(late).get("phase") == "Stalled", 60)
            refused = cluster.status(late), conditions(cluster), made(cluster, names.RUN_LABEL, "late")
            await cluster.until_ended(before)
            cluster.server.patch(PERSON, APP, {"spec": {"entry": f"{APPS}:Tally"}}, "")
            await cluster.until_ended(late)
            return (*refused, cluster.status(before)["phase"], cluster.status(late)["phase"])

    async def inspected_as(cluster: Cluster, result: str) -> None:
        await cluster.until(lambda: (cluster.status(APP).get("inspection") or {}).get("result") == result, 120)

    status, said, started, before, late = simulate(story())
    assert status["conditions"][0]["reason"] == "ContractRefused"
    assert "contractChanges is Refuse" in status["message"]
    assert said["ContractsCompatible"] == ("False", "ContractRefused")
    assert started == []
    assert (before, late) == ("Succeeded", "Succeeded")


def test_an_allowed_contract_change_is_published_with_a_warning() -> None:
    async def story() -> tuple[Any, ...]:
        cluster = Cluster()
        async with cluster.living():
            apply_app(cluster, "Tally")
            await inspected(cluster)
            first = conditions(cluster)["ContractsCompatible"]
            cluster.server.patch(PERSON, APP, {"spec": {"entry": f"{APPS}:Chain"}}, "")
            await cluster.until(lambda: conditions(cluster)["ContractsCompatible"][0] == "False", 120)
            return first, conditions(cluster)

    first, last = simulate(story())
    assert first == ("True", "FirstVersion")
    assert last["ContractsCompatible"] == ("False", "ContractChanged")
    assert last["Ready"] == ("True", "Inspected")


def test_a_run_of_a_corrected_app_shows_the_current_problem() -> None:
    """It was told forever of the code that couldn't be imported before, while the input was what is wrong."""

    async def story(after: float) -> Object:
        cluster = Cluster()
        async with cluster.living():
            apply_app(cluster, "Nowhere")
            run = apply_run(cluster, "r", {"width": "many"})
            await cluster.until(lambda: stalled(cluster, run) == "LoadFailed", 120)
            await asyncio.sleep(after)
            cluster.server.patch(PERSON, APP, {"spec": {"entry": f"{APPS}:Chain"}}, "")
            await cluster.until(lambda: stalled(cluster, run) == "InvalidInput", 120)
            cluster.server.patch(PERSON, run, {"spec": {"input": {"width": 1}}}, "")
            await cluster.until_ended(run)
            return cluster.status(run)

    def stalled(cluster: Cluster, run: Place) -> str:
        conditions_ = [
            condition for condition in cluster.status(run).get("conditions") or [] if condition["type"] == "Stalled"
        ]
        return str(conditions_[0]["reason"]) if conditions_ and conditions_[0]["status"] == "True" else ""

    for after in (0.0, 1.0, 5.0, 15.0):
        assert simulate(story(after))["phase"] == "Succeeded"
