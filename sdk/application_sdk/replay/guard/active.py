"""Who asks: a guarded route or anybody else. And the one way to lift the guard."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import NoReturn, Protocol, cast

from application_sdk.execution import current


class Guarded(Protocol):
    """What the guard needs of a route's runtime."""

    in_route: bool

    def timestamp(self) -> float:
        """The route's time, in seconds since the epoch."""
        ...

    def elapsed(self) -> float:
        """The route's time, in seconds since the run began."""
        ...

    def module_random(self) -> object:
        """The `random.Random` behind the functions of the module `random`."""
        ...

    def uuid(self) -> object: ...

    def refuse(self, what: str, instead: str = ...) -> NoReturn: ...


_lifted: ContextVar[bool] = ContextVar("application_sdk.unguarded", default=False)


def guarded_route() -> Guarded | None:
    """The route whose code is asking, if it is one's and the guard isn't lifted."""
    runtime = current.get()
    if runtime is None or not runtime.in_route or _lifted.get():
        return None
    return cast("Guarded", runtime)


@contextmanager
def unguarded() -> Iterator[None]:
    """Lift the guard for the code inside."""
    token = _lifted.set(True)
    try:
        yield
    finally:
        _lifted.reset(token)
