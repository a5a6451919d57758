"""An API server in memory: resourceVersions, conflicts, preconditions, watches, graceful deletion, garbage collection.

It implements `apprun_operator.kube.client.Api` through `FakeApi`, one per caller, whose `fault` hook may raise, hang or
break a watch at any call. It stands in for the API server only: kubelet and pods are in `tests.support.world`.
Who may do what, and what an object has to look like, is said by its `rules`: few by default, all of the chart's and the
CRDs' with `tests.support.sim.access`.
"""

from __future__ import annotations

import asyncio
import copy
import json
from bisect import bisect_right
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from tests.support.virtual_time import VirtualLoop

from application_sdk.wire import names
from apprun_operator.kube.decode import Page
from apprun_operator.kube.errors import (
    AlreadyExistsError,
    ApiError,
    ConflictError,
    ForbiddenError,
    GoneError,
    InvalidError,
    NotFoundError,
)
from apprun_operator.observe.times import rfc3339

# Objects of many kinds, as JSON.
Object = dict[str, Any]

TERMINAL = ("Succeeded", "Failed", "Cancelled")
DEFAULT_STATUS: Mapping[str, Object] = {
    "appruns": {"observedGeneration": -1},
    "apptasks": {"phase": "Active"},
    "pods": {"phase": "Pending"},
}
BOOKMARK_SECONDS = 50.0
GRACE = 30.0
"""Seconds that a pod has to end when it is deleted."""
SERVERS_OWN = (
    "uid", "resourceVersion", "creationTimestamp", "generation", "namespace", "name",
    "deletionTimestamp", "deletionGracePeriodSeconds",
)  # fmt: skip


@dataclass(frozen=True)
class Place:
    """Where an object lives: plural, namespace, name."""

    plural: str
    namespace: str
    name: str


@dataclass(frozen=True)
class User:
    """Who asks. For a pod, its name and uid as they are bound into its token."""

    name: str
    pod: str = ""
    pod_uid: str = ""

    def __str__(self) -> str:
        return self.pod or self.name


class Rules:
    """What is refused. This one holds what the operator must never do; `sim.access` has the rest."""

    def authorize(self, server: FakeServer, user: User, verb: str, place: Place, subresource: str) -> None:
        """May raise UnauthorizedError or ForbiddenError."""

    def complete(self, place: Place, item: Object) -> Object:
        """An object as it will be stored: pruned, with defaults. May raise InvalidError."""
        if "status" not in item and place.plural in DEFAULT_STATUS:
            return {**item, "status": DEFAULT_STATUS[place.plural]}
        return item

    def admit(self, server: FakeServer, user: User, place: Place, subresource: str, old: Object | None,
              new: Object | None) -> None:  # fmt: skip
        """May raise ForbiddenError or InvalidError. A create has no `old`, a deletion no `new`."""
        if old is None or new is None:
            return
        before, after = old.get("status") or {}, new.get("status") or {}
        if place.plural != "pods" and before.get("phase") in TERMINAL and after.get("phase") != before["phase"]:
            raise InvalidError(f"{place.name}: the phase of what has ended never changes", status=422)
        if place.plural == "apptasks" and after.get("attempt", 1) < before.get("attempt", 1):
            raise InvalidError("attempt numbers only grow", status=422)
        if place.plural == "appruns":
            kept, entries = server.ledger(old), server.ledger(new)
            if [e["key"] for e in entries[: len(kept)]] != [e["key"] for e in kept]:
                raise InvalidError("the ledger only grows", status=422)


