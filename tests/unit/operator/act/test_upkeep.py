"""Accounts and bindings that somebody prunes while a run is at work are put back, whoever else has trouble."""

from __future__ import annotations

import asyncio
from typing import Any

from tests.support import virtual_time
from tests.support.fake_api import FakeApi, FakeServer, Place
from tests.support.virtual_time import wall

from apprun_operator.act.accounts import Accounts
from apprun_operator.act.upkeep import EACH_SECONDS, Upkeep
from apprun_operator.kube.errors import ForbiddenError
from apprun_operator.observe.store import Store


class Bench:
    def __init__(self) -> None:
        self.server = FakeServer(wall)
        self.store = Store(lambda key: None, wall)
        self.accounts = Accounts(FakeApi(self.server, "operator"), "driver-role", "task-role")
        self.upkeep = Upkeep(self.store, self.accounts, wall)

    def run(self, namespace: str, **status: Any) -> None:
        app = {"entry": "app:App"}
        made = self.server.create(
            "user", Place("appruns", namespace, "r"), {"metadata": {"name": "r"}, "spec": {"app": app}}
        )
        known = {"app": {**app, "name": "app", "image": "i"}, "phase": "Running", **status}
        self.store.apply("appruns", {**made, "status": known})

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
        await asyncio.sleep(EACH_SECONDS + 1)
        await bench.upkeep.ensure_all()
        assert bench.has("busy")

    virtual_time.run(scenario())


def test_one_that_cannot_be_looked_after_stops_no_other(monkeypatch: Any) -> None:
    async def scenario() -> None:
        bench = Bench()
        bench.run("bad")
        bench.run("good")
        ensure = bench.accounts.ensure

        async def refused(namespace: str) -> None:
            if namespace == "bad":
                raise ForbiddenError("no", status=403)
            await ensure(namespace)

        monkeypatch.setattr(bench.accounts, "ensure", refused)
        await bench.upkeep.ensure_all()
        assert (bench.has("bad"), bench.has("good")) == (False, True)
        assert not bench.store.ensured_before(wall())

    virtual_time.run(scenario())
