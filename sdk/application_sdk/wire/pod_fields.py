"""Shapes of what a task may ask of its pod: `AppTask.spec.pod`, and the same fields in `App.spec`.

Fields have the names and forms that they have in a pod's manifest, so that the operator hands them
on. `app.pod_options` makes them of the keywords of `@task`; the models of the CRDs agree with them.
"""

from __future__ import annotations

from typing import Literal, NotRequired, TypedDict

from application_sdk.wire.digest import JSONObject


class KeyReference(TypedDict):
    """One key of a ConfigMap or Secret."""

    name: str
    key: str
    optional: NotRequired[bool]


class EnvSource(TypedDict, total=False):
    """Where an environment variable's value is: exactly one of them."""

    secretKeyRef: KeyReference
    configMapKeyRef: KeyReference


class EnvVariable(TypedDict):
    """One environment variable, with a value or a source of it."""

    name: str
    value: NotRequired[str]
    valueFrom: NotRequired[EnvSource]


class EnvReference(TypedDict):
    """A whole ConfigMap or Secret."""

    name: str
    optional: NotRequired[bool]


class EnvFrom(TypedDict, total=False):
    """All keys of one ConfigMap or one Secret as environment variables."""

    prefix: str
    configMapRef: EnvReference
    secretRef: EnvReference


class ObjectReference(TypedDict):
    """Another object of the namespace, by name."""

    name: str


class ClaimSource(TypedDict):
    """A PersistentVolumeClaim of the namespace."""

    claimName: str


class EphemeralSource(TypedDict):
    """A claim that is made with the pod, and deleted with it."""

    volumeClaimTemplate: JSONObject


class KeyToPath(TypedDict):
    """One key, and the file that it becomes."""

    key: str
    path: str
    mode: NotRequired[int]


class ConfigMapVolume(TypedDict):
    """A ConfigMap as files."""

    name: str
    items: NotRequired[list[KeyToPath]]
    optional: NotRequired[bool]
    defaultMode: NotRequired[int]


class SecretVolume(TypedDict):
    """A Secret as files."""

    secretName: str
    items: NotRequired[list[KeyToPath]]
    optional: NotRequired[bool]
    defaultMode: NotRequired[int]


class ProjectedVolume(TypedDict):
    """Several sources in one folder."""

    sources: list[JSONObject]
    defaultMode: NotRequired[int]


class EmptyDir(TypedDict, total=False):
    """A folder that is empty at first, on the node's disk or in memory."""

    medium: Literal["", "Memory"]
    sizeLimit: str


class Volume(TypedDict, total=False):
    """One volume: exactly one of its sources, and how it is mounted."""

    persistentVolumeClaim: ClaimSource
    ephemeral: EphemeralSource
    configMap: ConfigMapVolume
    secret: SecretVolume
    projected: ProjectedVolume
    emptyDir: EmptyDir
    csi: JSONObject
    readOnly: bool
    subPath: str
    """The folder of the volume to mount, instead of all of it."""


class MountedVolume(Volume):
    """A volume with the path where it is mounted, which tells it from others."""

    mountPath: str


class Affinity(TypedDict, total=False):
    """Which nodes a pod wants, and beside which pods."""

    nodeAffinity: JSONObject
    podAffinity: JSONObject
    podAntiAffinity: JSONObject


class HostAlias(TypedDict):
    """An entry of /etc/hosts."""

    ip: str
    hostnames: list[str]


class DnsOption(TypedDict):
    """An option of the pod's resolver."""

    name: str
    value: NotRequired[str]


class DnsConfig(TypedDict, total=False):
    """What is added to the resolver's configuration."""

    nameservers: list[str]
    searches: list[str]
    options: list[DnsOption]


class PodFields(TypedDict, total=False):
    """What a task may ask of its pod. `cpu` and `memory` are Kubernetes quantities."""

    image: str
    cpu: str
    memory: str
    nodeSelector: dict[str, str]
    tolerations: list[JSONObject]
    serviceAccountName: str
    secrets: list[str]
    """Names in the App's spec.secrets that this task is given. Absent: all of them."""
    env: list[EnvVariable]
    envFrom: list[EnvFrom]
    labels: dict[str, str]
    annotations: dict[str, str]
    imagePullSecrets: list[ObjectReference]
    requests: dict[str, str]
    """Of resources whose request isn't the limit. Without an entry in `limits`: no limit."""
    limits: dict[str, str]
    resources: dict[str, str]
    """Request and limit of further resources, by name."""
    gpu: int
    shm: str
    """Size of /dev/shm, which is the runtime's 64 MiB otherwise."""
    volumes: list[MountedVolume]
    affinity: Affinity
    topologySpreadConstraints: list[JSONObject]
    runtimeClassName: str
    priorityClassName: str
    schedulerName: str
    hostAliases: list[HostAlias]
    dnsConfig: DnsConfig
    terminationGracePeriodSeconds: int
    runAsUser: int
    """User and group of the pod's processes."""
    fsGroup: int
    spot: bool
    """On nodes that the cloud may take back, as the chart describes them."""
    queue: str
    """Kueue's LocalQueue."""
