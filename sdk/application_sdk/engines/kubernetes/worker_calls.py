"""Decides which calls of a warm pod's inbox begin, and which are no longer wanted.

Pure: time is an argument.

`worker` uses it. The uid of an AppTask and the attempt identify a call. It begins once, however
often it is in the inbox.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from application_sdk.engines.kubernetes.heartbeat_writer import HeartbeatFields

if TYPE_CHECKING:
    from application_sdk.engines.kubernetes.heartbeat_writer import HeartbeatWriter
    from application_sdk.engines.processes.executor_protocol import AttemptHeartbeat
    from application_sdk.wire.fields import ErrorFields, WorkerCall, WorkerStatus

REMEMBERED: Final = 10_000
"""How many attempts are remembered, the latest ones. No state of the inbox is so old that it holds
others."""
LEFT_SECONDS: Final = 1.0
"""How long a call that runs may be missing from the inbox. By then the operator has corrected an
inbox that somebody altered."""


def key_of(entry: WorkerCall) -> str:
    """The identity of an attempt."""
    return f"{entry['uid']}/{entry['attempt']}"


@dataclass(slots=True, eq=False)
class OpenCall:
    """An attempt that this pod has begun, until its report is delivered.

    Times are of the monotonic clock.
    """

    entry: WorkerCall
    heartbeats: HeartbeatWriter | None = None
    began_at: float | None = None
    """When its body could begin; None while its process is being created."""
    started_at: float = 0.0
    """The same time in seconds since the epoch."""
    left_at: float | None = None
    """Since when it has been missing from the inbox."""
    kill_at: float | None = None
    killed_for: ErrorFields | None = None
    """The error of an attempt that exceeded its time limit."""
    killed: bool = False
    cancelled: bool = False
    fenced: bool = False
    """The API server has said that another attempt took over."""
    acknowledged: bool = False
    unwritten: HeartbeatFields = field(default_factory=HeartbeatFields)
    """The latest heartbeats. They are written with the report, or after the acknowledgement."""

    def note(self, heartbeat: AttemptHeartbeat) -> None:
        """Keep the attempt's latest progress and details."""
        if heartbeat.heartbeat is not None:
            self.unwritten["heartbeat"] = heartbeat.heartbeat
        if heartbeat.progress is not None:
            self.unwritten["progress"] = heartbeat.progress

    @property
    def key(self) -> str:
        return key_of(self.entry)


class Calls:
    """The calls of one pod.

    Args:
        concurrency: Calls that are executed at a time.
        max_calls: Calls after which no further one begins; None for no limit.
    """

    def __init__(self, concurrency: int, max_calls: int | None) -> None:
        self._concurrency = concurrency
        self._left = max_calls
        self._waiting: dict[str, WorkerCall] = {}
        self._known: OrderedDict[str, None] = OrderedDict()
        self._closed = False
        self._draining = False
        self.running: dict[str, OpenCall] = {}
        self.reporting: dict[str, OpenCall] = {}
        """Those whose outcome isn't acknowledged yet."""

    def take(self, inbox: WorkerStatus, now: float) -> None:
        """Take over a newer state of the inbox.

        Calls that it lacks and that haven't begun are dropped.
        """
        entries = {key_of(entry): entry for entry in inbox.get("calls", [])}
        self._draining = inbox.get("drain", False)
        self._waiting = {key: entry for key, entry in entries.items() if key not in self._known}
        for key, call in self.running.items():
            if key in entries:
                call.left_at = None
            elif call.left_at is None:
                call.left_at = now

    def close(self) -> None:
        """Begin no further calls."""
        self._closed = True

    def begin(self) -> OpenCall | None:
        """Begin the oldest call; None if there is none, or no room."""
        if self._closed or self._left == 0 or len(self.running) >= self._concurrency:
            return None
        entry = next((entry for entry in self._waiting.values() if not self._is_busy_with(entry)), None)
        if entry is None:
            return None
        call = OpenCall(entry)
        del self._waiting[call.key]
        # guard: worker-begins-once - a call stays in the inbox until the operator has seen its
        # report, and would be executed again
        self._known[call.key] = None
        self.running[call.key] = call
        if self._left is not None:
            self._left -= 1
        while len(self._known) > REMEMBERED:
            self._known.popitem(last=False)
        return call

    def unwanted(self, now: float) -> list[OpenCall]:
        """The calls to cancel now, since the inbox lacks them."""
        return [
            call
            for call in self.running.values()
            if call.left_at is not None and now >= call.left_at + LEFT_SECONDS and not call.cancelled
        ]

    def end(self, key: str) -> OpenCall | None:
        """Remove a call whose attempt has ended."""
        return self.running.pop(key, None)

    def report(self, call: OpenCall) -> None:
        """Note that the outcome of a call is on its way to the API server."""
        self.reporting[call.key] = call

    def reported(self, key: str) -> None:
        """Note that the outcome was accepted, or refused for good."""
        self.reporting.pop(key, None)

    def forget(self, call: OpenCall) -> None:
        """Let a call that ended without an outcome begin again if it returns to the inbox."""
        self._known.pop(call.key, None)

    def is_over(self) -> bool:
        """Whether the pod has nothing to do, and is given no further calls."""
        if self.running or self.reporting:
            return False
        return self._closed or self._left == 0 or (self._draining and not self._waiting)

    def moments(self) -> Iterable[float]:
        """When calls that are missing from the inbox are to be cancelled."""
        return (
            call.left_at + LEFT_SECONDS
            for call in self.running.values()
            if call.left_at is not None and not call.cancelled
        )

    def _is_busy_with(self, entry: WorkerCall) -> bool:
        """Whether an earlier attempt of the same call hasn't ended yet.

        The later one waits for it.
        """
        uid = entry["uid"]
        # guard: worker-one-attempt - two attempts of a call would work side by side
        return any(call.entry["uid"] == uid for call in (*self.running.values(), *self.reporting.values()))
