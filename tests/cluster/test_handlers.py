"""Apps over HTTP on a real cluster, asked from another pod through their Service."""

from __future__ import annotations

import pytest
from tests.cluster.apiserver import Client
from tests.support.bed import Bed
from tests.support.caller import Caller, calling_pod
from tests.support.kube import Kube, Object, eventually
from tests.support.runs import Runs

from application_sdk.wire import names


def app(kube: Kube, runs: Runs, name: str = "served") -> Object:
    return kube.get(f"{runs.api}/apps/{name}")


def until_ready(kube: Kube, runs: Runs, reason: str) -> Object:
    def reached() -> Object | None:
        found = app(kube, runs)
        listed = found.get("status", {}).get("conditions", [])
        return found if any(c["type"] == "Ready" and c["reason"] == reason for c in listed) else None

    return eventually(f"App served is {reason}", reached, 120)


@pytest.fixture
def caller(bed: Bed, runs: Runs, kube: Kube) -> Caller:
    """An App with a handler that is up, two accounts of which `friend` may start runs, and a pod to ask from."""
    kube.create(f"{runs.core}/secrets", {"metadata": {"name": "login"}, "stringData": {"password": "open sesame"}})
    runs.upload("served")
    runs.app("served", "app:Served", secrets=[{"name": "login"}], handler={})
    found = calling_pod(bed, runs, "served")
    until_ready(kube, runs, "HandlerReady")
    return found


def test_a_handler_answers_callers_that_rbac_allows(bed: Bed, caller: Caller, runs: Runs) -> None:
    friend, stranger = caller.token("friend"), caller.token("stranger")
    question = {"credentials": [{"key": "password", "value": "open sesame"}]}

    status, answer = caller.ask("POST", "/workflows/v1/auth", body=question)
    assert (status, answer["error"]["code"]) == (401, "Unauthenticated")
    status, answer = caller.ask("POST", "/workflows/v1/auth", token="eyJh.nonsense.x", body=question)
    assert (status, answer["error"]["code"]) == (401, "Unauthenticated")
    status, answer = caller.ask("POST", "/workflows/v1/auth", token=stranger, body=question)
    assert (status, answer["error"]["code"]) == (403, "Forbidden")
    assert "may not create appruns.apprun.dev in namespace" in answer["error"]["message"]
    status, answer = caller.ask("POST", "/workflows/v1/auth", token=friend, body=question)
    assert (status, answer["success"]) == (200, True)

    # An entry point with a handler of its own.
    _, common = caller.ask("POST", "/workflows/v1/check", token=friend, body={})
    _, own = caller.ask("POST", "/workflows/v1/check", token=friend, body={"entrypoint": "send-back"})
    assert (common["success"], own["success"], own["message"]) == (True, False, "the counter is closed")

    # Requests of which one answer was lost.
    order = {"item": "tea", "amount": 2}
    _, first = caller.ask("POST", "/workflows/v1/start", token=friend, key="order-7", body=order)
    _, again = caller.ask("POST", "/workflows/v1/start", token=friend, key="order-7", body=order)
    assert (first["data"]["created"], again["data"]["created"]) == (True, False)
    assert first["data"]["run_id"] == again["data"]["run_id"]
    run = first["data"]["workflow_id"]
    status, answer = caller.ask("POST", "/workflows/v1/start", token=friend, key="order-7", body={"item": "tea"})
    assert (status, answer["error"]["code"]) == (409, "NameTaken")
    status, answer = caller.ask("POST", "/workflows/v1/start", token=friend, body={"item": 1})
    assert (status, [fault["field"] for fault in answer["error"]["faults"]]) == (422, ["item"])

    _, done = caller.ask("GET", f"/workflows/v1/result/{run}?wait=true", token=friend)
    assert done["data"]["result"] == {"text": "2 x tea"}
    _, state = caller.ask("GET", f"/workflows/v1/status/{run}", token=friend)
    assert (state["data"]["phase"], state["data"]["tasks_done"]) == ("Succeeded", 1)
    status, _ = caller.ask("GET", f"/workflows/v1/status/{run}", token=stranger)
    assert status == 403
    _, manifest = caller.ask("GET", "/workflows/v1/manifest", token=friend)
    assert manifest["data"]["app"] == "served"
    assert [entry["task"] for entry in runs.checkpoints(run)] == ["pay"]

    refuses_tokens_of_others(caller, runs.namespace)
    refuses_paths(caller, runs, friend)
    lets_handlers_alone_ask_whose_a_token_is(bed, runs)


