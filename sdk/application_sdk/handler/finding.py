"""From an app to its handler, by convention: the class `{AppClass}Handler` in the app's module."""

from __future__ import annotations

import sys

from application_sdk.errors import AppDefinitionError
from application_sdk.handler.base import DefaultHandler, Handler


def find_handler(app_class: type) -> type[Handler]:
    """The handler of an app: the one named after it, else the only one that its module defines, else DefaultHandler.

    Raises AppDefinitionError when it can't be told which is meant, or when the one that is meant isn't complete.
    """
    module = sys.modules.get(app_class.__module__)
    wanted = f"{app_class.__name__}Handler"
    there = {
        name: thing
        for name, thing in vars(module).items()
        if isinstance(thing, type) and issubclass(thing, Handler) and thing.__module__ == app_class.__module__
    }
    named = getattr(module, wanted, None)
    if named is not None:
        if not (isinstance(named, type) and issubclass(named, Handler)):
            raise AppDefinitionError(
                f"{app_class.__module__}.{wanted} is no subclass of Handler: derive it, or rename it"
            )
        return _complete(named)
    complete = {name: handler for name, handler in there.items() if not handler.__abstractmethods__}
    if len(complete) > 1:
        raise AppDefinitionError(
            f"{app_class.__module__} has several handlers, {', '.join(sorted(complete))}, and none is named {wanted}: "
            f"name the one of {app_class.__name__} so"
        )
    if complete:
        return next(iter(complete.values()))
    return _complete(next(iter(there.values()))) if there else DefaultHandler


def _complete(handler: type[Handler]) -> type[Handler]:
    missing = sorted(handler.__abstractmethods__)
    if missing:
        raise AppDefinitionError(
            f"{handler.__module__}.{handler.__qualname__} lacks {', '.join(f'{name}()' for name in missing)}: write "
            f"them, or derive it from DefaultHandler"
        )
    return handler
