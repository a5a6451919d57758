"""An API server in memory: resourceVersions, conflicts, preconditions, watches, graceful deletion, garbage collection.

It implements `apprun_operator.kube.client.Api` through `FakeApi`, one per caller, whose `fault` hook may raise, hang or
break a watch at any call. It stands in for the API server only: kubelet and pods are in `tests.support.world`.
"""

from __future__ import annotations

import asyncio
import copy
from bisect import bisect_right
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from apprun_operator.kube.errors import (
    AlreadyExistsError,
    ApiError,
    ConflictError,
    ForbiddenError,
    GoneError,
    InvalidError,
    NotFoundError,
)
from apprun_operator.observe.times import parse, rfc3339

# Objects of many kinds, as JSON.
Object = dict[str, Any]

TERMINAL = ("Succeeded", "Failed", "Cancelled")
DEFAULT_STATUS: Mapping[str, Object] = {
    "appruns": {"observedGeneration": -1},
    "apptasks": {"phase": "Active"},
    "pods": {"phase": "Pending"},
}
BOOKMARK_SECONDS = 50.0


@dataclass(frozen=True)
class Place:
    """Where an object lives: plural, namespace, name."""

    plural: str
    namespace: str
    name: str


@dataclass
class FakeServer:
    """The state, and the rules. `clock` tells the time of day. Objects are shared, so nobody changes one in place."""

    clock: Callable[[], float]
    objects: dict[Place, Object] = field(default_factory=dict)
    version: int = 100
    log: list[tuple[int, str, Place, Object]] = field(default_factory=list)
    """All changes: version, event type, place, object."""
    oldest: int = 0
    """Versions up to this one are compacted away: watching from there is answered with 410."""
    changed: asyncio.Event = field(default_factory=asyncio.Event)
    writes: list[tuple[str, str, Place]] = field(default_factory=list)
    """Every accepted write: caller, verb, place."""

    def compact(self) -> None:
        self.oldest = self.version

    def read(self, place: Place) -> Object:
        found = self.objects.get(place)
        if found is None:
            raise NotFoundError(f"{place.plural} {place.name!r} not found", status=404, reason="NotFound")
        return found

    def list(self, plural: str, namespace: str, labels: Mapping[str, str]) -> list[Object]:
        return [
            item
            for place, item in sorted(self.objects.items(), key=lambda pair: (pair[0].namespace, pair[0].name))
            if place.plural == plural and namespace in ("", place.namespace) and has_labels(item, labels)
        ]

    def create(self, caller: str, place: Place, body: Object) -> Object:
        if place in self.objects:
            raise AlreadyExistsError(f"{place.name!r} already exists", status=409, reason="AlreadyExists")
        metadata = {
            **body["metadata"],
            "namespace": place.namespace,
            "uid": f"uid-{self.version}",
            "creationTimestamp": _seconds(self.clock()),
            "generation": 1,
        }
        item = {**body, "metadata": metadata}
        item.pop("status", None)
        if place.plural in DEFAULT_STATUS:
            item["status"] = DEFAULT_STATUS[place.plural]
        self.writes.append((caller, "create", place))
        return self.put("ADDED", place, item)

    def patch(self, caller: str, place: Place, body: Object | Sequence[Object], subresource: str) -> Object:
        old = self.read(place)
        new = _json_patched(old, body) if isinstance(body, Sequence) else merged(old, body)
        for name in ("uid", "resourceVersion"):
            if new["metadata"][name] != old["metadata"][name]:
                message = f"{place.name!r}: the object has been modified ({name})"
                raise ConflictError(message, status=409, reason="Conflict")
        changed = "status" if subresource else "spec"
        item = new if place.plural == "events" else {**old, changed: new.get(changed)}
        if item == old:
            return old
        self._admit(place, old, item)
        if changed == "spec":
            item["metadata"] = {**old["metadata"], "generation": old["metadata"]["generation"] + 1}
        self.writes.append((caller, f"patch{'/' + subresource if subresource else ''}", place))
        return self.put("MODIFIED", place, item)

    def delete(self, caller: str, place: Place, uid: str = "", grace: float = 30.0) -> Object:
        item = self.read(place)
        if uid and item["metadata"]["uid"] != uid:
            raise ConflictError("the UID in the precondition is another", status=409, reason="Conflict")
        self.writes.append((caller, "delete", place))
        if place.plural == "pods" and item["spec"].get("nodeName") and "deletionTimestamp" not in item["metadata"]:
            metadata = {**item["metadata"], "deletionTimestamp": _seconds(self.clock() + grace)}
            return self.put("MODIFIED", place, {**item, "metadata": metadata})
        if place.plural == "pods" and item["spec"].get("nodeName"):
            return item
        self.remove(place)
        return item

    def remove(self, place: Place) -> None:
        """Gone for good, and all that it owns with it."""
        item = self.objects.pop(place)
        self.put("DELETED", place, item)
        if place.plural not in ("appruns", "apptasks"):
            return
        uid = item["metadata"]["uid"]
        for other, candidate in list(self.objects.items()):
            owners = candidate["metadata"].get("ownerReferences") or []
            if other in self.objects and any(owner["uid"] == uid for owner in owners):
                if other.plural == "pods" and candidate["spec"].get("nodeName"):
                    self.delete("gc", other)
                else:
                    self.remove(other)

    def put(self, event: str, place: Place, item: Object) -> Object:
        """Store a new version and tell the watchers."""
        self.version += 1
        item = {**item, "metadata": {**item["metadata"], "resourceVersion": str(self.version)}}
        if event != "DELETED":
            self.objects[place] = item
        self.log.append((self.version, event, place, item))
        self.changed.set()
        self.changed = asyncio.Event()
        return item

    def _admit(self, place: Place, old: Object, new: Object) -> None:
        """The rules of the CRDs' schemas that the operator must never break."""
        before, after = old.get("status") or {}, new.get("status") or {}
        if place.plural != "pods" and before.get("phase") in TERMINAL and after.get("phase") != before["phase"]:
            raise InvalidError(f"{place.name}: the phase of what has ended never changes", status=422)
        if place.plural == "apptasks" and after.get("attempt", 1) < before.get("attempt", 1):
            raise InvalidError("attempt numbers only grow", status=422)
        if place.plural == "appruns":
            kept, entries = self.ledger(old), self.ledger(new)
            if [e["key"] for e in entries[: len(kept)]] != [e["key"] for e in kept]:
                raise InvalidError("the ledger only grows", status=422)

    def ledger(self, run: Object) -> list[Object]:
        """All checkpoints of a run, pages first."""
        status, name = run.get("status") or {}, run["metadata"]["name"]
        entries: list[Object] = []
        for number in range(status.get("ledgerPages") or 0):
            page = self.objects[Place("appledgers", run["metadata"]["namespace"], f"{name}-{number}")]
            entries += page["spec"]["checkpoints"]
        return entries + list(status.get("checkpoints") or [])

    def report(self, namespace: str, pod: str, task: str, status: Object) -> Object:
        """A pod writes its AppTask's status. The fence: only the pod of the current attempt, only while it is open."""
        place = Place("apptasks", namespace, task)
        item = self.read(place)
        current = item.get("status") or {}
        if pod != f"{task}-{current.get('attempt', 1)}":
            raise ForbiddenError("apprun: not the current attempt", status=403)
        if current.get("phase") in TERMINAL:
            raise ForbiddenError("apprun: already finished", status=403)
        # Field by field: a merge would drop the nulls inside an output.
        fields = [{"op": "add", "path": f"/status/{name}", "value": value} for name, value in status.items()]
        return self.patch(pod, place, [field for field in fields if field["value"] is not None], "status")


