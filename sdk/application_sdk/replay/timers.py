"""The timers of a route: each one of its event loop is a call in the ledger, and fires when that completes."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final

from application_sdk.execution.engine import Completion
from application_sdk.execution.source_lines import user_line
from application_sdk.replay.route import NO_POLICY, CallRequest, Route
from application_sdk.wire.digest import JSONObject, digest
from application_sdk.wire.fields import MAX_SECONDS
from application_sdk.wire.names import TIMER_TASK

TIMER_DIGITS: Final = 3
"""Timers count in milliseconds, so that differences of the loop's times have one value."""


class RouteTimers:
    """The `Timers` of one execution's loop."""

    def __init__(self, route: Route) -> None:
        self._route = route
        self._keys: dict[int, str] = {}  # By id: timer handles that look alike are equal.
        self._closed = False

    def start(self, handle: asyncio.TimerHandle, seconds: float, fire: Callable[[asyncio.TimerHandle], None]) -> None:
        """Make the call that fires `handle` in `seconds`."""
        if self._closed:
            return
        # Infinity, as in `asyncio.timeout(inf)`, is a time that never comes, and so is a century on every engine.
        # guard: timer-maximum - datetime overflows on a timer of thousands of years
        seconds = min(max(round(seconds, TIMER_DIGITS), 10**-TIMER_DIGITS), MAX_SECONDS)

        def deliver(completion: Completion) -> None:
            self._keys.pop(id(handle), None)
            fire(handle)

        payload: JSONObject = {"seconds": seconds}
        call = self._route.make(
            CallRequest(
                role="timer",
                task=TIMER_TASK,
                input=payload,
                input_digest=digest(payload),
                line=user_line(),
                policy=NO_POLICY,
                pod={},
                seconds=seconds,
            ),
            deliver,
        )
        self._keys[id(handle)] = call.key

    def cancel(self, handle: asyncio.TimerHandle) -> None:
        """Abandon the call of `handle`. Without effect for a handle that has fired."""
        key = self._keys.pop(id(handle), None)
        if key is not None:
            self._route.abandon(key)

    def close(self) -> None:
        """Start no timer any more: the execution is over."""
        self._closed = True
