"""Keeps an eye on one AppRun for as long as its driver lives: watch, and whenever that ends, look and watch again.

`driver` runs it in a thread of its own. It hands on states, never skips the newest, and gives up on nothing but a run
that is gone.
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
"""Bookmarks come about every minute, so a watch that is silent for longer leads nowhere."""


class RunGone(Exception):
    """The AppRun was deleted, or another one took its name."""


def watch_run(
    api: Api,
    app_run: JSONObject,
    seen: Callable[[JSONObject], None],
    stopped: Callable[[], bool],
    pause: Callable[[float], None],
) -> None:
    """Call `seen` with each newer state of the run until `stopped()`, beginning after the state `app_run`.

    Raises RunGone, whatever `seen` raises, and Forbidden or Unauthorized when nothing else is answered for long.
    `pause` waits for seconds between two tries.
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
                seen(_same(cast("JSONObject", event["object"]), uid))
        except (ApiError, Unreachable) as error:
            _log.info("the watch of AppRun %s ended, looking anew: %s", name, error)
        delay = backoff.delay()
        pause(delay)
        try:
            app_run = _same(api.get(names.APP_RUNS, name), uid)
            version = _identity(app_run)[2]
            seen(app_run)
        except NotFound as error:
            raise RunGone(f"AppRun {name} was deleted") from error
        except (ApiError, Unreachable) as error:
            _log.warning("AppRun %s can't be read, the driver waits: %s", name, error)
            if denials.last(error, delay):
                raise
        else:
            denials = Denials()


def _same(app_run: JSONObject, uid: str) -> JSONObject:
    name, found, _ = _identity(app_run)
    # guard: follow-own-run - a run that was created again under the same name has another ledger
    if found != uid:
        raise RunGone(f"AppRun {name} was deleted and made anew")
    return app_run


def _identity(app_run: JSONObject) -> tuple[str, str, str]:
    metadata = cast("Mapping[str, str]", app_run["metadata"])
    return metadata["name"], metadata["uid"], metadata["resourceVersion"]
