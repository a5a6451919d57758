"""What a task's body may ask and tell while it runs: `self.task_context`.

`attempt.attempt` makes one per attempt; user code holds it. Everything here is a synchronous, thread-safe call that
costs no request: what is told goes to a sink of the engine's, which decides when to write it.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Final, NamedTuple, ParamSpec, Protocol, TypedDict, TypeVar

from application_sdk.attempt.heartbeat import Watchdog
from application_sdk.attempt.progress import ProgressWatch
from application_sdk.contracts.base import HeartbeatDetails
from application_sdk.contracts.codec import decode, encode
from application_sdk.contracts.errors import ContractValidationError
from application_sdk.contracts.size import check_size
from application_sdk.execution import secret_leaks
from application_sdk.execution.redaction import redacted
from application_sdk.execution.threads import call_in_thread
from application_sdk.wire.digest import JSONObject
from application_sdk.wire.fields import MAX_HEARTBEAT_BYTES, Policy, ProgressFields

if TYPE_CHECKING:
    from pathlib import Path

P = ParamSpec("P")
R = TypeVar("R")
Details = TypeVar("Details", bound=HeartbeatDetails)

_log = logging.getLogger("apprun.task")

_MAX_MESSAGE_LENGTH: Final = 1000
"""Of a progress message, in characters."""


class FilesPlace(TypedDict):
    """Where an engine on this machine keeps the files of its runs."""

    url: str
    """Of the store."""
    scratch: str
    """Folder for copies, removed after the attempt."""


class AttemptInfo(NamedTuple):
    """What an attempt is told of itself by its engine."""

    run_id: str
    correlation_id: str
    task: str
    attempt: int
    """From 1; grows with every pod or process that is started for the call."""
    idempotency_key: str
    """The same in all attempts of a call and different in all others."""
    policy: Policy
    max_output_bytes: int
    heartbeat: JSONObject | None = None
    """Details that an earlier attempt left."""
    namespace: str = ""
    run_uid: str = ""
    files: FilesPlace | None = None
    """Where files are kept, when the engine says so. None leaves it to the environment, as in pods."""
    own_disk: bool = False
    """Whether the paths in its input are of this machine's disk: on a laptop and in tests, never in pods."""


class HeartbeatSink(Protocol):
    """Takes what a body tells of its work; the latest counts. Must not block, may be called from any thread."""

    def heartbeat(self, details: JSONObject) -> None: ...

    def progress(self, progress: ProgressFields) -> None: ...


class NullSink:
    """Drops what it is told."""

    def heartbeat(self, details: JSONObject) -> None:
        pass

    def progress(self, progress: ProgressFields) -> None:
        pass


