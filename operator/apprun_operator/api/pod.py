"""What an App or a task may say of its pods, beside image, CPU, memory and place.

The fields have the names and forms of a pod's manifest. Must agree with
`application_sdk.wire.pod_fields`, and with the checks of `application_sdk.wire.pod_rules`, which
the operator repeats for every pod that it makes.
"""

from __future__ import annotations

from typing import Annotated, Final, TypeAlias

from pydantic import ConfigDict, Field, JsonValue

from application_sdk.wire.pod_rules import (
    FORBIDDEN_ANNOTATION_PREFIXES,
    MAX_CONSTRAINTS,
    MAX_ENTRIES,
    MAX_GPUS,
    MAX_GRACE_SECONDS,
    MAX_ID,
    MAX_QUEUE_CHARACTERS,
    MAX_VALUE_CHARACTERS,
    OWN_KEY_PREFIX,
    OWN_LABELS,
    OWN_VARIABLE_PREFIX,
    OWN_VARIABLES,
)
from apprun_operator.api.shapes import (
    LIST_KEYS,
    LIST_TYPE,
    RULES,
    LabelMap,
    LooseQuantity,
    NameReference,
    ObjectName,
    Quantity,
    Shape,
    rule,
)
from apprun_operator.api.volumes import DataKey, SmallObject, Volumes

VariableName: TypeAlias = Annotated[str, Field(min_length=1, max_length=253, pattern=r"^[A-Za-z_][A-Za-z0-9_.-]*$")]
Value: TypeAlias = Annotated[str, Field(max_length=MAX_VALUE_CHARACTERS)]
AnnotationMap: TypeAlias = Annotated[dict[str, Value], Field(max_length=32)]


def _own_keys(field: str, prefixes: tuple[str, ...], keys: tuple[str, ...], message: str) -> dict[str, JsonValue]:
    """The rule that keeps AppRun's own keys out of a map of labels or annotations."""
    refused = [*(f"key.startsWith('{prefix}')" for prefix in prefixes), *(f"key == '{key}'" for key in keys)]
    return rule(f"!has(self.{field}) || self.{field}.all(key, !({' || '.join(refused)}))", message, field=f".{field}")


OWN_LABEL_RULE: Final = _own_keys(
    "labels",
    (OWN_KEY_PREFIX,),
    OWN_LABELS,
    f"labels under {OWN_KEY_PREFIX} and {', '.join(OWN_LABELS)} are set by AppRun: choose another key",
)
OWN_ANNOTATION_RULE: Final = _own_keys(
    "annotations",
    (OWN_KEY_PREFIX, *FORBIDDEN_ANNOTATION_PREFIXES),
    (),
    f"annotations under {OWN_KEY_PREFIX} are set by AppRun, and those that change the security profile of a pod are"
    " refused: leave it out",
)
POD_RULES: Final[list[JsonValue]] = [OWN_LABEL_RULE, OWN_ANNOTATION_RULE]
OWN_VARIABLE_RULE: Final = rule(
    f"!self.name.startsWith('{OWN_VARIABLE_PREFIX}') && !(self.name in {list(OWN_VARIABLES)})",
    f"variables whose name begins with {OWN_VARIABLE_PREFIX}, and {', '.join(OWN_VARIABLES)}, are set by AppRun:"
    " choose another name",
    field=".name",
)


class KeyReference(Shape):
    """One key of a ConfigMap or Secret in the same namespace."""

    name: ObjectName
    """Name of the object."""
    key: DataKey
    """The key."""
    optional: bool | None = None
    """True starts the pod without the variable if object or key is missing."""


class EnvSource(Shape):
    """Where the value of an environment variable is."""

    model_config = ConfigDict(
        json_schema_extra={
            RULES: [
                rule(
                    "has(self.secretKeyRef) != has(self.configMapKeyRef)",
                    "give exactly one of secretKeyRef and configMapKeyRef",
                )
            ]
        }
    )

    secret_key_ref: KeyReference | None = None
    """Key of a Secret."""
    config_map_key_ref: KeyReference | None = None
    """Key of a ConfigMap."""


