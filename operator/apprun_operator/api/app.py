"""App: code to run, and the defaults of its runs. People write it, the operator reads it when a run
begins."""

from __future__ import annotations

from typing import Annotated, Final, Literal, TypeAlias

from pydantic import ConfigDict, Field
from pydantic.alias_generators import to_camel

from application_sdk.wire.fields import ReuseMode, RunsIn
from apprun_operator.api.apptask import Concurrency, MaxCalls, PoolSeconds, Replicas, Reuse
from apprun_operator.api.pod import POD_RULES, Amounts, PodShape
from apprun_operator.api.secrets import SECRETS_MAX_ITEMS, SecretMounts
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
ParkAfter: TypeAlias = Annotated[int, Field(ge=0, le=86_400)]


class Source(Shape):
    """Python files that the image doesn't contain. They come first on the import path."""

    config_map: NameReference
    """ConfigMap in the same namespace. Each key is a file name such as `app.py`."""


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
    """The object store of the files that tasks pass to one another. Only task pods get access to
    it."""

    model_config = ConfigDict(json_schema_extra={RULES: [VOLUME_FOR_FILES, NO_WAY_UP]})

    url: Annotated[str, Field(max_length=1024, pattern=STORE_URL_PATTERN)]
    """`s3://bucket/prefix` for S3 and compatible stores, `gs://`, `az://account/container`, or
    `file:///folder` for a folder of the volume that volumeClaim names. All files are stored below
    it, by namespace and run."""
    secret_ref: NameReference | None = None
    """Secret in the same namespace with the store's credentials, mounted into task pods. Its keys
    are option names such as `access_key_id`. When absent, the task's service account is used
    (workload identity)."""
    options: (
        Annotated[
            dict[Annotated[str, Field(max_length=63)], Annotated[str, Field(max_length=1024)]], Field(max_length=32)
        ]
        | None
    ) = None
    """Options of the store that aren't secret: `endpoint`, `region`, `allow_http` and so on, by the
    names of obstore."""
    volume_claim: NameReference | None = None
    """For `file://`: a PersistentVolumeClaim that pods on all nodes can write to
    (ReadWriteMany)."""


class PlacedPod(PodShape, Amounts):
    """Fields of a pod's manifest, with amounts and place."""

    model_config = ConfigDict(json_schema_extra={RULES: POD_RULES})

    node_selector: LabelMap | None = None
    """Labels that a node must have to run these pods."""
    tolerations: Tolerations | None = None
    """Taints that these pods tolerate."""


class PodDefaults(PlacedPod):
    """Defaults of a run's pods. What a task declares takes precedence: `env` and `volumes` by entry,
    `labels` and `annotations` by key, amounts by resource, everything else field by field."""


class DriverPod(PlacedPod):
    """The pod that executes the route. It overrides `spec.pod`, of which a driver gets no GPU, no
    extended resources, no shared memory and no volumes."""


class Retention(Shape):
    """How long a finished run is kept."""

    ttl_seconds_after_finished: Annotated[int, Field(ge=0)] | None = None
    """Seconds after the end of a run at which it is deleted, with its AppTasks and its ledger. When
    absent, the run is kept until somebody deletes it."""


class ReuseOverride(Shape):
    """Executes a task's calls in warm pods, or changes the settings of its pool. Absent fields keep
    the value of the code, or the default of `ReusePolicy`."""

    replicas: Replicas | None = None
    """Size of the pool."""
    idle_ttl: PoolSeconds | None = None
    """Seconds without a call after which the pool shrinks to its minimum."""
    scaledown_ttl: PoolSeconds | None = None
    """Seconds for which a pod may be idle before it is removed, down to the minimum."""
    concurrency: Concurrency | None = None
    """Calls that one pod executes at the same time."""
    mode: ReuseMode | None = None
    """`process`: each call has its own process. `actor`: all calls of a pod share a process and its
    globals."""
    max_calls: MaxCalls | None = None
    """Calls after which a pod is replaced."""


OF_CODE: Final = ("image", "secrets")
"""Fields of a task's pod that `spec.pod` lacks, since the App says them for all tasks elsewhere."""
NO_POD_IN_DRIVER: Final = rule(
    "!has(self.runsIn) || self.runsIn != 'driver' || !("
    + " || ".join(f"has(self.{to_camel(name)})" for name in (*PlacedPod.model_fields, *OF_CODE))
    + ")",
    "a task that runs in the driver has no pod: leave out the fields of its pod, or runsIn",
    field=".runsIn",
)