class TaskContext:
    """One attempt, seen from inside."""

    def __init__(
        self, info: AttemptInfo, sink: HeartbeatSink, watchdog: Watchdog, scratch: Callable[[], Path] | None = None
    ) -> None:
        self._info = info
        self._sink = sink
        self._watchdog = watchdog
        self._details = info.heartbeat
        self._progress = ProgressFields()
        self._cancelled = threading.Event()
        self._new_scratch = scratch or (lambda: _new_folder(info.files))
        self._scratch: Path | None = None
        self.progress_watch = ProgressWatch()
        """For engines: when this attempt last got on."""

    @property
    def run_id(self) -> str:
        """Name of the run."""
        return self._info.run_id

    @property
    def task_name(self) -> str:
        return self._info.task

    @property
    def attempt(self) -> int:
        """Number of this attempt, from 1. Those that the cluster ended count too."""
        return self._info.attempt

    @property
    def idempotency_key(self) -> str:
        """The same in all attempts of this call and in no other call: for systems that drop repeated requests."""
        return self._info.idempotency_key

    @property
    def scratch(self) -> Path:
        """A folder of this attempt's own, to write files into. It is removed when the attempt is over; those that the
        output refers to are in the store by then."""
        if self._scratch is None:
            self._scratch = self._new_scratch()
        return self._scratch

    def remove_scratch(self) -> None:
        """Remove that folder. For engines."""
        if self._scratch is not None:
            import shutil

            shutil.rmtree(self._scratch, ignore_errors=True)
            self._scratch = None

    def heartbeat(self, *details: HeartbeatDetails) -> None:
        """Say that the work gets on, with details for the next attempt if there are any. The latest details are kept.

        Call it as often as you like. Raises ContractValidationError for details that can't be stored, or weigh more
        than 8 KiB.
        """
        self._watchdog.beat()
        self.progress_watch.mark("a heartbeat")
        if details:
            payload = encode(details[-1])
            check_size(payload, MAX_HEARTBEAT_BYTES, contract=type(details[-1]).__name__)
            secret_leaks.check(payload, "heartbeat details")
            self._details = payload
            self._sink.heartbeat(payload)

    def get_heartbeat_details(self, contract: type[Details]) -> Details | None:
        """The latest details of this attempt or, until it has given any, of an earlier one. None if there are none.

        Also None, with a warning in the log, if another version of the app left what `contract` doesn't understand.
        """
        if self._details is None:
            return None
        try:
            return decode(contract, self._details, paths="keep" if self._info.own_disk else "drop")
        except ContractValidationError as error:
            _log.warning("the heartbeat details of an earlier attempt are ignored: %s", error)
            return None

    def progress(self, done: int | None = None, total: int | None = None, message: str | None = None) -> None:
        """Say how far the work is, for people who look on. What isn't given stays as it was."""
        self._watchdog.beat()
        if done is not None:
            self._progress["done"] = max(int(done), 0)
        if total is not None:
            self._progress["total"] = max(int(total), 0)
        if message is not None:
            self._progress["message"] = redacted(message)[:_MAX_MESSAGE_LENGTH]
        self.progress_watch.mark("progress" if message is None else repr(message))
        self._sink.progress(ProgressFields(**self._progress))

    def transferred(self, sign: str) -> None:
        """A piece of a file got through: progress, and a heartbeat. For the file storage."""
        self._watchdog.beat()
        self.progress_watch.mark(sign)

    async def run_in_thread(self, function: Callable[P, R], /, *args: P.args, **kwargs: P.kwargs) -> R:
        """Run a blocking function without holding up the event loop. Cancelling doesn't stop it: see `is_cancelled`.

        The stall watchdog takes no offence at its silence, however long; `holding_progress` around it sets a limit.
        """
        name = getattr(function, "__name__", "a function")
        with self.progress_watch.hold_call(f"the end of {name}() in a thread"):
            return await call_in_thread(function, *args, **kwargs)

    @asynccontextmanager
    async def holding_progress(
        self,
        label: str,
        *,
        timeout: float | None = None,  # noqa: ASYNC109 - a promise to the watchdog, which nobody here waits out
    ) -> AsyncIterator[None]:
        """Tell the stall watchdog, and whoever looks on, that `label` is done now and may be silent for up to `timeout`
        seconds."""
        self.progress(message=label)
        with self.progress_watch.hold(repr(label), timeout):
            yield
        self._watchdog.beat()

    def is_cancelled(self) -> bool:
        """Whether this attempt should come to an end: its pod is being stopped, or its time is up.

        Async code gets a CancelledError by itself; loops in threads have to ask.
        """
        return self._cancelled.is_set()

    def cancel(self) -> None:
        """Make `is_cancelled` true. For engines."""
        self._cancelled.set()


def _new_folder(place: FilesPlace | None) -> Path:
    import tempfile
    from pathlib import Path

    if place is None:
        return Path(tempfile.mkdtemp(prefix="apprun-"))
    beside = Path(place["scratch"])
    beside.parent.mkdir(parents=True, exist_ok=True)
    return Path(tempfile.mkdtemp(prefix=f"{beside.name}-", dir=beside.parent))
