"""Who speaks in the admission tests: the operator, pods by bound tokens, people, the cluster's own controllers.

Nothing runs: pods are held back by a scheduling gate, since a token may be bound to any pod that exists. Runs aren't
created either, so that an operator in the cluster has no reason to touch the tasks.
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import pytest
from tests.cluster.apiserver import Answer, Client, kubeconfig

from application_sdk.wire import names

API = "apprun.dev/v1alpha1"
KEY = "0123456789abcdef0123456789abcdef"
RUN_UID = "5e1f0a7c-1d2b-4c3d-8e4f-5a6b7c8d9e0f"
"""Of all runs that aren't there: of what `task_body` makes as its driver would."""
GROUP = "rbac.authorization.k8s.io"
RBAC = f"/apis/{GROUP}/v1"

GARBAGE_COLLECTOR = "system:serviceaccount:kube-system:generic-garbage-collector"
NAMESPACE_CONTROLLER = "system:serviceaccount:kube-system:namespace-controller"


@dataclass(frozen=True)
class World:
    """One namespace, set up by the operator's own rights as it would be for a run."""

    admin: Client
    """Member of system:masters: RBAC refuses it nothing."""
    anonymous: Client
    """The same API server, without credentials."""
    operator: Client
    """The operator's service account."""
    account_name: tuple[str, str]
    """Namespace and name of the operator's service account."""
    namespace: str
    keeper: dict[str, Any]
    """Owner reference to something that stays, so that no garbage collector takes what has it."""

    @property
    def core(self) -> str:
        """Path of the namespace's core resources."""
        return f"/api/v1/namespaces/{self.namespace}"

    def path(self, resource: str, name: str = "", subresource: str = "") -> str:
        """Path of one of our resources."""
        parts = [f"/apis/{API}/namespaces/{self.namespace}/{resource}", name, subresource]
        return "/".join(part for part in parts if part)

    def status(self, task: str) -> str:
        """Path of a task's status."""
        return self.path("apptasks", task, "status")

    def pod_name(self, task: str, attempt: int = 1) -> str:
        """The pod of an attempt of a task that `task` made."""
        return names.pod_name(task, attempt, str(self.keeper["uid"]))

    def pod_of(self, task: str, attempt: int = 1, account: str = "apprun-task") -> Client:
        """That pod's client."""
        return self.pod(self.pod_name(task, attempt), account)

    def pod(self, name: str, account: str = "apprun-task") -> Client:
        """A pod of this name that nothing ever schedules, and the client that its token makes."""
        return self.pod_with_uid(name, account)[0]

    def pod_with_uid(self, name: str, account: str = "apprun-task") -> tuple[Client, str]:
        """The same with the pod's uid."""
        pod = {
            "metadata": {"name": name},
            "spec": {
                "serviceAccountName": account,
                "automountServiceAccountToken": False,
                "schedulingGates": [{"name": "apprun.dev/test"}],
                "containers": [{"name": "main", "image": "none"}],
            },
        }
        # Names of attempts' pods are the operator's.
        uid = expect(self.operator_as_admin().create(f"{self.core}/pods", pod))["metadata"]["uid"]
        bound = {"apiVersion": "v1", "kind": "Pod", "name": name, "uid": uid}
        return self.anonymous.with_token(token(self.admin, self.namespace, account, bound)), uid

    def account(self, name: str) -> Client:
        """A service account by a token that belongs to no pod."""
        return self.anonymous.with_token(token(self.admin, self.namespace, name))

    def operator_as_admin(self) -> Client:
        """The operator as the policies see it, freed from RBAC: shows what the schema alone refuses."""
        return self.admin.impersonating(
            f"system:serviceaccount:{self.account_name[0]}:{self.account_name[1]}", "system:masters"
        )

    def task(self, run: str, *, status: dict[str, Any] | None = None, driver: bool = False) -> str:
        """An AppTask made by the operator, in the state that `status` says. Returns its name."""
        body = task_body(run, driver=driver)
        body["metadata"]["ownerReferences"] = [self.keeper]
        made = expect(self.operator.create(self.path("apptasks"), body))
        name = str(made["metadata"]["name"])
        if status is not None:
            expect(self.operator.patch(self.status(name), {"status": status}))
        return name


