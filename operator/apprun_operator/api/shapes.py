"""Building blocks that several kinds share: the frozen base, CEL rules, scalars and their patterns,
errors, conditions.

Fields take their description from the docstring below them. Bounds stand on what people and drivers
write. Those of a status are far above what the SDK writes, because a report that is refused for its
length would lose the work that it tells of: they hold for pods that speak past it. How long a value
may be whose shape only the app knows is said by the chart's policies.
"""

from __future__ import annotations

from typing import Annotated, Final, Literal, TypeAlias

from pydantic import BaseModel, ConfigDict, Field, JsonValue, WithJsonSchema
from pydantic.alias_generators import to_camel

from application_sdk.wire.fields import MAX_SECONDS, Outcome, StallReason
from application_sdk.wire.names import (
    CANCEL_KEY,
    KEY_LENGTH,
    RESERVED_SERVICE_ACCOUNTS,
    TASK_SERVICE_ACCOUNT,
    WORKER_SERVICE_ACCOUNT,
)

PRESERVE: Final = "x-kubernetes-preserve-unknown-fields"
RULES: Final = "x-kubernetes-validations"
LIST_TYPE: Final = "x-kubernetes-list-type"
LIST_KEYS: Final = "x-kubernetes-list-map-keys"

NAME_MAX_LENGTH: Final = 253
TEXT_MAX_LENGTH: Final = 64 * 1024


class Shape(BaseModel):
    """Base of all models: frozen, camelCase outside, tolerant of fields that a newer version
    wrote."""

    model_config = ConfigDict(
        frozen=True, extra="ignore", alias_generator=to_camel, populate_by_name=True, use_attribute_docstrings=True
    )


def rule(expression: str, message: str, *, field: str | None = None, reason: str | None = None) -> dict[str, JsonValue]:
    """One CEL rule of a schema: the expression that must be true, and the message of the API server
    if it isn't."""
    made: dict[str, JsonValue] = {"rule": expression, "message": message}
    if field is not None:
        made["fieldPath"] = field
    if reason is not None:
        made["reason"] = reason
    return made


Timestamp: TypeAlias = Annotated[str, Field(json_schema_extra={"format": "date-time"})]
"""RFC 3339, in UTC."""

ObjectName: TypeAlias = Annotated[
    str, Field(min_length=1, max_length=NAME_MAX_LENGTH, pattern=r"^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$")
]

Image: TypeAlias = Annotated[str, Field(min_length=1, max_length=512, pattern=r"^[^\s]+$")]

QUANTITY_PATTERN: Final = r"^[0-9]+(\.[0-9]+)?(m|k|M|G|T|P|Ki|Mi|Gi|Ti|Pi)?$"
Quantity: TypeAlias = Annotated[str, Field(max_length=32, pattern=QUANTITY_PATTERN)]
"""A Kubernetes quantity as text: what drivers write."""
LooseQuantity: TypeAlias = Annotated[
    int | str, WithJsonSchema({"x-kubernetes-int-or-string": True, "pattern": QUANTITY_PATTERN, "maxLength": 32})
]
"""A Kubernetes quantity as people write it: `cpu: 1` means the same as `cpu: "1"`."""

FreeObject: TypeAlias = Annotated[dict[str, JsonValue], WithJsonSchema({"type": "object", PRESERVE: True})]
"""A JSON object; only the app knows its fields."""
FreeValue: TypeAlias = Annotated[JsonValue, WithJsonSchema({PRESERVE: True})]
"""Any JSON value."""

LabelMap: TypeAlias = Annotated[
    dict[Annotated[str, Field(max_length=317)], Annotated[str, Field(max_length=63)]], Field(max_length=32)
]

PullPolicy: TypeAlias = Literal["Always", "IfNotPresent", "Never"]


TASK_ACCOUNT_RULE: Final = rule(
    f"!has(self.serviceAccountName) || !(self.serviceAccountName in {list(RESERVED_SERVICE_ACCOUNTS)}"
    f" || self.serviceAccountName.startsWith('{WORKER_SERVICE_ACCOUNT}-'))",
    f"tasks don't run as {' or '.join(RESERVED_SERVICE_ACCOUNTS)} or {WORKER_SERVICE_ACCOUNT}-…, which are AppRun's"
    f" own: name an account of yours, or none for {TASK_SERVICE_ACCOUNT}",
    field=".serviceAccountName",
)


