"""A run keeps the app that it began with, whatever becomes of the App."""

from __future__ import annotations

import pytest
from tests.support.fake_api import Object, Place
from tests.support.sim.access import PERSON
from tests.support.sim.cluster import APPS, NAMESPACE, Cluster, simulate

from application_sdk.wire import names

APP = Place("apps", NAMESPACE, "chain")


def apply_app(cluster: Cluster, image: str) -> None:
    body = {
        "apiVersion": names.API_VERSION,
        "kind": "App",
        "metadata": {"name": APP.name},
        "spec": {"entry": f"{APPS}:Chain", "image": image},
    }
    cluster.server.create(PERSON, APP, body)


def change(cluster: Cluster) -> None:
    cluster.server.patch(PERSON, APP, {"spec": {"image": "app:2", "entry": f"{APPS}:Nowhere"}}, "")


def delete(cluster: Cluster) -> None:
    cluster.server.delete(PERSON, APP)


def images(cluster: Cluster, run: str) -> set[str]:
    """Of all pods that the run ever had."""
    return {
        str(item["spec"]["containers"][0]["image"])
        for _, event, place, item, _ in cluster.server.log
        if place.plural == "pods" and event == "ADDED" and item["metadata"]["labels"].get(names.RUN_LABEL) == run
    }


@pytest.mark.parametrize("interfere", [change, delete])
def test_run_ends_on_the_image_that_it_began_with(interfere: object) -> None:
    async def story() -> Object:
        cluster = Cluster()
        async with cluster.living():
            apply_app(cluster, "app:1")
            run = Place("appruns", NAMESPACE, "r")
            body = {
                "apiVersion": names.API_VERSION,
                "kind": "AppRun",
                "metadata": {"name": "r"},
                "spec": {"appRef": {"name": APP.name}, "input": {"width": 4}},
            }
            cluster.server.create(PERSON, run, body)
            cluster.invariants.expect("r")
            await cluster.until(lambda: len(cluster.entries(run)) >= 1)
            assert callable(interfere)
            interfere(cluster)
            await cluster.until_ended(run)
            return {"phase": cluster.status(run)["phase"], "images": images(cluster, "r")}

    assert simulate(story()) == {"phase": "Succeeded", "images": {"app:1"}}
