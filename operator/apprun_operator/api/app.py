"""App: code to run, and the defaults of its runs. Written by people; read by the operator when a run begins."""

from __future__ import annotations

from typing import Annotated, Final, Literal, TypeAlias

from pydantic import ConfigDict, Field

from application_sdk.wire.fields import RunsIn
from apprun_operator.api.secrets import SecretMounts
from apprun_operator.api.shapes import (
    LIST_KEYS,
    LIST_TYPE,
    RULES,
    TASK_ACCOUNT_RULE,
    Conditions,
    FreeObject,
    Image,
    LabelMap,
    LooseQuantity,
    NameReference,
    ObjectName,
    PullPolicy,
    Shape,
    Timestamp,
    Tolerations,
    rule,
)

IDENTIFIER: Final = r"[A-Za-z_][A-Za-z0-9_]*"
ENTRY_PATTERN: Final = rf"^{IDENTIFIER}(\.{IDENTIFIER})*:{IDENTIFIER}$"

Entry: TypeAlias = Annotated[str, Field(min_length=3, max_length=253, pattern=ENTRY_PATTERN)]
Parallelism: TypeAlias = Annotated[int, Field(ge=1, le=10_000)]
TaskName: TypeAlias = Annotated[str, Field(max_length=253)]
CancelGrace: TypeAlias = Annotated[int, Field(ge=0, le=86_400)]


class Source(Shape):
    """Python files for an image that doesn't hold them. They come first on the import path."""

    config_map: NameReference
    """ConfigMap in the same namespace; each key is a file name such as `app.py`."""


STORE_URL_PATTERN: Final = (
    r"^((s3|gs|az|abfss)://[A-Za-z0-9][A-Za-z0-9._@-]*(/[A-Za-z0-9._=-]+)*|file://(/[A-Za-z0-9._=-]+)*)/?$"
)
VOLUME_FOR_FILES: Final = rule(
    "self.url.startsWith('file://') == has(self.volumeClaim)",
    "a file:// store lies on the volume that volumeClaim names, and no other store has one",
)
NO_WAY_UP: Final = rule(
    "!self.url.split('/').exists(part, part == '..' || part == '.')",
    "a path in the URL goes down only: without '.' and '..'",
    field=".url",
)


class Storage(Shape):
    """Where the files are kept that tasks hand to one another. Only task pods are given it."""

    model_config = ConfigDict(json_schema_extra={RULES: [VOLUME_FOR_FILES, NO_WAY_UP]})

    url: Annotated[str, Field(max_length=1024, pattern=STORE_URL_PATTERN)]
    """`s3://bucket/prefix` and what is compatible, `gs://`, `az://account/container`, or `file:///folder` for a folder
    of the volume that volumeClaim names. Everything lies below it, by namespace and run."""
    secret_ref: NameReference | None = None
    """Secret in the same namespace with the store's credentials, mounted into task pods; its keys are option names such
    as `access_key_id`. Absent: workload identity, through the task's service account."""
    options: (
        Annotated[
            dict[Annotated[str, Field(max_length=63)], Annotated[str, Field(max_length=1024)]], Field(max_length=32)
        ]
        | None
    ) = None
    """Options of the store that are no secret: `endpoint`, `region`, `allow_http` and so on, as obstore names them."""
    volume_claim: NameReference | None = None
    """For `file://`: PersistentVolumeClaim that pods on all nodes can write to (ReadWriteMany)."""


class PodDefaults(Shape):
    """What the pods of a run ask for when their task doesn't say. A task's own declaration wins, field by field."""

    cpu: LooseQuantity | None = None
    """CPU request and limit of a pod, as a Kubernetes quantity: `500m`, `2`."""
    memory: LooseQuantity | None = None
    """Memory request and limit of a pod, as a Kubernetes quantity: `256Mi`, `2Gi`."""
    node_selector: LabelMap | None = None
    """Labels that a node must have to be given these pods."""
    tolerations: Tolerations | None = None
    """Taints that these pods accept."""
    priority_class_name: ObjectName | None = None
    """PriorityClass of these pods: which of them the scheduler places first, and may evict others for."""


class Retention(Shape):
    """How long a finished run is kept."""

    ttl_seconds_after_finished: Annotated[int, Field(ge=0)] | None = None
    """Seconds after a run has ended at which it is deleted, its AppTasks and ledger with it. Absent: kept until it is
    deleted by hand."""


class TaskOverride(Shape):
    """What an App says of one of its tasks in place of its code."""

    runs_in: RunsIn | None = None
    """`pod`: each call in a pod of its own. `driver`: in a process beside the route, for steps of milliseconds to
    seconds. A run keeps what holds when it begins; it stalls, with the reason, when the task can't run there."""


class AppTemplate(Shape):
    """Code to run, and what its pods need."""

    entry: Entry
    """The app's class as `module:Class`, for example `app:HelloWorldApp`."""
    image: Image | None = None
    """Container image with Python and the SDK. Absent: the operator's runtime image, which suits code that comes from
    `source`."""
    image_pull_policy: PullPolicy | None = None
    """When the image is pulled; Kubernetes' default for the tag when absent."""
    source: Source | None = None
    """Where the code is, when the image doesn't hold it."""
    service_account_name: ObjectName | None = None
    """Service account that task pods run as, for tasks that talk to the cluster or to a cloud. Absent: `apprun-task`,
    which may do nothing but report. The driver always runs as `apprun-driver`."""
    pod: PodDefaults | None = None
    """What the pods ask for when their task doesn't say."""
    storage: Storage | None = None
    """Where files that tasks return are kept. Absent: what the namespace says in a ConfigMap and a Secret, both named
    `apprun-store`, which task pods get as environment variables."""
    secrets: SecretMounts | None = None
    """Secrets that the task pods are given, as files. A task may ask for fewer of them, with `secrets=` of `@task`. The
    driver is given those with `driver: true`."""
    tasks: Annotated[dict[TaskName, TaskOverride], Field(max_length=256)] | None = None
    """What holds for single tasks in place of what the code says, by the tasks' names."""