Fault = Callable[[str, str], Awaitable[None]]
"""Called as (moment, call) with the moments `before` and `after`; may raise an ApiError, or never return."""


async def no_fault(moment: str, call: str) -> None:
    return None


class FakeApi:
    """One caller's connection."""

    def __init__(self, server: FakeServer, caller: str, fault: Fault = no_fault) -> None:
        self._server = server
        self._caller = caller
        self._fault = fault

    async def get(self, path: str, query: Mapping[str, str] | None = None) -> Object:
        place, _ = parse_path(path)
        await self._fault("before", f"GET {path}")
        if place.name:
            answer = self._server.read(place)
        else:
            items = self._server.list(place.plural, place.namespace, _selector(query or {}))
            answer = {"metadata": {"resourceVersion": str(self._server.version)}, "items": items}
        await self._fault("after", f"GET {path}")
        return answer

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
        answer = self._server.delete(self._caller, place, options.get("preconditions", {}).get("uid", ""))
        await self._fault("after", f"DELETE {place.plural} {place.name}")
        return {"kind": "Pod", **answer} if place.plural == "pods" else answer

    async def watch(self, path: str, query: Mapping[str, str]) -> AsyncIterator[Sequence[Object]]:
        place, _ = parse_path(path)
        server, labels = self._server, _selector(query)
        version = int(query["resourceVersion"])
        await self._fault("before", f"WATCH {path}")
        if version < server.oldest:
            yield [{"type": "ERROR", "object": {"kind": "Status", "code": 410, "reason": "Expired"}}]
            return
        ends = asyncio.get_running_loop().time() + float(query.get("timeoutSeconds", "300"))
        while asyncio.get_running_loop().time() < ends:
            news = server.log[bisect_right(server.log, version, key=lambda entry: entry[0]) :]
            batch = [
                {"type": event, "object": item}
                for _, event, at, item in news
                if at.plural == place.plural and place.namespace in ("", at.namespace) and has_labels(item, labels)
            ]
            if news:
                version = news[-1][0]
            if batch:
                yield batch
                await self._fault("watching", f"WATCH {path}")
            if server.log and server.log[-1][0] > version:
                continue
            try:
                # Not wait_for: in Python 3.11 it swallows a cancellation that comes together with the event.
                async with asyncio.timeout(BOOKMARK_SECONDS):
                    await server.changed.wait()
            except TimeoutError:
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
    """RFC 7386, nulls included: they remove, at any depth."""
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


def ended(moment: str) -> float:
    """Seconds since the epoch of a timestamp in an object."""
    return parse(moment)


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
                raise InvalidError(f"{operation['path']}: nothing there", status=422)
            target = target[step]
        if operation["op"] == "remove":
            if last not in target:
                raise InvalidError(f"{operation['path']}: nothing there", status=422)
            del target[last]
        else:
            target[last] = operation["value"]
    return item


def _seconds(moment: float) -> str:
    """As Kubernetes writes times: cut to whole seconds."""
    return rfc3339(float(int(moment)))[:19] + "Z"
