"""Writes Events for people, and reads those in which kubelet explains why a pod doesn't start.

Neither is ever needed for a decision, so an error here is logged and holds up no run.
"""

from __future__ import annotations

import logging
from typing import cast

from application_sdk.wire.digest import JSONObject
from apprun_operator.kube.client import KubeApi
from apprun_operator.kube.errors import AlreadyExistsError, ApiError
from apprun_operator.kube.resources import EVENTS
from apprun_operator.plan.actions import Announce, FetchPodEvent

logger = logging.getLogger(__name__)


async def announce(api: KubeApi, action: Announce, instance: str) -> None:
    """Create an Event in the name of `instance`.

    A repeated Event becomes a series of the first one, as long as the API server keeps that.
    """
    namespace, name = action.event
    try:
        try:
            await api.create(EVENTS.path(namespace), {**action.body, "reportingInstance": instance})
        except AlreadyExistsError:
            event = await api.get(EVENTS.path(namespace, name))
            count = cast("JSONObject", event.get("series") or {}).get("count", 1)
            series: JSONObject = {
                "count": cast("int", count) + 1,
                "lastObservedTime": action.body["eventTime"],
            }
            await api.patch(EVENTS.path(namespace, name), {"series": series})
    except ApiError as error:
        # The run's conditions say the same, so nothing depends on this write.
        logger.warning("Event %s wasn't written: %s", action.event.path, error)


async def mount_failure(api: KubeApi, action: FetchPodEvent) -> str:
    """What kubelet says of volumes that a pod waits for; empty if it says nothing."""
    query = {"fieldSelector": f"regarding.uid={action.uid},reason=FailedMount"}
    try:
        events = await api.get(EVENTS.path(action.run.namespace), query)
    except ApiError as error:
        logger.warning("Events of pod %s can't be read: %s", action.pod, error)
        events = {}
    notes = [str(item.get("note", "")) for item in cast("list[JSONObject]", events.get("items") or [])]
    # Beside the Events that name the cause, kubelet writes summaries, which don't.
    causes = [note for note in notes if "timed out waiting" not in note and "Unable to attach or mount" not in note]
    return min(causes or notes, default="")
