"""From an entry, `module:Class`, to the class of an app. All that can be wrong with it is said here, for users.

Pods call it, and every tool that is given an entry. The module is looked for on `sys.path`, as any other.
"""

from __future__ import annotations

import importlib
import sys
from pathlib import Path
from types import ModuleType
from typing import TypeGuard

from application_sdk.app.base import App
from application_sdk.errors import AppNotFoundError, IncompleteAppError
from application_sdk.execution.definition import AppDefinition
from application_sdk.execution.error_info import traceback_text
from application_sdk.execution.source_lines import error_line


class AppLoadError(AppNotFoundError):
    """An entry doesn't lead to an app. `traceback` is that of the app's own code, empty if it didn't come so far."""

    def __init__(self, message: str, traceback: str = "") -> None:
        super().__init__(message)
        self.traceback = traceback


def load_app(entry: str) -> type[App]:
    """The class that `entry` names. Raises AppLoadError with what to change; importing runs the module's code."""
    module_name, colon, class_name = entry.partition(":")
    if not (colon and class_name.isidentifier() and all(part.isidentifier() for part in module_name.split("."))):
        raise AppLoadError(f"entry {entry!r} isn't of the form 'module:Class', for example 'app:HelloWorldApp'")
    module = _import(module_name)
    found: object = getattr(module, class_name, None)
    if _is_complete(found):
        return found
    if found is None:
        raise AppLoadError(f"module {module_name!r} has no class {class_name!r}{_suggestion(class_name, module)}")
    if isinstance(found, type) and issubclass(found, App):
        others = _suggestion(class_name, module) if _apps_in(module) else ""
        raise AppLoadError(f"{_incomplete(found)}{others}")
    raise AppLoadError(
        f"{entry!r} is {_kind(found)}; an entry names a subclass of application_sdk.app.App"
        + _suggestion(class_name, module)
    )


def _import(name: str) -> ModuleType:
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name is not None and (name == error.name or name.startswith(error.name + ".")):
            raise AppLoadError(f"there is no module {name!r}. {_whereabouts()}") from error
        raise AppLoadError(
            f"importing {name!r} failed{_where(error)}: {error}. Use an image that has the package, or add the file to "
            "the source",
            traceback_text(error),
        ) from error
    except KeyboardInterrupt:
        raise
    except BaseException as error:
        # Also SystemExit: a module that exits when it is imported mustn't end a pod without a word.
        raise AppLoadError(
            f"importing {name!r} failed{_where(error)}: {type(error).__name__}: {error}", traceback_text(error)
        ) from error


def _is_complete(thing: object) -> TypeGuard[type[App]]:
    # An abstract class has no definition of its own, though it may inherit one.
    return (
        isinstance(thing, type) and issubclass(thing, App) and isinstance(vars(thing).get("definition"), AppDefinition)
    )


def _where(error: BaseException) -> str:
    line = error_line(error)
    return f" at {line}" if line else ""


def _kind(found: object) -> str:
    return f"a {type(found).__name__}" if not isinstance(found, type) else "a class that isn't derived from App"


def _incomplete(app_class: type[App]) -> str:
    """Why it can't be run. An abstract class may inherit the definition of another."""
    try:
        return f"{app_class.__qualname__} says abstract=True; {app_class.definition.entry!r} can be run"
    except IncompleteAppError as error:
        return str(error)


def _apps_in(module: ModuleType) -> list[str]:
    return sorted(name for name, value in vars(module).items() if _is_complete(value))


def _suggestion(name: str, module: ModuleType) -> str:
    from difflib import get_close_matches

    there = _apps_in(module)
    if not there:
        return ", and it defines no App at all"
    close = get_close_matches(name, there, n=1)
    return f". Did you mean {close[0]!r}?" if close else f". Apps in it: {', '.join(there)}"


def _whereabouts() -> str:
    """What lies where the user's files are expected: the first place of the import path."""
    place = Path(sys.path[0] or ".")
    try:
        files = sorted(path.stem for path in place.iterdir() if path.suffix == ".py")
    except OSError:
        files = []
    there = f"the modules there are {', '.join(files)}" if files else "there are no modules"
    return f"In {place} {there}; otherwise the image has to have it installed. Correct the entry or the source"
