"""Puts the guard in place while routes run in this process, and takes it away after the last of them."""

from __future__ import annotations

import sys
import threading
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from types import ModuleType

from application_sdk.execution.guard.audit import watch
from application_sdk.execution.guard.chance import chance_patches
from application_sdk.execution.guard.clocks import clock_patches, datetime_stand_ins, import_patches
from application_sdk.execution.guard.ordering import ordering_patches
from application_sdk.execution.guard.patches import Applied, Patch
from application_sdk.execution.guard.surroundings import surroundings_patches
from application_sdk.execution.trace import is_user, treat_as_user_code


class _Installation:
    """The patches that are in place, and for how many routes."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._routes = 0
        self._applied: list[Applied] = []
        self._replacements: dict[int, object] = {}
        self._originals: dict[int, object] = {}
        self._before: set[str] = set()
        self._seen: set[str] = set()

    def enter(self) -> None:
        with self._lock:
            self._routes += 1
            if self._routes > 1:
                return
            watch()
            imports = import_patches(self._look_at_new_modules)
            patches = [*clock_patches(), *chance_patches(), *surroundings_patches(), *imports]
            self._replacements = _replacements(patches)
            hidden = ordering_patches()
            self._originals = {id(patch.replacement): patch.original for patch in patches}
            self._seen = self._before = set(sys.modules)
            aliases = _aliases(self._seen, self._replacements)
            self._applied = [Applied(patches), Applied(hidden), Applied(aliases)]

    def leave(self) -> None:
        with self._lock:
            self._routes -= 1
            if self._routes == 0:
                for applied in reversed(self._applied):
                    applied.undo()
                self._applied = []
                self._put_right(set(sys.modules) - self._before)

    def _look_at_new_modules(self) -> None:
        with self._lock:
            new = set(sys.modules) - self._seen
            self._seen = self._seen | new
            self._applied.append(Applied(_aliases(new, self._replacements)))

    def _put_right(self, modules: Collection[str]) -> None:
        """What these have imported by name while the patches were in place is what was replaced."""
        for name in modules:
            module = sys.modules.get(name)
            for attribute, value in list(vars(module).items()) if isinstance(module, ModuleType) else ():
                if id(value) in self._originals:
                    setattr(module, attribute, self._originals[id(value)])


_installation = _Installation()


@contextmanager
def guarding(app_class: type) -> Iterator[None]:
    """Have the guard in place for the routes of this app. Routes are told from other code by `execution.current`."""
    module = sys.modules.get(app_class.__module__)
    filename = getattr(module, "__file__", None)
    if filename is not None and not is_user(filename):
        treat_as_user_code(filename)
    _installation.enter()
    try:
        yield
    finally:
        _installation.leave()


def _replacements(patches: Sequence[Patch]) -> dict[int, object]:
    """By the id of what is replaced."""
    found = {id(patch.original): patch.replacement for patch in patches if isinstance(patch.owner, ModuleType)}
    found.update({id(original): stand_in for original, stand_in in datetime_stand_ins()})
    return found


def _aliases(modules: Collection[str], replacements: Mapping[int, object]) -> list[Patch]:
    """The same replacements where a user's module has imported a function or class by name."""
    found: list[Patch] = []
    for module in [sys.modules[name] for name in sorted(modules) if name in sys.modules]:
        filename = getattr(module, "__file__", None)
        if not isinstance(filename, str) or not is_user(filename):
            continue
        for name, value in list(vars(module).items()):
            replacement = replacements.get(id(value))
            if replacement is not None:
                found.append(Patch(module, name, replacement))
    return found