class Handler(Shape):
    """The app over HTTP: a Deployment and a Service `<app>-handler` that answer for it. Runs are started and looked at
    there, by callers whom the namespace's roles allow it."""

    replicas: Annotated[int, Field(ge=0, le=20)] | None = None
    """How many pods answer; 1 when absent."""
    cpu: LooseQuantity | None = None
    """CPU request and limit of such a pod."""
    memory: LooseQuantity | None = None
    """Memory request and limit of such a pod."""


class AppSpec(AppTemplate):
    """What the app is, and the defaults of its runs. A change reaches runs that begin later; a running one keeps what
    it began with."""

    model_config = ConfigDict(json_schema_extra={RULES: [TASK_ACCOUNT_RULE]})

    parallelism: Parallelism | None = None
    """How many task pods of one run may be active at the same time, unless the run says otherwise."""
    cancel_grace_seconds: CancelGrace | None = None
    """Seconds that the route of a cancelled or timed out run has for its clean-up, unless the run says otherwise."""
    retention: Retention | None = None
    """How long finished runs are kept, unless the run says otherwise."""


class ServedAppSpec(AppSpec):
    """What an App may say beyond what a run may say of an app of its own."""

    handler: Handler | None = None
    """Serves the app over HTTP. Absent: it isn't."""
    contract_changes: Literal["Warn", "Refuse"] | None = None
    """What becomes of new code whose entry points or tasks don't take or return what the published ones do. `Warn`, as
    when absent: it is published, and the condition `ContractsCompatible` says what has changed. `Refuse`: no run begins
    with it until the App is put back, or this is."""


class Contract(Shape):
    """One entry point or task, for people."""

    name: str
    """Its name."""
    description: str | None = None
    """Its docstring."""
    default: bool | None = None
    """True for the entry point of runs that name none."""
    runs_in: RunsIn | None = None
    """Of a task: where the code has it executed. Absent: in a pod. `spec.tasks` may say otherwise."""
    takes: Annotated[list[str], Field(json_schema_extra={LIST_TYPE: "atomic"})]
    """Fields of its input, as Python writes them."""
    returns: Annotated[list[str], Field(json_schema_extra={LIST_TYPE: "atomic"})]
    """Fields of its output."""


ContractList: TypeAlias = Annotated[list[Contract], Field(json_schema_extra={LIST_TYPE: "map", LIST_KEYS: ["name"]})]


class Contracts(Shape):
    """What the app's code contains: found by importing it once, in a pod without rights, when the App had changed."""

    app: str | None = None
    """The app's own name."""
    version: str | None = None
    """The app's own version."""
    sdk_version: str | None = None
    """Version of the SDK that the image holds."""
    code: str | None = None
    """Digest of what names the code: entry, image and source of the spec. Inputs are checked as long as they are
    these."""
    image: str | None = None
    """The image, as it was asked for."""
    image_digest: str | None = None
    """The image that was started, as the node names it: by its digest."""
    source_digest: str | None = None
    """Digest of the files of `spec.source`."""
    default_entrypoint: str | None = None
    """The entry point of runs that name none."""
    entrypoints: ContractList | None = None
    """The entry points."""
    tasks: ContractList | None = None
    """The tasks."""
    schemas: FreeObject | None = None
    """JSON Schemas of inputs and outputs, by `entrypoints` and `tasks`, then by name."""
    omitted: str | None = None
    """What was left out because it is too large for the App."""


class Inspection(Shape):
    """The last inspection of the code that came to an end."""

    code: str
    """Digest of what names the code that was inspected."""
    at: Timestamp
    """When it was."""
    result: Literal["Published", "Refused", "Failed"]
    """Published: `contracts` speaks of this code. Refused: it changes contracts incompatibly, and `contractChanges` is
    `Refuse`. Failed: it can't be imported."""
    failures: int | None = None
    """How many inspections in a row have failed."""


class HandlerStatus(Shape):
    """What serves the app over HTTP."""

    service: str
    """Service of this namespace to send requests to, on port 80."""
    replicas: int | None = None
    """Pods that are wanted."""
    ready: int | None = None
    """Pods that answer."""


class AppStatus(Shape):
    """What the operator found out about the app."""

    observed_generation: int | None = None
    """The `metadata.generation` that this status speaks of."""
    handler: HandlerStatus | None = None
    """The app over HTTP, when `spec.handler` is set."""
    inspection: Inspection | None = None
    """How the last look at the code ended."""
    contracts: Contracts | None = None
    """What the code contains."""
    conditions: Conditions | None = None
    """`Ready`, `Reconciling` and `Stalled` as kstatus defines them; `Inspected`, with the reason when the code can't be
    imported; `ContractsCompatible`, with what has changed when inputs or outputs of the version before don't fit."""


class App(Shape):
    """An app: a Python class whose `run()` composes durable tasks. An AppRun that names it runs it once."""

    spec: ServedAppSpec
    status: Annotated[AppStatus | None, Field(json_schema_extra={"default": {"observedGeneration": -1}})] = None
