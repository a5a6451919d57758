"""When an attempt last made progress, what excuses a silence, and the watchdog for an attempt that makes none.

`attempt.task_context` marks progress, `attempt.attempt` puts the watchdog around the body. Heartbeats are something
else: an attempt that waits on a dead connection without end sends those by itself and makes no progress.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Final

from application_sdk.execution.source_lines import waiting_line
from application_sdk.wire import reasons
from application_sdk.wire.fields import ErrorFields, Policy

_log = logging.getLogger("apprun.task")

_FOR_EVER: Final = float("inf")

_declared: ContextVar[bool] = ContextVar("application_sdk.declared_hold", default=False)
"""Whether the code that asks runs inside of a hold that its author has declared."""


class ProgressWatch:
    """Of one attempt. Marks and holds may come from any thread. Times in seconds on `clock`."""

    def __init__(self) -> None:
        self.clock: Callable[[], float] = time.monotonic
        """Set by `begin`, before anybody else asks."""
        self.last_sign = "its start"
        """What the latest progress was."""
        self._last = self.clock()
        self._holds: dict[object, float] = {}

    def begin(self, clock: Callable[[], float]) -> None:
        """The body starts now."""
        self.clock = clock
        self._last = clock()

    def mark(self, sign: str) -> None:
        """One unit of work is done."""
        self.last_sign = sign
        self._last = self.clock()

    def silence(self) -> float:
        """How long ago the latest progress was."""
        return self.clock() - self._last

    def due(self, allowance: float) -> float:
        """When a silence of more than `allowance` begins, as a time of the clock. Infinite during an unlimited hold."""
        return max([self._last + allowance, *list(self._holds.values())])

    @contextmanager
    def hold(self, label: str, seconds: float | None) -> Iterator[None]:
        """Vouch for the silence of what is inside, for so long at most. Its end is progress."""
        declared = _declared.set(True)
        try:
            with self._holding(seconds):
                yield
        finally:
            _declared.reset(declared)
            self.mark(label)

    @contextmanager
    def hold_call(self, label: str) -> Iterator[None]:
        """Vouch for a blocking call, without a limit: it has no way to show how it gets on. Inside of a declared hold
        that one counts instead."""
        with self._holding(0.0 if _declared.get() else None):
            yield
        self.mark(label)

    @contextmanager
    def _holding(self, seconds: float | None) -> Iterator[None]:
        token = object()
        self._holds[token] = _FOR_EVER if seconds is None else self.clock() + seconds
        try:
            yield
        finally:
            del self._holds[token]


class StallWatchdog:
    """Logs, or ends the body, when it makes no progress for longer than its policy allows.

    It needs the event loop. A body that blocks the loop sends no heartbeat, and `attempt.heartbeat` ends that.
    """

    def __init__(self, line: str, task: str, attempt: int, policy: Policy, watch: ProgressWatch) -> None:
        self._line = line
        self._task = task
        self._attempt = attempt
        self._mode = policy.get("progressWatchdog", "off")
        self._watch = watch
        self._body = asyncio.current_task()
        self._allowance = policy.get("maxNoProgressSeconds", 0.0)
        self._loop = asyncio.get_running_loop()
        self._timer: asyncio.TimerHandle | None = None
        self.limit = asyncio.timeout(None)
        """Around the body: expires when it is to be ended."""
        self.error: ErrorFields | None = None
        """Why it was ended."""

    def begin(self) -> None:
        """The body starts now."""
        self._watch.begin(self._loop.time)
        if self._allowance and self._mode != "off":
            self._timer = self._loop.call_later(self._allowance, self._check)

    def stop(self) -> None:
        """The body has ended."""
        if self._timer is not None:
            self._timer.cancel()

    def _check(self) -> None:
        now = self._loop.time()
        again = now + self._allowance
        due = self._watch.due(self._allowance)
        if now < due:
            again = min(due, again)
        elif self._mode == "enforce":
            self.error = ErrorFields(type=reasons.NO_PROGRESS, message=self._describe(), retryable=True)
            self.limit.reschedule(now)
            return
        else:
            _log.warning("%s", self._describe())
        self._timer = self._loop.call_at(again, self._check)

    def _describe(self) -> str:
        line = waiting_line(self._body.get_coro()) if self._body is not None else None
        waits = f", and it waits at {line}" if line is not None else ""
        silence = round(self._watch.silence(), 1)
        return (
            f"attempt {self._attempt} of {self._task!r} has made no progress for {silence:g} s "
            f"(max_no_progress_seconds={self._allowance:g}, {self._line}). "
            f"The latest was {self._watch.last_sign}{waits}. "
            "Call self.heartbeat() whenever a piece of the work is done; where one piece takes longer, write "
            '`async with self.holding_progress("what it is", timeout=seconds):` around it'
        )
