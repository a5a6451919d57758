"""Writes heartbeat details and progress into the AppTask: the latest only, at most every few
seconds.

`task_main` makes one per attempt. Most tasks send no heartbeat, so its thread starts with the first
one. What it couldn't write in time becomes part of the report.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Final, TypedDict, cast

from application_sdk.engines.kubernetes.errors import ApiError, NotFound, Refused, Unreachable
from application_sdk.wire import names
from application_sdk.wire.fields import ProgressFields

if TYPE_CHECKING:
    from application_sdk.engines.kubernetes.api import Api
    from application_sdk.wire.digest import JSONObject

_log = logging.getLogger("apprun.signs")

INTERVAL_SECONDS: Final = 5.0


class HeartbeatFields(TypedDict, total=False):
    """The fields of AppTask.status that heartbeats write."""

    heartbeat: JSONObject
    progress: ProgressFields
    startedAt: str
    node: str


class HeartbeatWriter:
    """Takes heartbeats from any thread without blocking it.

    It calls `fenced` once, from its own thread, when the API server says that this pod no longer
    speaks for the task.
    """

    def __init__(self, api: Api, app_task: str, fenced: Callable[[], None], interval: float = INTERVAL_SECONDS) -> None:
        self._api = api
        self._app_task = app_task
        self._fenced = fenced
        self._interval = interval
        self._unwritten = HeartbeatFields()
        self._lock = threading.Lock()
        self._changed = threading.Event()
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None

    def heartbeat(self, details: JSONObject) -> None:
        self._add({"heartbeat": details})

    def progress(self, progress: ProgressFields) -> None:
        self._add({"progress": progress})

    def begun(self, started_at: str, node: str) -> None:
        """Say that the attempt has begun: it acknowledges a call that a pod was given over its inbox."""
        self._add({"startedAt": started_at, "node": node} if node else {"startedAt": started_at})

    def stop(self) -> HeartbeatFields:
        """Write no more, and return what is left. Waits for a write under way: it mustn't follow
        the report."""
        self._stop.set()
        self._changed.set()
        if self._thread is not None:
            self._thread.join()
        return self._unwritten

    def flush(self) -> None:
        """Write what is left, in one try: for a pod that ends without a report."""
        if fields := self.stop():
            self._unwritten = HeartbeatFields()
            self._write(fields)

    def _add(self, fields: HeartbeatFields) -> None:
        with self._lock:
            self._unwritten.update(fields)
            if self._thread is None and not self._stop.is_set():
                self._thread = threading.Thread(target=self._run, name="heartbeat", daemon=True)
                self._thread.start()
        self._changed.set()

    def _run(self) -> None:
        while self._changed.wait() and not self._stop.is_set():
            with self._lock:
                fields, self._unwritten = self._unwritten, HeartbeatFields()
                self._changed.clear()
            self._write(fields)
            self._stop.wait(self._interval)

    def _write(self, fields: HeartbeatFields) -> None:
        try:
            self._api.set_status(names.APP_TASKS, self._app_task, cast("JSONObject", fields))
        except (Refused, NotFound) as error:
            _log.error("this pod no longer speaks for %s: %s", self._app_task, error.message)
            self._stop.set()
            self._fenced()
        except (ApiError, Unreachable) as error:
            _log.warning("heartbeat details or progress weren't written, the next ones will be: %s", error)
            with self._lock:
                self._unwritten = HeartbeatFields(**{**fields, **self._unwritten})
