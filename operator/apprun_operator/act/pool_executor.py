"""Carries out the actions of `plan.pool.reconcile`, and updates the cache with each answer."""

from __future__ import annotations

from typing import Final, cast

from application_sdk.wire import names
from application_sdk.wire.digest import JSON, JSONObject
from apprun_operator.act.executor import Executor, ReplanError
from apprun_operator.act.patches import status_patch
from apprun_operator.act.pod_rejections import classify_rejection
from apprun_operator.kube import resources
from apprun_operator.kube.client import JSON_PATCH, KubeApi
from apprun_operator.kube.errors import (
    AlreadyExistsError,
    ConflictError,
    ForbiddenError,
    NotFoundError,
    UnavailableError,
)
from apprun_operator.observe.apps import AppRecord
from apprun_operator.observe.cache import Cache
from apprun_operator.observe.records import Key
from apprun_operator.plan.actions import CreatePod, DeletePod
from apprun_operator.plan.metadata import owner_reference
from apprun_operator.plan.pool.actions import (
    CreateWorker,
    DeleteWorker,
    EnsurePool,
    PatchCall,
    PoolAction,
    WriteInbox,
)

RBAC: Final = "rbac.authorization.k8s.io"


class PoolExecutor:
    """Executes a pool's actions, those about AppTasks and pods through `executor`."""

    def __init__(self, api: KubeApi, cache: Cache, executor: Executor) -> None:
        self._api = api
        self._cache = cache
        self._executor = executor

    async def ensure(self, action: EnsurePool) -> None:
        """Create the account of the pool's pods, and the role and binding that let it read their
        inboxes.

        A crash between two of them leaves some. The next life of the operator knows none to be
        ready, and creates all again.

        Raises:
            ReplanError: The API server has refused one of them. The pool's first pod counts as
                refused then, so that calls say why they wait.
        """
        try:
            for resource, body in _objects(action):
                await self._create(resource, action.pool.namespace, body)
        except ForbiddenError as error:
            _, words = classify_rejection(error)
            first = names.slot_name(action.shape.pool, 0)
            message = f"the operator may not create the account of the App's warm pods; is its role complete? {words}"
            self._cache.record_rejection(action.pool, first, "NotAllowed", message)
            raise ReplanError(message) from error
        self._cache.pools.ready[action.pool] = action.places

    async def publish(self, app: AppRecord, pools: list[JSON]) -> None:
        """Write the pools of an App into its status.

        Raises:
            ReplanError: The App has changed or is gone. The next pass decides again.
        """
        path = resources.APPS.path(app.meta.key.namespace, app.meta.key.name, "status")
        try:
            answer = await self._api.patch(path, status_patch(app.meta.version, {"pools": pools}), JSON_PATCH)
        except (ConflictError, NotFoundError) as error:
            raise ReplanError(str(error)) from error
        self._executor.update_cache("apps", answer)

    async def execute(self, pool: Key, action: PoolAction) -> None:
        """Carry out one action. Raises ReplanError, or the ApiError that prevented it."""
        if isinstance(action, PatchCall):
            await self._executor.execute(action.run, action.patch)
        elif isinstance(action, CreatePod | DeletePod):
            await self._executor.execute(pool, action)
        elif isinstance(action, CreateWorker):
            await self._create_worker(action)
        elif isinstance(action, WriteInbox):
            await self._write_inbox(action)
        else:
            await self._delete_worker(action)

    async def _create(self, resource: resources.Resource, namespace: str, body: JSONObject) -> None:
        try:
            await self._api.create(resource.path(namespace), body)
        except AlreadyExistsError:
            if resource is not resources.ROLES:
                return
            # A pool that may have more pods than before has more inboxes, so the role needs their
            # names.
            name = str(cast("JSONObject", body["metadata"])["name"])
            await self._api.patch(resource.path(namespace, name), {"rules": body["rules"]})

    async def _create_worker(self, action: CreateWorker) -> None:
        key = action.worker
        try:
            answer = await self._api.create(resources.APP_WORKERS.path(key.namespace), action.body)
        except AlreadyExistsError as error:
            answer = await self._read(key)
            # The inbox of an earlier App of that name is garbage collected with it.
            if _owner(answer) != _owner(action.body):
                raise UnavailableError(f"{key.path} belongs to an earlier owner: waiting until it is gone") from error
        self._executor.update_cache("appworkers", answer)

    async def _write_inbox(self, action: WriteInbox) -> None:
        key = action.worker
        path = resources.APP_WORKERS.path(key.namespace, key.name, "status")
        # With the version that the plan has seen, or two leaders would overwrite each other's
        # writes. A crash before this write leaves assigned calls that no inbox has; the next pass
        # adds them.
        operations: list[JSONObject] = status_patch(action.version, {})
        operations.append({"op": "add", "path": "/status", "value": action.status})
        try:
            answer = await self._api.patch(path, operations, JSON_PATCH)
        except ConflictError as error:
            self._executor.update_cache("appworkers", await self._read(key))
            raise ReplanError(str(error)) from error
        except NotFoundError as error:
            self._cache.remove("appworkers", key)
            raise ReplanError(str(error)) from error
        self._executor.update_cache("appworkers", answer)

    async def _delete_worker(self, action: DeleteWorker) -> None:
        await self._executor.delete("appworkers", action.worker, action.uid)
        self._cache.remove("appworkers", action.worker, action.uid)

    async def _read(self, key: Key) -> JSONObject:
        try:
            return await self._api.get(resources.APP_WORKERS.path(key.namespace, key.name))
        except NotFoundError as error:
            self._cache.remove("appworkers", key)
            raise ReplanError(f"{key.path} went away meanwhile") from error


