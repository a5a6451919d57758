"""The clocks of `time` and `datetime`: in a route they show the time of the last completion."""

from __future__ import annotations

import datetime as datetime_module
import sys
import time
import types
from collections.abc import Callable
from typing import Any, Final

from typing_extensions import override

from application_sdk.replay.guard.active import Guarded, guarded_route
from application_sdk.replay.guard.patches import Patch

_NANO = 1_000_000_000
_real_datetime = datetime_module.datetime


def clock_patches() -> list[Patch]:
    """For the module `time`. `date.today()` and `datetime.today()` ask it too."""
    return [
        Patch(time, "time", _wall(time.time, lambda route: route.timestamp())),
        Patch(time, "time_ns", _wall(time.time_ns, lambda route: int(route.timestamp() * _NANO))),
        *(
            Patch(time, name, _wall(getattr(time, name), lambda route: route.elapsed()))
            for name in ("monotonic", "perf_counter", "process_time", "thread_time")
        ),
        *(
            Patch(time, name, _wall(getattr(time, name), lambda route: int(route.elapsed() * _NANO)))
            for name in ("monotonic_ns", "perf_counter_ns", "process_time_ns", "thread_time_ns")
        ),
        Patch(time, "localtime", _with_seconds(time.localtime)),
        Patch(time, "gmtime", _with_seconds(time.gmtime)),
        Patch(time, "ctime", _with_seconds(time.ctime)),
        Patch(time, "asctime", _with_struct(time.asctime, 0)),
        Patch(time, "strftime", _with_struct(time.strftime, 1)),
        *(
            Patch(time, name, _by_id(getattr(time, name), unit))
            for name, unit in (("clock_gettime", 1), ("clock_gettime_ns", _NANO))
            if hasattr(time, name)
        ),
        Patch(time, "sleep", _sleep(time.sleep)),
    ]


_LOGS: Final = ("logging", "application_sdk.execution.logs")


def _wall(real: Callable[[], float], virtual: Callable[[Guarded], float]) -> Callable[[], float]:
    def clock() -> float:
        route = guarded_route()
        # A log line tells people when it was written.
        if route is None or sys._getframe(1).f_globals.get("__name__", "").startswith(_LOGS):  # noqa: SLF001
            return real()
        return virtual(route)

    return clock


def _by_id(real: Callable[[int], float], unit: int) -> Callable[[int], float]:
    def clock(clock_id: int, /) -> float:
        route = guarded_route()
        if route is None:
            return real(clock_id)
        seconds = route.timestamp() if clock_id == time.CLOCK_REALTIME else route.elapsed()
        return int(seconds * unit) if unit > 1 else seconds

    return clock


def _with_seconds(real: Callable[..., object]) -> Callable[..., object]:
    def convert(seconds: float | None = None, /) -> object:
        route = guarded_route()
        return real(route.timestamp() if route is not None and seconds is None else seconds)

    return convert


def _with_struct(real: Callable[..., object], position: int) -> Callable[..., object]:
    real_localtime = time.localtime

    def convert(*args: object) -> object:
        route = guarded_route()
        if route is not None and len(args) == position:
            args = (*args, real_localtime(route.timestamp()))
        return real(*args)

    return convert


def _sleep(real: Callable[[float], None]) -> Callable[[float], None]:
    def sleep(seconds: float, /) -> None:
        route = guarded_route()
        if route is not None:
            route.refuse("time.sleep() in the route", "Write `await self.sleep(seconds)`, which is durable")
        real(seconds)

    return sleep


class _LooksReal(type):
    """Equal to the real class, too, so that tables by type serve both."""

    @override
    def __eq__(cls, other: object) -> bool:
        return other is cls or other is _real_datetime

    @override
    def __hash__(cls) -> int:
        return hash(_real_datetime)

    @override
    def __instancecheck__(cls, instance: object) -> bool:
        return isinstance(instance, _real_datetime)

    @override
    def __subclasscheck__(cls, subclass: type) -> bool:
        return issubclass(subclass, _real_datetime)


class RouteDatetime(_real_datetime, metaclass=_LooksReal):
    """`datetime.datetime` with the route's clock. Everything that it makes is a real `datetime.datetime`."""

    def __new__(cls, *args: Any, **kwargs: Any) -> _real_datetime:  # type: ignore[misc]
        return _real_datetime(*args, **kwargs)

    @classmethod
    @override
    def now(cls, tz: datetime_module.tzinfo | None = None) -> _real_datetime:  # type: ignore[override]
        route = guarded_route()
        return _real_datetime.now(tz) if route is None else _real_datetime.fromtimestamp(route.timestamp(), tz)

    @classmethod
    @override
    def utcnow(cls) -> _real_datetime:  # type: ignore[override]
        return cls.now(datetime_module.UTC).replace(tzinfo=None)

    @classmethod
    @override
    def today(cls) -> _real_datetime:  # type: ignore[override]
        return cls.now()


def _datetime_module() -> types.ModuleType:
    stand_in = types.ModuleType("datetime")
    stand_in.__dict__.update(vars(datetime_module))
    stand_in.__dict__["datetime"] = RouteDatetime
    return stand_in


DATETIME_MODULE = _datetime_module()
"""Stands for the module `datetime` where a route's own modules look at it: the class' methods can't be replaced."""


def datetime_stand_ins() -> list[tuple[object, object]]:
    """Pairs of what a user's module may hold, and what to put there."""
    return [(_real_datetime, RouteDatetime), (datetime_module, DATETIME_MODULE)]


def import_patches(on_new_modules: Callable[[], None]) -> list[Patch]:
    """`from datetime import datetime` inside a function of the route, and modules that are imported there for the first
    time: `on_new_modules` is called when they are complete."""
    import builtins

    real = builtins.__import__
    depth = 0

    def importer(
        name: str,
        globals: Any = None,
        locals: Any = None,
        fromlist: Any = (),
        level: int = 0,
    ) -> types.ModuleType:
        nonlocal depth
        if guarded_route() is None:
            return real(name, globals, locals, fromlist, level)
        known = len(sys.modules)
        depth += 1
        try:
            module = real(name, globals, locals, fromlist, level)
        finally:
            depth -= 1
        if depth == 0 and len(sys.modules) != known:
            on_new_modules()
        # What a module imports at its top level stays there when the route has ended.
        if module is datetime_module and sys._getframe(1).f_code.co_name != "<module>":  # noqa: SLF001
            return DATETIME_MODULE
        return module

    return [Patch(builtins, "__import__", importer)]
