"""Watches one AppRun for as long as its driver lives. Whenever a watch ends, it reads the run and
watches again.

`driver` runs it in a thread of its own. It passes states on, never skips the newest one, and gives
up only when the run is gone or the API server keeps denying access.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Final, cast

from application_sdk.engines.kubernetes.backoff import Backoff
from application_sdk.engines.kubernetes.errors import ApiError, NotFound, Unreachable
from application_sdk.engines.kubernetes.retry_request import Denials
from application_sdk.wire import names

if TYPE_CHECKING:
    from application_sdk.engines.kubernetes.api import Api
    from application_sdk.wire.digest import JSONObject

_log = logging.getLogger("apprun.driver")

WATCH_SECONDS: Final = 240
SILENCE_SECONDS: Final = 90.0
"""Bookmarks come about every minute, so a watch that is silent for longer has lost its server."""


class RunGone(Exception):
    """The AppRun was deleted, or another one took its name."""


def watch_run(
    api: Api,
    app_run: JSONObject,
    on_state: Callable[[JSONObject], None],
    stopped: Callable[[], bool],
    pause: Callable[[float], None],
) -> None:
    """Call `on_state` with each newer state of the run until `stopped()`, starting after the state
    `app_run`.

    Raises RunGone, whatever `on_state` raises, and Forbidden or Unauthorized when nothing else is
    answered for long. `pause` waits for seconds between two tries.
    """
    name, uid, version = _identity(app_run)
    backoff, denials = Backoff(), Denials()
    while not stopped():
        try:
            for event in api.watch(names.APP_RUNS, name, version, WATCH_SECONDS, SILENCE_SECONDS):
                backoff.reset()
                if stopped():
                    return
                if event["type"] == "BOOKMARK":
                    continue
                if event["type"] == "DELETED":
                    raise RunGone(f"AppRun {name} was deleted")
                on_state(_checked(cast("JSONObject", event["object"]), uid))
        except (ApiError, Unreachable) as error:
            _log.info("the watch of AppRun %s ended, reading it again: %s", name, error)
        delay = backoff.delay()
        pause(delay)
        try:
            app_run = _checked(api.get(names.APP_RUNS, name), uid)
            version = _identity(app_run)[2]
            on_state(app_run)
        except NotFound as error:
            raise RunGone(f"AppRun {name} was deleted") from error
        except (ApiError, Unreachable) as error:
            _log.warning("AppRun %s can't be read, the driver waits: %s", name, error)
            if denials.exhausted_by(error, delay):
                raise
        else:
            denials = Denials()


def _checked(app_run: JSONObject, uid: str) -> JSONObject:
    name, current_uid, _ = _identity(app_run)
    # guard: follow-own-run - a run that was created again under the same name has another ledger
    if current_uid != uid:
        raise RunGone(f"AppRun {name} was deleted and created again")
    return app_run


def _identity(app_run: JSONObject) -> tuple[str, str, str]:
    metadata = cast("Mapping[str, str]", app_run["metadata"])
    return metadata["name"], metadata["uid"], metadata["resourceVersion"]