class NameReference(Shape):
    """Another object in the same namespace."""

    name: ObjectName
    """Name of the object."""


class Toleration(Shape):
    """Lets a pod onto nodes with a matching taint, as in a pod's own `tolerations`."""

    key: Annotated[str, Field(max_length=317)] | None = None
    """Taint key; absent with operator `Exists` matches every taint."""
    operator: Literal["Exists", "Equal"] | None = None
    """How key and value are compared; `Equal` when absent."""
    value: Annotated[str, Field(max_length=63)] | None = None
    """Taint value, for `Equal`."""
    effect: Literal["NoSchedule", "PreferNoSchedule", "NoExecute"] | None = None
    """Taint effect; absent matches all."""
    toleration_seconds: int | None = None
    """For `NoExecute`: how many seconds the pod stays on a node that got the taint. For lost nodes
    the operator sets its own tolerations."""


Tolerations: TypeAlias = Annotated[list[Toleration], Field(max_length=32, json_schema_extra={LIST_TYPE: "atomic"})]


class Condition(Shape):
    """One condition, in the form that kstatus, Flux, Argo CD and `kubectl wait` read."""

    type: str
    """`Ready`, `Reconciling` or `Stalled`; for a run also `Succeeded`, for an App also `Inspected`
    and `ContractsCompatible`."""
    status: Literal["True", "False", "Unknown"]
    """Whether the condition is met."""
    reason: str
    """One word in CamelCase for programs."""
    message: str | None = None
    """What is wrong, and what to change if something has to be, in one sentence."""
    last_transition_time: Timestamp
    """When `status` last changed."""
    observed_generation: int | None = None
    """The `metadata.generation` that this condition describes."""


Conditions: TypeAlias = Annotated[
    list[Condition], Field(max_length=16, json_schema_extra={LIST_TYPE: "map", LIST_KEYS: ["type"]})
]


Text: TypeAlias = Annotated[str, Field(max_length=TEXT_MAX_LENGTH)]
"""Text that a pod reports. The SDK cuts it to 8 KiB."""


class Failure(Shape):
    """A failure as data: of one attempt, of a task call, or of a run."""

    type: Annotated[str, Field(max_length=1024)]
    """Class of the exception, or the reason if there was no exception (`OOMKilled`, `TimedOut`)."""
    message: Text
    """The message of the exception or of the cluster."""
    traceback: Text | None = None
    """Python traceback, reduced to the frames of the app."""
    attempt: int | None = None
    """The attempt that failed."""
    retryable: bool | None = None
    """False if the task asks not to be retried."""
    retry_after_seconds: Annotated[float, Field(ge=0, le=MAX_SECONDS)] | None = None
    """Seconds until the next attempt, if the task sets them. Otherwise the retry policy does."""
    stall: StallReason | None = None
    """Why the run has to wait for somebody to correct something. Only drivers set it."""


class Checkpoint(Shape):
    """One committed result of a task call. The route gets the results in the order of the
    ledger."""

    sequence: Annotated[int, Field(ge=0)]
    """Position in the ledger, from 0."""
    key: Annotated[str, Field(max_length=KEY_LENGTH, pattern=rf"^({CANCEL_KEY}|[0-9a-f]{{{KEY_LENGTH}}})$")]
    """Identity of the call. The cancellation of the run has an entry, too."""
    task: Annotated[str, Field(max_length=NAME_MAX_LENGTH)]
    """Name of the task; `sleep` for a timer."""
    outcome: Outcome
    """How the call ended."""
    attempts: int
    """Number of the last attempt."""
    digest: Annotated[str, Field(max_length=128)]
    """Digest of the output, or of the error of a failed call. The output itself stays on the
    AppTask."""
    at: Timestamp
    """When it was committed. The route's clock shows this time."""
    node: Annotated[str, Field(max_length=NAME_MAX_LENGTH)] | None = None
    """Node that the last attempt ran on."""
