"""What a driver says of itself while it is at work: that it reaches the API server, and that its route doesn't yield.

`driverpod` makes one for each driver. A driver that has called a task shows by it that it is there, and one that is
done within a few seconds shows it by its report. Any other costs one write, and each time that a route has computed for
too long costs two.
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
"""How long the driver's end may wait for a write of this that is under way."""


class DriverHeartbeat:
    """Speaks from threads of its own. Made in the route's thread, which `watch` then watches."""

    def __init__(
        self, api: Api, app_task: str, node: str, started_at: float, first_word: float = FIRST_WRITE_SECONDS
    ) -> None:
        self._api = api
        self._app_task = app_task
        self._first_word = first_word
        self._unwritten: JSONObject = {"startedAt": timestamp(started_at), **({"node": node} if node else {})}
        self._lock = threading.Lock()
        self._news = threading.Event()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="driver-heartbeat", daemon=True)
        self.watch = YieldWatch(self._tell)

    def start(self) -> None:
        """Begin to watch, and say that the driver is there unless it is done soon."""
        self.watch.start()
        self._thread.start()

    def stop(self) -> None:
        """Say nothing more: the report follows."""
        self.watch.stop()
        self._stop.set()
        self._news.set()
        self._thread.join(STOP_SECONDS)

    def _tell(self, message: str) -> None:
        if message:
            _log.warning("%s", message)
        with self._lock:
            self._unwritten["progress"] = {"message": message} if message else None
        self._news.set()

    def _run(self) -> None:
        if self._stop.wait(self._first_word):
            return
        if self._api.has_created:
            with self._lock:
                for known in ("startedAt", "node"):
                    self._unwritten.pop(known, None)
        backoff = Backoff()
        while True:
            with self._lock:
                fields, self._unwritten = self._unwritten, {}
                self._news.clear()
            # After `clear`, which may have taken the news that it is to stop.
            if self._stop.is_set():
                return
            if fields and not self._write(fields):
                self._stop.wait(backoff.delay())
                continue
            backoff.reset()
            self._news.wait()

    def _write(self, fields: JSONObject) -> bool:
        """Whether it needn't be tried again. What is said meanwhile goes along with the next try."""
        try:
            self._api.set_status(names.APP_TASKS, self._app_task, fields)
        except (Refused, NotFound):
            self._stop.set()  # Another driver has taken over, or the run is gone: the route's thread finds out.
        except (ApiError, Unreachable) as error:
            _log.warning("the API server wasn't told that this driver is at work, it will be: %s", error)
            with self._lock:
                self._unwritten = {**fields, **self._unwritten}
            self._news.set()
            return False
        return True
