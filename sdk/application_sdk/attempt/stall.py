"""The stall watchdog of one attempt: for a body that lives but doesn't get on.

`attempt.attempt` puts it around the body. What counts as progress is decided in `attempt.progress`; a body that
sends no heartbeat at all is seen in `attempt.heartbeat`.
"""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING

from application_sdk.execution.source_lines import waiting_line
from application_sdk.wire import reasons
from application_sdk.wire.fields import ErrorFields

if TYPE_CHECKING:
    from application_sdk.attempt.progress import ProgressWatch
    from application_sdk.attempt.task_context import AttemptInfo

_log = logging.getLogger("apprun.task")


class StallWatchdog:
    """Speaks up, or ends the body, when it makes no progress for longer than its policy allows.

    It needs the event loop; a body that blocks that as well sends no heartbeat, which others see.
    """

    def __init__(self, line: str, info: AttemptInfo, watch: ProgressWatch) -> None:
        self._line = line
        self._info = info
        self._watch = watch
        self._body = asyncio.current_task()
        self._allowance = info.policy.get("maxNoProgressSeconds", 0.0)
        self._enforce = info.policy.get("progressWatchdog") == "enforce"
        self._loop = asyncio.get_running_loop()
        self._timer: asyncio.TimerHandle | None = None
        self.limit = asyncio.timeout(None)
        """Around the body: expires when it is to be ended."""
        self.error: ErrorFields | None = None
        """Why it was ended."""

    def begin(self) -> None:
        """The body starts now."""
        self._watch.begin(self._loop.time)
        if self._allowance and self._info.policy.get("progressWatchdog", "off") != "off":
            self._timer = self._loop.call_later(self._allowance, self._look)

    def stop(self) -> None:
        """The body has ended."""
        if self._timer is not None:
            self._timer.cancel()

    def _look(self) -> None:
        now = self._loop.time()
        again = now + self._allowance
        due = self._watch.due(self._allowance)
        if now < due:
            again = min(due, again)
        elif self._enforce:
            self.error = ErrorFields(type=reasons.NO_PROGRESS, message=self._describe(), retryable=True)
            self.limit.reschedule(now)
            return
        else:
            _log.warning("%s", self._describe())
        self._timer = self._loop.call_at(again, self._look)

    def _describe(self) -> str:
        line = waiting_line(self._body.get_coro()) if self._body is not None else None
        waits = f", and it waits at {line}" if line is not None else ""
        silence = round(self._watch.silence(), 1)
        return (
            f"attempt {self._info.attempt} of {self._info.task!r} has made no progress for {silence:g} s "
            f"(max_no_progress_seconds={self._allowance:g}, {self._line}). "
            f"The latest was {self._watch.last_sign}{waits}. "
            "Call self.heartbeat() whenever a piece of the work is done; where one piece takes longer, write "
            '`async with self.holding_progress("what it is", timeout=seconds):` around it'
        )