def _owner(raw: JSONObject) -> JSON:
    metadata = cast("JSONObject", raw.get("metadata") or {})
    owners = cast("list[JSONObject]", metadata.get("ownerReferences") or [{}])
    return owners[0].get("uid")


def _objects(action: EnsurePool) -> list[tuple[resources.Resource, JSONObject]]:
    """The account, role and binding of a pool. An account that the App names exists already, and is
    only bound."""
    shape, namespace = action.shape, action.pool.namespace
    owner = owner_reference(shape.owner_kind, shape.owner, shape.owner_uid)

    def metadata(name: str) -> JSONObject:
        labels: JSONObject = {names.MANAGED_BY_LABEL: names.MANAGED_BY, names.POOL_LABEL: shape.pool}
        return {"name": name, "namespace": namespace, "labels": labels, "ownerReferences": [owner]}

    objects: list[tuple[resources.Resource, JSONObject]] = []
    if action.account == names.worker_account(shape.owner):
        account: JSONObject = {
            "apiVersion": "v1",
            "kind": "ServiceAccount",
            "metadata": metadata(action.account),
            "automountServiceAccountToken": False,
        }
        objects.append((resources.SERVICE_ACCOUNTS, account))
    # Only the inboxes of this pool, by name: they contain the inputs of calls.
    slots: list[JSON] = [names.slot_name(shape.pool, slot) for slot in range(action.places)]
    rule: JSONObject = {
        "apiGroups": [names.GROUP],
        "resources": [names.APP_WORKERS],
        "resourceNames": slots,
        "verbs": ["get", "watch"],
    }
    version = f"{RBAC}/v1"
    role: JSONObject = {"apiVersion": version, "kind": "Role", "metadata": metadata(shape.pool), "rules": [rule]}
    binding: JSONObject = {
        "apiVersion": version,
        "kind": "RoleBinding",
        "metadata": metadata(shape.pool),
        "roleRef": {"apiGroup": RBAC, "kind": "Role", "name": shape.pool},
        "subjects": [{"kind": "ServiceAccount", "name": action.account, "namespace": namespace}],
    }
    return [*objects, (resources.ROLES, role), (resources.ROLE_BINDINGS, binding)]
