"""The cluster's garbage collector: what follows from owners and finalizers. `Nodes` gives each step its time.

The conformance test of the cluster holds it to the real one.
"""

from __future__ import annotations

from contextlib import suppress

from tests.support.fake_api import FakeServer, Object, Place
from tests.support.sim.access import GARBAGE_COLLECTOR

from apprun_operator.kube.errors import ApiError

ORPHAN = "orphan"
FOREGROUND = "foregroundDeletion"


class Collector:
    """Of one server."""

    def __init__(self, server: FakeServer) -> None:
        self._server = server

    def collect(self, uid: str) -> None:
        """What is left of an owner that is gone, goes."""
        for place, item in self._dependents(uid):
            self._delete(place, item["metadata"]["uid"])

    def collect_if_left(self, place: Place, uid: str) -> None:
        """So does what was made after its owner had gone."""
        item = self._server.objects.get(place)
        if item is None or item["metadata"]["uid"] != uid:
            return
        alive = {other["metadata"]["uid"] for other in self._server.objects.values()}
        owners = _owners(item)
        if owners and not any(owner["uid"] in alive for owner in owners):
            self._delete(place, uid)

    def finalize(self, place: Place, uid: str) -> None:
        """Deletion in the foreground takes what belongs to it first, at least it tries, since ours block nothing;
        orphaning cuts the ties."""
        item = self._server.objects.get(place)
        if item is None or item["metadata"]["uid"] != uid:
            return
        finalizers = item["metadata"].get("finalizers") or []
        if ORPHAN in finalizers:
            for other, dependent in self._dependents(uid):
                owners = [owner for owner in _owners(dependent) if owner["uid"] != uid]
                self._patch(other, {"metadata": {"ownerReferences": owners or None}})
        elif FOREGROUND in finalizers:
            self.collect(uid)
        if remaining := [name for name in finalizers if name not in (ORPHAN, FOREGROUND)]:
            self._patch(place, {"metadata": {"finalizers": remaining}})
        elif finalizers:
            self._patch(place, {"metadata": {"finalizers": None}})

    def settle(self) -> None:
        """All that there is to do, at once."""
        version = -1
        while version != self._server.version:
            version = self._server.version
            for place, item in list(self._server.objects.items()):
                if "deletionTimestamp" in item["metadata"]:
                    self.finalize(place, item["metadata"]["uid"])
                self.collect_if_left(place, item["metadata"]["uid"])

    def _dependents(self, uid: str) -> list[tuple[Place, Object]]:
        objects = list(self._server.objects.items())
        return [(place, item) for place, item in objects if any(owner["uid"] == uid for owner in _owners(item))]

    def _delete(self, place: Place, uid: str) -> None:
        with suppress(ApiError):
            self._server.delete(GARBAGE_COLLECTOR, place, uid)

    def _patch(self, place: Place, body: Object) -> None:
        with suppress(ApiError):
            self._server.patch(GARBAGE_COLLECTOR, place, body, "")


def _owners(item: Object) -> list[Object]:
    return item["metadata"].get("ownerReferences") or []