class EnvVariable(Shape):
    """One environment variable."""

    model_config = ConfigDict(
        json_schema_extra={
            RULES: [
                OWN_VARIABLE_RULE,
                rule("!has(self.value) || !has(self.valueFrom)", "give one of value and valueFrom"),
            ]
        }
    )

    name: VariableName
    """Name of the variable."""
    value: Value | None = None
    """Its value."""
    value_from: EnvSource | None = None
    """Where its value is, instead."""


class EnvReference(Shape):
    """A whole ConfigMap or Secret in the same namespace."""

    name: ObjectName
    """Name of the object."""
    optional: bool | None = None
    """True starts the pod without its variables if it is missing."""


class EnvFrom(Shape):
    """All keys of a ConfigMap or Secret as environment variables."""

    model_config = ConfigDict(
        json_schema_extra={
            RULES: [
                rule("has(self.configMapRef) != has(self.secretRef)", "give exactly one of configMapRef and secretRef"),
                rule(
                    f"!has(self.prefix) || !self.prefix.startsWith('{OWN_VARIABLE_PREFIX}')",
                    f"variables whose name begins with {OWN_VARIABLE_PREFIX} are set by AppRun: choose another prefix",
                    field=".prefix",
                ),
            ]
        }
    )

    prefix: VariableName | None = None
    """Text that the names of the variables begin with."""
    config_map_ref: EnvReference | None = None
    """The ConfigMap."""
    secret_ref: EnvReference | None = None
    """The Secret."""


ResourceMap: TypeAlias = Annotated[dict[Annotated[str, Field(max_length=317)], Quantity], Field(max_length=16)]
LooseResourceMap: TypeAlias = Annotated[
    dict[Annotated[str, Field(max_length=317)], LooseQuantity], Field(max_length=16)
]
Gpus: TypeAlias = Annotated[int, Field(ge=0, le=MAX_GPUS)]


class Amounts(Shape):
    """How much a pod gets, as people write it."""

    cpu: LooseQuantity | None = None
    """CPU request and limit of a pod, as a Kubernetes quantity: `500m`, `2`."""
    memory: LooseQuantity | None = None
    """Memory request and limit of a pod, as a Kubernetes quantity: `256Mi`, `2Gi`."""
    requests: LooseResourceMap | None = None
    """Requests of resources whose limit is another amount, or that have none. They win over `cpu`
    and `memory`."""
    limits: LooseResourceMap | None = None
    """Limits of resources whose request is another amount."""
    resources: LooseResourceMap | None = None
    """Request and limit of further resources, by name: `ephemeral-storage: 10Gi`."""
    gpu: Gpus | None = None
    """Number of NVIDIA GPUs, short for the resource `nvidia.com/gpu`."""
    shm: LooseQuantity | None = None
    """Size of `/dev/shm`, which counts as memory of the pod. 64 MiB when absent."""


class TaskAmounts(Shape):
    """How much a pod gets, as drivers write it."""

    cpu: Quantity | None = None
    """CPU request and limit."""
    memory: Quantity | None = None
    """Memory request and limit."""
    requests: ResourceMap | None = None
    """Requests of resources whose limit is another amount, or that have none."""
    limits: ResourceMap | None = None
    """Limits of resources whose request is another amount."""
    resources: ResourceMap | None = None
    """Request and limit of further resources, by name."""
    gpu: Gpus | None = None
    """Number of NVIDIA GPUs."""
    shm: Quantity | None = None
    """Size of `/dev/shm`."""


class Affinity(Shape):
    """Which nodes a pod wants, and beside which pods."""

    node_affinity: SmallObject | None = None
    """As in a pod's manifest."""
    pod_affinity: SmallObject | None = None
    """As in a pod's manifest."""
    pod_anti_affinity: SmallObject | None = None
    """As in a pod's manifest."""


Address: TypeAlias = Annotated[str, Field(min_length=2, max_length=45, pattern=r"^[0-9a-fA-F.:]+$")]
HostName: TypeAlias = Annotated[str, Field(max_length=253)]


class HostAlias(Shape):
    """An entry of `/etc/hosts`."""

    ip: Address
    """The address."""
    hostnames: Annotated[list[HostName], Field(max_length=MAX_ENTRIES, json_schema_extra={LIST_TYPE: "atomic"})]
    """Its names."""


