"""Namespaces of simulated clusters as `apprun export --full` and `apprun import` see them."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from tests.support.fake_api import FakeServer, Object, Place, User
from tests.support.sim.access import PERSON
from tests.support.sim.cluster import NAMESPACE

from application_sdk.cli.cluster.backup_document import Backup
from application_sdk.cli.cluster.save_backup import save


class Gone(Exception):
    """Whoever imports is gone."""


@dataclass
class Into:
    """A namespace that is written to. With `writes` the one who does goes away at that write, done or not."""

    server: FakeServer
    user: User = PERSON
    writes: int | None = None
    done: bool = False
    """Whether the last write still reaches the server."""

    @property
    def name(self) -> str:
        return NAMESPACE

    def find(self, plural: str, name: str) -> Object | None:
        return self.server.objects.get(Place(plural, NAMESPACE, name))

    def listed(self, plural: str, selector: str = "") -> list[Object]:
        return self.server.list(plural, NAMESPACE, _labels(selector))

    def create(self, plural: str, body: Object) -> Object:
        return self._write(
            lambda: self.server.create(self.user, Place(plural, NAMESPACE, body["metadata"]["name"]), body)
        )

    def annotate(self, plural: str, name: str, annotations: Mapping[str, str]) -> Object:
        change = {"metadata": {"annotations": dict(annotations)}}
        return self._write(lambda: self.server.patch(self.user, Place(plural, NAMESPACE, name), change, ""))

    def write_status(self, plural: str, name: str, status: Object) -> Object:
        change = [{"op": "add", "path": "/status", "value": status}]
        return self._write(lambda: self.server.patch(self.user, Place(plural, NAMESPACE, name), change, "status"))

    def _write(self, write: Callable[[], Object]) -> Object:
        if self.writes is not None:
            self.writes -= 1
            if self.writes < 0:
                if self.done:
                    write()
                raise Gone
        return write()


@dataclass
class Past(Into):
    """A namespace as it was from a version on; each read is of a somewhat later one, as reads of a real one are."""

    version: int = 0
    chance: random.Random = field(default_factory=random.Random)

    def find(self, plural: str, name: str) -> Object | None:
        matches = [item for item in self.listed(plural) if item["metadata"]["name"] == name]
        return matches[0] if matches else None

    def listed(self, plural: str, selector: str = "") -> list[Object]:
        self.version = min(self.version + self.chance.choice([0, 1, 3, 10, 40]), self.server.version)
        return self.server._as_of(self.version, plural, NAMESPACE, _labels(selector))


def backup_of(server: FakeServer, version: int | None = None, seed: int = 0) -> Backup:
    """A full backup that was begun at that version of the server, and went on while the runs did."""
    source = Past(server, version=server.version if version is None else version, chance=random.Random(seed))
    return save(source, (), lambda text: None)


def _labels(selector: str) -> Mapping[str, str]:
    return dict([selector.split("=", 1)]) if "=" in selector else {}
