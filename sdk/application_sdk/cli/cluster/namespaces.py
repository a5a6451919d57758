"""One namespace of a cluster as backups see it: objects by kind and name, and the few writes of an import."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Protocol

from application_sdk.cli.cluster.api import CORE, Api, Object

CONFIG_MAPS: Final = "configmaps"


class Namespace(Protocol):
    """What is read from and written to a namespace. Objects are named by the plural of their kind."""

    @property
    def name(self) -> str: ...
    def find(self, plural: str, name: str) -> Object | None: ...
    def listed(self, plural: str, selector: str = "") -> list[Object]: ...
    def create(self, plural: str, body: Object) -> Object: ...
    def annotate(self, plural: str, name: str, annotations: Mapping[str, str]) -> Object: ...
    def write_status(self, plural: str, name: str, status: Object) -> Object: ...


@dataclass(frozen=True, slots=True)
class ClusterNamespace:
    """One of a real cluster, in the person's name."""

    api: Api

    @property
    def name(self) -> str:
        return self.api.access.namespace

    def find(self, plural: str, name: str) -> Object | None:
        return self.api.find(self._path(plural, name))

    def listed(self, plural: str, selector: str = "") -> list[Object]:
        return self.api.items(self._path(plural), selector)

    def create(self, plural: str, body: Object) -> Object:
        return self.api.create(self._path(plural), body)

    def annotate(self, plural: str, name: str, annotations: Mapping[str, str]) -> Object:
        return self.api.merge(self._path(plural, name), {"metadata": {"annotations": dict(annotations)}})

    def write_status(self, plural: str, name: str, status: Object) -> Object:
        return self.api.write_status(self._path(plural, name), status)

    def _path(self, plural: str, name: str = "") -> str:
        return self.api.path(plural, name, group=CORE) if plural == CONFIG_MAPS else self.api.path(plural, name)