class DnsOption(Shape):
    """An option of the resolver."""

    name: Annotated[str, Field(min_length=1, max_length=63)]
    """Name of the option: `ndots`."""
    value: Annotated[str, Field(max_length=63)] | None = None
    """Its value."""


class DnsConfig(Shape):
    """What is added to the resolver's configuration."""

    nameservers: Annotated[list[Address], Field(max_length=3, json_schema_extra={LIST_TYPE: "atomic"})] | None = None
    """Addresses of name servers."""
    searches: Annotated[list[HostName], Field(max_length=32, json_schema_extra={LIST_TYPE: "atomic"})] | None = None
    """Domains in which short names are looked up."""
    options: Annotated[list[DnsOption], Field(max_length=32, json_schema_extra={LIST_TYPE: "atomic"})] | None = None
    """Options of the resolver."""


class PodShape(Shape):
    """Fields of a pod's manifest."""

    env: (
        Annotated[
            list[EnvVariable],
            Field(max_length=MAX_ENTRIES, json_schema_extra={LIST_TYPE: "map", LIST_KEYS: ["name"]}),
        ]
        | None
    ) = None
    """Environment variables. Names that begin with `APPRUN_` are AppRun's own."""
    env_from: (
        Annotated[list[EnvFrom], Field(max_length=MAX_ENTRIES, json_schema_extra={LIST_TYPE: "atomic"})] | None
    ) = None
    """ConfigMaps and Secrets all of whose keys become environment variables."""
    labels: LabelMap | None = None
    """Further labels of the pods."""
    annotations: AnnotationMap | None = None
    """Further annotations of the pods."""
    image_pull_secrets: (
        Annotated[list[NameReference], Field(max_length=16, json_schema_extra={LIST_TYPE: "atomic"})] | None
    ) = None
    """Secrets with which images are pulled. When absent, those of the service account."""
    volumes: Volumes | None = None
    """Volumes and where they are mounted. Only pods of tasks get those of `spec.pod`."""
    affinity: Affinity | None = None
    """Which nodes the pods want, and beside which pods."""
    topology_spread_constraints: (
        Annotated[list[SmallObject], Field(max_length=MAX_CONSTRAINTS, json_schema_extra={LIST_TYPE: "atomic"})] | None
    ) = None
    """How the pods are spread over nodes or zones, as in a pod's manifest."""
    runtime_class_name: ObjectName | None = None
    """RuntimeClass of the pods."""
    priority_class_name: ObjectName | None = None
    """PriorityClass of these pods: the scheduler places pods of higher priority first, and may
    preempt others for them."""
    scheduler_name: ObjectName | None = None
    """The scheduler that places the pods. Kubernetes' own when absent."""
    host_aliases: (
        Annotated[list[HostAlias], Field(max_length=MAX_ENTRIES, json_schema_extra={LIST_TYPE: "atomic"})] | None
    ) = None
    """Further entries of `/etc/hosts`."""
    dns_config: DnsConfig | None = None
    """What is added to the resolver's configuration."""
    termination_grace_period_seconds: Annotated[int, Field(ge=1, le=MAX_GRACE_SECONDS)] | None = None
    """Seconds between SIGTERM and SIGKILL. 30 when absent; 20 for a handler."""
    run_as_user: Annotated[int, Field(ge=1, le=MAX_ID)] | None = None
    """User and group of the pods' processes. Defaults to the chart's `podSecurity.runAsUser`."""
    fs_group: Annotated[int, Field(ge=1, le=MAX_ID)] | None = None
    """Group that volumes are handed to. When absent, the pod's group if a claim is mounted."""
    spot: bool | None = None
    """True runs the pods on nodes that the cloud may take back, as the chart's `spot` describes them.
    The last attempt of a call, and all after two disruptions, may run anywhere. Of `spec.pod` only
    for tasks."""
    queue: (
        Annotated[
            str, Field(min_length=1, max_length=MAX_QUEUE_CHARACTERS, pattern=r"^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$")
        ]
        | None
    ) = None
    """Kueue's LocalQueue that admits the pods. Of `spec.pod` only for tasks."""