class TaskOverride(PlacedPod):
    """Settings of one task that override those in the app's code. Those of its pod are laid over
    `@task`, as `@task` is over `spec.pod`."""

    model_config = ConfigDict(
        json_schema_extra={
            RULES: [
                rule("!has(self.runsIn) || !has(self.reuse)", "runsIn and reuse exclude each other"),
                NO_POD_IN_DRIVER,
                *POD_RULES,
            ]
        }
    )

    runs_in: RunsIn | None = None
    """Where the task is executed. `pod`: each call in its own pod. `driver`: in a process beside
    the route, for steps of milliseconds to seconds. Either also replaces the warm pods that the
    code asks for. A run keeps the setting that it began with, and stalls if the task can't be
    executed there."""
    reuse: ReuseOverride | None = None
    """The task's calls are executed in warm pods, which stay between calls."""
    image: Image | None = None
    """Container image of this task's pods. It has to contain the same code."""
    secrets: (
        Annotated[
            list[Annotated[str, Field(max_length=253)]],
            Field(max_length=SECRETS_MAX_ITEMS, json_schema_extra={LIST_TYPE: "atomic"}),
        ]
        | None
    ) = None
    """Those of `spec.secrets` that are mounted into this task's pods; none if the list is empty."""


class AppTemplate(Shape):
    """Code to run, and what its pods need."""

    entry: Entry
    """The app's class as `module:Class`, for example `app:HelloWorldApp`."""
    image: Image | None = None
    """Container image with Python and the SDK. Defaults to the operator's runtime image, which is
    meant for code from `source`."""
    image_pull_policy: PullPolicy | None = None
    """When the image is pulled. Defaults to Kubernetes' default for the image's tag."""
    source: Source | None = None
    """Where the code is, if the image doesn't contain it."""
    service_account_name: ObjectName | None = None
    """Service account of task pods, for tasks that use the Kubernetes API or a cloud. Defaults to
    `apprun-task`, which may only report results. The driver always runs as `apprun-driver`."""
    storage: Storage | None = None
    """Where the files that tasks return are stored. Defaults to the store of the namespace: a
    ConfigMap and a Secret, both named `apprun-store`, which task pods get as environment
    variables."""
    secrets: SecretMounts | None = None
    """Secrets that are mounted into task pods as files. A task may restrict itself to some of them
    with `secrets=` of `@task`. The driver gets those with `driver: true`."""


class Handler(Shape):
    """The app over HTTP: a Deployment and a Service, both named `<app>-handler`. Callers whom the
    namespace's roles allow to can start and read runs there."""

    replicas: Annotated[int, Field(ge=0, le=20)] | None = None
    """Number of pods. Defaults to 1."""
    cpu: LooseQuantity | None = None
    """CPU request and limit of a handler pod."""
    memory: LooseQuantity | None = None
    """Memory request and limit of a handler pod."""


class PodSettings(Shape):
    """What the app says of its pods, and of where its tasks run."""

    pod: PodDefaults | None = None
    """Defaults of the pods."""
    driver: DriverPod | None = None
    """The pod that executes the route, over `pod`."""
    tasks: Annotated[dict[TaskName, TaskOverride], Field(max_length=256)] | None = None
    """Settings that override those in the code, by the names of the tasks."""


class AppSpec(AppTemplate, PodSettings):
    """The app's code, and the defaults of its runs. A change affects runs that begin later; a
    running one keeps the app that it began with."""

    model_config = ConfigDict(json_schema_extra={RULES: [TASK_ACCOUNT_RULE]})

    parallelism: Parallelism | None = None
    """How many task pods of one run may be active at the same time, unless the run sets its own."""
    cancel_grace_seconds: CancelGrace | None = None
    """Seconds that the route of a cancelled or timed-out run has for its clean-up, unless the run
    sets its own."""
    park_after_seconds: ParkAfter | None = None
    """After how many seconds without a result a driver leaves whose route only waits. The next
    result starts it again. Defaults to 60; 0 keeps the driver."""
    retention: Retention | None = None
    """How long finished runs are kept, unless the run sets its own."""


class ServedAppSpec(AppSpec):
    """The spec of an App: the fields of an inline app, and those that only an App has."""

    handler: Handler | None = None
    """Serves the app over HTTP. Not served when absent."""
    contract_changes: Literal["Warn", "Refuse"] | None = None
    """What becomes of new code whose entry points or tasks don't take or return what the published
    ones do. `Warn`, as when absent: it is published, and the condition `ContractsCompatible` says
    what has changed. `Refuse`: no run begins with it until the App is put back, or this is."""


