"""What the kubelet and Prometheus are told over HTTP."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from typing import Any

import pytest
from aiohttp.test_utils import TestClient, TestServer
from tests.support.fake_api import FakeApi, FakeServer

from apprun_operator import health
from apprun_operator.kube.errors import UnavailableError
from apprun_operator.kube.resources import PODS
from apprun_operator.observe.cache import Cache
from apprun_operator.observe.informer import FAILING_AFTER, Informer
from apprun_operator.telemetry.metrics import Metrics


@dataclass
class Operator:
    """The parts that health looks at, and a clock."""

    now: float = 1_800_000_000.0
    parts: dict[str, Callable[[], bool]] = field(default_factory=dict)
    needed: dict[str, Callable[[], bool]] = field(default_factory=dict)
    informer: Informer = field(init=False)

    def __post_init__(self) -> None:
        def clock() -> float:
            return self.now

        api, cache = FakeApi(FakeServer(clock), "operator"), Cache(lambda key: None, clock)
        self.informer = Informer(api, cache, "pods", PODS, jitter=lambda: 0.5, clock=clock)


@pytest.fixture
def operator() -> Operator:
    return Operator()


@pytest.fixture
async def http(operator: Operator) -> AsyncIterator[TestClient[Any, Any]]:
    app = health.application([operator.informer], operator.parts, Metrics(), operator.needed)
    async with TestClient(TestServer(app)) as client:
        yield client


async def test_alive_while_informers_hear_something_and_all_parts_live(
    operator: Operator, http: TestClient[Any, Any]
) -> None:
    operator.parts["kopf"] = lambda: True
    assert (await http.get("/healthz")).status == 200


async def test_an_informer_that_is_silent_for_too_long_is_named(operator: Operator, http: TestClient[Any, Any]) -> None:
    operator.now += health.STALE_AFTER + 1
    answer = await http.get("/healthz")
    assert answer.status == 503
    body = await answer.json()
    assert body["stale"] == ["pods"]
    assert body["messages"][0].startswith("informer of pods: no contact with the API server for 180 s")


async def test_a_part_that_died_is_named(operator: Operator, http: TestClient[Any, Any]) -> None:
    operator.parts["lease"] = lambda: False
    answer = await http.get("/healthz")
    assert answer.status == 503
    assert (await answer.json())["dead"] == ["lease"]


async def test_ready_when_everything_is_known_and_the_lease_can_be_read(
    operator: Operator, http: TestClient[Any, Any]
) -> None:
    lease = False
    operator.needed["lease"] = lambda: lease
    answer = await http.get("/readyz")
    assert answer.status == 503
    body = await answer.json()
    assert body["waiting"] == ["pods", "lease"]
    assert [message.partition(":")[0] for message in body["messages"]] == ["pods", "lease"]
    operator.informer.synced.set()
    lease = True
    assert (await http.get("/readyz")).status == 200


async def test_figures_are_in_prometheus_own_words(http: TestClient[Any, Any]) -> None:
    answer = await http.get("/metrics")
    assert answer.status == 200
    assert "# TYPE apprun_commits_total counter" in await answer.text()


async def test_unreadable_kind_makes_it_unready_but_restarts_nothing(
    operator: Operator, http: TestClient[Any, Any]
) -> None:
    operator.informer.synced.set()
    operator.informer._record_failure(UnavailableError("etcd says no"))
    assert (await http.get("/readyz")).status == 200
    operator.now += FAILING_AFTER
    answer = await http.get("/readyz")
    assert answer.status == 503
    body = await answer.json()
    assert body["failing"] == {"pods": "UnavailableError: etcd says no"}
    assert body["messages"] == [
        "pods: can't be read (UnavailableError: etcd says no); check the API server and the operator's ClusterRole"
    ]
    assert (await http.get("/healthz")).status == 200
