"""Executes the actions of a run's plan. One function per action: the API call, its precondition,
and what "conflict" and "already exists" mean for it.

The worker calls it. Every response goes straight into the cache, so that the next plan sees a write
before any watch shows it. A conflict isn't an error: the object is read again, and the run is
planned again.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Final, assert_never, cast

from application_sdk.wire import names
from application_sdk.wire.digest import JSON, JSONObject
from apprun_operator.act import events
from apprun_operator.act.patches import append_patch, status_merge_patch, status_patch
from apprun_operator.act.pod_rejections import OWN_ACCOUNTS_MISSING, classify_rejection, is_webhook_failure
from apprun_operator.act.service_accounts import ServiceAccounts
from apprun_operator.kube import resources
from apprun_operator.kube.client import JSON_PATCH, KubeApi
from apprun_operator.kube.errors import (
    AlreadyExistsError,
    ApiError,
    ConflictError,
    ForbiddenError,
    InvalidError,
    NotFoundError,
    UnavailableError,
)
from apprun_operator.kube.resources import Resource
from apprun_operator.observe.cache import Cache
from apprun_operator.observe.fields import Unreadable
from apprun_operator.observe.kinds import Kind
from apprun_operator.observe.records import Key
from apprun_operator.plan.actions import (
    Announce,
    CreatePage,
    CreatePod,
    CreateRun,
    CreateTask,
    DeletePod,
    DeleteRun,
    EnsureNamespace,
    FetchPage,
    FetchPodEvent,
    FetchTask,
    ItemAction,
    MarkRun,
    PatchRun,
    PatchTask,
    RunAction,
    WriteState,
)

logger = logging.getLogger(__name__)

RESOURCES: Final[dict[Kind, Resource]] = {
    "apps": resources.APPS,
    "appruns": resources.APP_RUNS,
    "apptasks": resources.APP_TASKS,
    "appledgers": resources.APP_LEDGERS,
    "appstates": resources.APP_STATES,
    "appworkers": resources.APP_WORKERS,
    "pods": resources.PODS,
}


class ReplanError(Exception):
    """The plan was made on outdated facts. The cache is up to date now: plan again."""


class UnownedError(ApiError):
    """An object without an owner, which is never garbage-collected, has the name of one to create."""


class Executor:
    """Sends the requests that plans ask for. `instance` is this replica's name in Events."""

    def __init__(
        self, api: KubeApi, cache: Cache, accounts: ServiceAccounts, instance: str = "apprun-operator"
    ) -> None:
        self._api = api
        self._cache = cache
        self._accounts = accounts
        self._instance = instance

    async def execute(self, run: Key, action: RunAction | ItemAction) -> None:
        """Execute an action that a plan of `run` asks for.

        Raises:
            ReplanError: The plan was out of date; the cache holds the newer object.
            ApiError: The request failed; whether it was carried out may be unknown.
        """
        match action:
            case PatchRun():
                await self._patch_run(action)
            case MarkRun():
                await self._mark_run(action)
            case CreatePage():
                await self._create("appledgers", action.page, action.body)
            case FetchPage():
                await self._fetch_page(action)
            case FetchTask():
                await self._fetch_task(action)
            case FetchPodEvent():
                await self._fetch_pod_event(action)
            case WriteState():
                await self._write_state(action)
            case EnsureNamespace():
                await self._ensure_namespace(action)
            case CreateRun():
                await self._create_run(action)
            case Announce():
                await events.announce(self._api, action, self._instance)
            case DeleteRun():
                await self._delete_run(action)
            case CreateTask():
                await self._create_task(run, action)
            case PatchTask():
                await self._patch("apptasks", action.task, status_patch(action.version, action.status), JSON_PATCH)
            case CreatePod():
                await self._create_pod(run, action)
            case DeletePod():
                await self._delete_pod(action)
            case _:
                assert_never(action)

    def update_cache(self, kind: Kind, answer: Mapping[str, JSON]) -> None:
        """Put an object into the cache as the API server has just returned it.

        An object that can't be read is no reason to write again: the cache records it as
        unreadable, or the watch brings it.
        """
        try:
            self._cache.apply(kind, answer)
        except Unreadable as error:
            logger.warning("%s: ignored the API server's response: %s", kind, error)

    async def _patch_run(self, action: PatchRun) -> None:
        if action.exact:
            await self._patch("appruns", action.run, status_patch(action.version, action.status), JSON_PATCH)
        else:
            appended = append_patch(action.version, action.status, action.commits)
            if appended is not None:
                await self._patch("appruns", action.run, appended, JSON_PATCH)
            else:
                await self._patch("appruns", action.run, status_merge_patch(action.version, action.status))

    async def _mark_run(self, action: MarkRun) -> None:
        """Annotate an AppRun: the operator's only write outside of a status.

        An admission policy allows nothing else.
        """
        metadata: JSONObject = {
            "resourceVersion": str(action.version),
            "annotations": {names.BEGAN_AS_ANNOTATION: action.uid},
        }
        try:
            answer = await self._patch("appruns", action.run, {"metadata": metadata}, subresource="")
        except (ForbiddenError, InvalidError) as error:
            self._cache.record_rejection(action.run, action.run.name, *classify_rejection(error))
            raise ReplanError(str(error)) from error
        returned = answer.get("metadata")
        annotations = returned.get("annotations") or {} if isinstance(returned, dict) else None
        if isinstance(annotations, dict) and names.BEGAN_AS_ANNOTATION not in annotations:
            # The object hasn't changed, so no event follows. Without a recorded refusal nothing
            # would plan the run again.
            message = "the API server accepted the annotation but doesn't have it: an admission webhook removes it"
            self._cache.record_rejection(action.run, action.run.name, "Webhook", message)
            raise ReplanError(message)

    async def _patch(
        self,
        kind: Kind,
        key: Key,
        body: JSONObject | list[JSONObject],
        content_type: str = "",
        *,
        subresource: str = "status",
    ) -> JSONObject:
        path = RESOURCES[kind].path(key.namespace, key.name, subresource)
        try:
            answer = await (self._api.patch(path, body, content_type) if content_type else self._api.patch(path, body))
        except ConflictError as error:
            # The cached version is old. Reading the object is quicker than waiting for a watch,
            # which may be broken.
            await self._refresh(kind, key)
            raise ReplanError(str(error)) from error
        except NotFoundError as error:
            self._cache.remove(kind, key)
            raise ReplanError(str(error)) from error
        self.update_cache(kind, answer)
        return answer

    async def _create(self, kind: Kind, key: Key, body: JSONObject) -> None:
        """Create an object, or adopt the one that an earlier operator process created.

        The names are deterministic: a crash after the create, before anything was written about it,
        leaves exactly this object. It is adopted if its owner is the same, and for a page also its
        content.
        """
        try:
            answer = await self._api.create(RESOURCES[kind].path(key.namespace), body)
        except AlreadyExistsError as error:
            answer = await self._read(kind, key)
            if not _owner(answer):
                raise UnownedError(f"{key.path} exists already and has no owner", status=409) from error
            # guard: adopt-own-object - an AppTask or page of this name may belong to a deleted run
            if _owner(answer) != _owner(body):
                raise UnavailableError(
                    f"{key.path} belongs to an object that is being deleted: waiting until it is gone", status=409
                ) from error
            # guard: adopt-same-page - an existing page with other checkpoints would falsify the
            # ledger
            if kind == "appledgers" and answer.get("spec") != body.get("spec"):
                raise InvalidError(
                    f"AppLedger {key.path} holds other checkpoints than the run's status: one was altered by hand"
                ) from error
        self.update_cache(kind, answer)

    async def _write_state(self, action: WriteState) -> None:
        key = action.state
        path = RESOURCES["appstates"].path(key.namespace, key.name if action.uid else "")
        try:
            if not action.uid:
                answer = await self._api.create(path, action.body)
            else:
                body: list[JSONObject] = [
                    {"op": "replace", "path": "/metadata/resourceVersion", "value": str(action.version)},
                    {"op": "replace", "path": "/spec", "value": action.body["spec"]},
                ]
                answer = await self._api.patch(path, body, JSON_PATCH)
        except (AlreadyExistsError, ConflictError) as error:
            await self._refresh("appstates", key)
            raise ReplanError(str(error)) from error
        except NotFoundError as error:
            self._cache.remove("appstates", key)
            raise ReplanError(str(error)) from error
        self.update_cache("appstates", answer)

    async def _create_run(self, action: CreateRun) -> None:
        key = action.successor
        try:
            answer = await self._api.create(resources.APP_RUNS.path(key.namespace), action.body)
        except AlreadyExistsError as error:
            answer = await self._read("appruns", key)
            if _predecessor(answer) != _predecessor(action.body):
                message = "a run of that name is in the way: delete it"
                self._cache.record_rejection(action.run, key.name, "NameTaken", message)
                raise ReplanError(str(error)) from error
        except (ForbiddenError, InvalidError, NotFoundError) as error:
            self._cache.record_rejection(action.run, key.name, *classify_rejection(error))
            raise ReplanError(str(error)) from error
        self.update_cache("appruns", answer)

    async def _create_task(self, run: Key, action: CreateTask) -> None:
        try:
            await self._create("apptasks", action.task, action.body)
        except UnownedError as error:
            message = (
                f"AppTask {action.task.name!r} is left over from a run that was deleted without its tasks: delete it"
            )
            self._cache.record_rejection(run, action.task.name, "NameTaken", message)
            raise ReplanError(message) from error

    async def _create_pod(self, run: Key, action: CreatePod) -> None:
        key = action.pod
        try:
            answer = await self._api.create(resources.PODS.path(key.namespace), action.body)
        except AlreadyExistsError:
            await self._adopt_pod(run, action)
            return
        except ConflictError as error:
            # The conflict is about a ResourceQuota's status, which every create in the namespace
            # updates.
            raise UnavailableError(error.message, status=error.status) from error
        except ApiError as error:
            # Only a rejection proves that there is no pod. After any other error it may exist: the
            # next plan creates it again, and adopts it if it does.
            if not (isinstance(error, ForbiddenError | InvalidError | NotFoundError) or is_webhook_failure(error)):
                raise
            kind, message = classify_rejection(error)
            if kind == "NoAccount" and any(account in message for account in OWN_ACCOUNTS_MISSING):
                self._cache.set_namespace_ready(key.namespace, False)
                if self._accounts.preinstalled:
                    message = f"{message}: the chart makes it in the namespaces that it is given: helm upgrade"
            self._cache.record_rejection(run, key.name, kind, message)
            return
        self.update_cache("pods", answer)

    async def _adopt_pod(self, run: Key, action: CreatePod) -> None:
        key = action.pod
        existing = await self._read("pods", key)
        # guard: adopt-own-pod - a pod of this name may belong to somebody else, and its report to
        # another run
        if _owner(existing) == action.task_uid:
            self.update_cache("pods", existing)
            return
        deleting = "deletionTimestamp" in cast("JSONObject", existing["metadata"])
        message = f"a pod {key.name!r} of another owner is in the way"
        if deleting:
            self._cache.record_rejection(run, key.name, "Terminating", f"{message}; it is being deleted")
        else:
            self._cache.record_rejection(run, key.name, "NameTaken", f"{message}: delete it")

    async def delete(self, kind: Kind, key: Key, uid: str) -> JSONObject:
        """Delete exactly the object with that uid, and in the background what it owns.

        Returns:
            The API server's response; empty if the object was gone already.
        """
        # guard: delete-by-uid - an object of the same name may have been created since
        options: JSONObject = {"preconditions": {"uid": uid}, "propagationPolicy": "Background"}
        try:
            return await self._api.delete(RESOURCES[kind].path(key.namespace, key.name), options)
        except (NotFoundError, ConflictError):
            return {}

    async def _delete_pod(self, action: DeletePod) -> None:
        answer = await self.delete("pods", action.pod, action.uid)
        if answer.get("kind") == "Pod":
            self.update_cache("pods", answer)
        else:
            self._cache.remove("pods", action.pod, action.uid)

    async def _delete_run(self, action: DeleteRun) -> None:
        await self.delete("appruns", action.run, action.uid)
        self._cache.remove("appruns", action.run, action.uid)

    async def _ensure_namespace(self, action: EnsureNamespace) -> None:
        """Create the service accounts and bindings that the namespace lacks.

        A rejection is recorded as one of the pod that would be next, so that the run reports it and
        the plan tries again.
        """
        namespace = action.run.namespace
        try:
            await self._accounts.ensure(namespace)
        except ForbiddenError as error:
            kind, message = classify_rejection(error)
            if kind != "Terminating":
                kind = "NotAllowed"
                message = (
                    "the operator may not create the service accounts of this namespace:"
                    f" compare its ClusterRole with the chart's. {message}"
                )
            self._cache.set_namespace_ready(namespace, False)
            self._cache.record_rejection(action.run, action.pod, kind, message)
            raise ReplanError(message) from error
        self._cache.set_namespace_ready(namespace)

    async def _refresh(self, kind: Kind, key: Key) -> None:
        """Read an object and put it into the cache, or remove it there if it is gone."""
        try:
            self.update_cache(kind, await self._api.get(RESOURCES[kind].path(key.namespace, key.name)))
        except NotFoundError:
            self._cache.remove(kind, key)

    async def _fetch_page(self, action: FetchPage) -> None:
        key = Key(action.run.namespace, names.page_name(action.run.name, action.number))
        try:
            self.update_cache("appledgers", await self._api.get(resources.APP_LEDGERS.path(key.namespace, key.name)))
        except NotFoundError:
            self._cache.mark_page_lost(action.run, action.number)

    async def _fetch_task(self, action: FetchTask) -> None:
        task = None
        try:
            task = await self._api.get(resources.APP_TASKS.path(action.run.namespace, action.name))
        except NotFoundError:
            pass
        self._cache.verify_task(action.run, action.name, task)

    async def _fetch_pod_event(self, action: FetchPodEvent) -> None:
        self._cache.record_pod_event(action.run, action.pod, await events.mount_failure(self._api, action))

    async def _read(self, kind: Kind, key: Key) -> JSONObject:
        """Read an object that existed a moment ago."""
        try:
            return await self._api.get(RESOURCES[kind].path(key.namespace, key.name))
        except NotFoundError as error:
            raise ReplanError(f"{key.path} was deleted meanwhile") from error


def _predecessor(raw: JSONObject) -> JSON:
    """The uid of the run that this one continues."""
    spec = cast("JSONObject", raw.get("spec") or {})
    return cast("JSONObject", spec.get("continuedFrom") or {}).get("uid")


def _owner(raw: JSONObject) -> JSON:
    """The uid of the controlling owner."""
    metadata = cast("JSONObject", raw.get("metadata") or {})
    owners = cast("list[JSONObject]", metadata.get("ownerReferences") or [{}])
    return owners[0].get("uid")