class Contract(Shape):
    """One entry point or task."""

    name: str
    """Its name."""
    description: str | None = None
    """Its docstring."""
    default: bool | None = None
    """True for the default entry point."""
    runs_in: RunsIn | None = None
    """Where a task is executed according to the code; in a pod when absent. `spec.tasks` may
    override it."""
    reuse: Reuse | None = None
    """The pool of warm pods that the code declares for the task's calls; none when absent.
    `spec.tasks` may override it."""
    takes: Annotated[list[str], Field(json_schema_extra={LIST_TYPE: "atomic"})]
    """Fields of its input, in Python notation."""
    returns: Annotated[list[str], Field(json_schema_extra={LIST_TYPE: "atomic"})]
    """Fields of its output, in Python notation."""


ContractList: TypeAlias = Annotated[list[Contract], Field(json_schema_extra={LIST_TYPE: "map", LIST_KEYS: ["name"]})]


class Contracts(Shape):
    """The contracts of the app's code. An inspection finds them: a pod without permissions that
    imports the code."""

    app: str | None = None
    """The app's own name."""
    version: str | None = None
    """The app's own version."""
    sdk_version: str | None = None
    """Version of the SDK in the image."""
    code: str | None = None
    """Digest of entry, image and source of the spec. Inputs are validated against these contracts
    while it is the same."""
    image: str | None = None
    """The image as the spec names it."""
    image_digest: str | None = None
    """The image that was started, by its digest, as the node names it."""
    source_digest: str | None = None
    """Digest of the files of `spec.source`."""
    default_entrypoint: str | None = None
    """The default entry point."""
    entrypoints: ContractList | None = None
    """The entry points."""
    tasks: ContractList | None = None
    """The tasks."""
    schemas: FreeObject | None = None
    """JSON Schemas of inputs and outputs, by `entrypoints` and `tasks`, then by name."""
    omitted: str | None = None
    """What was omitted because it is too large for the App."""


class Inspection(Shape):
    """The last finished inspection of the code."""

    code: str
    """Digest of entry, image and source of the inspected code."""
    at: Timestamp
    """When the code was imported."""
    result: Literal["Published", "Refused", "Failed"]
    """Published: `contracts` describes this code. Refused: the code changes contracts incompatibly,
    and `contractChanges` is `Refuse`. Failed: the code can't be imported."""
    failures: int | None = None
    """Number of consecutive failed inspections."""


class HandlerStatus(Shape):
    """State of the Deployment and the Service that serve the app over HTTP."""

    service: str
    """Service in this namespace that takes requests, on port 80."""
    replicas: int | None = None
    """Desired number of pods."""
    ready: int | None = None
    """Number of ready pods."""


class Pool(Shape):
    """One pool of warm pods."""

    name: str
    """Name of the pool. The names of its pods begin with it."""
    tasks: Annotated[list[str], Field(json_schema_extra={LIST_TYPE: "atomic"})] | None = None
    """Tasks whose calls it executes."""
    size: int
    """Number of pods, those that are starting included."""
    busy: int
    """Pods that execute a call."""
    idle: int
    """Pods that wait for a call."""
    draining: int
    """Pods that finish their calls and then end."""
    renewed: int | None = None
    """Pods that were replaced since the operator's leader started."""


class AppStatus(Shape):
    """State of the app, as the operator sees it."""

    observed_generation: int | None = None
    """The `metadata.generation` that this status describes."""
    handler: HandlerStatus | None = None
    """The handler, if `spec.handler` is set."""
    inspection: Inspection | None = None
    """Result of the last inspection of the code."""
    contracts: Contracts | None = None
    """The published contracts of the code."""
    pools: Annotated[list[Pool], Field(json_schema_extra={LIST_TYPE: "map", LIST_KEYS: ["name"]})] | None = None
    """The app's pools of warm pods, as they were some seconds ago."""
    conditions: Conditions | None = None
    """`Ready`, `Reconciling` and `Stalled` as kstatus defines them. `Inspected` says why if the
    code can't be imported. `ContractsCompatible` says what has changed if inputs or outputs of the
    previous version don't fit."""


class App(Shape):
    """An app: a Python class whose `run()` composes durable tasks. An AppRun that names it runs it
    once."""

    spec: ServedAppSpec
    status: Annotated[AppStatus | None, Field(json_schema_extra={"default": {"observedGeneration": -1}})] = None
