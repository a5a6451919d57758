"""Puts the greenlets under the SDK's pods: their threads, clocks, signals and event loops become simulated ones."""

from __future__ import annotations

import asyncio
import contextlib
import random
import signal
import time
import types
from collections.abc import Iterator
from unittest import mock

from tests.support.engines import programs
from tests.support.sim import apps, greenlets
from tests.support.sim.attempts import SimulatedExecutor

from application_sdk.engines.kubernetes import (
    api,
    backoff,
    driver,
    driver_heartbeat,
    driver_main,
    driver_tasks,
    heartbeat_writer,
    report,
    task_main,
)
from application_sdk.execution import threads
from application_sdk.replay.guard import guarding

_threading = types.SimpleNamespace(
    Thread=greenlets.Thread, Condition=greenlets.Condition, Event=greenlets.Event, Lock=greenlets.Lock
)


def _monotonic() -> float:
    return greenlets._hub().time()


_time = types.SimpleNamespace(
    time=greenlets.now, sleep=greenlets.sleep, monotonic=_monotonic, gmtime=time.gmtime, strftime=time.strftime
)


def _signal(number: int, action: object) -> None:
    process = greenlets.current().process
    process.on_sigterm = (lambda: None) if action is signal.SIG_IGN else None


def _exit(code: int) -> None:
    greenlets.current().process.exit(code)


class Watchdog:
    """Ends the process when nobody beats it, with what faulthandler writes as its last words."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._process = greenlets.current().process
        self._timer: asyncio.TimerHandle | None = None
        self.beat()

    def beat(self) -> None:
        self.stop()
        self._timer = greenlets._hub().call_later(self._seconds, self._bite)

    def _bite(self) -> None:
        self._process.last_words = 'Thread 0x1 (most recent call first):\n  File "app.py", line 1 in step'
        self._process.exit(1)

    def stop(self) -> None:
        if self._timer is not None:
            self._timer.cancel()


class NoWatch:
    """In place of the watch for routes that don't yield: in virtual time no computation takes long."""

    def __init__(self, told: object) -> None:
        pass

    def start(self) -> None:
        pass

    def stop(self) -> None:
        pass

    def enter(self, work: str) -> None:
        pass

    def leave(self) -> None:
        pass


def _runner() -> asyncio.Runner:
    return asyncio.Runner(loop_factory=greenlets.GreenletLoop)


@contextlib.contextmanager
def patched(chance: random.Random) -> Iterator[None]:
    """While this holds, drivers and tasks run in greenlets only."""
    simulated = {
        driver: {"threading": _threading, "ThreadPoolExecutor": greenlets.ThreadPoolExecutor, "time": _time},
        heartbeat_writer: {"threading": _threading},
        driver_heartbeat: {"threading": _threading, "YieldWatch": NoWatch},
        threads: {"threading": _threading},
        driver_main: {"time": _time, "freeze_gc": lambda: None, "_task_executor": SimulatedExecutor},
        driver_tasks: {
            "threading": _threading,
            "time": _time,
            "random": types.SimpleNamespace(random=chance.random),
        },
        task_main: {
            "time": _time,
            "freeze_gc": lambda: None,
            "restore_signals_in_forked_children": lambda: None,
            "ProcessWatchdog": Watchdog,
            "signal": types.SimpleNamespace(signal=_signal, SIGTERM=signal.SIGTERM, SIG_IGN=signal.SIG_IGN),
            "asyncio": _Namespace(asyncio, Runner=_runner),
        },
        report: {"time": _time},
        api: {"time": _time},
        backoff: {"_chance": chance.random},
        apps: {"os": types.SimpleNamespace(_exit=_exit)},
        programs: {"time": _time, "os": types.SimpleNamespace(_exit=_exit)},
    }
    with contextlib.ExitStack() as stack:
        for module, names in simulated.items():
            for name, stand_in in names.items():
                stack.enter_context(mock.patch.object(module, name, stand_in))
        # For the whole simulation: it looks through every module whenever it is put in place.
        stack.enter_context(guarding(apps.Mixed))
        stack.enter_context(guarding(programs.Programs))
        yield


class _Namespace:
    """A module, but for some names."""

    def __init__(self, module: types.ModuleType, **names: object) -> None:
        self._module = module
        vars(self).update(names)

    def __getattr__(self, name: str) -> object:
        return getattr(self._module, name)
