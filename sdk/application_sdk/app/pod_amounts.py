"""The keywords of `@task` that say how much a pod gets: `cpu`, `memory`, `resources`, `gpu` and `shm`.

Loaded only where a task says more than one amount of CPU and memory. A single value is both request
and limit; a pair is the request and the limit.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from fractions import Fraction
from typing import Final, Literal, TypeAlias

from application_sdk.app.pod_option_checks import InvalidOptionError, entries, qualified
from application_sdk.errors import AppDefinitionError
from application_sdk.wire.pod_fields import PodFields
from application_sdk.wire.pod_rules import CORE_RESOURCES, GPU_RESOURCE, MAX_GPUS, QUANTITY

Amount: TypeAlias = str | tuple[str, str | None]
"""A Kubernetes quantity, or a request and a limit; None for no limit."""
ResourceAmount: TypeAlias = str | int | tuple[str | int, str | int | None]

_QUANTITY: Final = re.compile(QUANTITY)
AMOUNT_MAPS: Final[tuple[Literal["resources"], Literal["requests"], Literal["limits"]]] = (
    "resources",
    "requests",
    "limits",
)
_UNITS: Final = {
    "": Fraction(1),
    "m": Fraction(1, 1000),
    **{unit: Fraction(1000) ** power for power, unit in enumerate("kMGTP", 1)},
    **{f"{unit}i": Fraction(1024) ** power for power, unit in enumerate("KMGTP", 1)},
}


def with_amounts(pod: PodFields, options: Mapping[str, object], title: str) -> PodFields:
    """The fields of a pod with the amounts among `options` over them.

    Args:
        pod: The fields that the task has without these options.
        options: Keywords of `@task` or `.options()`. Others than amounts are left alone.
        title: Whose options they are, for the message of an error.

    Raises:
        AppDefinitionError: An amount is no quantity, or a request is above its limit.
    """
    changed = PodFields(**pod)
    try:
        if "cpu" in options:
            _forget(changed, {"cpu"})
            changed.pop("cpu", None)
            _set_amount(changed, "cpu", options["cpu"], "cpu")
        if "memory" in options:
            _forget(changed, {"memory"})
            changed.pop("memory", None)
            _set_amount(changed, "memory", options["memory"], "memory")
        if "resources" in options:
            named = {*changed.get("requests", {}), *changed.get("limits", {}), *changed.get("resources", {})}
            _forget(changed, named - {"cpu", "memory"})
            for name, amount in entries(options["resources"], "resources").items():
                _set_amount(changed, name, amount, f"resources[{name!r}]")
        if "gpu" in options:
            changed["gpu"] = _gpus(options["gpu"])
        if "shm" in options:
            changed["shm"] = _quantity(options["shm"], "shm")
        if "gpu" in changed and GPU_RESOURCE in {**changed.get("resources", {}), **changed.get("limits", {})}:
            raise InvalidOptionError(f"gpu and resources[{GPU_RESOURCE!r}] are the same: give one of them")
    except InvalidOptionError as error:
        raise AppDefinitionError(f"{title}: {error}") from error
    return changed


def _forget(pod: PodFields, names: set[str]) -> None:
    """Take out all that is said of the resources `names`, so that what comes next stands alone."""
    for field in AMOUNT_MAPS:
        amounts = {name: amount for name, amount in pod.get(field, {}).items() if name not in names}
        if amounts:
            pod[field] = amounts
        else:
            pod.pop(field, None)


def _set_amount(pod: PodFields, name: str, amount: object, where: str) -> None:
    qualified(name, where)
    if not isinstance(amount, tuple):
        both = _quantity(amount, where)
        if where == "cpu":
            pod["cpu"] = both
        elif where == "memory":
            pod["memory"] = both
        else:
            pod["resources"] = {**pod.get("resources", {}), name: both}
        return
    if len(amount) != 2:
        raise InvalidOptionError(f'{where} is {amount!r}: write (request, limit), such as ("100m", "1")')
    if name not in CORE_RESOURCES:
        raise InvalidOptionError(
            f"{where} is {amount!r}: only {', '.join(CORE_RESOURCES)} have a request apart from the limit; write "
            "one amount"
        )
    request = _quantity(amount[0], where)
    pod["requests"] = {**pod.get("requests", {}), name: request}
    if amount[1] is None:
        return
    limit = _quantity(amount[1], where)
    if _value(request) > _value(limit):
        raise InvalidOptionError(f"{where} requests {request}, more than its limit of {limit}: write (request, limit)")
    pod["limits"] = {**pod.get("limits", {}), name: limit}


def _quantity(amount: object, where: str) -> str:
    text = str(amount) if isinstance(amount, int) and not isinstance(amount, bool) else amount
    if not isinstance(text, str) or len(text) > 32 or not _QUANTITY.fullmatch(text):
        raise InvalidOptionError(f'{where} is {amount!r}: write a quantity as Kubernetes does, such as "500m" or "2Gi"')
    return text


def _value(quantity: str) -> Fraction:
    number = quantity.rstrip("mkMGTPKi")
    return Fraction(number) * _UNITS[quantity[len(number) :]]


def _gpus(value: object) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= MAX_GPUS:
        raise InvalidOptionError(f"gpu={value!r} must be a number of GPUs, from 0 to {MAX_GPUS}")
    return value
