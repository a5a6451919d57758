"""Classifies why the API server rejects a pod.

Status codes say too little, so the message is read as well.
"""

from __future__ import annotations

from typing import Final

from application_sdk.wire import names
from apprun_operator.kube.errors import ApiError, InvalidError, NotFoundError, is_policy_denial
from apprun_operator.observe.pods import RejectionKind

OWN_ACCOUNTS_MISSING: Final = tuple(
    f'serviceaccount "{name}" not found' for name in (names.DRIVER_SERVICE_ACCOUNT, names.TASK_SERVICE_ACCOUNT)
)


def is_webhook_failure(error: ApiError) -> bool:
    """Whether the API server itself is healthy but can't reach an admission webhook."""
    return "failed calling webhook" in error.message


def classify_rejection(error: ApiError) -> tuple[RejectionKind, str]:
    """The kind of the rejection, and the message to show."""
    message = error.message
    lowered = message.lower()
    if is_webhook_failure(error):
        return "Webhook", message
    if is_policy_denial(message):
        # The policy's author wrote the message: none of the texts below can be looked for in it.
        return "Forbidden", message
    if isinstance(error, NotFoundError) or "being terminated" in lowered:
        return "Terminating", message
    if "serviceaccount" in lowered and "not found" in lowered:
        return "NoAccount", message
    if isinstance(error, InvalidError):
        return "Invalid", message
    if "exceeded quota" in lowered or "failed quota" in lowered:
        return "Quota", message
    if 'cannot create resource "pods"' in lowered:
        return (
            "NotAllowed",
            f"the operator may not create pods here: compare its ClusterRole with the chart's. {message}",
        )
    return "Forbidden", message
