"""Adds to a complete pod what its App and task ask for beside what every pod has.

The pod comes with all that is AppRun's: command, token, call, security context. Whatever is added
stands beside that and never in its place, also where the fields went past the checks of the API
server.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, cast

from application_sdk.wire import pod_rules
from application_sdk.wire.digest import JSON, JSONObject

SPEC_FIELDS: Final = (
    "imagePullSecrets",
    "affinity",
    "topologySpreadConstraints",
    "runtimeClassName",
    "schedulerName",
    "hostAliases",
    "dnsConfig",
    "terminationGracePeriodSeconds",
)
"""Fields that a pod's spec has under the same name."""
MOUNT_PARTS: Final = ("mountPath", "readOnly", "subPath")
"""Fields of a volume that say how it is mounted."""
CLAIMS: Final = frozenset({"persistentVolumeClaim", "ephemeral"})
"""Volumes that belong to root until the kubelet hands them to a group."""


def add(pod: JSONObject, fields: JSONObject) -> None:
    """Add to `pod`, an object or a template of pods, what `fields` ask for."""
    metadata, spec = cast("JSONObject", pod["metadata"]), cast("JSONObject", pod["spec"])
    containers = cast("list[JSONObject]", spec["containers"])
    labels = fields.get("labels")
    if isinstance(fields.get("queue"), str):
        labels = {**(labels if isinstance(labels, dict) else {}), pod_rules.QUEUE_LABEL: fields["queue"]}
    _add_to_map(metadata, "labels", labels, pod_rules.is_own_label)
    _add_to_map(metadata, "annotations", fields.get("annotations"), pod_rules.is_own_annotation)
    _add_environment(containers[0], fields)
    _set_identity(cast("JSONObject", spec["securityContext"]), fields)
    _add_volumes(spec, containers[0], fields)
    for field in SPEC_FIELDS:
        if fields.get(field):
            spec[field] = fields[field]


def _add_to_map(metadata: JSONObject, name: str, asked: JSON, is_own: Callable[[str], bool]) -> None:
    if not isinstance(asked, dict):
        return
    own = cast("JSONObject", metadata.get(name) or {})
    # guard: pod-own-metadata - a label or annotation of a user's could pass for the call, or for
    # another pod of the run
    added = {key: value for key, value in asked.items() if not is_own(key) and key not in own}
    if added:
        metadata[name] = {**own, **added}


def _add_environment(container: JSONObject, fields: JSONObject) -> None:
    own = cast("list[JSON]", container.get("env") or [])
    names = {entry.get("name") for entry in own if isinstance(entry, dict)}
    # After the operator's own: the kubelet expands `$(NAME)` by the variables before, so no value of
    # the operator's depends on one of a user's.
    added: list[JSON] = []
    for entry in _list(fields.get("env")):
        name = entry.get("name") if isinstance(entry, dict) else None
        # guard: pod-own-variables - the last of two variables of one name would win
        if isinstance(name, str) and name not in names and not pod_rules.is_own_variable(name):
            names.add(name)
            added.append(entry)
    if added:
        container["env"] = [*own, *added]
    sources = _list(fields.get("envFrom"))
    if sources:
        # Before the namespace's file store: of two sources of one variable the last one wins.
        container["envFrom"] = [*sources, *cast("list[JSON]", container.get("envFrom") or [])]


def _set_identity(security: JSONObject, fields: JSONObject) -> None:
    user, group = fields.get("runAsUser"), fields.get("fsGroup")
    # guard: pod-not-root - the profile `restricted` refuses root, as a user and as a group of files
    if isinstance(user, int) and user > 0:
        security |= {"runAsUser": user, "runAsGroup": user}
    if isinstance(group, int) and group > 0:
        security |= {"fsGroup": group, "fsGroupChangePolicy": "OnRootMismatch"}


def _add_volumes(spec: JSONObject, container: JSONObject, fields: JSONObject) -> None:
    volumes: list[JSON] = []
    mounts: list[JSON] = []
    paths = {mount.get("mountPath") for mount in _list(container.get("volumeMounts")) if isinstance(mount, dict)}
    if isinstance(fields.get("shm"), str | int):
        volumes.append({"name": "shm", "emptyDir": {"medium": "Memory", "sizeLimit": fields["shm"]}})
        mounts.append({"name": "shm", "mountPath": pod_rules.SHARED_MEMORY})
        paths.add(pod_rules.SHARED_MEMORY)
    writable = False
    for entry in _list(fields.get("volumes")):
        volume = entry if isinstance(entry, dict) else {}
        path, sources = volume.get("mountPath"), [name for name in pod_rules.VOLUME_SOURCES if name in volume]
        # guard: pod-own-mounts - a volume over the token's folder, or over another one, would replace it
        if pod_rules.mount_path_fault(path) or path in paths or len(sources) != 1:
            continue
        paths.add(path)
        # Names that no volume of the operator's has, and that nobody chooses.
        name = f"volume-{len(paths)}"
        source = volume[sources[0]]
        if sources[0] == "csi" and isinstance(source, dict) and volume.get("readOnly") is True:
            # Some drivers, such as those of secrets, refuse a volume that only the mount makes read-only.
            source = {**source, "readOnly": True}
        volumes.append({"name": name, sources[0]: source})
        mounts.append({"name": name, **{part: volume[part] for part in MOUNT_PARTS if part in volume}})
        writable = writable or sources[0] in CLAIMS
    if volumes:
        spec["volumes"] = [*_list(spec.get("volumes")), *volumes]
        container["volumeMounts"] = [*_list(container.get("volumeMounts")), *mounts]
    security = cast("JSONObject", spec["securityContext"])
    if writable and "runAsGroup" in security and "fsGroup" not in security:
        # A new disk belongs to root, and pods run as another user.
        security |= {"fsGroup": security["runAsGroup"], "fsGroupChangePolicy": "OnRootMismatch"}


def _list(value: JSON) -> list[JSON]:
    return value if isinstance(value, list) else []
