"""`@entrypoint`: makes a method of an `App` a route of its own, beside others. `app.definition` reads it."""

from __future__ import annotations

import sys
from collections.abc import Callable, Coroutine
from types import FrameType
from typing import Any, Final, TypeVar, overload

from application_sdk.app.signature import function_line
from application_sdk.errors import AppDefinitionError

Method = TypeVar("Method", bound=Callable[..., Coroutine[Any, Any, Any]])

MARK: Final = "__apprun_entrypoint__"


class Mark:
    """What `@entrypoint` leaves on a method."""

    __slots__ = ("default", "name")

    def __init__(self, name: str | None, default: bool) -> None:
        self.name = name
        self.default = default


@overload
def entrypoint(method: Method, /) -> Method: ...


@overload
def entrypoint(
    method: None = None, /, *, name: str | None = None, default: bool = False
) -> Callable[[Method], Method]: ...


def entrypoint(
    method: Method | None = None, /, *, name: str | None = None, default: bool = False
) -> Method | Callable[[Method], Method]:
    """Mark a method of an App as a route: `async def extract(self, input: MyInput) -> MyOutput`.

    Args:
        method: The method, where the decorator is written without parentheses.
        name: What a run's `spec.entrypoint` names: letters, digits and hyphens. By default the method's name with
            hyphens.
        default: Whether a run that names no entry point takes this one. Where no entry point is the default, such a
            run takes `run()`, or else the first by alphabet.

    Returns:
        The method, or the decorator.

    Raises:
        AppDefinitionError: The name is invalid, the method is no plain method, or another entry point has its name.
    """
    if name is not None and not _is_name(name):
        raise AppDefinitionError(
            f"@entrypoint(name={name!r}): a name has letters, digits and hyphens only, and begins with a letter"
        )

    def decorate(method: Method) -> Method:
        if not hasattr(method, "__code__"):
            raise AppDefinitionError(
                f"@entrypoint marks a plain `async def` method, not {method!r}. A method can't be a task and a route"
            )
        _check_new(method, sys._getframe(1 if decorated_later else 2))  # noqa: SLF001
        setattr(method, MARK, Mark(name, default))
        return method

    decorated_later = method is None
    return decorate if method is None else decorate(method)


def _check_new(method: Callable[..., object], body: FrameType) -> None:
    """In a class body: whether the name isn't taken by another entry point, which this one would replace unseen."""
    before: object = body.f_locals.get(method.__name__) if "__qualname__" in body.f_locals else None
    if mark_of(before) is None or not callable(before):
        return
    raise AppDefinitionError(
        f"{body.f_locals['__qualname__']} has two entry points named {method.__name__!r}: {function_line(before)} and "
        f"{function_line(method)}. The second would replace the first; rename one"
    )


def _is_name(name: str) -> bool:
    plain = name.replace("-", "").replace("_", "")
    return plain.isascii() and plain.isalnum() and name[0].isalpha()


def mark_of(thing: object) -> Mark | None:
    """The mark of a method that is an entry point, else None."""
    mark = getattr(thing, MARK, None)
    return mark if isinstance(mark, Mark) else None


def kebab_case(name: str) -> str:
    """`HTTPServer_2` as `http-server-2`."""
    words: list[str] = []
    for index, letter in enumerate(name):
        if letter == "_":
            words.append("-")
            continue
        after_lower = index > 0 and (name[index - 1].islower() or name[index - 1].isdigit())
        before_lower = index > 0 and index + 1 < len(name) and name[index + 1].islower() and name[index - 1].isupper()
        if letter.isupper() and (after_lower or before_lower):
            words.append("-")
        words.append(letter.lower())
    return "".join(words).strip("-")
