"""Puts the guard in place while routes run in this process, and takes it away after the last of them."""

from __future__ import annotations

import sys
import threading
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from types import ModuleType

from application_sdk.contracts import factories
from application_sdk.execution.source_lines import is_sdk, is_stdlib, is_user, treat_as_user_code
from application_sdk.replay.guard.audit import watch
from application_sdk.replay.guard.clocks import clock_patches, datetime_stand_ins, import_patches
from application_sdk.replay.guard.environment import surroundings_patches
from application_sdk.replay.guard.ordering import ordering_patches
from application_sdk.replay.guard.patches import Applied, Patch
from application_sdk.replay.guard.randomness import chance_patches
from application_sdk.replay.guard.references import References


class _Installation:
    """The patches that are in place, and for how many routes."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._routes = 0
        self._applied = Applied()
        self._replacements: dict[int, object] = {}
        self._references = References({})
        self._originals: dict[int, object] = {}
        self._before: set[str] = set()
        self._seen: set[str] = set()

    def enter(self, app_class: type) -> None:
        with self._lock:
            if self._routes == 0:
                try:
                    self._put_in_place()
                except BaseException:
                    # guard: guard-whole-or-not-at-all - after a Ctrl-C the next route would run under half a guard
                    self._take_away()
                    raise
            # A class that is defined in a function is in no module.
            held = [patch for cls in app_class.__mro__ if _is_apps(cls) for patch in self._references.in_class(cls)]
            self._routes += 1
            self._applied.apply(held)

    def _put_in_place(self) -> None:
        watch()
        imports = import_patches(self._look_at_new_modules)
        patches = [*clock_patches(), *chance_patches(), *surroundings_patches(), *imports]
        self._replacements = _replacements(patches)
        hidden = ordering_patches()
        self._originals = {id(patch.replacement): patch.original for patch in patches}
        self._seen = self._before = set(sys.modules)
        self._references = References(self._replacements)
        held = self._references.in_modules(self._seen)
        for group in (patches, hidden, held):
            self._applied.apply(group)
        factories.stand_in = self._references.stand_in

    def leave(self) -> None:
        with self._lock:
            self._routes -= 1
            if self._routes == 0:
                self._take_away()

    def _take_away(self) -> None:
        factories.stand_in = lambda factory: factory
        self._applied.undo()
        self._put_right(set(sys.modules) - self._before)

    def _look_at_new_modules(self) -> None:
        with self._lock:
            new = set(sys.modules) - self._seen
            self._seen = self._seen | new
            self._applied.apply(self._references.in_modules(new))

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
    _installation.enter(app_class)
    try:
        yield
    finally:
        _installation.leave()


def _replacements(patches: Sequence[Patch]) -> dict[int, object]:
    """By the id of what is replaced."""
    found = {id(patch.original): patch.replacement for patch in patches if isinstance(patch.owner, ModuleType)}
    found.update({id(original): stand_in for original, stand_in in datetime_stand_ins()})
    return found


def _is_apps(cls: type) -> bool:
    filename = getattr(sys.modules.get(cls.__module__), "__file__", None)
    return isinstance(filename, str) and not is_sdk(filename) and not is_stdlib(filename)
