"""Requests and limits of a pod's container, from the several fields that say them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from application_sdk.wire.digest import JSON, JSONObject
from application_sdk.wire.pod_rules import CORE_RESOURCES, GPU_RESOURCE

FIELD_OF: Final = {"cpu": "cpu", "memory": "memory", "gpu": GPU_RESOURCE}
"""Fields that say request and limit of one resource."""
MAPS: Final = ("resources", "requests", "limits")
"""Fields that say amounts by the names of resources."""


def resources_of(fields: JSONObject) -> JSONObject:
    """The container's `resources`; empty where nothing is said."""
    both: JSONObject = {
        resource: fields[field] for field, resource in FIELD_OF.items() if fields.get(field) not in (None, 0)
    }
    both |= _map(fields, "resources")
    requests, limits = _map(fields, "requests"), _map(fields, "limits")
    apart = requests.keys() | limits.keys()
    common = {resource: amount for resource, amount in both.items() if resource not in apart}
    amounts: JSONObject = {}
    if common or requests:
        amounts["requests"] = {**common, **requests}
    if common or limits:
        amounts["limits"] = {**common, **limits}
    return amounts


def without(fields: JSONObject, layer: JSONObject) -> JSONObject:
    """`fields` without what they say of the resources that `layer` speaks of.

    Whoever names a resource says both its request and its limit.
    """
    named = {resource for field, resource in FIELD_OF.items() if field in layer}
    named.update(resource for field in MAPS for resource in _map(layer, field))
    return _filtered(fields, lambda resource: resource not in named) if named else fields


def core_only(fields: JSONObject) -> JSONObject:
    """`fields` without resources that only some nodes have, such as GPUs."""
    return _filtered(fields, lambda resource: resource in CORE_RESOURCES)


def _filtered(fields: JSONObject, keep: Callable[[str], bool]) -> JSONObject:
    kept: JSONObject = {}
    for field, value in fields.items():
        if field in FIELD_OF and not keep(FIELD_OF[field]):
            continue
        if field in MAPS:
            amounts: JSONObject = {
                resource: amount for resource, amount in _map(fields, field).items() if keep(resource)
            }
            if not amounts:
                continue
            kept[field] = amounts
        else:
            kept[field] = value
    return kept


def _map(fields: JSONObject, field: str) -> dict[str, JSON]:
    value = fields.get(field)
    return value if isinstance(value, dict) else {}
