"""Random numbers and UUIDs: in a route the same in every replay, or refused where they are meant to be secret."""

from __future__ import annotations

import os
import random
import sys
import uuid
from collections.abc import Callable

from application_sdk.replay.guard.active import Guarded, guarded_route
from application_sdk.replay.guard.callers import reads_on_behalf_of_tools
from application_sdk.replay.guard.patches import Patch

_FUNCTIONS = (
    "betavariate", "binomialvariate", "choice", "choices", "expovariate", "gammavariate", "gauss", "getrandbits",
    "getstate", "lognormvariate", "normalvariate", "paretovariate", "randbytes", "randint", "random", "randrange",
    "sample", "seed", "setstate", "shuffle", "triangular", "uniform", "vonmisesvariate", "weibullvariate",
)  # fmt: skip
_UUID4 = uuid.uuid4.__code__
_MAKE_IT_IN_A_TASK = "A secret that every replay makes again is none: make it in a @task"


def chance_patches() -> list[Patch]:
    """For `random`, `uuid` and what `secrets` rests on."""
    hidden: object = random._inst  # noqa: SLF001 - its methods are the module's functions
    patches = [
        Patch(random, name, _function(name, getattr(random, name))) for name in _FUNCTIONS if hasattr(random, name)
    ]
    # Modules that have imported `choice` and the like call the hidden instance, which asks itself for these two.
    patches += [Patch(hidden, name, _function(name, getattr(random, name))) for name in ("random", "getrandbits")]
    patches += [
        Patch(random.Random, "seed", _seed(random.Random.seed)),
        Patch(random, "_urandom", _urandom(os.urandom)),
        Patch(os, "urandom", _urandom(os.urandom)),
        *([Patch(os, "getrandom", _urandom(os.getrandom))] if hasattr(os, "getrandom") else []),
        Patch(uuid, "uuid4", _uuid4(uuid.uuid4)),
    ]
    patches += [
        Patch(uuid, name, _machine_uuid(name, getattr(uuid, name)))
        for name in ("uuid1", "uuid6", "uuid7")
        if hasattr(uuid, name)
    ]
    return patches


def _asking_route() -> Guarded | None:
    # What a module draws while it is imported is drawn once in a process, not once in a route.
    route = guarded_route()
    return route if route is not None and not reads_on_behalf_of_tools() else None


def _function(name: str, real: Callable[..., object]) -> Callable[..., object]:
    def draw(*args: object, **kwargs: object) -> object:
        route = _asking_route()
        if route is None:
            return real(*args, **kwargs)
        return getattr(route.module_random(), name)(*args, **kwargs)

    draw.__name__ = name
    return draw


def _seed(real: Callable[..., None]) -> Callable[..., None]:
    def seed(self: random.Random, a: int | float | str | bytes | bytearray | None = None, version: int = 2) -> None:
        route = _asking_route()
        if route is not None and a is None:
            hidden = route.module_random()
            a = hidden.getrandbits(128) if isinstance(hidden, random.Random) else a
        real(self, a, version)

    return seed


def _urandom(real: Callable[..., bytes]) -> Callable[..., bytes]:
    def urandom(*args: int, **kwargs: int) -> bytes:
        route = _asking_route()
        if route is not None:
            # A `uuid4` that was taken before the guard was in place: it asks for nothing else, whoever holds it.
            if sys._getframe(1).f_code is _UUID4:  # noqa: SLF001
                return uuid.UUID(str(route.uuid())).bytes
            route.refuse("os.urandom() or secrets in the route", _MAKE_IT_IN_A_TASK)
        return real(*args, **kwargs)

    return urandom


def _uuid4(real: Callable[[], uuid.UUID]) -> Callable[[], object]:
    def uuid4() -> object:
        route = _asking_route()
        return real() if route is None else route.uuid()

    return uuid4


def _machine_uuid(name: str, real: Callable[..., uuid.UUID]) -> Callable[..., uuid.UUID]:
    def machine_uuid(*args: object, **kwargs: object) -> uuid.UUID:
        route = _asking_route()
        if route is not None:
            route.refuse(f"uuid.{name}() in the route", "Write `self.uuid()`, which every replay repeats")
        return real(*args, **kwargs)

    return machine_uuid
