"""One function per action: the API call, its precondition, and what "conflict" and "already exists" mean for it.

Called by the worker. Every answer goes straight into the store, so that the next plan sees what was written before any
watch tells of it. A conflict isn't an error: the object is read anew, and the run is planned again.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Final, cast

from application_sdk.wire import names
from application_sdk.wire.digest import JSON, JSONObject
from apprun_operator.act.pod_rejections import OWN_ACCOUNTS_MISSING, classify_refusal, is_webhook_failure
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
    FetchTask,
    FetchWords,
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
    "pods": resources.PODS,
}


class ReplanError(Exception):
    """The world isn't as the plan supposed, and the store knows better now: plan again."""


class UnownedError(ApiError):
    """An object that nobody will collect has the name of one to create."""


class Executor:
    """Carries out actions. `instance` is this replica's name in Events."""

    def __init__(
        self, api: KubeApi, cache: Cache, accounts: ServiceAccounts, instance: str = "apprun-operator"
    ) -> None:
        self._api = api
        self._cache = cache
        self._accounts = accounts
        self._instance = instance

    async def execute_run_action(self, action: RunAction) -> None:
        """Carry out an action about a run as a whole. Raises ReplanError, or the ApiError that prevented it."""
        if isinstance(action, PatchRun):
            await self._patch_run(action)
        elif isinstance(action, MarkRun):
            await self._mark_run(action)
        elif isinstance(action, CreatePage):
            await self._create("appledgers", action.page, action.body)
        elif isinstance(action, FetchPage):
            await self._fetch_page(action)
        elif isinstance(action, FetchTask):
            await self._fetch_task(action)
        elif isinstance(action, FetchWords):
            await self._fetch_pod_event(action)
        elif isinstance(action, WriteState):
            await self._write_state(action)
        elif isinstance(action, CreateRun):
            await self._create_run(action)
        elif isinstance(action, Announce):
            await self._announce(action)
        elif isinstance(action, EnsureNamespace):
            await self._ensure_namespace(action)
        else:
            await self._delete_run(action)

    async def execute_item_action(self, run: Key, action: ItemAction) -> None:
        """Carry out an action about one pod or AppTask of `run`. Raises as `first` does."""
        if isinstance(action, CreatePod):
            await self._create_pod(run, action)
        elif isinstance(action, DeletePod):
            await self._delete_pod(action)
        elif isinstance(action, PatchTask):
            body = status_patch(action.version, action.status)
            await self._patch("apptasks", action.task, body, JSON_PATCH)
        else:
            await self._create_task(run, action)

    def update_cache(self, kind: Kind, answer: Mapping[str, JSON]) -> None:
        """Have the store know an object as the API server has just shown it. One that can't be read, or a write whose
        answer can't, is no reason to write again: the store knows what is the matter, or its watch will tell."""
        try:
            self._cache.apply(kind, answer)
        except Unreadable as error:
            logger.warning("%s: what the API server answered is left alone: %s", kind, error)

    async def _patch_run(self, action: PatchRun) -> None:
        if action.exact:
            await self._patch("appruns", action.run, status_patch(action.version, action.status), JSON_PATCH)
        else:
            body = _status_merge_patch(action.version, action.status)
            await self._patch("appruns", action.run, body)

    async def _mark_run(self, action: MarkRun) -> None:
        """The one write of the operator to an AppRun itself. A policy holds it to this annotation."""
        metadata: JSONObject = {
            "resourceVersion": str(action.version),
            "annotations": {names.BEGAN_AS_ANNOTATION: action.uid},
        }
        try:
            answer = await self._patch("appruns", action.run, {"metadata": metadata}, subresource="")
        except (ForbiddenError, InvalidError) as error:
            self._cache.refuse(action.run, action.run.name, *classify_refusal(error))
            raise ReplanError(str(error)) from error
        shown = answer.get("metadata")
        annotations = shown.get("annotations") or {} if isinstance(shown, dict) else None
        if isinstance(annotations, dict) and names.BEGAN_AS_ANNOTATION not in annotations:
            # The object hasn't changed, so no event follows: without this fact nothing would ever plan the run again.
            message = "the API server took it, but it isn't there: an admission webhook removes annotations"
            self._cache.refuse(action.run, action.run.name, "Webhook", message)
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
            # Our copy is old. Reading it anew is quicker, and surer, than to wait for a watch.
            await self._refresh(kind, key)
            raise ReplanError(str(error)) from error
        except NotFoundError as error:
            self._cache.remove(kind, key)
            raise ReplanError(str(error)) from error
        self.update_cache(kind, answer)
        return answer

    async def _create(self, kind: Kind, key: Key, body: JSONObject) -> None:
        """Create, or adopt what an earlier life created: the same owner, and for a page the same content."""
        try:
            answer = await self._api.create(RESOURCES[kind].path(key.namespace), body)
        except AlreadyExistsError as error:
            answer = await self._read(kind, key)
            if not _owner(answer):
                raise UnownedError(f"{key.path} is there and belongs to nobody", status=409) from error
            # guard: adopt-own-object - an AppTask or page of this name may belong to a deleted run
            if _owner(answer) != _owner(body):
                raise UnavailableError(
                    f"{key.path} belongs to an object that is being deleted: waiting until it is gone", status=409
                ) from error
            # guard: adopt-same-page - an existing page with other checkpoints would falsify the ledger
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
                self._cache.refuse(action.run, key.name, "NameTaken", "a run of that name is in the way: delete it")
                raise ReplanError(str(error)) from error
        except (ForbiddenError, InvalidError, NotFoundError) as error:
            self._cache.refuse(action.run, key.name, *classify_refusal(error))
            raise ReplanError(str(error)) from error
        self.update_cache("appruns", answer)

    async def _create_task(self, run: Key, action: CreateTask) -> None:
        try:
            await self._create("apptasks", action.task, action.body)
        except UnownedError as error:
            message = f"AppTask {action.task.name!r} is left of a run that was deleted without its tasks: delete it"
            self._cache.refuse(run, action.task.name, "NameTaken", message)
            raise ReplanError(message) from error

    async def _create_pod(self, run: Key, action: CreatePod) -> None:
        key = action.pod
        try:
            answer = await self._api.create(resources.PODS.path(key.namespace), action.body)
        except AlreadyExistsError:
            await self._adopt_pod(run, action)
            return
        except ConflictError as error:
            # Quotas are counted in an object of their own, which many writers fight for.
            raise UnavailableError(error.message, status=error.status) from error
        except ApiError as error:
            # Only a refusal says that there is no pod. Whatever else went wrong, it may be there.
            if not (isinstance(error, ForbiddenError | InvalidError | NotFoundError) or is_webhook_failure(error)):
                raise
            kind, message = classify_refusal(error)
            if kind == "NoAccount" and any(account in message for account in OWN_ACCOUNTS_MISSING):
                self._cache.set_namespace_ready(key.namespace, False)
                if self._accounts.preinstalled:
                    message = f"{message}: the chart makes it in the namespaces that it is given: helm upgrade"
            self._cache.refuse(run, key.name, kind, message)
            return
        self.update_cache("pods", answer)

    async def _adopt_pod(self, run: Key, action: CreatePod) -> None:
        key = action.pod
        found = await self._read("pods", key)
        # guard: adopt-own-pod - a pod of this name may belong to somebody else, and its report to another run
        if _owner(found) == action.task_uid:
            self.update_cache("pods", found)
            return
        deleting = "deletionTimestamp" in cast("JSONObject", found["metadata"])
        message = f"a pod {key.name!r} of another owner is in the way"
        if deleting:
            self._cache.refuse(run, key.name, "Terminating", f"{message}; it is being deleted")
        else:
            self._cache.refuse(run, key.name, "NameTaken", f"{message}: delete it")

    async def delete(self, kind: Kind, key: Key, uid: str) -> JSONObject:
        """Delete exactly that object, and what it owns after it. The answer; empty where it was gone already."""
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

    async def _announce(self, action: Announce) -> None:
        """A repeated Event becomes a series of the first one, as long as the API server keeps that."""
        namespace, name = action.event
        path = resources.EVENTS.path(namespace)
        try:
            try:
                await self._api.create(path, {**action.body, "reportingInstance": self._instance})
            except AlreadyExistsError:
                found = await self._api.get(resources.EVENTS.path(namespace, name))
                count = cast("JSONObject", found.get("series") or {}).get("count", 1)
                series: JSONObject = {
                    "count": cast("int", count) + 1,
                    "lastObservedTime": action.body["eventTime"],
                }
                await self._api.patch(resources.EVENTS.path(namespace, name), {"series": series})
        except ApiError as error:
            logger.warning("Event %s wasn't written: %s", action.event.path, error)

    async def _ensure_namespace(self, action: EnsureNamespace) -> None:
        """A refusal counts as one of the pod that would be next: so the run tells of it, and it is tried again."""
        namespace = action.run.namespace
        try:
            await self._accounts.ensure(namespace)
        except ForbiddenError as error:
            kind, words = classify_refusal(error)
            if kind != "Terminating":
                kind = "NotAllowed"
                words = f"the operator may not make the service accounts of this namespace; is its role whole? {words}"
            self._cache.set_namespace_ready(namespace, False)
            self._cache.refuse(action.run, action.pod, kind, words)
            raise ReplanError(words) from error
        self._cache.set_namespace_ready(namespace)

    async def _refresh(self, kind: Kind, key: Key) -> None:
        """Have the store know the object as it is now, or know that it is gone."""
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
        found = None
        try:
            found = await self._api.get(resources.APP_TASKS.path(action.run.namespace, action.name))
        except NotFoundError:
            pass
        self._cache.verify_task(action.run, action.name, found)

    async def _fetch_pod_event(self, action: FetchWords) -> None:
        path = resources.EVENTS.path(action.run.namespace)
        try:
            found = await self._api.get(path, {"fieldSelector": f"regarding.uid={action.uid},reason=FailedMount"})
        except ApiError as error:
            # It only explains: a run mustn't be held up by it.
            logger.warning("Events of pod %s can't be read: %s", action.pod, error)
            found = {}
        notes = [str(item.get("note", "")) for item in cast("list[JSONObject]", found.get("items") or [])]
        # It sums up, "timed out waiting for the condition", beside saying what it is that fails.
        plain = [note for note in notes if "timed out waiting" not in note and "Unable to attach or mount" not in note]
        self._cache.record_pod_event(action.run, action.pod, min(plain or notes, default=""))

    async def _read(self, kind: Kind, key: Key) -> JSONObject:
        """An object that was there a moment ago."""
        try:
            return await self._api.get(RESOURCES[kind].path(key.namespace, key.name))
        except NotFoundError as error:
            raise ReplanError(f"{key.path} went away meanwhile") from error