def task_body(run: str, *, driver: bool = False, owned: bool = False, **spec: Any) -> dict[str, Any]:
    """An AppTask as its run's driver writes it."""
    made: dict[str, Any] = {
        "apiVersion": API,
        "kind": "AppTask",
        "metadata": {"name": f"{run}-{'driver' if driver else KEY[:16]}"},
        "spec": {
            "run": run,
            "role": "driver" if driver else "task",
            "key": "driver" if driver else KEY,
            "task": "greet",
            "input": {"name": "World"},
        }
        | spec,
    }
    if owned:
        made["metadata"]["ownerReferences"] = [owner(run)]
    return made


def owner(run: str, uid: str = RUN_UID) -> dict[str, Any]:
    """A reference to the run."""
    return {"apiVersion": API, "kind": "AppRun", "name": run, "uid": uid, "controller": True}


def token(admin: Client, namespace: str, account: str, bound: dict[str, Any] | None = None) -> str:
    """A service account's token, bound to a pod if one is given."""
    request = {
        "apiVersion": "authentication.k8s.io/v1",
        "kind": "TokenRequest",
        "spec": {"expirationSeconds": 3600} | ({"boundObjectRef": bound} if bound else {}),
    }
    path = f"/api/v1/namespaces/{namespace}/serviceaccounts/{account}/token"
    return str(expect(admin.create(path, request))["status"]["token"])


def expect(answer: Answer) -> dict[str, Any]:
    """The body of an answer that has to be a success."""
    assert answer.allowed, f"{answer.code}: {answer.message}"
    return answer.body


def operator_account(admin: Client) -> tuple[str, str]:
    """Namespace and name of the operator's service account, as the installed chart binds it."""
    bindings = expect(admin.get(f"{RBAC}/clusterrolebindings?labelSelector=app.kubernetes.io%2Fpart-of%3Dapprun"))[
        "items"
    ]
    assert bindings, "the chart isn't installed in this cluster: helm install apprun charts/apprun"
    subject = bindings[0]["subjects"][0]
    return subject["namespace"], subject["name"]


def connect(request: pytest.FixtureRequest) -> tuple[Client, Client]:
    """The cluster's administrator and nobody: at the bare API server of the environment, else at the test bed."""
    path = kubeconfig() or request.getfixturevalue("bed").kubeconfig
    return Client.from_kubeconfig(path), Client.without_credentials(path)


def build(admin: Client, anonymous: Client) -> World:
    """A fresh namespace, with the service accounts and bindings that the operator makes for a run."""
    namespace = f"admission-{uuid.uuid4().hex[:8]}"
    expect(admin.create("/api/v1/namespaces", {"metadata": {"name": namespace}}))
    account_name = operator_account(admin)
    operator = anonymous.with_token(token(admin, *account_name))
    custom = {"metadata": {"name": "custom"}}
    made = expect(admin.create(f"/api/v1/namespaces/{namespace}/serviceaccounts", custom))["metadata"]
    keeper = {"apiVersion": "v1", "kind": "ServiceAccount", "name": "custom", "uid": made["uid"]}
    world = World(admin, anonymous, operator, account_name, namespace, keeper)
    for account in ("apprun-driver", "apprun-task"):
        expect(operator.create(f"{world.core}/serviceaccounts", {"metadata": {"name": account}}))
    driver = {"kind": "ServiceAccount", "name": "apprun-driver", "namespace": namespace}
    everybody = {
        "kind": "Group",
        "name": f"system:serviceaccounts:{namespace}",
        "apiGroup": GROUP,
    }
    expect(operator.create(f"{RBAC}/namespaces/{namespace}/rolebindings", binding("apprun-driver", driver)))
    expect(operator.create(f"{RBAC}/namespaces/{namespace}/rolebindings", binding("apprun-task", everybody)))
    for resource in ("apps", "appruns", "apptasks", "appledgers"):
        eventually(partial(_readable, operator, world.path(resource)))
    task = world.account("custom")
    eventually(lambda: "cannot patch" not in task.patch(world.status("nothing"), {}).message)
    return world


def gone(client: Client, path: str) -> bool:
    """Whether there is no such object any more."""
    return client.get(path).code == 404


def _readable(client: Client, path: str) -> bool:
    return client.get(path).allowed


def binding(role: str, subject: dict[str, Any]) -> dict[str, Any]:
    """A RoleBinding that gives a ClusterRole to one subject."""
    reference = {"apiGroup": GROUP, "kind": "ClusterRole", "name": role}
    return {"metadata": {"name": role}, "roleRef": reference, "subjects": [subject]}


def eventually(condition: Callable[[], bool], seconds: float = 15.0) -> None:
    """Waits until `condition` holds: for what the API server's own caches have to see first."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "the condition didn't come true in time"
        time.sleep(0.05)
