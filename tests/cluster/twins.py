"""A real API server and the simulation's, asked the same by the same users, and their answers compared.

Compared are code and reason of a refusal with whose words it was, and the object of an answer but for what no two
servers have in common. `Twins.differences` keeps what differs.
"""

from __future__ import annotations

import asyncio
import http.client
import json
import re
import time
from dataclasses import dataclass, field
from typing import Any

from tests.cluster import admission_world as worlds
from tests.cluster.admission_world import World, expect
from tests.cluster.apiserver import Answer, Client
from tests.support.fake_api import FakeApi, FakeServer, Object, Place, User
from tests.support.sim.access import GARBAGE_COLLECTOR, OPERATOR, PERSON, ClusterRules
from tests.support.sim.collector import Collector

from application_sdk.wire import names
from apprun_operator.kube.errors import ApiError

API = worlds.API
KINDS = {"apps": "App", "appruns": "AppRun", "apptasks": "AppTask", "appledgers": "AppLedger", "appstates": "AppState"}
OF_ONE_SERVER = ("uid", "resourceVersion", "creationTimestamp", "managedFields", "namespace", "selfLink")
METHODS = {"create": "POST", "get": "GET", "list": "GET", "patch": "PATCH", "delete": "DELETE"}
DENIED = re.compile(r"ValidatingAdmissionPolicy '([\w-]+)' with binding '[\w-]+' denied request: (apprun: [^:(]+)")


@dataclass(frozen=True)
class Pair:
    """What either is sent."""

    real: Any
    fake: Any


@dataclass(frozen=True)
class Said:
    """What there is of an answer to compare."""

    code: int
    reason: str = ""
    words: str = ""
    """Who refused: RBAC, or a policy with the beginning of its message."""
    found: Any = None


