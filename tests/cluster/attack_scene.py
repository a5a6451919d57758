"""What the attack suite attacks, and who attacks it: a namespace as it is in the middle of runs, and a foreign one.

Nothing runs there (see `admission_world`): tokens are real, and bound to pods that are held back.
"""

from __future__ import annotations

import http.client
import json
from collections.abc import Callable, Mapping
from contextlib import closing
from dataclasses import dataclass, field
from typing import Any

from tests.cluster import admission_world as worlds
from tests.cluster.admission_world import API, RBAC, World, expect
from tests.cluster.apiserver import AGENT, Answer, Client

from application_sdk.wire import names

Object = dict[str, Any]
FREE_TASKS = 14
MANAGED = ("app.kubernetes.io/managed-by", "apprun")
SIBLING_KEY = "fedcba98765432100123456789abcdef"
KINDS = (
    *(f"/apis/{API}/namespaces/{{}}/{kind}" for kind in ("apps", "appruns", "apptasks", "appledgers", "appstates")),
    *(f"/api/v1/namespaces/{{}}/{kind}" for kind in ("pods", "secrets", "configmaps", "serviceaccounts", "services")),
    *(f"{RBAC}/namespaces/{{}}/{kind}" for kind in ("roles", "rolebindings")),
    "/apis/apps/v1/namespaces/{}/deployments",
    "/apis/coordination.k8s.io/v1/namespaces/{}/leases",
)
"""What is compared before and after: nothing that was refused may have left a trace in any of them."""


def pod_of(task: Object, attempt: int) -> str:
    """The name of the pod of one attempt. Whatever becomes part of a pod's name does so here."""
    return names.pod_name(task["metadata"]["name"], attempt, task["metadata"]["ownerReferences"][0]["uid"])


@dataclass
class Scene:
    """`values` are what paths and bodies may name in braces, `clients` who may speak."""

    world: World
    elsewhere: World
    values: dict[str, str] = field(default_factory=dict)
    clients: dict[str, Client] = field(default_factory=dict)
    free: set[str] = field(default_factory=set)
    """Objects that somebody is allowed to change: they aren't compared."""

    def path(self, target: str) -> str:
        """`kind/name/…` is one of ours in the namespace, `core:…` one of Kubernetes' own, `other:…` in the other
        namespace; whatever begins with a slash is a path as it is."""
        target = self.filled(target)
        if target.startswith("/"):
            return target
        group, found, rest = target.partition(":")
        if not found:
            return self.world.path(target)
        return {
            "core": f"{self.world.core}/{rest}",
            "other": self.elsewhere.path(rest),
            "other-core": f"{self.elsewhere.core}/{rest}",
            "rbac": f"{RBAC}/namespaces/{self.world.namespace}/{rest}",
            "apps": f"/apis/apps/v1/namespaces/{self.world.namespace}/{rest}",
        }[group]

    def filled(self, value: Any) -> Any:
        """With the names that stand in braces, in texts at any depth."""
        if isinstance(value, str):
            for name, text in self.values.items():
                value = value.replace("{" + name + "}", text)
            return value
        if isinstance(value, Mapping):
            return {self.filled(key): self.filled(each) for key, each in value.items()}
        return [self.filled(each) for each in value] if isinstance(value, list) else value

    def ask(self, who: str, method: str, target: str, body: Any, content: str, headers: Mapping[str, str]) -> Answer:
        return send(self.clients[who], method, self.path(target), self.filled(body), content, self.filled(headers))

    def metadata_of_free(self) -> list[Object]:
        """Spec and metadata of the tasks whose status may be written: all of it that no status write may change."""
        tasks = [_read(self.world, self.values[f"free{number}"]) for number in range(FREE_TASKS)]
        for task in tasks:
            for part, key in (
                (task, "status"),
                (task["metadata"], "resourceVersion"),
                (task["metadata"], "managedFields"),
            ):
                part.pop(key, None)
        return tasks

    def standing(self) -> dict[str, str]:
        """Version of every object, but of those that may be changed.

        The operator writes the status of Apps and runs, and makes pods that look at Apps: that isn't compared.
        """
        found = {}
        for namespace in (self.world.namespace, self.elsewhere.namespace):
            for kind in KINDS:
                path = kind.format(namespace)
                for item in expect(self.world.admin.get(path))["items"]:
                    metadata = item["metadata"]
                    if metadata["name"] not in self.free and MANAGED not in metadata.get("labels", {}).items():
                        by_operator = kind.endswith(("/apps", "/appruns"))
                        version = _without_status(item) if by_operator else str(metadata["resourceVersion"])
                        found[f"{path}/{metadata['name']}"] = version
        return found


def _without_status(item: Object) -> str:
    metadata = {
        key: value for key, value in item["metadata"].items() if key not in ("resourceVersion", "managedFields")
    }
    return json.dumps([metadata, item["spec"]], sort_keys=True)


