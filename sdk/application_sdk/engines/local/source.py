"""Where the code of a run is: from what a user types (`app.py:HelloWorldApp`, `module:Class`) to
something importable.

Resolved once, when a run is begun; its ledger keeps the result, so that it can be resumed from
anywhere.
"""

from __future__ import annotations

import os
import sys
import sysconfig
from pathlib import Path

from application_sdk.app.base import App
from application_sdk.app.loading import AppLoadError
from application_sdk.engines.processes.source import AppSource, WrongModuleError


def find_source(target: str, working_directory: Path) -> AppSource:
    """Where `target` is. Raises AppLoadError when it isn't of a form that can name an app, or the
    file isn't there.

    A file inside of a package is imported as the package's module, from where the outermost package
    lies.
    """
    place, colon, class_name = target.rpartition(":")
    if not colon:
        place, class_name = target, ""
    if not _is_file(place):
        if not class_name:
            raise AppLoadError(f"{target!r} names no class. Use `file.py:Class` or `module:Class`")
        return AppSource(f"{place}:{class_name}", str(working_directory))
    path = Path(os.path.abspath(working_directory / Path(place).expanduser()))  # noqa: PTH100 - links stay as they are
    if not path.is_file():
        raise AppLoadError(f"there is no file {path}")
    root, names = path.parent, [path.stem]
    while (root / "__init__.py").is_file():
        names.insert(0, root.name)
        root = root.parent
    bad = next((name for name in names if not name.isidentifier()), None)
    if bad is not None:
        raise AppLoadError(
            f"{path} can't be imported: {bad!r} isn't a Python name. Rename it, to {_as_identifier(bad)!r} for example"
        )
    _check_name(names[0], path, root)
    if (path.with_suffix("") / "__init__.py").is_file():
        raise AppLoadError(f"{path} can't be imported: the package {path.with_suffix('')} has its name. Rename one")
    source = AppSource(f"{'.'.join(names)}:{class_name}", str(root))
    return source if class_name else AppSource(f"{'.'.join(names)}:{_only_app(source, target)}", str(root))


def _check_name(name: str, path: Path, root: Path) -> None:
    """Refuse names under which others import something else: first on the import path, the file
    would stand for it."""
    if name in sys.stdlib_module_names:
        owner = "of Python itself"
    elif (root / f"{name}.py").is_file() and _is_installed_package(name, root):
        owner = "that is installed"
    else:
        return
    raise AppLoadError(
        f"{path} can't be imported: {name!r} is the name of a module {owner}, and whoever imports that would get this "
        f"one. Rename it, to '{name}_app' for example"
    )


def _is_installed_package(name: str, root: Path) -> bool:
    places = {sysconfig.get_path("purelib"), sysconfig.get_path("platlib")} - {str(root)}
    return any(Path(place, name, "__init__.py").is_file() for place in places)


def _is_file(place: str) -> bool:
    return place.endswith(".py") or "/" in place or os.sep in place


def _only_app(source: AppSource, target: str) -> str:
    """The one app that a file defines: so short a form is enough when there is nothing to
    choose."""
    module = source.entry.removesuffix(":")
    # Loading a class that isn't there imports the module, with all the messages for what can go
    # wrong in it.
    try:
        AppSource(f"{module}:_", source.directory).load()
    except WrongModuleError:
        raise
    except AppLoadError:
        if module not in sys.modules:
            raise
    apps = [
        (name, thing)
        for name, thing in vars(sys.modules[module]).items()
        if isinstance(thing, type) and issubclass(thing, App) and thing.__module__ == module
    ]
    found = [name for name, thing in apps if hasattr(thing, "definition")]
    if len(found) == 1:
        return found[0]
    if len(apps) == 1:
        return apps[0][0]  # Not complete; whoever loads it says what is missing.
    if not found:
        raise AppLoadError(f"{target} defines no App with a run()")
    raise AppLoadError(
        f"{target} defines {len(found)} apps; say which: {', '.join(f'{target}:{name}' for name in found)}"
    )


def _as_identifier(name: str) -> str:
    cleaned = "".join(letter if letter.isalnum() else "_" for letter in name)
    return cleaned if cleaned.isidentifier() else f"app_{cleaned}"


def source_of(app_class: type[App]) -> AppSource:
    """Where the code of a class is that this process has loaded already, its main script
    included."""
    module = sys.modules[app_class.__module__]
    file = getattr(module, "__file__", None)
    if file is None:
        return AppSource(app_class.definition.entry, str(Path.cwd()))
    path = Path(os.path.abspath(file))  # noqa: PTH100 - links stay as they are
    if app_class.__module__ == "__main__":
        return AppSource(f"{path.stem}:{app_class.__qualname__}", str(path.parent))
    depth = app_class.__module__.count(".") + (path.name == "__init__.py")
    return AppSource(app_class.definition.entry, str(path.parents[depth]))
