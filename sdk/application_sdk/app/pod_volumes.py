"""The keyword `volumes` of `@task`: volumes of a pod's manifest, by the path where they are mounted.

Loaded only together with `pod_options`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from typing import Final, cast

from application_sdk.app.pod_option_checks import InvalidOptionError, fields, flag, items, object_name, one_of
from application_sdk.wire import pod_rules
from application_sdk.wire.digest import JSON, JSONObject

_QUANTITY: Final = re.compile(pod_rules.QUANTITY)


def volumes(value: object, keyword: str) -> JSON:
    """The volumes as they go on the wire. Raises InvalidOptionError."""
    if not isinstance(value, Mapping):
        raise InvalidOptionError(f"{keyword}={value!r} must be a mapping of mount paths to volumes")
    if len(value) > pod_rules.MAX_VOLUMES:
        raise InvalidOptionError(f"{keyword} has {len(value)} entries: {pod_rules.MAX_VOLUMES} are the limit")
    return [_volume(path, volume, f"{keyword}[{path!r}]") for path, volume in value.items()]


def _volume(path: object, volume: object, where: str) -> JSONObject:
    fault = pod_rules.mount_path_fault(path)
    # guard: volume-own-path - a volume over AppRun's own folders would replace the token or the call
    if fault:
        raise InvalidOptionError(f"{where} {fault}")
    known = {*pod_rules.VOLUME_SOURCES, "readOnly", "subPath"}
    record = fields(volume, where, known, f"one of {', '.join(pod_rules.VOLUME_SOURCES)} as in a pod's manifest")
    source_name = one_of(record, pod_rules.VOLUME_SOURCES, where)
    source = record[source_name]
    if not isinstance(source, Mapping):
        raise InvalidOptionError(f"{where}[{source_name!r}] is {source!r}: write its fields as in a pod's manifest")
    mounted: JSONObject = {
        "mountPath": cast("str", path),
        source_name: passed_through(source, f"{where}[{source_name!r}]"),
    }
    SOURCES[source_name](source, f"{where}[{source_name!r}]")
    if "readOnly" in record:
        mounted["readOnly"] = flag(record["readOnly"], f"{where}['readOnly']")
    if "subPath" in record:
        mounted["subPath"] = _sub_path(record["subPath"], where)
    return mounted


def passed_through(value: object, where: str) -> JSON:
    """A value that Kubernetes checks, within the limit of its size. Raises InvalidOptionError."""
    try:
        size = len(json.dumps(value))
        copy = json.loads(json.dumps(value))
    except (TypeError, ValueError) as error:
        raise InvalidOptionError(f"{where} is no JSON ({error}): write it as in a pod's manifest") from error
    if size > pod_rules.MAX_PASSED_BYTES:
        raise InvalidOptionError(f"{where} has {size:,} bytes of JSON: {pod_rules.MAX_PASSED_BYTES:,} are the limit")
    return cast("JSON", copy)


def _sub_path(value: object, where: str) -> str:
    if not isinstance(value, str) or not re.fullmatch(pod_rules.MOUNT_PATH, f"/{value}"):
        raise InvalidOptionError(f"{where} has the subPath {value!r}: write a path that goes down, such as 'models/a'")
    return value


def _claim(source: Mapping[str, object], where: str) -> None:
    fields(source, where, {"claimName"}, '{"claimName": name}')
    object_name(source.get("claimName"), f"{where}['claimName']")


def _config_map(source: Mapping[str, object], where: str) -> None:
    fields(source, where, {"name", "items", "optional", "defaultMode"}, '{"name": name}')
    object_name(source.get("name"), f"{where}['name']")


def _secret(source: Mapping[str, object], where: str) -> None:
    fields(source, where, {"secretName", "items", "optional", "defaultMode"}, '{"secretName": name}')
    object_name(source.get("secretName"), f"{where}['secretName']")


def _empty_dir(source: Mapping[str, object], where: str) -> None:
    fields(source, where, {"medium", "sizeLimit"}, '{"sizeLimit": "1Gi"} or {"medium": "Memory", "sizeLimit": "1Gi"}')
    if source.get("medium", "") not in pod_rules.MEDIA:
        raise InvalidOptionError(f"{where} has the medium {source['medium']!r}: write 'Memory', or leave it out")
    limit = source.get("sizeLimit")
    if limit is not None and not (isinstance(limit, str) and _QUANTITY.fullmatch(limit)):
        raise InvalidOptionError(f"{where} has the sizeLimit {limit!r}: write a quantity such as '1Gi'")


def _ephemeral(source: Mapping[str, object], where: str) -> None:
    form = '{"volumeClaimTemplate": {"spec": {"accessModes": […], "resources": {"requests": {"storage": "10Gi"}}}}}'
    template = fields(source, where, {"volumeClaimTemplate"}, form).get("volumeClaimTemplate")
    if not isinstance(template, Mapping) or not isinstance(template.get("spec"), Mapping):
        raise InvalidOptionError(f"{where} has no spec of a claim: write {form}")


def _projected(source: Mapping[str, object], where: str) -> None:
    items(fields(source, where, {"sources", "defaultMode"}, '{"sources": […]}').get("sources"), f"{where}['sources']")


def _csi(source: Mapping[str, object], where: str) -> None:
    known = {"driver", "volumeAttributes", "nodePublishSecretRef"}
    object_name(fields(source, where, known, '{"driver": name}').get("driver"), f"{where}['driver']")


SOURCES: Final[Mapping[str, Callable[[Mapping[str, object], str], None]]] = {
    "persistentVolumeClaim": _claim,
    "ephemeral": _ephemeral,
    "configMap": _config_map,
    "secret": _secret,
    "projected": _projected,
    "emptyDir": _empty_dir,
    "csi": _csi,
}
