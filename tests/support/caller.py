"""A pod that asks apps over HTTP through their Services, for callers whom Kubernetes allows to and others."""

from __future__ import annotations

import json
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

from tests.support.bed import RUNTIME_IMAGE, Bed
from tests.support.kube import Object, eventually
from tests.support.runs import Runs

from application_sdk.wire import names

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
    app: str

    def ask(self, method: str, path: str, *, token: str = "", key: str = "", body: Any = None) -> tuple[int, Object]:
        request = json.dumps([method, f"http://{self.address}{path}", token, key, body])
        output = self.bed.run(
            *(self.bed.kubectl, "exec", "-n", self.runs.namespace, "caller", "--", "python3", "-c", ASK, request)
        )
        status, answer = json.loads(output.stdout)
        return status, answer

    def is_ready(self) -> bool:
        """Whether the app says that it is."""
        try:
            return self.ask("GET", "/ready")[0] == HTTPStatus.OK
        except AssertionError:
            return False

    @property
    def audience(self) -> str:
        """Of tokens for the app that is asked."""
        return names.handler_audience(self.runs.namespace, self.app)

    def token(self, account: str, audience: str | None = None) -> str:
        """A token of a service account: for the app, or for another audience; an empty one is the API server's."""
        wanted = self.audience if audience is None else audience
        body = {
            "apiVersion": "authentication.k8s.io/v1",
            "kind": "TokenRequest",
            "spec": {"audiences": [wanted]} if wanted else {},
        }
        path = f"{self.runs.core}/serviceaccounts/{account}/token"
        return str(self.bed.kube.create(path, body)["status"]["token"])


def calling_pod(bed: Bed, runs: Runs, app: str) -> Caller:
    """Such a pod that runs, and two accounts, `friend` and `stranger`, of which `friend` may start runs."""
    kube = runs.kube
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

    def running() -> bool:
        return kube.get(f"{runs.core}/pods/caller")["status"].get("phase") == "Running"

    eventually("the caller runs", lambda: running() or None, 60)

    def address() -> str | None:
        service = kube.find(f"{runs.core}/services/{names.handler_name(app)}")
        return service["spec"]["clusterIP"] if service else None

    return Caller(bed, runs, eventually("the Service is there", address, 60), app)
