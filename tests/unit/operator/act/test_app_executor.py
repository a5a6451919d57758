"""What serves an App over HTTP is written and deleted as long as the App owns it, and never
otherwise.

The API server here knows server-side apply as far as it decides about that: by uid, and by force.
test_identity.py in tests/cluster asks a real one the same.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

import pytest
from tests.support.fake_api import Object, Place, parse_path

from application_sdk.wire import names
from application_sdk.wire.digest import JSONObject
from apprun_operator.act.app_executor import AppExecutor
from apprun_operator.act.executor import Executor
from apprun_operator.act.service_accounts import ServiceAccounts
from apprun_operator.kube.errors import ConflictError, NotFoundError
from apprun_operator.observe.apps import HandlerDeployment
from apprun_operator.observe.cache import Cache
from apprun_operator.observe.records import Key
from apprun_operator.plan.actions import ApplyHandler, RemoveHandler

APP = Key("team", "payments")
UID = "0a1b2c3d-app"
NAME = "payments-handler"
KINDS = ("services", "deployments")


class Server:
    """Services and Deployments, and what was asked of them."""

    def __init__(self) -> None:
        self.objects: dict[Place, Object] = {}
        self.writes: list[tuple[str, str]] = []
        self.slips_in: Object | None = None
        """Somebody makes this Deployment between a read and the write that follows."""

    def put(self, plural: str, uid: str, **metadata: Any) -> Object:
        item: Object = {"metadata": {"name": NAME, "uid": uid, **metadata}, "spec": {"selector": {"app": "theirs"}}}
        self.objects[Place(plural, "team", NAME)] = item
        return item

    async def get(self, path: str, query: Mapping[str, str] | None = None) -> Object:
        place, _ = parse_path(path)
        try:
            return self.objects[place]
        except KeyError:
            raise NotFoundError("not found", status=404) from None
        finally:
            if self.slips_in is not None and place.plural == "deployments":
                self.objects[place] = self.slips_in

    async def patch(self, path: str, body: Object, content_type: str = "") -> Object:
        place, _ = parse_path(path.partition("?")[0])
        there = self.objects.get(place)
        uid = body["metadata"].get("uid")
        if uid is not None and (there is None or there["metadata"]["uid"] != uid):
            raise ConflictError("the UID in the precondition is another", status=409)
        if there is not None and "force=true" not in path and there["spec"] != body["spec"]:
            raise ConflictError("Apply failed with 1 conflict: .spec.selector", status=409)
        self.writes.append(("apply", place.plural))
        item = {**body, "metadata": {"uid": f"uid-{place.plural}", "generation": 1, **body["metadata"]}}
        self.objects[place] = item
        return item

    async def delete(self, path: str, options: Object) -> Object:
        place, _ = parse_path(path)
        if self.objects[place]["metadata"]["uid"] != options["preconditions"]["uid"]:
            raise ConflictError("the UID in the precondition is another", status=409)
        self.writes.append(("delete", place.plural))
        return self.objects.pop(place)


class Bench:
    def __init__(self) -> None:
        self.server = Server()
        self.cache = Cache(lambda key: None, lambda: 0.0)
        item = {"name": "payments", "namespace": "team", "uid": UID, "resourceVersion": "1"}
        item["creationTimestamp"] = "2026-01-01T00:00:00Z"
        self.cache.apply("apps", {"metadata": cast("JSONObject", item), "spec": {"entry": "app:Payments"}})
        api = cast("Any", self.server)
        accounts = ServiceAccounts(api, "driver", "task", preinstalled=True)
        self.executor = AppExecutor(api, self.cache, accounts, Executor(api, self.cache, accounts), lambda: 0.0)

    async def apply(self) -> HandlerDeployment:
        body = {"metadata": {"name": NAME, "namespace": "team", "ownerReferences": OWNED}, "spec": {"selector": {}}}
        action = ApplyHandler(APP, UID, NAME, 1, cast("JSONObject", body), cast("JSONObject", body))
        await self.executor.execute(APP, action)
        served = self.cache.deployment(APP)
        assert served is not None
        return served

    async def remove(self) -> None:
        await self.executor.execute(APP, RemoveHandler(APP, UID, NAME))


OWNED = [{"kind": "App", "name": "payments", "uid": UID}]
EARLIER = [{"apiVersion": names.API_VERSION, "kind": "App", "name": "payments", "uid": "uid-of-an-earlier-one"}]
NAMESAKES = [{"apiVersion": "kappctrl.k14s.io/v1alpha1", "kind": "App", "name": "payments", "uid": "uid-of-another"}]
THEIRS = [{"kind": "Shop", "name": "main", "uid": "uid-of-a-shop"}]
APPLIED = [("apply", "services"), ("apply", "deployments")]


@pytest.fixture
def bench() -> Bench:
    return Bench()


async def test_what_is_missing_is_made(bench: Bench) -> None:
    assert (await bench.apply()).problem == ""
    assert bench.server.writes == APPLIED


async def test_what_the_app_owns_is_applied_again(bench: Bench) -> None:
    for plural in KINDS:
        bench.server.put(plural, "old", ownerReferences=OWNED)
    assert (await bench.apply()).problem == ""
    assert bench.server.writes == APPLIED


@pytest.mark.parametrize("plural", KINDS)
@pytest.mark.parametrize("owners", [[], THEIRS, NAMESAKES], ids=["nobody's", "somebody's", "another group's App's"])
async def test_what_others_own_is_left_as_it_is_and_named(bench: Bench, plural: str, owners: list[Object]) -> None:
    theirs = bench.server.put(plural, "theirs", ownerReferences=owners)
    problem = (await bench.apply()).problem
    kind = "Service" if plural == "services" else "Deployment"
    assert problem.startswith(f"{kind} 'payments-handler' of namespace 'team' was not made for this App")
    assert "rename or delete it, or give the App another name" in problem
    assert bench.server.writes == []
    assert bench.server.objects[Place(plural, "team", NAME)] is theirs


async def test_what_an_earlier_app_of_the_name_left_is_waited_for(bench: Bench) -> None:
    bench.server.put("deployments", "old", ownerReferences=EARLIER)
    served = await bench.apply()
    assert (served.problem, served.waits) == (
        "",
        "Deployment payments-handler of an earlier App of this name is being removed: waiting until it is gone",
    )
    assert bench.server.writes == []


async def test_what_slips_in_before_the_first_apply_isnt_taken_over(bench: Bench) -> None:
    slipped = {"metadata": {"uid": "theirs"}, "spec": {"selector": {"app": "theirs"}}}
    bench.server.slips_in = slipped
    assert "conflict" in (await bench.apply()).problem
    assert bench.server.objects[Place("deployments", "team", NAME)] is slipped


async def test_what_takes_the_place_of_ours_isnt_taken_over(bench: Bench) -> None:
    bench.server.put("deployments", "old", ownerReferences=OWNED)
    slipped = {"metadata": {"uid": "theirs"}, "spec": {"selector": {"app": "theirs"}}}
    bench.server.slips_in = slipped
    assert "UID" in (await bench.apply()).problem
    assert bench.server.objects[Place("deployments", "team", NAME)] is slipped


async def test_a_handler_that_goes_takes_what_the_app_owns(bench: Bench) -> None:
    for plural in KINDS:
        bench.server.put(plural, "old", ownerReferences=OWNED)
    await bench.remove()
    assert bench.server.writes == [("delete", "deployments"), ("delete", "services")]


@pytest.mark.parametrize("plural", KINDS)
@pytest.mark.parametrize("owners", [[], THEIRS, EARLIER], ids=["nobody's", "somebody's", "an earlier app's"])
async def test_a_handler_that_goes_leaves_what_others_own(bench: Bench, plural: str, owners: list[Object]) -> None:
    bench.server.put(plural, "theirs", ownerReferences=owners)
    await bench.remove()
    assert bench.server.writes == []


async def test_a_handler_that_goes_leaves_what_slips_in(bench: Bench) -> None:
    bench.server.put("deployments", "old", ownerReferences=OWNED)
    bench.server.slips_in = {"metadata": {"uid": "theirs"}, "spec": {}}
    await bench.remove()
    assert bench.server.writes == []
