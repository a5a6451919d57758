"""Puts the guard in place while routes run in this process, and takes it away after the last of them."""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterator, Sequence
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

    def enter(self) -> None:
        with self._lock:
            self._routes += 1
            if self._routes > 1:
                return
            watch()
            patches = [*clock_patches(), *chance_patches(), *surroundings_patches(), *import_patches()]
            hidden = ordering_patches()
            aliases = _aliases(patches)
            self._applied = [Applied(patches), Applied(hidden), Applied(aliases)]

    def leave(self) -> None:
        with self._lock:
            self._routes -= 1
            if self._routes == 0:
                for applied in reversed(self._applied):
                    applied.undo()
                self._applied = []


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


def _aliases(patches: Sequence[Patch]) -> list[Patch]:
    """The same replacements where a user's module has imported a function or class by name."""
    replacements = {id(patch.original): patch.replacement for patch in patches if isinstance(patch.owner, ModuleType)}
    replacements.update({id(original): stand_in for original, stand_in in datetime_stand_ins()})
    found: list[Patch] = []
    for module in list(sys.modules.values()):
        filename = getattr(module, "__file__", None)
        if not isinstance(filename, str) or not is_user(filename):
            continue
        for name, value in list(vars(module).items()):
            replacement = replacements.get(id(value))
            if replacement is not None:
                found.append(Patch(module, name, replacement))
    return found