def send(client: Client, method: str, path: str, body: Any, content: str, headers: Mapping[str, str]) -> Answer:
    """One request as it is, with whatever headers; an answer that isn't JSON is its words."""
    data = None if body is None else body.encode() if isinstance(body, str) else json.dumps(body).encode()
    sent = {
        "Content-Type": content,
        "Accept": "application/json",
        "User-Agent": AGENT,
        **dict(client.headers),
        **headers,
    }
    connection = http.client.HTTPSConnection(client.server.removeprefix("https://"), timeout=20, context=client.context)
    with closing(connection):
        connection.request(method, path, data, sent)
        with connection.getresponse() as response:
            text = response.read().decode(errors="replace")
    try:
        found = json.loads(text)
    except ValueError:
        found = {"message": text}
    return Answer(response.status, found if isinstance(found, dict) else {"message": text})


def build(admin: Client, anonymous: Client) -> Scene:
    """Everything of it."""
    scene = Scene(worlds.build(admin, anonymous), worlds.build(admin, anonymous))
    account = ":".join(("system:serviceaccount", *scene.world.account_name))
    scene.values |= {"ns": scene.world.namespace, "elsewhere": scene.elsewhere.namespace, "operator": account}
    scene.values |= {"system": scene.world.account_name[0], "operator-account": scene.world.account_name[1]}
    tasks = _tasks(scene)
    _objects(scene)
    _pods(scene, tasks)
    _people(scene, admin, anonymous, account)
    return scene


def _tasks(scene: Scene) -> dict[str, Object]:
    """Tasks in each state, by the word by which the tables call them."""
    world = scene.world
    states: dict[str, tuple[str, Object | None]] = {
        "mine": ("mine", None),
        "peer": ("peer", None),
        "moved": ("moved", {"attempt": 2, "attempts": [{"attempt": 1, "reason": "NodeLost", "budget": "Disruption"}]}),
        "done": ("done", {"phase": "Succeeded", "output": {"n": 1}}),
        "failed": ("failed", {"phase": "Failed", "error": {"type": "E", "message": "no", "attempt": 1}}),
        "held": ("held", {"phase": "Waiting", "message": "no node fits"}),
        **{f"free{number}": (f"free{number}", None) for number in range(FREE_TASKS)},
    }
    tasks = {word: _read(world, world.task(run, status=status)) for word, (run, status) in states.items()}
    tasks["driver"] = _read(world, world.task("mine", driver=True))
    tasks["peer-driver"] = _read(world, world.task("peer", driver=True))
    sibling = worlds.task_body("mine", key=SIBLING_KEY)
    sibling["metadata"] = {"name": names.task_name("mine", SIBLING_KEY), "ownerReferences": [world.keeper]}
    tasks["sibling"] = expect(world.operator.create(world.path("apptasks"), sibling))
    scene.elsewhere.task("mine")
    for word, task in tasks.items():
        scene.values[word] = task["metadata"]["name"]
        scene.values[f"{word}-uid"] = task["metadata"]["uid"]
    scene.values["sibling-key"] = SIBLING_KEY
    scene.values["owner-uid"] = str(world.keeper["uid"])
    scene.free |= {scene.values[f"free{number}"] for number in range(FREE_TASKS)}
    return tasks


def _read(world: World, name: str) -> Object:
    return expect(world.admin.get(world.path("apptasks", name)))


def _objects(scene: Scene) -> None:
    """What else is worth to be stolen or changed."""
    spec = {"app": {"entry": "app:Hello"}, "suspend": True, "input": {"n": 1}}
    for world in (scene.world, scene.elsewhere):
        for kind, name, body in (("AppRun", "idle", spec), ("App", "shop", {"entry": "app:Hello", "image": "none"})):
            made = {"apiVersion": API, "kind": kind, "metadata": {"name": name}, "spec": body}
            expect(world.admin.create(world.path(f"{kind.lower()}s"), made))
        # It has ended, so that an operator leaves it alone, and its spec is final.
        expect(world.operator.patch(world.path("appruns", "idle", "status"), {"status": {"phase": "Succeeded"}}))
        expect(
            world.admin.create(f"{world.core}/secrets", {"metadata": {"name": "login"}, "stringData": {"p": "canary"}})
        )
        expect(world.admin.create(f"{world.core}/configmaps", {"metadata": {"name": "settings"}, "data": {"a": "b"}}))
        state = {"app": "shop", "entries": {"cursor": {"value": {"n": 1}}}}
        body = {
            "apiVersion": API,
            "kind": "AppState",
            "metadata": {"name": "shop"},
            "spec": {"entries": state["entries"]},
        }
        expect(world.operator.create(world.path("appstates"), body))
        expect(world.operator.create(world.path("appledgers"), page("idle")))