def refuses_tokens_of_others(caller: Caller, namespace: str) -> None:
    """Those for another app, for one of the same name elsewhere, for all apps as once, or for the API server."""
    for audience in (f"apprun.dev/{namespace}/other", "apprun.dev/elsewhere/served", "apprun.dev", ""):
        status, answer = caller.ask("GET", "/workflows/v1/manifest", token=caller.token("friend", audience))
        assert (status, caller.audience in answer["error"]["message"]) == (401, True), (audience, answer)
    assert caller.ask("GET", "/openapi.json")[0] == 401
    status, document = caller.ask("GET", "/openapi.json", token=caller.token("friend"))
    assert (status, document["info"]["title"]) == (200, "served")


def refuses_paths(caller: Caller, runs: Runs, token: str) -> None:
    """A secret that is mounted, and the pod's own token, named by a caller or by an AppRun."""
    for number, path in enumerate((f"{names.SECRETS_DIRECTORY}/login/password", f"{names.POD_DIRECTORY}/token")):
        body = {"file": {"local_path": path}}
        status, answer = caller.ask("POST", "/workflows/v1/start?entrypoint=read", token=token, body=body)
        assert (status, [f["field"] for f in answer["error"]["faults"]]) == (422, ["file.local_path"]), answer
        run = f"applied-{number}"
        runs.start(run, "served", body, entrypoint="read")
        runs.until_phase(run, "Stalled")
        stalled = runs.condition(run, "Stalled")
        assert stalled is not None
        assert (stalled["reason"], "from outside the run" in stalled["message"]) == ("InvalidInput", True), stalled
        assert runs.tasks(run) == []


def lets_handlers_alone_ask_whose_a_token_is(bed: Bed, runs: Runs) -> None:
    admin = Client.from_kubeconfig(bed.kubeconfig)
    review = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenReview", "spec": {"token": "eyJh.nonsense.x"}}

    def asks(account: str) -> int:
        user = admin.impersonating(f"system:serviceaccount:{account}", "system:serviceaccounts")
        return user.create("/apis/authentication.k8s.io/v1/tokenreviews", review).code

    handler = f"{runs.namespace}:apprun-handler"
    others = (
        f"{runs.namespace}:stranger",
        f"{runs.namespace}:apprun-task",
        "default:default",
        "nowhere:apprun-handler",
    )
    assert {account: asks(account) for account in (handler, *others)} == {handler: 201, **dict.fromkeys(others, 403)}


def test_a_handler_comes_changes_and_goes_with_its_app(bed: Bed, runs: Runs, kube: Kube) -> None:
    runs.upload("served")
    runs.app("served", "app:Nope", handler={"replicas": 1})
    found = until_ready(kube, runs, "LoadFailed")
    assert "has no class 'Nope'. Apps in it: Served" in found["status"]["conditions"][0]["message"]
    kube.merge(f"{runs.api}/apps/served", {"spec": {"entry": "app:Served"}})
    found = until_ready(kube, runs, "HandlerReady")
    assert found["status"]["handler"] == {"service": "served-handler", "replicas": 1, "ready": 1}

    kube.merge(f"{runs.api}/apps/served", {"spec": {"handler": None}})
    deployments = f"/apis/apps/v1/namespaces/{runs.namespace}/deployments"
    eventually("the Deployment is gone", lambda: not kube.items(deployments) or None, 60)
    assert not [s for s in kube.items(f"{runs.core}/services") if s["metadata"]["name"] == "served-handler"]
    eventually("the status says so", lambda: "handler" not in app(kube, runs)["status"] or None, 30)

    kube.merge(f"{runs.api}/apps/served", {"spec": {"handler": {}}})
    eventually("the Deployment is back", lambda: kube.items(deployments) or None, 60)
    kube.delete(f"{runs.api}/apps/served")
    eventually("it went with its App", lambda: not kube.items(deployments) or None, 60)
