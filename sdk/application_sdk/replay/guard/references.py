"""Finds where clocks and chance were taken before the guard was in place: by name, as a default, in a class, in a
closure.

A function that somebody holds is called without a look at any module, so what is replaced is the reference. Modules of
the standard library and of tools that go by a type's identity keep the real thing.
"""

from __future__ import annotations

import datetime as datetime_module
import sys
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from types import BuiltinFunctionType, CellType, FunctionType, ModuleType
from typing import Any, Final
from weakref import WeakKeyDictionary

from application_sdk.contracts.factories import CLOCK_METHODS
from application_sdk.execution.source_lines import is_sdk, is_stdlib, is_user
from application_sdk.replay.guard.clocks import RouteDatetime
from application_sdk.replay.guard.patches import Patch

_KEEP: Final = frozenset(
    {
        "pydantic", "pydantic_core", "pydantic_settings", "annotated_types", "typing_extensions", "_pytest", "pytest",
        "pluggy", "hypothesis", "coverage", "_pydevd_bundle", "pydevd", "debugpy", "xdist", "execnet", "mypy",
    }
)  # fmt: skip
_TASKS: Final = "application_sdk.app.task"
_real_datetime: Final = datetime_module.datetime


class References:
    """What stands for what, and where it is held."""

    def __init__(self, replacements: Mapping[int, object]) -> None:
        self._replacements = replacements

    def stand_in(self, value: Any) -> Any:
        """What to put, or call, in the place of `value`; `value` itself when it is neither a clock nor chance."""
        found = self._replacements.get(id(value))
        if found is not None:
            return found
        if isinstance(value, BuiltinFunctionType):
            # Made by each look at the class, so it has no id to be known by.
            if value.__self__ is _real_datetime and value.__name__ in CLOCK_METHODS:
                return getattr(RouteDatetime, value.__name__)
        elif isinstance(value, staticmethod):
            inner = self.stand_in(value.__func__)
            return value if inner is value.__func__ else staticmethod(inner)
        elif isinstance(value, partial):
            inner = self.stand_in(value.func)
            return value if inner is value.func else partial(inner, *value.args, **value.keywords)
        return value

    def in_modules(self, modules: Collection[str]) -> list[Patch]:
        """Where modules hold one: a user's by any name, in functions and classes; a library's likewise."""
        found: list[Patch] = []
        for module in [sys.modules[name] for name in sorted(modules) if name in sys.modules]:
            filename = getattr(module, "__file__", None)
            if not isinstance(filename, str):
                continue
            if is_user(filename):
                found += self._in_module(module)
            elif _is_library(module, filename):
                found += self._in_library(module)
        return found

    def in_class(self, cls: type) -> list[Patch]:
        """Where a class holds one, or a function of it."""
        found: list[Patch] = []
        for holder in _holders_in_class(cls):
            found.extend(self._in_holder(holder))
        return found

    def _in_module(self, module: ModuleType) -> Iterator[Patch]:
        for name, value in list(vars(module).items()):
            replacement = self.stand_in(value)
            if replacement is not value:
                yield Patch(module, name, replacement)
            elif isinstance(value, FunctionType | type) and value.__module__ == module.__name__:
                for holder in _holders(value):
                    yield from self._in_holder(holder)

    def _in_library(self, module: ModuleType) -> list[Patch]:
        """Where a library holds one is looked for once: what it took, it took when it was imported."""
        known = _places.get(module)
        if known is None or known.size != len(vars(module)):
            patches = list(self._in_module(module))
            names = tuple(patch.name for patch in patches if patch.owner is module)
            holders = {id(patch.owner): patch.owner for patch in patches if patch.owner is not module}
            _places[module] = _Places(len(vars(module)), names, tuple(holders.values()))
            return patches
        held = ((name, vars(module).get(name)) for name in known.names)
        found = [Patch(module, name, new) for name, value in held if (new := self.stand_in(value)) is not value]
        for holder in known.holders:
            found.extend(self._in_holder(holder))
        return found

    def _in_holder(self, holder: object) -> Iterator[Patch]:
        """`holder` is a class, a function, or a cell of one."""
        if isinstance(holder, CellType):
            yield from self._in_cell(holder)
        elif isinstance(holder, type):
            for name, value in list(vars(holder).items()):
                replacement = self.stand_in(value)
                if replacement is not value:
                    # A builtin isn't bound to an instance that it is read from, and what stands for it mustn't be.
                    fixed = replacement if isinstance(replacement, staticmethod | type) else staticmethod(replacement)
                    yield Patch(holder, name, fixed)
        elif isinstance(holder, FunctionType):
            yield from self._in_function(holder)

    def _in_function(self, function: FunctionType) -> Iterator[Patch]:
        if function.__defaults__:
            defaults = tuple(map(self.stand_in, function.__defaults__))
            if any(new is not old for new, old in zip(defaults, function.__defaults__, strict=True)):
                # guard: argument-default-clock - a default argument holds a reference to the real clock, which no patch
                # of a module reaches
                yield Patch(function, "__defaults__", defaults)
        if function.__kwdefaults__:
            named = {name: self.stand_in(value) for name, value in function.__kwdefaults__.items()}
            if any(named[name] is not value for name, value in function.__kwdefaults__.items()):
                yield Patch(function, "__kwdefaults__", named)
        for cell in function.__closure__ or ():
            yield from self._in_cell(cell)

    def _in_cell(self, cell: CellType) -> Iterator[Patch]:
        try:
            value = cell.cell_contents
        except ValueError:
            return  # Empty: the variable isn't set yet.
        replacement = self.stand_in(value)
        if replacement is not value:
            yield Patch(cell, "cell_contents", replacement)


@dataclass(frozen=True, slots=True)
class _Places:
    """Where a module of a library holds a clock or chance."""

    size: int
    """How many names the module had."""
    names: tuple[str, ...]
    holders: tuple[object, ...]


_places: WeakKeyDictionary[ModuleType, _Places] = WeakKeyDictionary()
_known: WeakKeyDictionary[Any, list[object]] = WeakKeyDictionary()
"""The holders of each function and class that was looked into: to look again takes longer than a short run."""


def _holders(value: FunctionType | type) -> list[object]:
    """The functions and classes that are worth a look: those with defaults, closures, or attributes."""
    try:
        known = _known.get(value)
    except TypeError:
        return []  # Of a metaclass whose classes have no hash.
    if known is None:
        found = _holders_in_class(value) if isinstance(value, type) else _if_holder(value)
        known = _known[value] = [holder for holder in found if holder is not value]
        if value in found:
            known.append(_Itself)
    return [value if holder is _Itself else holder for holder in known]


class _Itself:
    """Stands for the key, which its own entry must not keep alive."""


def _holders_in_class(cls: type) -> list[object]:
    found: list[object] = []
    for value in list(vars(cls).values()):
        function = _function_of(value)
        if function is not None:
            found += _if_holder(function)
    return [cls, *found]


def _function_of(value: object) -> FunctionType | None:
    inner: object = value
    if isinstance(value, staticmethod | classmethod):
        inner = value.__func__
    elif isinstance(value, property):
        inner = value.fget
    elif type(value).__module__ == _TASKS:
        inner = vars(value).get("function")
    return inner if isinstance(inner, FunctionType) else None


def _if_holder(function: FunctionType) -> list[object]:
    return [function] if function.__defaults__ or function.__kwdefaults__ or function.__closure__ else []


def _is_library(module: ModuleType, filename: str) -> bool:
    return not is_sdk(filename) and not is_stdlib(filename) and module.__name__.partition(".")[0] not in _KEEP
