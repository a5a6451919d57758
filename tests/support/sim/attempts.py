"""The processes of driver tasks in a simulated cluster: they live beside their driver's greenlets and die with them.

Implements the executor's protocol. Bodies run as in pods, on an event loop in virtual time.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Sequence

from tests.support.sim import greenlets

from application_sdk.app.loading import load_app
from application_sdk.attempt.attempt import Attempt
from application_sdk.engines.processes.executor_protocol import AttemptBegun, AttemptEnded, AttemptSpec, ExecutorEvent
from application_sdk.wire import reasons
from application_sdk.wire.fields import Call, ErrorFields


class SimulatedExecutor:
    """Of the driver whose greenlet makes it."""

    def __init__(self, call: Call) -> None:
        self._entry = call["entry"]
        self._driver = greenlets.current().process
        self._changed = greenlets.Condition()
        self._events: deque[ExecutorEvent] = deque()
        self._woken = False
        self._running: dict[str, tuple[greenlets.Process, list[Attempt], list[asyncio.AbstractEventLoop]]] = {}

    def start(self, work: AttemptSpec) -> None:
        process = greenlets.Process(f"{self._driver.name}/{work.key[:8]}")
        self._driver.children.append(process)
        attempts: list[Attempt] = []
        loops: list[asyncio.AbstractEventLoop] = []
        self._running[work.key] = process, attempts, loops

        def main() -> int:
            app_class = load_app(self._entry)
            attempt = Attempt(app_class.definition.task(work.info.task), app_class(), work.info)
            attempts.append(attempt)
            with asyncio.Runner(loop_factory=greenlets.GreenletLoop) as runner:
                loops.append(runner.get_loop())
                result = runner.run(attempt.run(work.input))
            if not process.dead:  # Else it has ended itself, and the body's last words are nobody's.
                self._tell(AttemptEnded(work.key, result.output, result.error))
            return 0

        process.start(main)
        self._driver.spawn(lambda: self._watch(work.key, process), "watch")
        self._events.append(AttemptBegun(work.key))

    def wait(self, seconds: float) -> Sequence[ExecutorEvent]:
        with self._changed:
            self._changed.wait_for(lambda: bool(self._events) or self._woken, seconds)
            self._woken = False
            events = list(self._events)
            self._events.clear()
        return events

    def cancel(self, key: str) -> None:
        if key in self._running:
            _, attempts, loops = self._running[key]
            for attempt, loop in zip(attempts, loops, strict=False):
                loop.call_soon_threadsafe(attempt.cancel)

    def kill(self, key: str) -> None:
        if key in self._running:
            process, *_ = self._running.pop(key)
            process.kill()
            error = ErrorFields(type=reasons.PROCESS_DIED, message="killed by signal 9", retryable=True)
            self._events.append(AttemptEnded(key, error=error, exit_code=-9))
            self.wake()

    def wake(self) -> None:
        self._woken = True
        self._changed.notify_all()

    def close(self) -> None:
        for process, *_ in self._running.values():
            process.kill()
        self._running.clear()

    def _watch(self, key: str, process: greenlets.Process) -> None:
        """Tell of an attempt that ended its process."""
        greenlets.block(process.ended.wait())  # type: ignore[arg-type]
        error = ErrorFields(type=reasons.PROCESS_DIED, message="it ended itself", retryable=True)
        self._tell(AttemptEnded(key, error=error, exit_code=process.exit_code))

    def _tell(self, event: AttemptEnded) -> None:
        if self._running.pop(event.key, None) is not None:
            self._events.append(event)
            self.wake()
