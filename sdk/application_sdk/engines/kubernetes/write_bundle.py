"""`python3 -m application_sdk.engines.kubernetes.write_bundle`: writes the file that `bundle` loads
modules from.

The image's build runs it once, with the Python and the packages that the image's pods will have.
"""

from __future__ import annotations

import marshal
import sys
from collections.abc import Mapping
from importlib.machinery import SourceFileLoader
from importlib.util import MAGIC_NUMBER
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

from application_sdk.engines.kubernetes.bundle import PATH
from application_sdk.engines.kubernetes.startup import tune_startup

if TYPE_CHECKING:
    from application_sdk.engines.kubernetes.bundle import Entry


def write(modules: Mapping[str, ModuleType], path: str = PATH) -> int:
    """Bundle the bytecode of those of these modules that come from source files. Returns how many
    there are."""
    entries: dict[str, Entry] = {}
    codes: list[bytes] = []
    begin = 0
    for name, module in modules.items():
        spec = getattr(module, "__spec__", None)
        if spec is None or spec.name != name or not isinstance(spec.loader, SourceFileLoader):
            continue
        source = spec.loader.path
        status = Path(source).stat()
        codes.append(marshal.dumps(spec.loader.get_code(name)))
        is_package = spec.submodule_search_locations is not None
        entries[name] = (source, is_package, int(status.st_mtime), status.st_size, begin, len(codes[-1]))
        begin += len(codes[-1])
    index = marshal.dumps(entries)
    Path(path).write_bytes(b"".join([MAGIC_NUMBER, len(index).to_bytes(8, "little"), index, *codes]))
    return len(entries)


def main() -> None:
    """Write the bundle of this installation: what drivers and tasks have loaded before they load
    the user's code."""
    tune_startup()
    # Imported for the bundle alone, and after `tune_startup`, as in a pod.
    import logging  # noqa: F401
    import ssl  # noqa: F401

    import application_sdk.engines.kubernetes.driver_main
    import application_sdk.engines.kubernetes.pod
    import application_sdk.engines.kubernetes.task_main  # noqa: F401

    count = write({name: module for name, module in sys.modules.items() if name != "__main__"})
    print(f"{count} modules in {PATH}, {Path(PATH).stat().st_size} bytes")  # noqa: T201


if __name__ == "__main__":
    main()
