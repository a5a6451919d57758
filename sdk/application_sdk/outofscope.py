"""Names of the App Framework that belong to Atlan's own platform. Importing one says so, and what to use here.

A few modules of these names exist only to say it; packages ask `refuse_name` for single names.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NoReturn


class AtlanOnlyError(ImportError):
    """What was imported is part of Atlan's platform, not of this SDK."""


def refuse_module(module: str, what: str, instead: str) -> NoReturn:
    """Called by a module that only says that it isn't here. Raises AtlanOnlyError."""
    raise AtlanOnlyError(f"{module} is not part of this SDK: {what}. {instead}", name=module)


def refuse_name(module: str, name: str, names: Mapping[str, str]) -> NoReturn:
    """For a package's `__getattr__`. Raises AtlanOnlyError for one of `names`, else AttributeError."""
    if name in names:
        raise AtlanOnlyError(f"{module}.{name} is not part of this SDK. {names[name]}", name=module)
    raise AttributeError(f"module {module!r} has no attribute {name!r}")