@dataclass
class Twins:
    """Both servers, with a namespace in them, and who is known to both."""

    world: World
    fake: FakeServer = field(init=False)
    collector: Collector = field(init=False)
    users: dict[str, tuple[Client, User]] = field(default_factory=dict)
    references: dict[str, Pair] = field(default_factory=dict)
    """Name and uid of the users that are pods."""
    differences: list[str] = field(default_factory=list)
    asked: int = 0
    _runner: asyncio.Runner = field(default_factory=asyncio.Runner)

    def __post_init__(self) -> None:
        self.fake = FakeServer(time.time, ClusterRules(bindings=False), collects=False)
        self.collector = Collector(self.fake)
        world = self.world
        collector = world.admin.impersonating(GARBAGE_COLLECTOR.name, "system:masters")
        self.users = {
            "operator": (world.operator, OPERATOR),
            "person": (world.admin, PERSON),
            "collector": (collector, GARBAGE_COLLECTOR),
            "account": (world.account("apprun-driver"), self._account("apprun-driver")),
        }

    def close(self) -> None:
        self._runner.close()

    def leave(self) -> None:
        """The namespace goes, and what the players had held back in it: it would hang there forever, and its CRDs."""
        admin, namespace = self.world.admin, f"/api/v1/namespaces/{self.world.namespace}"
        collector, _ = self.users["collector"]  # People may not write tasks, be they administrators.
        expect(admin.delete(namespace))
        for plural in KINDS:
            for item in self.listed(plural):
                if item["metadata"].get("finalizers"):
                    path = self.path(plural, item["metadata"]["name"])
                    answer = collector.patch(path, {"metadata": {"finalizers": None}})
                    assert answer.allowed or answer.code == 404, f"{path} stays held: {answer.message}"
        worlds.eventually(lambda: admin.get(namespace).code == 404, 60)

    def add_pod(self, user: str, account: str, name: Pair | None = None) -> None:
        """A pod on both sides, and the user that its token makes. It is called as the user is, unless it is `name`d."""
        real, fake = (user, user) if name is None else (name.real, name.fake)
        client, uid = self.world.pod_with_uid(real, account)
        made = self.fake.create(OPERATOR, self.place("pods", fake), {"metadata": {"name": fake}, "spec": {}})
        our_uid = made["metadata"]["uid"]
        self.users[user] = (client, User(self._account(account).name, fake, our_uid))
        self.references[user] = Pair({"name": real, "uid": uid}, {"name": fake, "uid": our_uid})

    def _account(self, name: str) -> User:
        return User(f"system:serviceaccount:{self.world.namespace}:{name}")

    def place(self, plural: str, name: str) -> Place:
        return Place(plural, self.world.namespace, name)

    def path(self, plural: str, name: str = "", subresource: str = "") -> str:
        root = self.world.core if plural == "pods" else self.world.path("").rstrip("/")
        return "/".join(part for part in (root, plural, name, subresource) if part)

    def there(self, plural: str, name: str) -> bool:
        """Whether there is such an object, as far as the fake knows."""
        return self.place(plural, name) in self.fake.objects

    def field(self, plural: str, name: str, field: str, *, right: bool) -> tuple[str, str]:
        """A precondition for either side: of the present object, or a wrong one."""
        if right and self.there(plural, name):
            real = expect(self.world.admin.get(self.path(plural, name)))
            return str(real["metadata"][field]), self.fake.objects[self.place(plural, name)]["metadata"][field]
        return ("1", "1") if field == "resourceVersion" else ("00000000-0000-0000-0000-000000000000", "other")

    def ask(self, user: str, verb: str, path: str, body: Any = None, kind: str = "") -> None:
        """One operation on both. A `Pair` is what either is sent, as uids are others; else it is the same for both."""
        real, fake = (body.real, body.fake) if isinstance(body, Pair) else (body, body)
        self.asked += 1
        client, identity = self.users[user]
        ours = self._of_fake(identity, verb, path, fake)
        answer = client.send(METHODS[verb], path, real, kind or "application/json")
        truth = _of_real(verb, answer)
        if ours != truth:
            asked = f"{self.asked}: {user} {verb} {path} {json.dumps(fake)}"
            self.differences.append(f"{asked}\nreal {truth}\n     {answer.message}\nfake {ours}")

    def _of_fake(self, user: User, verb: str, path: str, body: Any) -> Said:
        api = FakeApi(self.fake, user)
        calls = {
            "create": lambda: api.create(path, body),
            "get": lambda: api.get(path),
            "list": lambda: api.get(path),
            "patch": lambda: api.patch(path, body),
            "delete": lambda: api.delete(path, body or {}),
        }
        try:
            found = self._runner.run(calls[verb]())
        except ApiError as error:
            return Said(error.status, error.reason, whose(error.message))
        return Said(201 if verb == "create" else 200, found=seen(verb, found))

    def pages(self, plural: str, limit: int) -> tuple[list[list[str]], list[list[str]]]:
        """The names on each page of a list."""
        api, token, ours = FakeApi(self.fake, PERSON), "", []
        real: list[list[str]] = []
        while token or not ours:
            page = self._runner.run(api.get(self.path(plural), {"limit": str(limit), "continue": token}))
            ours.append([item["metadata"]["name"] for item in page["items"]])
            token = page["metadata"].get("continue", "")
        while token or not real:
            page = expect(self.world.admin.get(f"{self.path(plural)}?limit={limit}&continue={token}"))
            real.append([item["metadata"]["name"] for item in page["items"]])
            token = page["metadata"].get("continue", "")
        return real, ours

    def settle(self) -> None:
        """The collectors of both have done what there was to do."""
        self.collector.settle()
        wanted = self.names()
        worlds.eventually(lambda: self.real_names() == wanted, 60)

    def names(self) -> set[tuple[str, str]]:
        return {(place.plural, place.name) for place in self.fake.objects if place.plural in KINDS}

    def real_names(self) -> set[tuple[str, str]]:
        return {(plural, item["metadata"]["name"]) for plural in KINDS for item in self.listed(plural)}

    def listed(self, plural: str) -> list[Object]:
        found: list[Object] = expect(self.world.admin.get(self.path(plural)))["items"]
        return found

    def told(self, plural: str, version: str, began: int, query: str = "") -> tuple[Object, Object]:
        """What a watch from a version on tells of each object, in order, by either."""
        labels = dict(part.split("=") for part in re.findall(r"labelSelector=([^&]+)", query))
        name = "".join(re.findall(r"metadata\.name=([^&]+)", query))
        ours = self.fake.events_since(began, plural, self.world.namespace, labels, name)
        return by_name(self.watch(plural, version, query)), by_name(ours)

    def watch(self, plural: str, version: str, query: str) -> list[Object]:
        client = self.world.admin
        connection = http.client.HTTPSConnection(client.server.removeprefix("https://"), context=client.context)
        target = f"{self.path(plural)}?watch=1&resourceVersion={version}&timeoutSeconds=2&{query}"
        connection.request("GET", target, headers=dict(client.headers))
        lines = connection.getresponse().read().splitlines()
        connection.close()
        return [json.loads(line) for line in lines]


