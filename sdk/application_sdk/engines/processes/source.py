"""Where the code of an app is, for a process that has to import it."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path

from application_sdk.app.base import App
from application_sdk.app.loading import AppLoadError, load_app


class WrongModuleError(AppLoadError):
    """Under the name of the file that was meant another module is imported."""


@dataclass(frozen=True, slots=True)
class AppSource:
    """`entry` is `module:Class`; the module is looked for in `directory` first, as `python file.py`
    does."""

    entry: str
    directory: str

    def load(self) -> type[App]:
        """Import the app into this process. Raises AppLoadError, also when its module's name is
        taken by another."""
        self.put_first()
        try:
            return load_app(self.entry)
        finally:
            # Before what is missing in the other module is told: it isn't the one that was meant.
            # guard: source-module - an installed module of the same name would be executed instead
            # of the named file
            self._check_module()

    def put_first(self) -> None:
        """Have modules looked for in the directory first, wherever else the import path has it."""
        # guard: source-folder-first - a module of the same name elsewhere on sys.path would be
        # imported instead
        if sys.path[:1] != [self.directory]:
            sys.path.insert(0, self.directory)

    def _check_module(self) -> None:
        name = self.entry.partition(":")[0]
        module = sys.modules.get(name)
        place = Path(self.directory, *name.split("."))
        expected = next((file for file in (place / "__init__.py", place.with_suffix(".py")) if file.is_file()), None)
        if module is None or expected is None:
            return
        file = getattr(module, "__file__", None)
        if file is not None and _is_same(Path(file), expected):
            return
        raise WrongModuleError(
            f"{expected} can't be run under its name: {name!r} is a module already that this process has imported, "
            f"from {file or 'Python itself'}. Rename the file, to '{expected.stem}_app.py' for example"
        )


def _is_same(file: Path, other: Path) -> bool:
    try:
        return file.samefile(other)
    except OSError:
        return False
