"""Apps over HTTP on a real cluster, asked from another pod through their Service."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

import pytest
from tests.support.bed import RUNTIME_IMAGE, Bed
from tests.support.kube import Kube, Object, eventually
from tests.support.runs import Runs

ASK = """
import json, sys, urllib.error, urllib.request
method, url, token, key, body = json.loads(sys.argv[1])
headers = {"Content-Type": "application/json"}
if token: headers["Authorization"] = "Bearer " + token
if key: headers["Idempotency-Key"] = key
data = json.dumps(body).encode() if body is not None else None
try:
    with urllib.request.urlopen(urllib.request.Request(url, data, headers, method=method), timeout=60) as answer:
        print(json.dumps([answer.status, json.load(answer)]))
except urllib.error.HTTPError as error:
    print(json.dumps([error.code, json.load(error)]))
"""
RESTRICTED = {
    "securityContext": {"runAsNonRoot": True, "runAsUser": 65532, "seccompProfile": {"type": "RuntimeDefault"}},
    "container": {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}},
}


@dataclass(frozen=True)
class Caller:
    """A pod that sends requests to a Service of its namespace."""

    bed: Bed
    runs: Runs
    address: str

    def ask(self, method: str, path: str, *, token: str = "", key: str = "", body: Any = None) -> tuple[int, Object]:
        wish = json.dumps([method, f"http://{self.address}{path}", token, key, body])
        told = self.bed.run(
            *(self.bed.kubectl, "exec", "-n", self.runs.namespace, "caller", "--", "python3", "-c", ASK, wish)
        )
        status, answer = json.loads(told.stdout)
        return status, answer

    def token(self, account: str, audience: str = "") -> str:
        """A token of a service account."""
        body = {
            "apiVersion": "authentication.k8s.io/v1",
            "kind": "TokenRequest",
            "spec": {"audiences": [audience]} if audience else {},
        }
        path = f"{self.runs.core}/serviceaccounts/{account}/token"
        return str(self.bed.kube.create(path, body)["status"]["token"])


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
    for account in ("friend", "stranger"):
        kube.create(f"{runs.core}/serviceaccounts", {"metadata": {"name": account}})
    rbac = f"/apis/rbac.authorization.k8s.io/v1/namespaces/{runs.namespace}"
    rule = {"apiGroups": ["apprun.dev"], "resources": ["apps", "appruns"], "verbs": ["get", "create", "patch"]}
    kube.create(f"{rbac}/roles", {"metadata": {"name": "friend"}, "rules": [rule]})
    kube.create(
        f"{rbac}/rolebindings",
        {
            "metadata": {"name": "friend"},
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "friend"},
            "subjects": [{"kind": "ServiceAccount", "name": "friend", "namespace": runs.namespace}],
        },
    )
    container = {
        "name": "caller",
        "image": RUNTIME_IMAGE,
        "command": ["python3", "-c", "import signal; signal.sigwait([signal.SIGTERM])"],
        "securityContext": RESTRICTED["container"],
    }
    pod: Object = {
        "metadata": {"name": "caller"},
        "spec": {"containers": [container], "securityContext": RESTRICTED["securityContext"]},
    }
    kube.create(f"{runs.core}/pods", pod)
    until_ready(kube, runs, "HandlerReady")

    def running() -> bool:
        return kube.get(f"{runs.core}/pods/caller")["status"].get("phase") == "Running"

    eventually("the caller runs", lambda: running() or None, 60)
    service = kube.get(f"{runs.core}/services/served-handler")
    return Caller(bed, runs, service["spec"]["clusterIP"])


def test_an_app_answers_whom_kubernetes_allows_through_its_service(caller: Caller, runs: Runs) -> None:
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

    # A token that is good for nothing but this, and requests of which one answer was lost.
    narrow = caller.token("friend", audience="apprun.dev")
    order = {"item": "tea", "amount": 2}
    _, first = caller.ask("POST", "/workflows/v1/start", token=narrow, key="order-7", body=order)
    _, again = caller.ask("POST", "/workflows/v1/start", token=narrow, key="order-7", body=order)
    assert (first["data"]["created"], again["data"]["created"]) == (True, False)
    assert first["data"]["run_id"] == again["data"]["run_id"]
    run = first["data"]["workflow_id"]
    status, answer = caller.ask("POST", "/workflows/v1/start", token=narrow, key="order-7", body={"item": "tea"})
    assert (status, answer["error"]["code"]) == (409, "NameTaken")
    status, answer = caller.ask("POST", "/workflows/v1/start", token=narrow, body={"item": 1})
    assert (status, [fault["field"] for fault in answer["error"]["faults"]]) == (422, ["item"])

    _, done = caller.ask("GET", f"/workflows/v1/result/{run}?wait=true", token=narrow)
    assert done["data"]["result"] == {"text": "2 x tea"}
    _, state = caller.ask("GET", f"/workflows/v1/status/{run}", token=friend)
    assert (state["data"]["phase"], state["data"]["tasks_done"]) == ("Succeeded", 1)
    status, _ = caller.ask("GET", f"/workflows/v1/status/{run}", token=stranger)
    assert status == 403
    _, manifest = caller.ask("GET", "/workflows/v1/manifest", token=friend)
    assert manifest["data"]["app"] == "served"
    assert [entry["task"] for entry in runs.checkpoints(run)] == ["pay"]


def test_a_handler_comes_changes_and_goes_with_its_app(bed: Bed, runs: Runs, kube: Kube) -> None:
    runs.upload("served")
    runs.app("served", "app:Nope", handler={"replicas": 1})
    found = until_ready(kube, runs, "HandlerSlow")
    message = found["status"]["conditions"][0]["message"]
    assert "kubectl logs" in message
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
