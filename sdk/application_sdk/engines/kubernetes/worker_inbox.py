"""Follows the inbox of a warm pod: the AppWorker of the pod's own name, which is all that the pod
may read.

`worker_main` runs it in a thread of its own. It never gives up while the API server is unavailable.
It ends when the object is deleted, or when the pod may no longer read it.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Final, cast

from application_sdk.engines.kubernetes.backoff import Backoff
from application_sdk.engines.kubernetes.errors import ApiError, NotFound, Unreachable
from application_sdk.engines.kubernetes.retry_request import Denials
from application_sdk.wire import names
from application_sdk.wire.fields import PodReference, WorkerStatus

if TYPE_CHECKING:
    from application_sdk.engines.kubernetes.api import Api
    from application_sdk.wire.digest import JSONObject

_log = logging.getLogger("apprun.worker")

WATCH_SECONDS: Final = 240
SILENCE_SECONDS: Final = 90.0
"""Bookmarks come about every minute, so the connection of a watch that is silent for longer is
broken."""
GONE_SECONDS: Final = 30.0
"""How long the inbox may be missing. The operator creates one again that somebody has deleted."""


class InboxGone(Exception):
    """The AppWorker was deleted and isn't created again, since its pool is gone."""


def follow_inbox(
    api: Api,
    pod: PodReference,
    take: Callable[[WorkerStatus], None],
    pause: Callable[[float], None],
    gone_after: float = GONE_SECONDS,
) -> None:
    """Call `take` with each newer state of the pod's inbox, forever.

    A state that is for another pod of the same name counts as empty.

    Args:
        api: The API server.
        pod: The pod's own name and uid.
        take: Receives the inbox as it is now.
        pause: Waits for a number of seconds, between two tries.
        gone_after: Seconds for which the object may be missing.

    Raises:
        InboxGone: The object was missing for that long.
        Forbidden, Unauthorized: The API server has answered nothing else for long.
    """
    backoff, denials, missing = Backoff(), Denials(), 0.0
    while True:
        delay = backoff.delay()
        try:
            worker = api.get(names.APP_WORKERS, pod["name"])
            missing, denials = 0.0, Denials()
            take(_inbox_of(worker, pod))
            for event in api.watch(names.APP_WORKERS, pod["name"], _version(worker), WATCH_SECONDS, SILENCE_SECONDS):
                backoff.reset()
                if event["type"] == "DELETED":
                    # The calls continue: the operator creates the inbox again, with the same calls.
                    break
                if event["type"] != "BOOKMARK":
                    take(_inbox_of(cast("JSONObject", event["object"]), pod))
        except NotFound as error:
            missing += delay
            if missing > gone_after:
                raise InboxGone(f"AppWorker {pod['name']} is gone, so is the pool") from error
        except (ApiError, Unreachable) as error:
            if denials.exhausted_by(error, delay):
                raise
            _log.info("the watch of AppWorker %s ended, next try in %.1f s: %s", pod["name"], delay, error)
        pause(delay)


def _inbox_of(worker: JSONObject, pod: PodReference) -> WorkerStatus:
    status = cast("WorkerStatus", worker.get("status") or {})
    # guard: worker-own-inbox - the calls of another pod of the same name would be executed twice
    return status if status.get("pod") == pod else WorkerStatus()


def _version(worker: JSONObject) -> str:
    return cast("Mapping[str, str]", worker["metadata"])["resourceVersion"]
