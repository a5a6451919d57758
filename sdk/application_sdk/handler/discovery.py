"""From an app to its handlers, by convention: `{AppClass}Handler` in the app's module, and one for
each entry point that has its own.

An entry point's own is the class `{AppClass}{Entrypoint}Handler` beside it, or the functions of a
module `<entrypoint>.handler` in the app's package. What it doesn't answer is the app's handler's to
answer.
"""

from __future__ import annotations

import importlib
import importlib.util
import inspect
import re
import sys
from collections.abc import Callable
from types import ModuleType
from typing import Any

from application_sdk.errors import AppDefinitionError
from application_sdk.handler.base import OPERATIONS, DefaultHandler, Handler


def find_handler(app_class: type, entrypoint: str = "") -> type[Handler]:
    """The handler of an app's entry point; without a name of the default one.

    That is the entry point's own, else the app's: the one named after the app, else the only one
    that its module defines, else DefaultHandler. Raises AppDefinitionError when it can't be told
    which is meant, or when that one isn't complete, and whatever a handler's module raises when it
    is imported.
    """
    definition: Any = app_class.definition  # type: ignore[attr-defined] # `app` is a layer above
    name = entrypoint or definition.default_entrypoint
    of_app = _of_app(app_class, definition.entrypoints)
    own = getattr(sys.modules.get(app_class.__module__), _own_name(app_class, name), None)
    handlers = of_app if own is None else _complete(_checked(app_class, _own_name(app_class, name), own))
    return _with_functions(app_class, name, handlers)


def handlers_of(app_class: type) -> dict[str, Handler]:
    """A handler for each entry point, by its name; those of one class are one object. Raises as
    `find_handler`."""
    definition: Any = app_class.definition  # type: ignore[attr-defined] # `app` is a layer above
    handlers = {name: find_handler(app_class, name) for name in definition.entrypoints}
    instances = {handler: handler() for handler in handlers.values()}
    return {name: instances[handler] for name, handler in handlers.items()}


def _own_name(app_class: type, entrypoint: str) -> str:
    return f"{app_class.__name__}{''.join(part.capitalize() for part in re.split('[^A-Za-z0-9]+', entrypoint))}Handler"


def _of_app(app_class: type, entrypoints: object) -> type[Handler]:
    module = sys.modules.get(app_class.__module__)
    wanted = f"{app_class.__name__}Handler"
    named = getattr(module, wanted, None)
    if named is not None:
        return _complete(_checked(app_class, wanted, named))
    own = {_own_name(app_class, name) for name in entrypoints}  # type: ignore[attr-defined] # the definition's mapping
    there = {
        name: thing
        for name, thing in vars(module).items()
        if isinstance(thing, type)
        and issubclass(thing, Handler)
        and thing.__module__ == app_class.__module__
        and name not in own
    }
    complete = {name: handler for name, handler in there.items() if not handler.__abstractmethods__}
    if len(complete) > 1:
        raise AppDefinitionError(
            f"{app_class.__module__} has several handlers, {', '.join(sorted(complete))}, and none is named {wanted}: "
            f"name the one of {app_class.__name__} so"
        )
    if complete:
        return next(iter(complete.values()))
    return _complete(next(iter(there.values()))) if there else DefaultHandler


def _checked(app_class: type, name: str, thing: object) -> type[Handler]:
    if not (isinstance(thing, type) and issubclass(thing, Handler)):
        raise AppDefinitionError(f"{app_class.__module__}.{name} is no subclass of Handler: derive it, or rename it")
    return thing


def _complete(handler: type[Handler]) -> type[Handler]:
    missing = sorted(handler.__abstractmethods__)
    if missing:
        raise AppDefinitionError(
            f"{handler.__module__}.{handler.__qualname__} lacks {', '.join(f'{name}()' for name in missing)}: write "
            f"them, or derive it from DefaultHandler"
        )
    return handler


def _with_functions(app_class: type, entrypoint: str, handler: type[Handler]) -> type[Handler]:
    """The handler with the answers of the entry point's module, if it has one."""
    module = _module_of(app_class, re.sub("[^A-Za-z0-9]+", "_", entrypoint))
    functions = {name: getattr(module, name) for name in OPERATIONS if hasattr(module, name)}
    for name, function in functions.items():
        if not inspect.iscoroutinefunction(function) or len(inspect.signature(function).parameters) != 2:
            raise AppDefinitionError(
                f"{module.__name__ if module else ''}.{name} isn't what a handler's module has: write "
                f"`async def {name}(input, ctx)`"
            )
    if not functions:
        return handler
    answers = {name: _as_method(function) for name, function in functions.items()}
    return type(f"{handler.__name__}.{entrypoint}", (handler,), {**answers, "__module__": handler.__module__})


def _module_of(app_class: type, segment: str) -> ModuleType | None:
    module = sys.modules.get(app_class.__module__)
    package = app_class.__module__ if hasattr(module, "__path__") else app_class.__module__.rpartition(".")[0]
    if not package:
        return None  # A module of its own has no package in which there could be others.
    name = f"{package}.{segment}.handler"
    try:
        there = importlib.util.find_spec(name) is not None
    except ModuleNotFoundError as error:
        if error.name is None or not f"{name}.".startswith(f"{error.name}."):
            raise  # Of something that the package itself imports.
        return None
    return importlib.import_module(name) if there else None


def _as_method(function: Callable[..., Any]) -> Callable[..., Any]:
    async def answer(self: Handler, input: object) -> Any:
        return await function(input, self.context)

    answer.__qualname__ = f"{function.__module__}.{function.__name__}"
    return answer