def _of_real(verb: str, answer: Answer) -> Said:
    if answer.allowed:
        return Said(answer.code, found=seen(verb, answer.body))
    # A patch that can't be applied has no reason of its own.
    return Said(answer.code, str(answer.body.get("reason", "")) or "Invalid", whose(answer.message))


def whose(message: str) -> str:
    """Whose refusal it is."""
    if denied := DENIED.search(message):
        return f"{denied[1]}: {denied[2].strip()}"
    if "apprun: already finished" in message:
        return "apprun: already finished"
    return "RBAC" if 'User "' in message and " cannot " in message else ""


def seen(verb: str, body: Object) -> Any:
    """What matters of an answer."""
    if verb == "delete":
        # Pods come back as they are when they go; of others only a Status.
        return "Status" if body.get("kind") == "Status" else "object"
    if verb == "list":
        return [comparable(item) for item in body["items"]]
    return comparable(body)


def comparable(item: Object) -> Object:
    metadata = {name: value for name, value in item["metadata"].items() if name not in OF_ONE_SERVER and value}
    if "deletionTimestamp" in metadata:
        metadata["deletionTimestamp"] = "a time"
    if "ownerReferences" in metadata:
        metadata["ownerReferences"] = [owner["name"] for owner in metadata["ownerReferences"]]
    if names.BEGAN_AS_ANNOTATION in metadata.get("annotations", {}):
        own = metadata["annotations"][names.BEGAN_AS_ANNOTATION] == item["metadata"].get("uid")
        metadata["annotations"] = metadata["annotations"] | {names.BEGAN_AS_ANNOTATION: "its uid" if own else "another"}
    if "containers" in item.get("spec", {}) or item.get("kind") == "Pod":
        # Of pods the fake knows little, and what kubelets and schedulers do to them.
        kept = ("name", "deletionTimestamp", "deletionGracePeriodSeconds", "finalizers")
        return {name: metadata[name] for name in kept if name in metadata}
    status = item.get("status")
    if isinstance(status, dict) and "pod" in status:
        status = {**status, "pod": "a pod, which has another name and uid on either server"}
    return {"metadata": metadata, "spec": item.get("spec"), "status": status}


def by_name(events: list[Object]) -> Object:
    """What happened to each: a collector takes several in no particular order. What seems to change nothing isn't told:
    a real server may write down, in managedFields, that somebody else wants the same."""
    found: dict[str, list[Any]] = {}
    for event in events:
        item = event["object"]
        news = found.setdefault(item["metadata"]["name"], [])
        told = comparable(item)
        if not news or event["type"] != "MODIFIED" or news[-1][1] != told:
            news.append((event["type"], told))
    return found