@dataclass
class FakeServer:
    """The state. `clock` tells the time of day. Objects are shared, so nobody changes one in place."""

    clock: Callable[[], float]
    rules: Rules = field(default_factory=Rules)
    collects: bool = True
    """Whether what belongs to a removed object goes at once; else a garbage collector beside the server does that."""
    objects: dict[Place, Object] = field(default_factory=dict)
    version: int = 100
    log: list[tuple[int, str, Place, Object, Object | None]] = field(default_factory=list)
    """All changes: version, event type, place, object, and the object before."""
    oldest: int = 0
    """Versions up to this one are compacted away: watching from there is answered with 410."""
    changed: asyncio.Event = field(default_factory=asyncio.Event)
    writes: list[tuple[str, str, Place]] = field(default_factory=list)
    """Every accepted write: caller, verb, place."""
    observers: list[Callable[[str, Place, Object, Object | None], None]] = field(default_factory=list)
    """Called with each change: event type, place, object, and the object before."""
    mutate: Callable[[Place, Object], Object] = lambda place, item: item
    """What a mutating webhook makes of an object that is created."""

    def compact(self) -> None:
        self.oldest = self.version

    def read(self, place: Place) -> Object:
        item = self.objects.get(place)
        if item is None:
            raise NotFoundError(f"{place.plural} {place.name!r} not found", status=404, reason="NotFound")
        return item

    def list(self, plural: str, namespace: str, labels: Mapping[str, str]) -> list[Object]:
        return [
            item
            for place, item in sorted(self.objects.items(), key=lambda pair: (pair[0].namespace, pair[0].name))
            if place.plural == plural and namespace in ("", place.namespace) and has_labels(item, labels)
        ]

    def list_page(self, plural: str, namespace: str, labels: Mapping[str, str], limit: int, token: str) -> Object:
        """One page; the token says as of which version the list is, and how many objects were given."""
        version, last = (int(part) for part in token.split("-")) if token else (self.version, 0)
        if version < self.oldest:
            raise GoneError("The provided continue parameter is too old", status=410, reason="Expired")
        now = version == self.version
        items = self.list(plural, namespace, labels) if now else self._as_of(version, plural, namespace, labels)
        metadata = {"resourceVersion": str(version)}
        if limit and last + limit < len(items):
            metadata["continue"] = f"{version}-{last + limit}"
        return {"metadata": metadata, "items": items[last : last + limit] if limit else items[last:]}

    def _as_of(self, version: int, plural: str, namespace: str, labels: Mapping[str, str]) -> list[Object]:
        past = {place: item for place, item in self.objects.items() if place.plural == plural}
        for at, event, place, _, before in reversed(self.log):
            if at <= version:
                break
            if place.plural == plural:
                if event == "ADDED":
                    past.pop(place, None)
                elif before is not None:
                    past[place] = before
        ordered = sorted(past.items(), key=lambda pair: (pair[0].namespace, pair[0].name))
        return [i for place, i in ordered if namespace in ("", place.namespace) and has_labels(i, labels)]

    def create(self, caller: str | User, place: Place, body: Object) -> Object:
        user = _user(caller)
        self.rules.authorize(self, user, "create", place, "")
        metadata = {
            **body["metadata"],
            "namespace": place.namespace,
            # Its first digits tell it from others, as those of a real one do.
            "uid": f"{self.version:08x}-0000-4000-8000-000000000000",
            "creationTimestamp": _seconds(self.clock()),
            "generation": 1,
        }
        item = {**body, "metadata": metadata}
        item.pop("status", None)
        item = self.rules.complete(place, self.mutate(place, item))
        self.rules.admit(self, user, place, "", None, item)
        if place in self.objects:
            raise AlreadyExistsError(f"{place.name!r} already exists", status=409, reason="AlreadyExists")
        self.writes.append((str(caller), "create", place))
        return self.put("ADDED", place, item)

    def patch(self, caller: str | User, place: Place, body: Object | Sequence[Object], subresource: str) -> Object:
        user = _user(caller)
        self.rules.authorize(self, user, "patch", place, subresource)
        old = self.read(place)
        new = _json_patched(old, body) if isinstance(body, Sequence) else merged(old, body)
        if new["metadata"].get("resourceVersion", "") not in ("", old["metadata"]["resourceVersion"]):
            raise ConflictError(f"{place.name!r}: the object has been modified", status=409, reason="Conflict")
        # No precondition, and in a write of the status it counts for nothing, as all metadata but the version.
        if not subresource and new["metadata"].get("uid", "") not in ("", old["metadata"]["uid"]):
            raise InvalidError(f"{place.name!r}: metadata.uid: field is immutable", status=422, reason="Invalid")
        item = new if place.plural == "events" else _replaced(old, new, subresource)
        item = self.rules.complete(place, item)
        self.rules.admit(self, user, place, subresource, old, item)
        if item == old:
            return old
        if item.get("spec") != old.get("spec"):
            item["metadata"] = {**item["metadata"], "generation": old["metadata"]["generation"] + 1}
        self.writes.append((str(caller), f"patch{'/' + subresource if subresource else ''}", place))
        ending = "deletionTimestamp" in item["metadata"] and not item["metadata"].get("finalizers")
        if ending and place.plural != "pods":
            self.remove(place)
            return item
        return self.put("MODIFIED", place, item)

    def delete(self, caller: str | User, place: Place, uid: str = "", grace: float | None = None, version: str = "",
               propagation: str = "Background") -> Object:  # fmt: skip
        """Without a `grace` it is the usual one, and of what is being deleted the one that it was given."""
        user = _user(caller)
        self.rules.authorize(self, user, "delete", place, "")
        item = self.read(place)
        for name, wanted in (("uid", uid), ("resourceVersion", version)):
            if wanted and item["metadata"][name] != wanted:
                raise ConflictError(f"the {name} in the precondition is another", status=409, reason="Conflict")
        self.rules.admit(self, user, place, "", item, None)
        self.writes.append((str(caller), "delete", place))
        metadata = item["metadata"]
        if place.plural == "pods":
            if "deletionTimestamp" in metadata:
                if grace is None or grace >= metadata["deletionGracePeriodSeconds"]:
                    return item
            else:
                grace = 0.0 if not _ends_gracefully(item) else GRACE if grace is None else grace
            if grace:
                times = {"deletionTimestamp": _seconds(self.clock() + grace), "deletionGracePeriodSeconds": int(grace)}
                return self.put("MODIFIED", place, {**item, "metadata": {**metadata, **times}})
        waits_for = {"Foreground": "foregroundDeletion", "Orphan": "orphan"}.get(propagation)
        finalizers = [*(metadata.get("finalizers") or []), *([waits_for] if waits_for else [])]
        if finalizers:
            if "deletionTimestamp" in metadata:
                return item
            ending = {"deletionTimestamp": _seconds(self.clock()), "generation": metadata["generation"] + 1}
            metadata = {**metadata, "finalizers": finalizers, **ending}
            return self.put("MODIFIED", place, {**item, "metadata": metadata})
        self.remove(place)
        return item

    def remove(self, place: Place) -> None:
        """Gone for good, and, unless a garbage collector does that, all that it owns with it."""
        item = self.objects.pop(place)
        self.put("DELETED", place, item, item)
        if not self.collects or place.plural not in ("appruns", "apptasks"):
            return
        uid = item["metadata"]["uid"]
        for other, candidate in list(self.objects.items()):
            owners = candidate["metadata"].get("ownerReferences") or []
            if other in self.objects and any(owner["uid"] == uid for owner in owners):
                if other.plural == "pods" and candidate["spec"].get("nodeName"):
                    self.delete("gc", other)
                else:
                    self.remove(other)

    def put(self, event: str, place: Place, item: Object, before: Object | None = None) -> Object:
        """Store a new version and tell the watchers."""
        self.version += 1
        before = before or self.objects.get(place)
        item = {**item, "metadata": {**item["metadata"], "resourceVersion": str(self.version)}}
        if event != "DELETED":
            self.objects[place] = item
        self.log.append((self.version, event, place, item, before))
        for observer in self.observers:
            observer(event, place, item, before)
        self.changed.set()
        self.changed = asyncio.Event()
        return item

    def ledger(self, run: Object) -> list[Object]:
        """All checkpoints of a run, pages first."""
        status, name = run.get("status") or {}, run["metadata"]["name"]
        entries: list[Object] = []
        for number in range(status.get("ledgerPages") or 0):
            page = self.objects[Place("appledgers", run["metadata"]["namespace"], f"{name}-{number}")]
            entries += page["spec"]["checkpoints"]
        return entries + list(status.get("checkpoints") or [])

    def events_since(self, version: int, plural: str, namespace: str, labels: Mapping[str, str],
                     name: str = "") -> list[Object]:  # fmt: skip
        """What a watch has to tell: an object that begins or ceases to match is added or deleted, for it."""
        events: list[Object] = []
        for _, event, place, item, before in self.log[bisect_right(self.log, version, key=lambda entry: entry[0]) :]:
            if place.plural != plural or namespace not in ("", place.namespace) or name not in ("", place.name):
                continue
            matches = has_labels(item, labels)
            matched = before is not None and has_labels(before, labels)
            if event == "DELETED" or not matches:
                if matched:
                    events.append({"type": "DELETED", "object": item})
            else:
                events.append({"type": event if matched else "ADDED", "object": item})
        return events

    def report(self, namespace: str, pod: str, task: str, status: Object) -> Object:
        """A pod writes its AppTask's status. The fence: only the pod of the current attempt, only while it is open."""
        place = Place("apptasks", namespace, task)
        item = self.read(place)
        current = item.get("status") or {}
        if pod != names.pod_name(task, current.get("attempt", 1), item["metadata"]["ownerReferences"][0]["uid"]):
            raise ForbiddenError("apprun: not the current attempt", status=403)
        if current.get("phase") in TERMINAL:
            raise ForbiddenError("apprun: already finished", status=403)
        # Field by field: a merge would drop the nulls inside an output.
        fields = [{"op": "add", "path": f"/status/{name}", "value": value} for name, value in status.items()]
        return self.patch(pod, place, [field for field in fields if field["value"] is not None], "status")


