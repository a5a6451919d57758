"""The bytecode of all that a pod imports, in one file beside this one: hundreds of files less to look for and to open.

The image's build writes it (`python3 -m application_sdk.engines.kubernetes.bundle`), `startup` installs it before
anything else is imported, and takes it out before the user's code is: a task's own imports are Python's business alone.
A module whose source isn't the one that was bundled, since another image has put a newer package over it, is loaded as
ever. Where there is no bundle, all are.
"""

from __future__ import annotations

import marshal
import os
import sys
from importlib.machinery import ModuleSpec, SourceFileLoader
from importlib.util import MAGIC_NUMBER

_HEAD_SIZE = len(MAGIC_NUMBER) + 8

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from types import CodeType, ModuleType
    from typing import TypeAlias

    from typing_extensions import override

    Entry: TypeAlias = tuple[str, bool, int, int, int, int]
    """Path of the source, whether it is a package, its time in whole seconds and its size; where its bytecode begins
    behind the index, and how long that is."""
else:

    def override(method):
        return method


PATH = os.path.join(os.path.dirname(__file__), "modules.bundle")  # noqa: PTH118, PTH120 - pathlib is in the bundle


def install(path: str = PATH) -> None:
    """Take modules from the bundle from now on. Does nothing without one that this Python can read."""
    try:
        file = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return
    head = os.read(file, _HEAD_SIZE)
    if head[:-8] != MAGIC_NUMBER:
        os.close(file)
        return
    length = int.from_bytes(head[-8:], "little")
    entries: Mapping[str, Entry] = marshal.loads(os.read(file, length))
    sys.meta_path.insert(0, BundleFinder(file, _HEAD_SIZE + length, entries))


def uninstall() -> None:
    """Leave all further imports to Python."""
    for finder in [finder for finder in sys.meta_path if isinstance(finder, BundleFinder)]:
        sys.meta_path.remove(finder)
        finder.close()


def write(modules: Mapping[str, ModuleType], path: str = PATH) -> int:
    """Bundle the bytecode of these modules, as far as they come from source files; how many there are."""
    entries: dict[str, Entry] = {}
    codes: list[bytes] = []
    begin = 0
    for name, module in modules.items():
        spec = getattr(module, "__spec__", None)
        if spec is None or spec.name != name or not isinstance(spec.loader, SourceFileLoader):
            continue
        source = spec.loader.path
        found = os.stat(source)  # noqa: PTH116
        codes.append(marshal.dumps(spec.loader.get_code(name)))
        package = spec.submodule_search_locations is not None
        entries[name] = (source, package, int(found.st_mtime), found.st_size, begin, len(codes[-1]))
        begin += len(codes[-1])
    index = marshal.dumps(entries)
    with open(path, "wb") as file:  # noqa: PTH123
        file.write(b"".join([MAGIC_NUMBER, len(index).to_bytes(8, "little"), index, *codes]))
    return len(entries)


class BundleFinder:
    """Finds the modules of a bundle. Goes first in `sys.meta_path`."""

    def __init__(self, file: int, begin: int, entries: Mapping[str, Entry]) -> None:
        self._file = file
        self._begin = begin
        self._entries = entries

    def close(self) -> None:
        os.close(self._file)
        self._file = -1

    def code(self, source: str, modified: int, size: int, begin: int, length: int) -> CodeType | None:
        """The code that was made of `source`, None if the source is another by now."""
        try:
            found = os.stat(source)  # noqa: PTH116
            if self._file < 0 or (int(found.st_mtime), found.st_size) != (modified, size):
                return None
            code: CodeType = marshal.loads(os.pread(self._file, length, self._begin + begin))
        except (OSError, ValueError, EOFError, TypeError):
            return None
        return code

    def find_spec(
        self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        entry = self._entries.get(name)
        if entry is None:
            return None
        source, package, *_ = entry
        spec = ModuleSpec(name, _BundleLoader(name, entry, self), origin=source, is_package=package)
        spec.has_location = True
        if package:
            spec.submodule_search_locations = [os.path.dirname(source)]  # noqa: PTH120
        return spec


class _BundleLoader(SourceFileLoader):
    """Loads a module from its source's path, with the code that is at hand if it was made of that source."""

    def __init__(self, name: str, entry: Entry, finder: BundleFinder) -> None:
        super().__init__(name, entry[0])
        self._entry = entry
        self._finder = finder

    @override
    def get_code(self, fullname: str) -> CodeType | None:
        source, _, modified, size, begin, length = self._entry
        return self._finder.code(source, modified, size, begin, length) or super().get_code(fullname)


def main() -> None:
    """Write the bundle of this installation: what drivers and tasks have loaded before they load the user's code."""
    from application_sdk.engines.kubernetes.startup import tune_startup

    tune_startup()
    import logging  # noqa: F401
    import ssl  # noqa: F401

    import application_sdk.engines.kubernetes.driver_main
    import application_sdk.engines.kubernetes.pod
    import application_sdk.engines.kubernetes.task_main  # noqa: F401

    count = write({name: module for name, module in sys.modules.items() if name != "__main__"})
    print(f"{count} modules in {PATH}, {os.stat(PATH).st_size} bytes")  # noqa: T201, PTH116


if __name__ == "__main__":
    main()
