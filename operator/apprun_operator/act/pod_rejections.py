"""What the API server means when it won't create a pod: read off its words, since the codes say too little."""

from __future__ import annotations

from typing import Final

from application_sdk.wire import names
from apprun_operator.kube.errors import ApiError, InvalidError, NotFoundError, is_policy_denial
from apprun_operator.observe.pods import RefusalKind

OWN_ACCOUNTS_MISSING: Final = tuple(
    f'serviceaccount "{name}" not found' for name in (names.DRIVER_SERVICE_ACCOUNT, names.TASK_SERVICE_ACCOUNT)
)


def is_webhook_failure(error: ApiError) -> bool:
    """Whether the API server is well, but can't reach a webhook that has to agree."""
    return "failed calling webhook" in error.message


def classify_refusal(error: ApiError) -> tuple[RefusalKind, str]:
    """The kind of refusal, and the API server's words."""
    message = error.message
    words = message.lower()
    if is_webhook_failure(error):
        return "Webhook", message
    if is_policy_denial(message):
        # Whatever its author chose to say: no word of that is Kubernetes' own.
        return "Forbidden", message
    if isinstance(error, NotFoundError) or "being terminated" in words:
        return "Terminating", message
    if "serviceaccount" in words and "not found" in words:
        return "NoAccount", message
    if isinstance(error, InvalidError):
        return "Invalid", message
    if "exceeded quota" in words or "failed quota" in words:
        return "Quota", message
    if 'cannot create resource "pods"' in words:
        return "NotAllowed", f"the operator itself may not create pods here; its ClusterRole is wrong: {message}"
    return "Forbidden", message
