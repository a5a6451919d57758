"""Loads modules from a bundle: the bytecode of all that a pod imports, in one file beside this one.

A pod so finds and opens one file instead of hundreds. The image's build writes the bundle
(`write_bundle`). `startup` installs it before anything else is imported, and removes it before the
user's code is: a task's own imports are Python's business alone. Python loads a module in the usual
way where there is no bundle, and where the module's source isn't the one that was bundled, since
another image has put a newer package over it.
"""

from __future__ import annotations

import marshal
import os
import sys
from importlib.machinery import ModuleSpec, SourceFileLoader
from importlib.util import MAGIC_NUMBER

HEAD_SIZE = len(MAGIC_NUMBER) + 8

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from types import CodeType, ModuleType
    from typing import TypeAlias

    from typing_extensions import override

    Entry: TypeAlias = tuple[str, bool, int, int, int, int]
    """Path of the source, whether it is a package, its time in whole seconds and its size; where
    its bytecode begins behind the index, and how long that is."""
else:

    def override(method):
        return method


PATH = os.path.join(os.path.dirname(__file__), "modules.bundle")  # noqa: PTH118, PTH120 - pathlib is in the bundle


def install(path: str = PATH) -> None:
    """Take modules from the bundle from now on. Does nothing without one that this Python can
    read."""
    try:
        file = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return
    head = os.read(file, HEAD_SIZE)
    if head[:-8] != MAGIC_NUMBER:
        os.close(file)
        return
    length = int.from_bytes(head[-8:], "little")
    entries: Mapping[str, Entry] = marshal.loads(os.read(file, length))
    sys.meta_path.insert(0, BundleFinder(file, HEAD_SIZE + length, entries))


def uninstall() -> None:
    """Leave all further imports to Python."""
    for finder in [finder for finder in sys.meta_path if isinstance(finder, BundleFinder)]:
        sys.meta_path.remove(finder)
        finder.close()


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
    """Loads a module from its source's path, with the code that is at hand if it was made of that
    source."""

    def __init__(self, name: str, entry: Entry, finder: BundleFinder) -> None:
        super().__init__(name, entry[0])
        self._entry = entry
        self._finder = finder

    @override
    def get_code(self, fullname: str) -> CodeType | None:
        source, _, modified, size, begin, length = self._entry
        return self._finder.code(source, modified, size, begin, length) or super().get_code(fullname)
