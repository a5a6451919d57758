"""Accounts and bindings that somebody prunes while a run is at work are put back, whoever else has
trouble."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

import pytest
from tests.support import virtual_time
from tests.support.fake_api import FakeApi, FakeServer, Place
from tests.support.virtual_time import wall

from application_sdk.wire import names
from application_sdk.wire.digest import JSONObject
from apprun_operator.act.service_account_sync import SYNC_SECONDS, ServiceAccountSync
from apprun_operator.act.service_accounts import ServiceAccounts
from apprun_operator.kube.errors import ForbiddenError, UnavailableError
from apprun_operator.observe.cache import Cache
from apprun_operator.observe.records import Key


class Bench:
    def __init__(self) -> None:
        self.server = FakeServer(wall)
        self.cache = Cache(lambda key: None, wall)
        self.calls: list[str] = []
        self.api = FakeApi(self.server, "operator", self.note)
        self.accounts = ServiceAccounts(self.api, "driver-role", "task-role")
        self.failures: list[str] = []
        self.upkeep = ServiceAccountSync(self.cache, self.accounts, wall, self.failures.append)

    def run(self, namespace: str, **status: Any) -> None:
        app = {"entry": "app:App"}
        made = self.server.create(
            "user", Place("appruns", namespace, "r"), {"metadata": {"name": "r"}, "spec": {"app": app}}
        )
        known = {"app": {**app, "name": "app", "image": "i"}, "phase": "Running", **status}
        self.cache.apply("appruns", {**made, "status": known})

    async def note(self, moment: str, call: str) -> None:
        if moment == "before":
            self.calls.append(call)

    def has(self, namespace: str) -> bool:
        names = ("apprun-driver", "apprun-task")
        return all(Place("rolebindings", namespace, name) in self.server.objects for name in names)


def test_namespaces_with_runs_at_work_are_looked_after() -> None:
    async def scenario() -> None:
        bench = Bench()
        bench.run("busy")
        bench.run("idle", phase="Succeeded")
        await bench.upkeep.ensure_all()
        assert (bench.has("busy"), bench.has("idle")) == (True, False)

    virtual_time.run(scenario())


def test_they_are_looked_after_again_and_not_all_the_time() -> None:
    async def scenario() -> None:
        bench = Bench()
        bench.run("busy")
        await bench.upkeep.ensure_all()
        bench.server.delete("admin", Place("rolebindings", "busy", "apprun-task"))
        await bench.upkeep.ensure_all()
        assert not bench.has("busy")
        await asyncio.sleep(SYNC_SECONDS + 1)
        await bench.upkeep.ensure_all()
        assert bench.has("busy")

    virtual_time.run(scenario())


@pytest.mark.parametrize(
    ("error", "ready"),
    [
        (ForbiddenError("no", status=403), False),
        (UnavailableError("connection refused"), True),
        (TimeoutError(), True),
        (RuntimeError("Session is closed"), True),
        (KeyError("metadata"), True),
    ],
    ids=lambda value: type(value).__name__,
)
def test_one_that_cannot_be_looked_after_stops_no_other(
    monkeypatch: pytest.MonkeyPatch, error: Exception, ready: bool
) -> None:
    async def scenario() -> None:
        bench = Bench()
        bench.run("bad")
        bench.run("good")
        bench.cache.set_namespace_ready("bad")
        await asyncio.sleep(SYNC_SECONDS + 1)
        restore = bench.accounts.ensure_missing

        async def refused(namespace: str) -> None:
            if namespace == "bad":
                raise error
            await restore(namespace)

        monkeypatch.setattr(bench.accounts, "ensure_missing", refused)
        await bench.upkeep.ensure_all()
        assert (bench.has("bad"), bench.has("good")) == (False, True)
        assert bench.failures == [type(error).__name__]
        assert not bench.cache.namespaces_ensured_before(wall())
        seen = bench.cache.observe(Key("bad", "r"))
        assert seen is not None
        assert seen.namespace_ready is ready

    virtual_time.run(scenario())


def test_nothing_is_created_while_nothing_is_missing() -> None:
    async def scenario() -> None:
        bench = Bench()
        bench.run("busy")
        await bench.upkeep.ensure_all()
        bench.calls.clear()
        await asyncio.sleep(SYNC_SECONDS + 1)
        await bench.upkeep.ensure_all()
        assert len(bench.calls) == 4
        assert not [call for call in bench.calls if "create" in call]

    virtual_time.run(scenario())


def test_an_operator_that_may_not_read_accounts_makes_them(monkeypatch: pytest.MonkeyPatch) -> None:
    async def scenario() -> None:
        bench = Bench()
        bench.run("busy")
        get = bench.api.get

        async def refused(path: str, query: Mapping[str, str] | None = None) -> JSONObject:
            if "serviceaccounts" in path or "rolebindings" in path:
                raise ForbiddenError("no", status=403)
            return await get(path, query)

        monkeypatch.setattr(bench.api, "get", refused)
        await bench.upkeep.ensure_all()
        assert (bench.has("busy"), bench.failures) == (True, [])

    virtual_time.run(scenario())


@pytest.mark.parametrize("phase", ["Suspended", "Stalled"])
def test_a_resting_run_counts_as_long_as_pods_of_it_are_at_work(phase: str) -> None:
    bench = Bench()
    bench.run("busy", phase=phase)
    assert bench.cache.namespaces_ensured_before(wall()) == []
    bench.cache.apply("pods", a_pod("busy", "5", "Running"))
    assert bench.cache.namespaces_ensured_before(wall()) == ["busy"]
    bench.cache.apply("pods", a_pod("busy", "6", "Succeeded"))
    assert bench.cache.namespaces_ensured_before(wall()) == []


def test_a_run_that_is_deleted_needs_nothing() -> None:
    bench = Bench()
    bench.run("busy")
    assert bench.cache.namespaces_ensured_before(wall()) == ["busy"]
    bench.cache.remove("appruns", Key("busy", "r"))
    assert bench.cache.namespaces_ensured_before(wall()) == []


def a_pod(namespace: str, version: str, phase: str) -> dict[str, Any]:
    labels = {names.RUN_LABEL: "r", names.ROLE_LABEL: "driver", names.ATTEMPT_LABEL: "1"}
    metadata = {"name": "r-0", "namespace": namespace, "uid": "p", "resourceVersion": version, "labels": labels}
    owner = {"kind": names.APP_TASK_KIND, "name": "r-driver", "uid": "t"}
    moment = {"creationTimestamp": "2026-07-01T10:00:00Z", "ownerReferences": [owner]}
    return {"metadata": {**metadata, **moment}, "spec": {}, "status": {"phase": phase}}
