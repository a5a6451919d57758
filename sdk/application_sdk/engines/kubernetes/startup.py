"""Makes Python start quickly in a pod: no garbage is collected and no plugin is searched for while
modules load.

`application_sdk.pod` calls `tune_startup` before it imports anything else. The main of each role
calls `freeze_gc` once its app is loaded. Every task pays for its pod's start, so
tests/unit/test_import_budget.py limits what a task pod imports, and `make bench-sdk` measures how
long that takes.
"""

from __future__ import annotations

import gc
import importlib
import os
import sys
from types import ModuleType

from application_sdk.engines.kubernetes import bundle

_METADATA = "importlib.metadata"
_PLUGINS = "PYDANTIC_DISABLE_PLUGINS"


def tune_startup() -> None:
    """Load modules from the image's bundle; put off the garbage collector, and the search for
    pydantic's plugins unless the environment asks for it (`PYDANTIC_DISABLE_PLUGINS=`)."""
    gc.disable()
    bundle.install()
    if _METADATA not in sys.modules and os.environ.setdefault(_PLUGINS, "__all__") == "__all__":
        sys.modules[_METADATA] = importlib.metadata = _deferred_metadata()


def before_user_code() -> None:
    """Remove the bundle: Python finds the user's modules in its usual way."""
    bundle.uninstall()


def freeze_gc() -> None:
    """Collect garbage from now on, but skip what was imported: it stays for the life of the
    process."""
    gc.freeze()
    gc.enable()


def _deferred_metadata() -> ModuleType:
    """What stands for `importlib.metadata` until somebody uses it. pydantic imports it for plugins
    that it doesn't look for, and with it `email` and `zipfile`: a tenth of a task pod's start."""
    deferred = ModuleType(_METADATA)
    deferred.__path__ = [f"{folder}/metadata" for folder in importlib.__path__]

    def real() -> ModuleType:
        if sys.modules.get(_METADATA) is deferred:
            del sys.modules[_METADATA]
        return importlib.import_module(_METADATA)

    def entry_points(**params: str) -> object:
        return real().entry_points(**params)

    def attribute(name: str) -> object:
        return getattr(real(), name)

    vars(deferred).update(entry_points=entry_points, __getattr__=attribute)
    return deferred
