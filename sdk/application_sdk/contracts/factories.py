"""Defaults that are made by the clock or by chance: `Field(default_factory=datetime.now)`.

pydantic calls such a factory without looking at any module, so nobody could stand in for it. A contract's class calls
`Factory` instead, which asks who answers while a route runs. Elsewhere it is the original.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from datetime import datetime
from functools import partial
from types import BuiltinFunctionType
from typing import Any, Final

from pydantic.fields import FieldInfo
from typing_extensions import override

_MODULES: Final = frozenset({"time", "random", "uuid"})
CLOCK_METHODS: Final = frozenset({"now", "utcnow", "today"})
"""Methods of `datetime` that read the clock."""


def _itself(factory: Callable[..., object]) -> Callable[..., object]:
    return factory


stand_in: Callable[[Callable[..., object]], Callable[..., object]] = _itself
"""What to call in place of a clock or a source of chance. The guard sets it while it is in place."""


class Factory:
    """Stands in a field for a factory that reads the clock or draws."""

    __slots__ = ("original",)

    def __init__(self, original: Callable[..., object]) -> None:
        self.original = original

    def __call__(self) -> object:
        return stand_in(self.original)()

    @override
    def __repr__(self) -> str:
        return name_of(self.original)


def reads_clock_or_chance(factory: object) -> bool:
    """Whether a factory is one of the standard library's that no replay repeats, or a `partial` of one."""
    if isinstance(factory, partial):
        return reads_clock_or_chance(factory.func)
    if isinstance(factory, BuiltinFunctionType) and isinstance(factory.__self__, type):
        return issubclass(factory.__self__, datetime) and factory.__name__ in CLOCK_METHODS
    module = sys.modules.get("random")
    if module is not None and getattr(factory, "__self__", None) is module._inst:  # noqa: SLF001
        return True
    return getattr(factory, "__module__", None) in _MODULES and not isinstance(factory, type)


def make_durable(fields: dict[str, FieldInfo]) -> bool:
    """Put a `Factory` into each field that needs one. True when there was such a field, so that the class has to be
    built again."""
    found = False
    for field in fields.values():
        factory: Any = field.default_factory
        if factory is not None and reads_clock_or_chance(factory):
            # guard: contract-default-clock - a default factory that reads the clock gives another value in replay
            field.default_factory = Factory(factory)
            found = True
    return found


def name_of(factory: object) -> str:
    """A factory in words."""
    if isinstance(factory, partial):
        return f"partial of {name_of(factory.func)}"
    return getattr(factory, "__qualname__", repr(factory))
