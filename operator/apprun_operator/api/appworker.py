"""AppWorker: the inbox of one warm pod. The operator writes it, the pod of the same name reads it, nobody else does."""

from __future__ import annotations

from typing import Annotated, Final

from pydantic import ConfigDict, Field

from application_sdk.wire.fields import MAX_REPLICAS, MAX_WORKER_CONCURRENCY
from apprun_operator.api.apptask import PodReference
from apprun_operator.api.shapes import LIST_TYPE, RULES, FreeObject, ObjectName, Shape, rule

CALLS_MAX_ITEMS: Final = 2 * MAX_WORKER_CONCURRENCY
"""As many as a pod executes at a time, and as many that wait ahead."""

NAME_RULE: Final = rule(
    "self.metadata.name.startsWith(self.spec.pool + '-')",
    "an AppWorker is named <pool>-<slot>, like its pod",
    field=".spec.pool",
)
"""The slot isn't compared: the API server's estimate of what a rule costs takes `string(slot)` for a
text without a limit."""


class AppWorkerSpec(Shape):
    """Which pod of which pool the inbox belongs to."""

    model_config = ConfigDict(json_schema_extra={RULES: [rule("self == oldSelf", "an AppWorker keeps its place")]})

    pool: ObjectName
    """Name of the pool: that of the app, and digits of a digest of all that shapes its pods."""
    app: ObjectName
    """The App that owns the pool; the AppRun, where the app is written in it."""
    slot: Annotated[int, Field(ge=0, le=MAX_REPLICAS - 1)]
    """Number of the pod in its pool, from 0."""


class WorkerCall(Shape):
    """A call that the pod is to execute, once."""

    app_task: ObjectName
    """Name of the AppTask to report on."""
    uid: Annotated[str, Field(min_length=1, max_length=64)]
    """Its uid."""
    attempt: Annotated[int, Field(ge=1)]
    """Number of the attempt. Together with the uid it tells the call from every other."""
    call: FreeObject
    """What a pod of its own would find in its annotation: task, input, policy, idempotency key and so on."""


class AppWorkerStatus(Shape):
    """The inbox. It is a function of the calls that are assigned to the pod, and is written again where it differs."""

    pod: PodReference | None = None
    """The pod that the inbox is for, by name and uid. Any other one leaves it alone."""
    calls: (
        Annotated[list[WorkerCall], Field(max_length=CALLS_MAX_ITEMS, json_schema_extra={LIST_TYPE: "atomic"})] | None
    ) = None
    """Open calls that are assigned to that pod, oldest first. What is taken from it is no longer wanted."""
    drain: bool | None = None
    """True: the pod is given no further call, and exits once it has reported those that it has."""


class AppWorker(Shape):
    """One warm pod of a pool, which executes one task call after the other, and the calls that are assigned to it."""

    model_config = ConfigDict(json_schema_extra={RULES: [NAME_RULE]})

    spec: AppWorkerSpec
    status: AppWorkerStatus | None = None
