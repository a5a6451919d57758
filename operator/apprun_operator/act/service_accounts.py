"""Creates the service accounts and bindings that pods need, in each namespace with a run or a
served App.

They are owned by the CustomResourceDefinition of AppRun: pods may need them for as long as there
can be runs, and the garbage collector takes them when it is deleted. An operator that serves a list
of namespaces creates none: there the chart installs them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final, cast

from application_sdk.wire import names
from application_sdk.wire.digest import JSON, JSONObject
from apprun_operator.kube import resources
from apprun_operator.kube.client import KubeApi
from apprun_operator.kube.errors import AlreadyExistsError, ForbiddenError, NotFoundError
from apprun_operator.kube.resources import Resource

RBAC: Final = "rbac.authorization.k8s.io"
CACHED: Final = {"resourceVersion": "0"}
"""Read from the API server's cache, not from etcd. An object that was deleted a moment ago may
still be in it."""
RUNS_CRD: Final = f"{names.APP_RUNS}.{names.GROUP}"


class ServiceAccounts:
    """Creates the accounts and bindings of a namespace.

    `driver_role`, `task_role`, `handler_role` and `review_role` name the ClusterRoles that the
    chart installed. With `preinstalled` nothing is ever created.
    """

    def __init__(
        self,
        api: KubeApi,
        driver_role: str,
        task_role: str,
        handler_role: str = names.HANDLER_SERVICE_ACCOUNT,
        review_role: str = names.TOKEN_REVIEW_ROLE,
        *,
        preinstalled: bool = False,
    ) -> None:
        self.preinstalled = preinstalled
        """Whether the chart, or a person, installs them instead."""
        self._api = api
        self._for_runs = {names.DRIVER_SERVICE_ACCOUNT: driver_role, names.TASK_SERVICE_ACCOUNT: task_role}
        self._review_role = review_role
        self._for_handlers = {names.HANDLER_SERVICE_ACCOUNT: handler_role}

    async def ensure(self, namespace: str) -> None:
        """Create what runs need and the namespace lacks.

        An existing object is never changed: a person's own accounts and bindings win.
        """
        await self._ensure(namespace, self._for_runs)

    async def ensure_missing(self, namespace: str) -> None:
        """Like `ensure`, for where nothing is missing most of the time: reads each object, and
        creates only what is missing. Without the right to read it creates each, as `ensure` does.
        """
        if self.preinstalled:
            return
        for account, role in self._for_runs.items():
            for resource, body in account_objects(namespace, account, role, []):
                try:
                    await self._api.get(resource.path(namespace, account), CACHED)
                except NotFoundError:
                    await self._create(resource, namespace, with_owners(body, await self._owners()))
                except ForbiddenError:
                    await self.ensure(namespace)
                    return

    async def ensure_handler(self, namespace: str) -> None:
        """Create what handlers need and the namespace lacks, the right to create TokenReviews
        included."""
        await self._ensure(namespace, self._for_handlers)
        if not self.preinstalled:
            binding = review_binding(namespace, self._review_role, await self._owners())
            await self._create(resources.CLUSTER_ROLE_BINDINGS, "", binding)

    async def _ensure(self, namespace: str, roles: Mapping[str, str]) -> None:
        if self.preinstalled:
            return
        owners = await self._owners()
        for account, role in roles.items():
            for resource, body in account_objects(namespace, account, role, owners):
                await self._create(resource, namespace, body)

    async def _create(self, resource: Resource, namespace: str, body: JSONObject) -> None:
        try:
            await self._api.create(resource.path(namespace), body)
        except AlreadyExistsError:
            pass

    async def _owners(self) -> list[JSON]:
        try:
            crd = await self._api.get(resources.CRDS.path(name=RUNS_CRD))
        except NotFoundError:
            return []  # there can be no runs any more: this one existed a moment ago
        uid = cast("JSONObject", crd["metadata"])["uid"]
        kind = "CustomResourceDefinition"
        return [{"apiVersion": "apiextensions.k8s.io/v1", "kind": kind, "name": RUNS_CRD, "uid": uid}]


def account_objects(
    namespace: str, account: str, role: str, owners: list[JSON]
) -> Iterable[tuple[Resource, JSONObject]]:
    """The account and its binding, with the resource of each."""
    metadata: JSONObject = {
        "name": account,
        "namespace": namespace,
        "labels": {names.MANAGED_BY_LABEL: names.MANAGED_BY},
        **({"ownerReferences": owners} if owners else {}),
    }
    yield (
        resources.SERVICE_ACCOUNTS,
        {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": metadata, "automountServiceAccountToken": False},
    )
    subject: JSONObject = {"kind": "ServiceAccount", "name": account, "namespace": namespace}
    if account == names.TASK_SERVICE_ACCOUNT:
        # A task may choose any account of the namespace, and has to report its result with it.
        subject = {"kind": "Group", "apiGroup": RBAC, "name": f"system:serviceaccounts:{namespace}"}
    yield (
        resources.ROLE_BINDINGS,
        {
            "apiVersion": f"{RBAC}/v1",
            "kind": "RoleBinding",
            "metadata": metadata,
            "roleRef": {"apiGroup": RBAC, "kind": "ClusterRole", "name": role},
            "subjects": [subject],
        },
    )


def with_owners(body: JSONObject, owners: list[JSON]) -> JSONObject:
    """The object with these ownerReferences."""
    metadata = cast("JSONObject", body["metadata"])
    return {**body, "metadata": {**metadata, "ownerReferences": owners}} if owners else body


def review_binding(namespace: str, role: str, owners: list[JSON]) -> JSONObject:
    """The binding that lets the handlers' account of one namespace create TokenReviews.

    There is one object for each namespace: a list of subjects in a single object would have many
    writers.
    """
    # guard: review-binding - only the handlers' own account may create TokenReviews
    return {
        "apiVersion": f"{RBAC}/v1",
        "kind": "ClusterRoleBinding",
        "metadata": {
            "name": f"{role}-{namespace}",
            "labels": {names.MANAGED_BY_LABEL: names.MANAGED_BY},
            **({"ownerReferences": owners} if owners else {}),
        },
        "roleRef": {"apiGroup": RBAC, "kind": "ClusterRole", "name": role},
        "subjects": [{"kind": "ServiceAccount", "name": names.HANDLER_SERVICE_ACCOUNT, "namespace": namespace}],
    }
