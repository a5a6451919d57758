"""The accounts of a namespace, and what they are bound to."""

from __future__ import annotations

from tests.support import virtual_time
from tests.support.fake_api import FakeApi, FakeServer, Object, Place
from tests.support.sim.access import OPERATOR, ClusterRules
from tests.support.virtual_time import wall

from application_sdk.wire import names
from apprun_operator.act.service_accounts import RUNS_CRD, ServiceAccounts

REVIEWS = names.TOKEN_REVIEW_ROLE


def created(*namespaces: str, preinstalled: bool = False) -> FakeServer:
    async def ensure() -> FakeServer:
        server = FakeServer(wall, ClusterRules())
        server.create("admin", Place("customresourcedefinitions", "", RUNS_CRD), {"metadata": {"name": RUNS_CRD}})
        accounts = ServiceAccounts(FakeApi(server, OPERATOR), "apprun-driver", "apprun-task", preinstalled=preinstalled)
        for namespace in namespaces:
            await accounts.ensure_handler(namespace)
        return server

    return virtual_time.run(ensure())


def bindings(server: FakeServer) -> list[Object]:
    return [item for place, item in server.objects.items() if place.plural == "clusterrolebindings"]


def test_only_the_handlers_account_may_create_token_reviews() -> None:
    found = bindings(created("a", "b", "a"))
    assert [item["metadata"]["name"] for item in found] == [f"{REVIEWS}-a", f"{REVIEWS}-b"]
    for item, namespace in zip(found, "ab", strict=True):
        assert item["roleRef"]["name"] == REVIEWS
        assert item["subjects"] == [
            {"kind": "ServiceAccount", "name": names.HANDLER_SERVICE_ACCOUNT, "namespace": namespace}
        ]


def test_a_binding_goes_when_there_can_be_no_runs_any_more() -> None:
    (binding,) = bindings(created("a"))
    (owner,) = binding["metadata"]["ownerReferences"]
    assert (owner["kind"], owner["name"]) == ("CustomResourceDefinition", RUNS_CRD)


def test_an_operator_of_a_list_of_namespaces_binds_nothing() -> None:
    assert bindings(created("a", preinstalled=True)) == []
