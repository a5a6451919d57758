"""One field of raw JSON to a value: checked as it is read, bounded, or `Unreadable` with the field's name.

Nothing here trusts that a schema held: objects outlive the schemas that admitted them.
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
"""By so much longer than their limit inputs, outputs and heartbeats may be: other versions of the SDK wrote them."""

# Raw JSON comes from outside and is checked field by field as it is read, hence Any.
Raw = Mapping[str, Any]


class Unreadable(ValueError):
    """An object that this version of the operator can't understand: the text names the field."""


def check_whole(raw: Raw) -> None:
    """Raise Unreadable for an object of which the decoder had to leave something out."""
    problem = problem_of(raw)
    if problem:
        raise Unreadable(problem)


def packed(value: object, name: str, limit: int = MAX_PAYLOAD_BYTES) -> Packed | None:
    """A value as it is kept. The chart's policies refuse what is longer than the SDK takes, but measure roughly, and
    not where they aren't installed."""
    if value is None:
        return None
    made = Packed.of(value)
    if len(made.data) > limit * SLACK:
        raise Unreadable(f"{name} has {len(made.data)} bytes of JSON, and {limit} are the limit")
    return made


def packed_object(raw: Raw, name: str, where: str) -> Packed:
    return packed(object_(raw, name, {}), f"{where}.{name}") or EMPTY


def object_(raw: Raw, name: str, default: JSONObject | None = None) -> dict[str, Any]:
    value = raw.get(name, default)
    if value is None and default is not None:
        return default
    if not isinstance(value, dict):
        raise Unreadable(f"{name} is missing or no object")
    return value


def text(raw: Raw, name: str, default: str | None = None) -> str:
    value = raw.get(name, default)
    if value is None and default is not None:
        return default
    if not isinstance(value, str):
        raise Unreadable(f"{name} is missing or no text")
    return value


def number(raw: Raw, name: str) -> Any:
    value = raw.get(name)
    if value is not None and (isinstance(value, bool) or not isinstance(value, int | float)):
        raise Unreadable(f"{name} is {value!r}, no number")
    return value


def seconds(raw: Raw, name: str) -> float | None:
    """A time span, of a century at most: `1e308` is a number that nobody can wait for or add to."""
    value = number(raw, name)
    return None if value is None else min(max(value, 0), MAX_SECONDS)


def policy(spec: Raw) -> Policy | None:
    """The policy with numbers that a plan can reckon with, whatever was written."""
    if spec.get("policy") is None:
        return None
    made = dict(object_(spec, "policy"))
    for name in SPANS:
        if made.get(name) is not None:
            made[name] = seconds(made, name)
    if made.get("retry") is not None:
        retry = made["retry"] = dict(object_(made, "retry"))
        for name in ("initialIntervalSeconds", "maxIntervalSeconds"):
            if retry.get(name) is not None:
                retry[name] = seconds(retry, name)
        coefficient, attempts = number(retry, "backoffCoefficient"), number(retry, "maxAttempts")
        if coefficient is not None:
            retry["backoffCoefficient"] = min(max(coefficient, 0), MAX_COEFFICIENT)
        if attempts is not None:
            retry["maxAttempts"] = int(min(max(attempts, 0), MAX_ATTEMPTS))
    return cast("Policy", made)


def count(raw: Raw, name: str) -> int:
    value = raw.get(name)
    if value is None:
        return 0
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        raise Unreadable(f"{name} is {value!r}, no count")
    return value


def time(raw: Raw, name: str) -> float | None:
    value = raw.get(name)
    if value is None:
        return None
    try:
        return times.parse(value)
    except (ValueError, TypeError) as error:
        raise Unreadable(f"{name} is {value!r}, no timestamp") from error
