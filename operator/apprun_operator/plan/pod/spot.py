"""`spot`: nodes that the cloud may take back, for as long as a task can afford that."""

from __future__ import annotations

from typing import Final

from application_sdk.wire.digest import JSON, JSONObject
from apprun_operator.observe.records import TaskRecord
from apprun_operator.plan.limits import Limits

DISRUPTIONS: Final = 2
"""After so many disruptions a call's further attempts may run anywhere."""
DEFAULT_ATTEMPTS: Final = 3
"""Attempts of a call that says no number."""


def placed(fields: JSONObject, limits: Limits, task: TaskRecord | None = None) -> JSONObject:
    """The fields of a pod, on spot nodes if they ask for that; `task` is None for a warm pod."""
    if fields.get("spot") is not True or (task is not None and _needs_rest(task)):
        return fields
    own, tolerations = fields.get("nodeSelector"), fields.get("tolerations")
    selector: JSONObject = {**limits.spot.node_selector, **(own if isinstance(own, dict) else {})}
    tolerated: list[JSON] = [*(tolerations if isinstance(tolerations, list) else []), *limits.spot.tolerations]
    return {**fields, "nodeSelector": selector, "tolerations": tolerated}


def _needs_rest(task: TaskRecord) -> bool:
    """Whether the next disruption would cost more than the node saves."""
    charged = [entry["budget"] for entry in task.attempts]
    # guard: spot-given-up - a long task that is evicted again and again would never end
    if charged.count("Disruption") >= DISRUPTIONS:
        return True
    attempts = DEFAULT_ATTEMPTS
    if task.policy is not None and "retry" in task.policy:
        attempts = task.policy["retry"].get("maxAttempts", DEFAULT_ATTEMPTS)
    return charged.count("App") > 0 and charged.count("App") >= attempts - 1
