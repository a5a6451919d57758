"""Which classes may be contracts: bounded in size, and read back from JSON as exactly what was written.

`contracts.base` calls `check_definition` when a class is complete, `app.task` and `app.entrypoint` call
`validate_payload_safety` for what a method declares. Values are never looked at here, only types.
"""

from __future__ import annotations

from weakref import WeakSet

from pydantic import BaseModel

from application_sdk.contracts.errors import PayloadSafetyError, Problem, describe
from application_sdk.contracts.type_checker import TypeWalk

# Complete and without a fault: not walked again when other contracts hold them.
_SAFE: WeakSet[type[BaseModel]] = WeakSet()

_MAX_SHOWN = 20


def check_definition(contract: type[BaseModel]) -> None:
    """Raise PayloadSafetyError with every fault of a class that has just been completed.

    Type variables of a generic class pass: they are checked when it is given types.
    """
    _check(contract, generic_parameters_allowed=True)


def validate_payload_safety(contract: type[BaseModel], *, skip_fields: frozenset[str] | set[str] = frozenset()) -> None:
    """Raise PayloadSafetyError with every fault of `contract`, a complete class; type variables left open are faults.

    `skip_fields` names fields of the class itself to leave out.
    """
    _check(contract, generic_parameters_allowed=False, skip_fields=frozenset(skip_fields))


def _check(
    contract: type[BaseModel], *, generic_parameters_allowed: bool, skip_fields: frozenset[str] = frozenset()
) -> None:
    if contract in _SAFE or getattr(contract, "__allow_unbounded_fields__", False):
        return
    walk = TypeWalk(known_safe=_SAFE, generic_parameters_allowed=generic_parameters_allowed)
    walk.model(contract, contract.__name__, skip_fields)
    if walk.problems:
        raise PayloadSafetyError(_message(contract, walk.problems), contract=contract.__name__, problems=walk.problems)
    if not skip_fields and not walk.saw_type_variables:
        _SAFE.update(walk.visited)


def _message(contract: type[BaseModel], problems: list[Problem]) -> str:
    count = f"{len(problems)} problems" if len(problems) > 1 else "a problem"
    shown = problems[:_MAX_SHOWN]
    more = f"\n  … and {len(problems) - _MAX_SHOWN} more." if len(problems) > _MAX_SHOWN else ""
    base = contract.__mro__[1].__name__
    return describe(
        f"{contract.__module__}.{contract.__qualname__} can't be a contract, it has {count}:",
        shown,
        f"{more}Where something else bounds the size: class {contract.__name__}({base}, allow_unbounded_fields=True).",
    )