def page(run: str) -> Object:
    entry = {"task": "t", "outcome": "Succeeded", "attempts": 1, "digest": "0" * 32, "at": "2026-01-01T00:00:00Z"}
    entries = [{"sequence": number, "key": f"{number:032x}", **entry} for number in range(128)]
    metadata = {"name": names.page_name(run, 0)}
    return {
        "apiVersion": API,
        "kind": "AppLedger",
        "metadata": metadata,
        "spec": {"run": run, "number": 0, "checkpoints": entries},
    }


def _pods(scene: Scene, tasks: Mapping[str, Object]) -> None:
    """Clients by the bound tokens of pods, and by tokens that are good for nothing here."""
    world, clients = scene.world, scene.clients
    for who, task, attempt, account in (
        ("task", "mine", 1, "apprun-task"),
        ("zombie", "moved", 1, "apprun-task"),
        ("successor", "moved", 2, "apprun-task"),
        ("finished", "done", 1, "apprun-task"),
        ("given up", "failed", 1, "apprun-task"),
        ("waiting", "held", 1, "apprun-task"),
        ("driver", "driver", 1, "apprun-driver"),
        ("next driver", "driver", 2, "apprun-driver"),
        *((f"free{number}", f"free{number}", 1, "apprun-task") for number in range(FREE_TASKS)),
    ):
        clients[who] = world.pod(pod_of(tasks[task], attempt), account)
    scene.values["my-pod"] = pod_of(tasks["mine"], 1)
    scene.values["peer-pod"] = pod_of(tasks["peer"], 1)
    expect(world.operator.create(f"{world.core}/serviceaccounts", {"metadata": {"name": "apprun-handler"}}))
    subject = {"kind": "ServiceAccount", "name": "apprun-handler", "namespace": world.namespace}
    path = f"{RBAC}/namespaces/{world.namespace}/rolebindings"
    expect(world.operator.create(path, worlds.binding("apprun-handler", subject)))
    clients["handler"] = world.pod("shop-handler-5d8f-x", "apprun-handler")
    clients["bystander"] = world.pod("web-0", "default")
    clients["own account"] = world.pod("custom-pod", "custom")
    clients["loose"] = world.account("apprun-task")
    clients["loose driver"] = world.account("apprun-driver")
    clients["stranger"] = scene.elsewhere.pod(pod_of(tasks["mine"], 1), "apprun-task")
    clients["strange driver"] = scene.elsewhere.pod(pod_of(tasks["driver"], 1), "apprun-driver")
    worlds.eventually(lambda: clients["handler"].get(world.path("apps", "shop")).allowed)


def _people(scene: Scene, admin: Client, anonymous: Client, operator: str) -> None:
    """Users of the cluster's roles with the chart's additions, and people who are almost somebody else."""
    world, clients = scene.world, scene.clients
    path = f"{RBAC}/namespaces/{world.namespace}/rolebindings"
    for role in ("view", "edit", "admin"):
        user = {"kind": "User", "name": f"{role}er", "apiGroup": worlds.GROUP}
        expect(admin.create(path, worlds.binding(role, user)))
        clients[f"{role}er"] = admin.impersonating(f"{role}er")
    clients["root"] = admin
    clients["nobody"] = anonymous
    clients["garbage"] = anonymous.with_token("eyJhbGciOiJSUzI1NiJ9.eyJzdWIiOiJzeXN0ZW0ifQ.c2ln")
    clients["empty"] = anonymous.with_token("")
    clients["narrow"] = anonymous.with_token(_narrow(world))
    for who, name in (
        ("namesake", operator.rpartition(":")[0] + ":apprun-operator"),
        ("namesake elsewhere", f"system:serviceaccount:{scene.elsewhere.namespace}:{scene.world.account_name[1]}"),
        ("upper case", operator.upper()),
        ("with a slash", operator + "/"),
        ("without prefix", operator.removeprefix("system:serviceaccount:")),
        ("node", "system:node:node1"),
        ("collector's namesake", worlds.GARBAGE_COLLECTOR + "-2"),
    ):
        clients[who] = admin.impersonating(name, "system:masters")
    for who, role in (("viewer", "appruns"), ("editer", "appruns"), ("adminer", "appruns")):
        if who in clients:
            worlds.eventually(_may_read(clients[who], world.path(role)))


def _may_read(client: Client, path: str) -> Callable[[], bool]:
    return lambda: client.get(path).allowed


def _narrow(world: World) -> str:
    """A token of the task's account that is meant for handlers alone."""
    request = {
        "apiVersion": "authentication.k8s.io/v1",
        "kind": "TokenRequest",
        "spec": {"expirationSeconds": 3600, "audiences": ["apprun.dev"]},
    }
    path = f"{world.core}/serviceaccounts/apprun-task/token"
    return str(expect(world.admin.create(path, request))["status"]["token"])
