"""Which calls of a warm pod's inbox begin, and which are no longer wanted. Pure: time is an argument.

`worker` asks it. A call is known by the uid of its AppTask and the attempt: it begins once, however
often it stands there.
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
"""So many ended attempts are remembered, the latest: an old state of the inbox is never that old."""
LEFT_SECONDS: Final = 1.0
"""How long a call that is under way may be missing from the inbox: whoever altered it by hand is corrected by then."""


def key_of(entry: WorkerCall) -> str:
    """What tells an attempt from every other."""
    return f"{entry['uid']}/{entry['attempt']}"


@dataclass(slots=True, eq=False)
class OpenCall:
    """An attempt that this pod has begun, until its report is through. Moments are on the monotonic clock."""

    entry: WorkerCall
    heartbeats: HeartbeatWriter | None = None
    began_at: float | None = None
    """When its body could begin; None while its process is still being made."""
    started_at: float = 0.0
    """The same in seconds since the epoch."""
    left_at: float | None = None
    """Since when the inbox lacks it."""
    kill_at: float | None = None
    killed_for: ErrorFields | None = None
    """The error of an attempt that was over its time."""
    killed: bool = False
    cancelled: bool = False
    fenced: bool = False
    """The API server has said that another attempt took over."""
    acknowledged: bool = False
    unwritten: HeartbeatFields = field(default_factory=HeartbeatFields)
    """The latest heartbeats. Those of the first seconds wait for the report, or for the acknowledgement."""

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
        """Go by a newer state of the inbox. What isn't in it, and hasn't begun, is dropped."""
        entries = {key_of(entry): entry for entry in inbox.get("calls", [])}
        self._draining = inbox.get("drain", False)
        self._waiting = {key: entry for key, entry in entries.items() if key not in self._known}
        for key, call in self.running.items():
            if key in entries:
                call.left_at = None
            elif call.left_at is None:
                call.left_at = now

    def close(self) -> None:
        """Begin nothing more."""
        self._closed = True

    def begin(self) -> OpenCall | None:
        """The next call to be executed, the oldest first; None when there is none, or no room."""
        if self._closed or self._left == 0 or len(self.running) >= self._concurrency:
            return None
        entry = next((entry for entry in self._waiting.values() if not self._is_busy_with(entry)), None)
        if entry is None:
            return None
        call = OpenCall(entry)
        del self._waiting[call.key]
        # guard: worker-begins-once - a call that stays in the inbox until its report is seen would be executed again
        self._known[call.key] = None
        self.running[call.key] = call
        if self._left is not None:
            self._left -= 1
        while len(self._known) > REMEMBERED:
            self._known.popitem(last=False)
        return call

    def unwanted(self, now: float) -> list[OpenCall]:
        """Those to be cancelled now, since the inbox lacks them."""
        return [
            call
            for call in self.running.values()
            if call.left_at is not None and now >= call.left_at + LEFT_SECONDS and not call.cancelled
        ]

    def end(self, key: str) -> OpenCall | None:
        """Its process is over."""
        return self.running.pop(key, None)

    def report(self, call: OpenCall) -> None:
        """Its outcome is on the way to the API server."""
        self.reporting[call.key] = call

    def reported(self, key: str) -> None:
        """It was taken, or refused for good."""
        self.reporting.pop(key, None)

    def forget(self, call: OpenCall) -> None:
        """Let a call begin again, should it be in the inbox again: it ended without an outcome."""
        self._known.pop(call.key, None)

    def is_over(self) -> bool:
        """Whether the pod has nothing more to do, and will be given nothing more."""
        if self.running or self.reporting:
            return False
        return self._closed or self._left == 0 or (self._draining and not self._waiting)

    def moments(self) -> Iterable[float]:
        """When the next call is to be cancelled for its absence."""
        return (
            call.left_at + LEFT_SECONDS
            for call in self.running.values()
            if call.left_at is not None and not call.cancelled
        )

    def _is_busy_with(self, entry: WorkerCall) -> bool:
        """Whether an earlier attempt of the same call isn't over yet: the later one waits for it."""
        uid = entry["uid"]
        # guard: worker-one-attempt - two attempts of a call would work side by side
        return any(call.entry["uid"] == uid for call in (*self.running.values(), *self.reporting.values()))
