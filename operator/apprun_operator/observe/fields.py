"""Parses single fields of raw JSON: each is checked and bounded, or raises `Unreadable` with the
field's name.

Nothing here relies on a schema: objects outlive the schemas that admitted them.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, cast

from application_sdk.wire.digest import JSONObject
from application_sdk.wire.fields import (
    MAX_COEFFICIENT,
    MAX_PAYLOAD_BYTES,
    MAX_SECONDS,
    Policy,
)
from apprun_operator.kube.decode import problem_of
from apprun_operator.observe import times
from apprun_operator.observe.packed_json import EMPTY, Packed

SPANS: Final = (
    "timeoutSeconds",
    "scheduleToCloseSeconds",
    "heartbeatTimeoutSeconds",
    "autoHeartbeatSeconds",
    "maxNoProgressSeconds",
)
MAX_ATTEMPTS: Final = 2**31 - 1
SLACK: Final = 1.5
"""Factor by which inputs, outputs and heartbeats may exceed their limit: other SDK versions wrote
them."""

# Raw JSON comes from outside and is checked field by field as it is read, hence Any.
Raw = Mapping[str, Any]


class Unreadable(ValueError):
    """This version of the operator can't read an object. The message names the field."""


def check_whole(raw: Raw) -> None:
    """Raise Unreadable if the decoder had to cut something out of the object."""
    problem = problem_of(raw)
    if problem:
        raise Unreadable(problem)


def packed(value: object, name: str, limit: int = MAX_PAYLOAD_BYTES) -> Packed | None:
    """Pack a value, within its limit.

    The chart's policies refuse longer values too, but they measure roughly, and they may not be
    installed.
    """
    if value is None:
        return None
    value_packed = Packed.of(value)
    if len(value_packed.data) > limit * SLACK:
        raise Unreadable(f"{name} has {len(value_packed.data)} bytes of JSON, the limit is {limit}")
    return value_packed


def packed_object(raw: Raw, name: str, where: str) -> Packed:
    return packed(object_(raw, name, {}), f"{where}.{name}") or EMPTY


def object_(raw: Raw, name: str, default: JSONObject | None = None) -> dict[str, Any]:
    value = raw.get(name, default)
    if value is None and default is not None:
        return default
    if not isinstance(value, dict):
        raise Unreadable(f"{name} is missing or not an object")
    return value


def text(raw: Raw, name: str, default: str | None = None) -> str:
    value = raw.get(name, default)
    if value is None and default is not None:
        return default
    if not isinstance(value, str):
        raise Unreadable(f"{name} is missing or not a string")
    return value


def number(raw: Raw, name: str) -> Any:
    value = raw.get(name)
    if value is not None and (isinstance(value, bool) or not isinstance(value, int | float)):
        raise Unreadable(f"{name} is {value!r}, not a number")
    return value


def seconds(raw: Raw, name: str) -> float | None:
    """A duration of a century at most: `1e308` would overflow in any sum with it."""
    value = number(raw, name)
    return None if value is None else min(max(value, 0), MAX_SECONDS)


def policy(spec: Raw) -> Policy | None:
    """The policy, with every number within bounds that a plan can calculate with."""
    if spec.get("policy") is None:
        return None
    fields = dict(object_(spec, "policy"))
    for name in SPANS:
        if fields.get(name) is not None:
            fields[name] = seconds(fields, name)
    if fields.get("retry") is not None:
        retry = fields["retry"] = dict(object_(fields, "retry"))
        for name in ("initialIntervalSeconds", "maxIntervalSeconds"):
            if retry.get(name) is not None:
                retry[name] = seconds(retry, name)
        coefficient, attempts = number(retry, "backoffCoefficient"), number(retry, "maxAttempts")
        if coefficient is not None:
            retry["backoffCoefficient"] = min(max(coefficient, 0), MAX_COEFFICIENT)
        if attempts is not None:
            retry["maxAttempts"] = int(min(max(attempts, 0), MAX_ATTEMPTS))
    return cast("Policy", fields)


def count(raw: Raw, name: str) -> int:
    value = raw.get(name)
    if value is None:
        return 0
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        raise Unreadable(f"{name} is {value!r}, not a count")
    return value


def time(raw: Raw, name: str) -> float | None:
    value = raw.get(name)
    if value is None:
        return None
    try:
        return times.parse(value)
    except (ValueError, TypeError) as error:
        raise Unreadable(f"{name} is {value!r}, not a timestamp") from error