def _user(caller: str | User) -> User:
    return caller if isinstance(caller, User) else User(caller)


def _ends_gracefully(pod: Object) -> bool:
    """A pod that a kubelet has to end first. One without a node, or whose containers have ended, goes at once."""
    return bool(pod["spec"].get("nodeName")) and (pod.get("status") or {}).get("phase") not in ("Succeeded", "Failed")


def _replaced(old: Object, new: Object, subresource: str) -> Object:
    """What a write may change: the status through its subresource, else everything but the status."""
    if subresource:
        item = {name: value for name, value in old.items() if name != "status"}
        return item if new.get("status") is None else {**item, "status": new["status"]}
    metadata = {name: old["metadata"][name] for name in SERVERS_OWN if name in old["metadata"]}
    chosen = {name: value for name, value in new["metadata"].items() if name not in SERVERS_OWN and value}
    item = {**new, "metadata": {**chosen, **metadata}}
    item.pop("status", None)
    return {**item, "status": old["status"]} if "status" in old else item


Fault = Callable[[str, str], Awaitable[None]]
"""Called as (moment, call) with the moments `before` and `after`, in a watch `event` and `watching` around each batch;
may raise an ApiError, or never return."""


async def no_fault(moment: str, call: str) -> None:
    return None


class FakeApi:
    """One caller's connection."""

    def __init__(self, server: FakeServer, caller: str | User, fault: Fault = no_fault) -> None:
        self._server = server
        self._caller = caller
        self._fault = fault

    async def get(self, path: str, query: Mapping[str, str] | None = None) -> Object:
        place, _ = parse_path(path)
        await self._fault("before", f"GET {path}")
        self._server.rules.authorize(self._server, _user(self._caller), "get" if place.name else "list", place, "")
        if place.name:
            answer = self._server.read(place)
        else:
            query = query or {}
            answer = self._server.list_page(
                place.plural, place.namespace, _selector(query), int(query.get("limit", "0")), query.get("continue", "")
            )
        await self._fault("after", f"GET {path}")
        return answer

    async def page(self, path: str, query: Mapping[str, str]) -> Page:
        return Page(json.dumps(await self.get(path, query)).encode())

    async def create(self, path: str, body: Object) -> Object:
        place, _ = parse_path(path)
        place = Place(place.plural, place.namespace, body["metadata"]["name"])
        await self._fault("before", f"CREATE {place.plural} {place.name}")
        answer = self._server.create(self._caller, place, body)
        await self._fault("after", f"CREATE {place.plural} {place.name}")
        return answer

    async def patch(self, path: str, body: Object | list[Object], content_type: str = "") -> Object:
        place, subresource = parse_path(path)
        await self._fault("before", f"PATCH {place.plural} {place.name}")
        answer = self._server.patch(self._caller, place, body, subresource)
        await self._fault("after", f"PATCH {place.plural} {place.name}")
        return answer

    async def delete(self, path: str, options: Object) -> Object:
        place, _ = parse_path(path)
        await self._fault("before", f"DELETE {place.plural} {place.name}")
        wanted = options.get("preconditions", {})
        answer = self._server.delete(
            self._caller, place, wanted.get("uid", ""), options.get("gracePeriodSeconds"),
            wanted.get("resourceVersion", ""), options.get("propagationPolicy", "Background"),
        )  # fmt: skip
        await self._fault("after", f"DELETE {place.plural} {place.name}")
        if place.plural == "pods":
            return {"kind": "Pod", **answer}
        return answer if place in self._server.objects else {"kind": "Status", "status": "Success"}

    async def watch(self, path: str, query: Mapping[str, str]) -> AsyncIterator[Sequence[Object]]:
        place, _ = parse_path(path)
        server, labels = self._server, _selector(query)
        name = query.get("fieldSelector", "").removeprefix("metadata.name=")
        version = int(query["resourceVersion"])
        await self._fault("before", f"WATCH {path}")
        server.rules.authorize(server, _user(self._caller), "watch", place, "")
        if version < server.oldest:
            yield [{"type": "ERROR", "object": {"kind": "Status", "code": 410, "reason": "Expired"}}]
            return
        loop = VirtualLoop.current or asyncio.get_running_loop()
        ends = loop.time() + float(query.get("timeoutSeconds", "300"))
        bookmark_at = loop.time() + BOOKMARK_SECONDS
        while loop.time() < ends:
            batch = server.events_since(version, place.plural, place.namespace, labels, name)
            version = server.version
            if batch:
                await self._fault("event", f"WATCH {path}")
                yield batch
                await self._fault("watching", f"WATCH {path}")
            if server.version > version:
                continue
            try:
                # Not wait_for: in Python 3.11 it swallows a cancellation that comes together with the event.
                async with asyncio.timeout(min(bookmark_at, ends) - loop.time()):
                    await server.changed.wait()
            except TimeoutError:
                # Whatever happens to other kinds meanwhile: a real server's bookmarks keep their time.
                bookmark_at = loop.time() + BOOKMARK_SECONDS
                yield [{"type": "BOOKMARK", "object": {"metadata": {"resourceVersion": str(version)}}}]


