"""The API paths of the kinds that the operator reads or writes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final
from urllib.parse import quote

from application_sdk.wire import names


@dataclass(frozen=True, slots=True)
class Resource:
    """One kind: `root` is `/api/v1` or `/apis/<group>/<version>`."""

    root: str
    plural: str

    def path(self, namespace: str = "", name: str = "", subresource: str = "") -> str:
        """Path of the collection, an object or its subresource; across all namespaces if none is
        given.

        Names also come from other objects, so they are quoted: none may lead to another path.
        """
        parts = ["namespaces", namespace] if namespace else []
        parts += [part for part in (self.plural, name, subresource) if part]
        return "/".join([self.root, *(quote(part, safe="") for part in parts)])


APPRUN_ROOT: Final = f"/apis/{names.API_VERSION}"
APPS: Final = Resource(APPRUN_ROOT, names.APPS)
APP_RUNS: Final = Resource(APPRUN_ROOT, names.APP_RUNS)
APP_TASKS: Final = Resource(APPRUN_ROOT, names.APP_TASKS)
APP_LEDGERS: Final = Resource(APPRUN_ROOT, names.APP_LEDGERS)
APP_STATES: Final = Resource(APPRUN_ROOT, names.APP_STATES)
APP_WORKERS: Final = Resource(APPRUN_ROOT, names.APP_WORKERS)
PODS: Final = Resource("/api/v1", "pods")
SERVICE_ACCOUNTS: Final = Resource("/api/v1", "serviceaccounts")
ROLES: Final = Resource("/apis/rbac.authorization.k8s.io/v1", "roles")
ROLE_BINDINGS: Final = Resource("/apis/rbac.authorization.k8s.io/v1", "rolebindings")
CLUSTER_ROLE_BINDINGS: Final = Resource("/apis/rbac.authorization.k8s.io/v1", "clusterrolebindings")
CRDS: Final = Resource("/apis/apiextensions.k8s.io/v1", "customresourcedefinitions")
EVENTS: Final = Resource("/apis/events.k8s.io/v1", "events")
LEASES: Final = Resource("/apis/coordination.k8s.io/v1", "leases")
DEPLOYMENTS: Final = Resource("/apis/apps/v1", "deployments")
SERVICES: Final = Resource("/api/v1", "services")
