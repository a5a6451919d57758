"""The examples that are shipped, imported as a pod imports them."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from types import ModuleType

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"


@contextmanager
def example(name: str, *modules: str) -> Iterator[dict[str, ModuleType]]:
    """Modules of an example, from their folder, which comes first on the import path."""
    folder = str(EXAMPLES / name)
    files = {path.stem for path in Path(folder).glob("*.py")}
    sys.path.insert(0, folder)
    try:
        yield {module: import_module(module) for module in modules}
    finally:
        sys.path.remove(folder)
        for module in files:
            sys.modules.pop(module, None)
