"""Replacements as data, and putting them in and out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from types import CellType, FunctionType


@dataclass(frozen=True, slots=True)
class Patch:
    """An attribute of a module or class, and what stands there while a route runs."""

    owner: object
    name: str
    replacement: object

    @property
    def original(self) -> object:
        """What stands there now. Read it before `apply`."""
        return getattr(self.owner, self.name)


class Applied:
    """Patches that are in place. `undo` puts back each of them, also where `apply` was interrupted half-way."""

    def __init__(self) -> None:
        self._undo: list[tuple[Patch, bool, object]] = []

    def apply(self, patches: Sequence[Patch]) -> None:
        """Put these in place, on top of those that are."""
        for patch in patches:
            if isinstance(patch.owner, FunctionType | CellType):
                self._undo.append((patch, True, patch.original))  # Slots, which vars() doesn't show.
            else:
                own = vars(patch.owner)
                self._undo.append((patch, patch.name in own, own.get(patch.name)))
            setattr(patch.owner, patch.name, patch.replacement)

    def undo(self) -> None:
        """Put back what was there."""
        for patch, was_own, original in reversed(self._undo):
            if was_own:
                setattr(patch.owner, patch.name, original)
            elif patch.name in vars(patch.owner):
                delattr(patch.owner, patch.name)
        self._undo.clear()