def _status_merge_patch(version: int, status: JSONObject) -> JSONObject:
    # guard: commit-precondition - two leaders that overlap for a moment must not both append to the ledger
    return {"metadata": {"resourceVersion": str(version)}, "status": status}


def status_patch(version: int, status: JSONObject) -> list[JSONObject]:
    """The same precondition as a JSON patch: writing another version than the present one is a conflict. Each field is
    set as it is, not merged with what is there; one whose value is None goes."""
    # guard: update-precondition - a decision holds for the version that it was made on
    operations: list[JSONObject] = [
        {"op": "replace", "path": "/metadata/resourceVersion", "value": str(version)},
    ]
    for name, value in status.items():
        path = f"/status/{name}"
        operations.append({"op": "add", "path": path, "value": value})
        if value is None:
            # Removing what isn't there is an error, so it is put there first.
            operations.append({"op": "remove", "path": path})
    return operations


def _predecessor(raw: JSONObject) -> JSON:
    """Uid of the run that this one continues."""
    spec = cast("JSONObject", raw.get("spec") or {})
    return cast("JSONObject", spec.get("continuedFrom") or {}).get("uid")


def _owner(raw: JSONObject) -> JSON:
    """Uid of the controlling owner."""
    metadata = cast("JSONObject", raw.get("metadata") or {})
    owners = cast("list[JSONObject]", metadata.get("ownerReferences") or [{}])
    return owners[0].get("uid")
