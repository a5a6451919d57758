"""Writes heartbeat details and progress into the AppTask: the latest only, at most every few seconds.

`taskpod` makes one per attempt. Most tasks tell nothing, so its thread starts with the first sign. What it couldn't
write in time goes along with the report.
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
    """The part of AppTask.status that signs go to."""

    heartbeat: JSONObject
    progress: ProgressFields


class HeartbeatWriter:
    """Takes signs from any thread without blocking it. `fenced` is called once, from its own thread, when the API
    server says that this pod no longer speaks for the task."""

    def __init__(self, api: Api, app_task: str, fenced: Callable[[], None], interval: float = INTERVAL_SECONDS) -> None:
        self._api = api
        self._app_task = app_task
        self._fenced = fenced
        self._interval = interval
        self._unwritten = HeartbeatFields()
        self._lock = threading.Lock()
        self._work = threading.Event()
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None

    def heartbeat(self, details: JSONObject) -> None:
        self._add({"heartbeat": details})

    def progress(self, progress: ProgressFields) -> None:
        self._add({"progress": progress})

    def stop(self) -> HeartbeatFields:
        """Write no more; what is left to write. Waits for a write under way: it mustn't come after the report."""
        self._stop.set()
        self._work.set()
        if self._thread is not None:
            self._thread.join()
        return self._unwritten

    def flush(self) -> None:
        """Write what is left, in one try: for a pod that ends without a report."""
        if left := self.stop():
            self._unwritten = HeartbeatFields()
            self._write(left)

    def _add(self, news: HeartbeatFields) -> None:
        with self._lock:
            self._unwritten.update(news)
            if self._thread is None and not self._stop.is_set():
                self._thread = threading.Thread(target=self._run, name="signs", daemon=True)
                self._thread.start()
        self._work.set()

    def _run(self) -> None:
        while self._work.wait() and not self._stop.is_set():
            with self._lock:
                news, self._unwritten = self._unwritten, HeartbeatFields()
                self._work.clear()
            self._write(news)
            self._stop.wait(self._interval)

    def _write(self, news: HeartbeatFields) -> None:
        try:
            self._api.set_status(names.APP_TASKS, self._app_task, cast("JSONObject", news))
        except (Refused, NotFound) as error:
            _log.error("this pod no longer speaks for %s: %s", self._app_task, error.message)
            self._stop.set()
            self._fenced()
        except (ApiError, Unreachable) as error:
            _log.warning("heartbeat details or progress weren't written, the next ones will be: %s", error)
            with self._lock:
                self._unwritten = HeartbeatFields(**{**news, **self._unwritten})
