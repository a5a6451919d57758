"""Names of a package that are loaded when they are first asked for, and those that this SDK doesn't
have.

A package's `__getattr__` calls `load`: task pods import the packages, and pay for what they use
alone.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping


def load(package: str, name: str, homes: Mapping[str, str]) -> object:
    """The value of `name`, from the submodule of `package` whose names (joined by spaces) hold it;
    it is kept in the package. A home that begins with `application_sdk.` is a module elsewhere.
    Raises AtlanOnlyError for a name of the App Framework that is out of scope, AttributeError for
    any other."""
    from importlib import import_module

    for home, names in homes.items():
        if name in names.split():
            module = import_module(home if home.startswith("application_sdk.") else f"{package}.{home}")
            value: object = getattr(module, name)
            setattr(sys.modules[package], name, value)
            return value
    from application_sdk.unsupported_imports import refuse_name

    return refuse_name(package, name)


def names_in(homes: Mapping[str, str]) -> list[str]:
    """All names that `load` finds, for a package's `__dir__`."""
    return [name for names in homes.values() for name in names.split()]
