"""A driver's heartbeat: its AppTask says that the driver has started, and when its route doesn't
yield.

`driver_main` makes one for each driver. A driver that creates an AppTask thereby shows that it
runs, and one that ends within a few seconds shows it by its report: neither costs a write here. Any
other driver costs one write, and each time that its route blocks for too long costs two.
"""

from __future__ import annotations

import logging
import threading
from typing import TYPE_CHECKING, Final

from application_sdk.engines.kubernetes.backoff import Backoff
from application_sdk.engines.kubernetes.errors import ApiError, NotFound, Refused, Unreachable
from application_sdk.execution.logs import timestamp
from application_sdk.replay.yielding import YieldWatch
from application_sdk.wire import names

if TYPE_CHECKING:
    from application_sdk.engines.kubernetes.api import Api
    from application_sdk.wire.digest import JSONObject

_log = logging.getLogger("apprun.driver")

FIRST_WRITE_SECONDS: Final = 5.0
STOP_SECONDS: Final = 1.0
"""How long `stop` waits for a write that is under way."""


class DriverHeartbeat:
    """Writes from a thread of its own. Make it in the route's thread, which `watch` then
    watches."""

    def __init__(
        self, api: Api, app_task: str, node: str, started_at: float, first_word: float = FIRST_WRITE_SECONDS
    ) -> None:
        self._api = api
        self._app_task = app_task
        self._first_word = first_word
        self._unwritten: JSONObject = {"startedAt": timestamp(started_at), **({"node": node} if node else {})}
        self._lock = threading.Lock()
        self._changed = threading.Event()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="driver-heartbeat", daemon=True)
        self.watch = YieldWatch(self._set_progress)

    def start(self) -> None:
        """Begin to watch the route, and write that the driver has started unless it ends soon."""
        self.watch.start()
        self._thread.start()

    def stop(self) -> None:
        """Write nothing more: the report follows."""
        self.watch.stop()
        self._stop.set()
        self._changed.set()
        self._thread.join(STOP_SECONDS)

    def _set_progress(self, message: str) -> None:
        if message:
            _log.warning("%s", message)
        with self._lock:
            self._unwritten["progress"] = {"message": message} if message else None
        self._changed.set()

    def _run(self) -> None:
        if self._stop.wait(self._first_word):
            return
        if self._api.has_created:
            with self._lock:
                for field in ("startedAt", "node"):
                    self._unwritten.pop(field, None)
        backoff = Backoff()
        while True:
            with self._lock:
                fields, self._unwritten = self._unwritten, {}
                self._changed.clear()
            # Checked after `clear`, which may have cleared the event that `stop` had set.
            if self._stop.is_set():
                return
            if fields and not self._write(fields):
                self._stop.wait(backoff.delay())
                continue
            backoff.reset()
            self._changed.wait()

    def _write(self, fields: JSONObject) -> bool:
        """Whether no other try is needed. Fields that are set meanwhile are part of the next
        try."""
        try:
            self._api.set_status(names.APP_TASKS, self._app_task, fields)
        except (Refused, NotFound):
            self._stop.set()  # Another driver has taken over, or the run is gone: the route's thread finds out.
        except (ApiError, Unreachable) as error:
            _log.warning("the driver's heartbeat wasn't written, the next try follows: %s", error)
            with self._lock:
                self._unwritten = {**fields, **self._unwritten}
            self._changed.set()
            return False
        return True
