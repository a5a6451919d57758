"""Volumes that an App or a task may have mounted, in the forms of a pod's manifest."""

from __future__ import annotations

from typing import Annotated, Final, Literal, TypeAlias

from pydantic import ConfigDict, Field, JsonValue, WithJsonSchema

from application_sdk.wire.pod_rules import (
    DEV,
    DEV_FOLDERS,
    MAX_PATH_CHARACTERS,
    MAX_VOLUMES,
    MOUNT_PATH,
    OWN_FOLDERS,
    TMP,
    VOLUME_SOURCES,
)
from apprun_operator.api.secrets import CsiVolume
from apprun_operator.api.shapes import LIST_KEYS, LIST_TYPE, PRESERVE, RULES, ObjectName, Quantity, Shape, rule

SmallObject: TypeAlias = Annotated[
    dict[str, JsonValue], WithJsonSchema({"type": "object", "maxProperties": 32, PRESERVE: True})
]
"""A part of a pod's manifest that the API server checks when the pod is created."""
Mode: TypeAlias = Annotated[int, Field(ge=0, le=0o777)]
DataKey: TypeAlias = Annotated[str, Field(min_length=1, max_length=253, pattern=r"^[-._a-zA-Z0-9]+$")]


class KeyToPath(Shape):
    """One key, and the file that it becomes."""

    key: DataKey
    """The key."""
    path: Annotated[str, Field(min_length=1, max_length=MAX_PATH_CHARACTERS)]
    """Path of the file in the volume."""
    mode: Mode | None = None
    """Permissions of the file."""


Items: TypeAlias = Annotated[list[KeyToPath], Field(max_length=64, json_schema_extra={LIST_TYPE: "atomic"})]


class ClaimSource(Shape):
    """A PersistentVolumeClaim in the same namespace."""

    claim_name: ObjectName
    """Name of the claim."""


class EphemeralSource(Shape):
    """A claim that is made with the pod, and deleted with it."""

    volume_claim_template: SmallObject
    """Template of the claim: `spec` with `accessModes`, `resources` and `storageClassName`."""


class ConfigMapVolume(Shape):
    """A ConfigMap in the same namespace, as files."""

    name: ObjectName
    """Name of the ConfigMap."""
    items: Items | None = None
    """The keys to mount; all of them when absent."""
    optional: bool | None = None
    """True starts the pod although the ConfigMap is missing."""
    default_mode: Mode | None = None
    """Permissions of the files."""


class SecretVolume(Shape):
    """A Secret in the same namespace, as files."""

    secret_name: ObjectName
    """Name of the Secret."""
    items: Items | None = None
    """The keys to mount; all of them when absent."""
    optional: bool | None = None
    """True starts the pod although the Secret is missing."""
    default_mode: Mode | None = None
    """Permissions of the files."""


class ProjectedVolume(Shape):
    """Several sources in one folder."""

    sources: Annotated[list[SmallObject], Field(max_length=16, json_schema_extra={LIST_TYPE: "atomic"})]
    """The sources, each as in a pod's manifest."""
    default_mode: Mode | None = None
    """Permissions of the files."""


class EmptyDir(Shape):
    """A folder that is empty at first."""

    medium: Literal["", "Memory"] | None = None
    """`Memory` keeps it in memory, which counts as memory of the pod. Otherwise it is on the node's
    disk."""
    size_limit: Quantity | None = None
    """How much it may hold."""


OWN_PATH_RULE: Final = rule(
    f"self.mountPath != '{TMP}' && !{list(OWN_FOLDERS)}.exists(own, self.mountPath == own"
    " || self.mountPath.startsWith(own + '/') || own.startsWith(self.mountPath + '/'))"
    f" && (self.mountPath in {list(DEV_FOLDERS)}"
    f" || !(self.mountPath == '{DEV}' || self.mountPath.startsWith('{DEV}/')))",
    f"{TMP}, {', '.join(OWN_FOLDERS)}, {DEV} and what lies above them are folders that every pod has already: choose"
    " another path, such as /data",
    field=".mountPath",
)
ONE_SOURCE_RULE: Final = rule(
    f"[{', '.join(f'has(self.{source})' for source in VOLUME_SOURCES)}].filter(given, given).size() == 1",
    f"give exactly one of {', '.join(VOLUME_SOURCES)}",
)


class MountedVolume(Shape):
    """One volume: exactly one source, and how it is mounted."""

    model_config = ConfigDict(json_schema_extra={RULES: [ONE_SOURCE_RULE, OWN_PATH_RULE]})

    mount_path: Annotated[str, Field(min_length=2, max_length=MAX_PATH_CHARACTERS, pattern=rf"^{MOUNT_PATH}$")]
    """Where it is mounted: an absolute path."""
    persistent_volume_claim: ClaimSource | None = None
    """A PersistentVolumeClaim."""
    ephemeral: EphemeralSource | None = None
    """A claim of each pod's own."""
    config_map: ConfigMapVolume | None = None
    """A ConfigMap as files."""
    secret: SecretVolume | None = None
    """A Secret as files. Those of `spec.secrets` need no volume."""
    projected: ProjectedVolume | None = None
    """Several sources in one folder."""
    empty_dir: EmptyDir | None = None
    """An empty folder."""
    csi: CsiVolume | None = None
    """A volume of a CSI driver."""
    read_only: bool | None = None
    """True mounts it read-only."""
    sub_path: Annotated[str, Field(min_length=1, max_length=MAX_PATH_CHARACTERS)] | None = None
    """The folder of the volume to mount, instead of all of it."""


Volumes: TypeAlias = Annotated[
    list[MountedVolume],
    Field(max_length=MAX_VOLUMES, json_schema_extra={LIST_TYPE: "map", LIST_KEYS: ["mountPath"]}),
]
