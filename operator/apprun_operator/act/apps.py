"""Carries out what `plan.app` asks for. Decides nothing; what the next plan has to know goes into the store."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, cast

from application_sdk.wire.digest import JSON, JSONObject
from apprun_operator.act.accounts import Accounts
from apprun_operator.act.executor import Executor, ReplanError, exact
from apprun_operator.kube import resources
from apprun_operator.kube.client import APPLY, JSON_PATCH, Api
from apprun_operator.kube.errors import (
    ConflictError,
    ForbiddenError,
    InvalidError,
    NotFoundError,
)
from apprun_operator.kube.resources import Resource
from apprun_operator.observe.records import Key, ServedRecord, inspection_of
from apprun_operator.observe.store import Store
from apprun_operator.plan.actions import CreatePod, CreateTask, DeletePod, EnsureNamespace, PatchTask
from apprun_operator.plan.app import AppAction, ApplyHandler, PatchApp, RemoveHandler
from apprun_operator.plan.inspection import DeleteTask

FIELD_MANAGER: Final = "apprun-operator"
_APPLYING: Final = f"?fieldManager={FIELD_MANAGER}&force=true"


class AppExecutor:
    """`clock` tells the time of day; `executor` does what concerns the AppTasks and pods of inspections."""

    def __init__(
        self, api: Api, store: Store, accounts: Accounts, executor: Executor, clock: Callable[[], float]
    ) -> None:
        self._api = api
        self._executor = executor
        self._store = store
        self._accounts = accounts
        self._clock = clock

    async def carry_out(self, app: Key, action: AppAction) -> None:
        """Raises ReplanError, or the ApiError that prevented it."""
        if isinstance(action, EnsureNamespace):
            await self._executor.first(action)
        elif isinstance(action, CreateTask | PatchTask | CreatePod | DeletePod):
            await self._executor.then(inspection_of(app), action)
        elif isinstance(action, DeleteTask):
            await self._delete_task(action)
        elif isinstance(action, ApplyHandler):
            await self._apply(action)
        elif isinstance(action, RemoveHandler):
            for resource in (resources.DEPLOYMENTS, resources.SERVICES):
                await self._remove(resource, Key(action.app.namespace, action.name))
            self._store.serve(action.app, None)
        else:
            await self._patch(action)

    async def _apply(self, action: ApplyHandler) -> None:
        """The account first, or the pods would be refused; the Service before there is something behind it."""
        try:
            await self._accounts.ensure_handler(action.app.namespace)
            await self._applied(resources.SERVICES, action.service)
            made = await self._applied(resources.DEPLOYMENTS, action.deployment)
        except (ForbiddenError, InvalidError, ConflictError) as error:
            refused = ServedRecord(action.generation, self._clock(), problem=error.message)
            self._store.serve(action.app, refused)
            return
        self._store.serve(action.app, _served(action.generation, made, self._clock()))

    async def _applied(self, resource: Resource, body: JSONObject) -> JSONObject:
        metadata = cast("JSONObject", body["metadata"])
        path = resource.path(str(metadata["namespace"]), str(metadata["name"]))
        return await self._api.patch(f"{path}{_APPLYING}", body, APPLY)

    async def _remove(self, resource: Resource, key: Key) -> None:
        try:
            await self._api.delete(resource.path(key.namespace, key.name), {"propagationPolicy": "Background"})
        except NotFoundError:
            pass

    async def _delete_task(self, action: DeleteTask) -> None:
        await self._executor.delete("apptasks", action.task, action.uid)
        self._store.remove("apptasks", action.task, action.uid)

    async def _patch(self, action: PatchApp) -> None:
        path = resources.APPS.path(action.app.namespace, action.app.name, "status")
        try:
            # Schemas are set as they are: merged with those before, fields that are gone would stay.
            answer = await self._api.patch(path, exact(action.version, action.status), JSON_PATCH)
        except (ConflictError, NotFoundError) as error:
            # A newer version is on its way: kopf brings it.
            raise ReplanError(str(error)) from error
        self._executor.take_in("apps", answer)


def _served(generation: int, deployment: JSONObject, now: float) -> ServedRecord:
    metadata, spec = cast("JSONObject", deployment["metadata"]), cast("JSONObject", deployment["spec"])
    status = cast("JSONObject", deployment.get("status") or {})
    wanted = _count(spec.get("replicas"))
    current = (
        _count(status.get("observedGeneration")) >= _count(metadata.get("generation"))
        and _count(status.get("updatedReplicas")) >= wanted
        and _count(status.get("replicas")) == _count(status.get("updatedReplicas"))
    )
    conditions = cast("list[JSONObject]", status.get("conditions") or [])
    failing = [one for one in conditions if one.get("type") == "ReplicaFailure" and one.get("status") == "True"]
    return ServedRecord(
        generation,
        now,
        replicas=wanted,
        ready=_count(status.get("readyReplicas")),
        current=current,
        problem=str(failing[0].get("message") or "") if failing else "",
    )


def _count(value: JSON) -> int:
    return value if isinstance(value, int) else 0
