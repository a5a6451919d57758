"""Creates the AppTask of a call exactly once, however often the create is tried.

`driver` calls it from several threads. The object's name carries the call's key, so a second create
gets `AlreadyExists` from the first.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar, cast

from application_sdk.engines.kubernetes.backoff import Backoff
from application_sdk.engines.kubernetes.errors import AlreadyExists, NotFound
from application_sdk.engines.kubernetes.retry_request import retry_request
from application_sdk.wire import names
from application_sdk.wire.fields import MAX_SECONDS, CallOutcome, Policy, TaskSpec

if TYPE_CHECKING:
    from application_sdk.engines.kubernetes.api import Api
    from application_sdk.execution.engine import ScheduledCall
    from application_sdk.wire.digest import JSONObject

_log = logging.getLogger("apprun.driver")
T = TypeVar("T")


class NameConflict(Exception):
    """Another object has the name that a call's AppTask needs."""


@dataclass(frozen=True, slots=True)
class Owner:
    """The AppRun that a driver speaks for."""

    run: str
    uid: str
    source_digest: str = ""
    """Of the files that the driver was given as the app's source; empty when the image has the
    code."""


def _bounded(policy: Policy) -> Policy:
    """The policy with times that the API server takes. `timedelta.max` is a way to say that there
    is no limit."""

    def clamp(fields: dict[str, object]) -> dict[str, object]:
        return {
            name: min(value, MAX_SECONDS) if name.endswith("Seconds") and isinstance(value, int | float) else value
            for name, value in fields.items()
        }

    limited = clamp(cast("dict[str, object]", policy))
    return cast("Policy", {**limited, "retry": clamp(cast("dict[str, object]", policy["retry"]))})


def app_task(call: ScheduledCall, owner: Owner, outcome: CallOutcome | None = None) -> JSONObject:
    """The object that stands for a call; with its outcome for one that the driver has executed
    itself."""
    role = call.role if outcome is None else "local"
    spec = TaskSpec(
        run=owner.run,
        role=role,
        key=call.key,
        task=call.task,
        entrypoint=call.entrypoint,
        sequence=call.sequence,
        input=call.input,
        identity=call.identity,
        policy=_bounded(call.policy),
        pod=call.pod,
        line=call.line,
    )
    if call.reuse is not None and outcome is None:
        spec["reuse"] = call.reuse
    if call.seconds is not None:
        spec["seconds"] = min(call.seconds, MAX_SECONDS)
    if call.cleanup:
        spec["cleanup"] = True
    if owner.source_digest:
        spec["sourceDigest"] = owner.source_digest
    if outcome is not None:
        spec["outcome"] = outcome
    return {
        "apiVersion": names.API_VERSION,
        "kind": names.APP_TASK_KIND,
        "metadata": {
            "name": names.task_name(owner.run, call.key),
            "labels": {
                names.MANAGED_BY_LABEL: names.MANAGED_BY,
                names.RUN_LABEL: owner.run,
                names.ROLE_LABEL: role,
                names.KEY_LABEL: call.key,
            },
            "ownerReferences": [
                {
                    "apiVersion": names.API_VERSION,
                    "kind": names.APP_RUN_KIND,
                    "name": owner.run,
                    "uid": owner.uid,
                    "controller": True,
                    "blockOwnerDeletion": False,
                }
            ],
        },
        "spec": cast("JSONObject", spec),
    }


def owner_uids(app_task: JSONObject) -> list[object]:
    """UIDs of the objects that an AppTask belongs to: its run's."""
    metadata = cast("Mapping[str, object]", app_task.get("metadata") or {})
    references = cast("list[Mapping[str, object]]", metadata.get("ownerReferences") or [])
    return [reference.get("uid") for reference in references]


def create(api: Api, call: ScheduledCall, owner: Owner, pause: Callable[[float], None]) -> None:
    """Create the call's AppTask unless it exists. Returns once it does, however long the API server
    is away.

    Raises NameConflict, Refused when this driver no longer speaks for the run, NotFound when the
    namespace is gone, Invalid when the API server can't take the object.
    """
    body = app_task(call, owner)
    _create(api, call, owner, pause, lambda: api.create(names.APP_TASKS, body))


def create_with_outcome(
    api: Api, call: ScheduledCall, owner: Owner, outcome: CallOutcome, pause: Callable[[float], None]
) -> JSONObject | None:
    """Create a call's AppTask with its outcome, as `create` does. Returns the stored object.

    Returns None when an earlier driver has recorded an outcome of the call: that one counts, not
    this one.
    """
    body = app_task(call, owner, outcome)
    return _create(api, call, owner, pause, lambda: api.add(names.APP_TASKS, body))


def _create(
    api: Api, call: ScheduledCall, owner: Owner, pause: Callable[[float], None], send: Callable[[], T]
) -> T | None:
    backoff = Backoff()
    while True:
        try:
            return retry_request(send, f"creating the AppTask of {call.task}", pause)
        except AlreadyExists:
            if _is_own_call(api, call, owner, pause):
                return None
            pause(backoff.delay())


def _is_own_call(api: Api, call: ScheduledCall, owner: Owner, pause: Callable[[float], None]) -> bool:
    """Whether the existing object is this very call. False when it is being deleted: the create is
    tried again."""
    name = names.task_name(owner.run, call.key)
    try:
        existing = retry_request(lambda: api.get(names.APP_TASKS, name), f"reading AppTask {name}", pause)
    except NotFound:
        return False
    metadata = cast("Mapping[str, object]", existing.get("metadata") or {})
    spec = cast("TaskSpec", existing.get("spec") or {})
    owners = owner_uids(existing)
    # guard: adopt-own-task - an AppTask of this name may belong to a deleted run
    if owner.uid in owners and spec.get("key") == call.key:
        return True
    if "deletionTimestamp" in metadata or (owners and owner.uid not in owners):
        # Left by a deleted run of the same name: the garbage collector removes it.
        _log.info("waiting for an earlier run's AppTask %s to go", name)
        return False
    raise NameConflict(
        f"AppTask {name} exists and is another call: task {spec.get('task')!r} with key {spec.get('key')!r}, owned by "
        f"{owners or 'nobody'}. The call of {call.task!r} at {call.line} needs that name. Delete the object"
    )
