"""Fixtures of the examples' tests: the catalog's modules and a fake cluster that they talk to."""

from __future__ import annotations

from collections.abc import Iterator
from types import ModuleType

import pytest
from tests.support.example import example
from tests.unit.examples.fake_cluster import FakeCluster, item, serving


@pytest.fixture(scope="module")
def catalog() -> Iterator[dict[str, ModuleType]]:
    with example("catalog", "app", "model", "reading", "apiserver", "witness") as modules:
        yield modules


@pytest.fixture
def cluster(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeCluster]:
    """Three pods, of which one has an owner whose owner is there too, and one whose owner is gone."""
    objects = {
        "/api/v1/pods": [
            item("Pod", "web", "Deployment/web"),
            item("Pod", "orphan", "ReplicaSet/gone"),
            item("Pod", "bare"),
        ],
        "/api/v1/events": [item("Event", "e1")],
        "/apis/apps/v1/deployments": [item("Deployment", "web")],
    }
    with serving(FakeCluster(objects)) as cluster:
        monkeypatch.setenv("CATALOG_API_SERVER", cluster.address)
        yield cluster
