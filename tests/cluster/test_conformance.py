"""The simulation's API server gives the answers of a real one: the same operations, at random, against both.

The chart's policies and roles included, and what the garbage collector does. CONFORMANCE_SEEDS=n tries n courses of
operations instead of a few. The operator is away meanwhile, since it would answer to what is written here.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterator

import pytest
from tests.cluster import admission_world as worlds
from tests.cluster.admission_world import expect
from tests.cluster.apiserver import MERGE_PATCH, Client
from tests.cluster.player import Player
from tests.cluster.twins import KINDS, Twins, comparable
from tests.support.bed import Bed
from tests.support.fake_api import FakeApi
from tests.support.operator_off import OperatorOff
from tests.support.sim.access import PERSON

pytestmark = [pytest.mark.exclusive, pytest.mark.cluster]

OPERATIONS = 300
SEEDS = range(1, 1 + int(os.environ.get("CONFORMANCE_SEEDS", "3")))


@pytest.fixture(scope="module")
def twins(bed: Bed) -> Iterator[Twins]:
    """A namespace in which nobody but the test acts."""
    world = worlds.build(Client.from_kubeconfig(bed.kubeconfig), Client.without_credentials(bed.kubeconfig))
    operator_off = OperatorOff(bed)
    operator_off.begin()
    made = Twins(world)
    yield made
    made.close()
    made.leave()
    operator_off.end()


@pytest.mark.parametrize("seed", SEEDS)
def test_fake_and_real_api_server_give_the_same_answers(twins: Twins, seed: int) -> None:
    starts = {plural: expect(twins.world.admin.get(twins.path(plural)))["metadata"]["resourceVersion"]
              for plural in KINDS}  # fmt: skip
    began, twins.differences, twins.asked = twins.fake.version, [], 0
    player = Player(twins, seed)
    while twins.asked < OPERATIONS and not twins.differences:
        player.play()
    assert not twins.differences, "\n".join(twins.differences)
    for plural in KINDS:
        real, ours = twins.told(plural, starts[plural], began)
        assert ours == real, f"what a watch of {plural} tells"
        there = [comparable(item) for place, item in sorted(
            twins.fake.objects.items(), key=lambda pair: pair[0].name) if place.plural == plural]  # fmt: skip
        assert there == [comparable(item) for item in twins.listed(plural)], f"what is left of {plural}"
    run = player.runs[0]
    for query in (f"labelSelector=apprun.dev/run={run}", f"fieldSelector=metadata.name={run}-driver"):
        real, ours = twins.told("apptasks", starts["apptasks"], began, query)
        assert ours == real, f"what a watch of apptasks with {query} tells"
    for plural in KINDS:
        real_pages, our_pages = twins.pages(plural, 3)
        assert our_pages == real_pages, f"{plural} in pages of three"


def test_an_expired_watch_ends_with_the_same_error(twins: Twins) -> None:
    twins.fake.compact()
    api = FakeApi(twins.fake, PERSON)

    async def first() -> object:
        async for events in api.watch(twins.path("apptasks"), {"resourceVersion": "1"}):
            return events[0]
        return None

    (real,) = twins.watch("apptasks", "1", "")
    told = {name: real["object"][name] for name in ("kind", "code", "reason")}
    assert asyncio.run(first()) == {"type": real["type"], "object": told}


def test_the_token_of_a_pod_that_is_gone_is_good_for_nothing(twins: Twins) -> None:
    name, twins.differences = "leaving-0000000000000000-1", []
    twins.add_pod(name, "apprun-task")
    twins.ask("person", "delete", twins.path("pods", name), {})
    path = twins.path("apptasks", "leaving-0000000000000000", "status")
    # A token that was used a moment ago is believed for ten seconds more.
    worlds.eventually(lambda: twins.users[name][0].patch(path, {}).code == 401, 30)
    twins.ask(name, "patch", path, {"status": {"phase": "Succeeded"}}, MERGE_PATCH)
    assert not twins.differences, "\n".join(twins.differences)