def parse_path(path: str) -> tuple[Place, str]:
    """The place that a path names, and the subresource."""
    parts = path.strip("/").split("/")
    parts = parts[2:] if parts[0] == "api" else parts[3:]
    namespace = ""
    if parts[0] == "namespaces":
        namespace, parts = parts[1], parts[2:]
    plural, name, subresource = [*parts, "", ""][:3]
    return Place(plural, namespace, name), subresource


def merged(old: Any, patch: Any) -> Any:
    """RFC 7386, nulls included: they remove, at any depth; in lists too, as the API server has it."""
    if isinstance(patch, list):
        return [merged(None, inner) for inner in patch]
    if not isinstance(patch, dict):
        return patch
    result = dict(old) if isinstance(old, dict) else {}
    for name, value in patch.items():
        if value is None:
            result.pop(name, None)
        else:
            result[name] = merged(result.get(name), value)
    return result


def has_labels(item: Object, labels: Mapping[str, str]) -> bool:
    own = item["metadata"].get("labels") or {}
    return all(own.get(name) == value for name, value in labels.items())


def raised(error: ApiError) -> Fault:
    """A fault hook that raises before every call."""

    async def fault(moment: str, call: str) -> None:
        if moment == "before":
            raise error

    return fault


def gone() -> ApiError:
    return GoneError("too old", status=410, reason="Expired")


def _selector(query: Mapping[str, str]) -> dict[str, str]:
    text = query.get("labelSelector", "")
    return dict(part.split("=", 1) for part in text.split(",") if part)


def _json_patched(old: Object, operations: Sequence[Object]) -> Object:
    item = copy.deepcopy(old)
    for operation in operations:
        *way, last = operation["path"].strip("/").split("/")
        target = item
        for step in way:
            if step not in target:
                raise InvalidError(f"{operation['path']}: nothing there", status=422, reason="Invalid")
            target = target[step]
        if last == "-":
            target.append(operation["value"])
        elif operation["op"] == "remove":
            if last not in target:
                raise InvalidError(f"{operation['path']}: nothing there", status=422, reason="Invalid")
            del target[last]
        else:
            target[last] = operation["value"]
    return item


def _seconds(moment: float) -> str:
    """As Kubernetes writes times: cut to whole seconds."""
    return rfc3339(float(int(moment)))[:19] + "Z"
