"""Executes the actions of an App's plan, and puts what the next plan has to know into the cache."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Final, cast

from application_sdk.wire.digest import JSON, JSONObject
from apprun_operator.act.executor import Executor, ReplanError
from apprun_operator.act.owned import NotOwnedError, PredecessorError, apply_owned, delete_owned, find_owned
from apprun_operator.act.patches import status_patch
from apprun_operator.act.service_accounts import ServiceAccounts
from apprun_operator.kube import resources
from apprun_operator.kube.client import JSON_PATCH, KubeApi
from apprun_operator.kube.errors import (
    ConflictError,
    ForbiddenError,
    InvalidError,
    NotFoundError,
)
from apprun_operator.kube.resources import Resource
from apprun_operator.observe.apps import HandlerDeployment
from apprun_operator.observe.cache import Cache
from apprun_operator.observe.records import Key, inspection_of
from apprun_operator.plan.actions import AppAction, ApplyHandler, DeleteTask, PatchApp, RemoveHandler

logger = logging.getLogger(__name__)

SERVING: Final = ((resources.DEPLOYMENTS, "Deployment"), (resources.SERVICES, "Service"))
"""What serves an App with a handler, in the order of deletion."""


class AppExecutor:
    """Sends the requests of Apps' plans.

    `executor` handles the AppTasks and pods of inspections; `clock` returns the time of day in
    seconds since the epoch.
    """

    def __init__(
        self, api: KubeApi, cache: Cache, accounts: ServiceAccounts, executor: Executor, clock: Callable[[], float]
    ) -> None:
        self._api = api
        self._executor = executor
        self._cache = cache
        self._accounts = accounts
        self._clock = clock

    async def execute(self, app: Key, action: AppAction) -> None:
        """Execute one action. Raises ReplanError, or the ApiError of the request that failed."""
        match action:
            case ApplyHandler():
                await self._apply(action)
            case RemoveHandler():
                for resource, kind in SERVING:
                    await self._remove(action, resource, kind)
                self._cache.set_deployment(action.app, None)
            case PatchApp():
                await self._patch(action)
            case DeleteTask():
                await self._delete_task(action)
            case _:
                # What inspections have in common with runs.
                await self._executor.execute(inspection_of(app), action)

    async def _apply(self, action: ApplyHandler) -> None:
        try:
            deployment = await self._apply_both(action)
        except PredecessorError as predecessor:
            served = HandlerDeployment(action.generation, self._clock(), waits=str(predecessor))
        except NotOwnedError as foreign:
            served = HandlerDeployment(action.generation, self._clock(), problem=str(foreign))
        except (ForbiddenError, InvalidError, ConflictError) as error:
            served = HandlerDeployment(action.generation, self._clock(), problem=error.message)
        else:
            served = _served(action.generation, deployment, self._clock())
        self._cache.set_deployment(action.app, served)

    async def _apply_both(self, action: ApplyHandler) -> JSONObject:
        """Apply the service account, then the Service, then the Deployment.

        Without the account the pods would be rejected. Neither of the two objects is touched before
        both are known to be the App's: a crash in between leaves a Service without pods, and the
        next plan applies both again.
        """
        await self._accounts.ensure_handler(action.app.namespace)
        bodies = {"Deployment": action.deployment, "Service": action.service}
        existing = {kind: await self._find(action, resource, kind) for resource, kind in SERVING}
        applied = {
            kind: await apply_owned(self._api, resource, bodies[kind], existing[kind])
            for resource, kind in reversed(SERVING)
        }
        return applied["Deployment"]

    async def _find(self, action: ApplyHandler | RemoveHandler, resource: Resource, kind: str) -> JSONObject | None:
        key = Key(action.app.namespace, action.name)
        return await find_owned(self._api, resource, kind, key, action.app, action.app_uid)

    async def _remove(self, action: RemoveHandler, resource: Resource, kind: str) -> None:
        try:
            existing = await self._find(action, resource, kind)
        except (NotOwnedError, PredecessorError) as error:
            # It isn't the App's, so it stays.
            logger.info("App %s is no longer served: %s", action.app.path, error)
            return
        if existing is not None:
            await delete_owned(self._api, resource, Key(action.app.namespace, action.name), existing)

    async def _delete_task(self, action: DeleteTask) -> None:
        await self._executor.delete("apptasks", action.task, action.uid)
        self._cache.remove("apptasks", action.task, action.uid)

    async def _patch(self, action: PatchApp) -> None:
        path = resources.APPS.path(action.app.namespace, action.app.name, "status")
        try:
            # The fields are replaced: merged with the schemas before, removed fields would stay.
            answer = await self._api.patch(path, status_patch(action.version, action.status), JSON_PATCH)
        except (ConflictError, NotFoundError) as error:
            # The cached version is old. kopf's event of the newer one has the App planned again.
            raise ReplanError(str(error)) from error
        self._executor.update_cache("apps", answer)


def _served(generation: int, deployment: JSONObject, now: float) -> HandlerDeployment:
    metadata, spec = cast("JSONObject", deployment["metadata"]), cast("JSONObject", deployment["spec"])
    status = cast("JSONObject", deployment.get("status") or {})
    wanted = _count(spec.get("replicas"))
    current = (
        _count(status.get("observedGeneration")) >= _count(metadata.get("generation"))
        and _count(status.get("updatedReplicas")) >= wanted
        and _count(status.get("replicas")) == _count(status.get("updatedReplicas"))
    )
    conditions = cast("list[JSONObject]", status.get("conditions") or [])
    failing = [c for c in conditions if c.get("type") == "ReplicaFailure" and c.get("status") == "True"]
    return HandlerDeployment(
        generation,
        now,
        replicas=wanted,
        ready=_count(status.get("readyReplicas")),
        current=current,
        problem=str(failing[0].get("message") or "") if failing else "",
    )


def _count(value: JSON) -> int:
    return value if isinstance(value, int) else 0
