"""AppWorker: the inbox of one warm pod.

Only the operator writes it, and the pod of its name reads it.
"""

from __future__ import annotations

from typing import Annotated, Final

from pydantic import ConfigDict, Field

from application_sdk.wire.fields import MAX_INBOX_CALLS, MAX_REPLICAS
from apprun_operator.api.apptask import PodReference
from apprun_operator.api.shapes import LIST_TYPE, RULES, FreeObject, ObjectName, Shape, rule

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
    """The App that owns the pool, or the AppRun if the app is inline in it."""
    slot: Annotated[int, Field(ge=0, le=MAX_REPLICAS - 1)]
    """Number of the pod in its pool, from 0."""


class WorkerCall(Shape):
    """A call that the pod is to execute once."""

    app_task: ObjectName
    """Name of the AppTask to report on."""
    uid: Annotated[str, Field(min_length=1, max_length=64)]
    """Its uid."""
    attempt: Annotated[int, Field(ge=1)]
    """Number of the attempt. Together with the uid it identifies the entry."""
    call: FreeObject
    """The call as a pod of its own finds it in its annotation: task, input, policy and so on."""


class AppWorkerStatus(Shape):
    """The inbox. It follows from the calls assigned to the pod, and is written if it differs."""

    pod: PodReference | None = None
    """The pod that the inbox is for, by name and uid. Any other pod ignores it."""
    calls: (
        Annotated[list[WorkerCall], Field(max_length=MAX_INBOX_CALLS, json_schema_extra={LIST_TYPE: "atomic"})] | None
    ) = None
    """Open calls assigned to that pod, oldest first. The pod cancels a call that is removed."""
    drain: bool | None = None
    """True: the pod is given no further calls, and exits once it has reported those that it has."""


class AppWorker(Shape):
    """A warm pod of a pool, which executes one task call after another, and the calls assigned to
    it."""

    model_config = ConfigDict(json_schema_extra={RULES: [NAME_RULE]})

    spec: AppWorkerSpec
    status: AppWorkerStatus | None = None
