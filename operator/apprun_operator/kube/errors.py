"""Errors of API calls, by meaning.

The client raises them, and all other code decides by these types alone.
"""

from __future__ import annotations

import json
from typing import Final

MAX_TEXT: Final = 2000
STARTING: Final = "not yet ready to handle request"
"""An API server that has just started rejects writes as forbidden until its admission plugins are
ready."""

DENIED: Final = "denied the request"
POLICY_DENIED: Final = "denied request"
"""Text of a denial by a webhook, which chooses the status code, and by a ValidatingAdmissionPolicy.
"""


class ApiError(Exception):
    """The API server rejected a request:

    HTTP `status`, and `reason` and `message` of the Status object.
    """

    def __init__(self, message: str, *, status: int = 0, reason: str = "", retry_after: float | None = None) -> None:
        super().__init__(message[:MAX_TEXT])
        self.message = message[:MAX_TEXT]
        self.status = status
        self.reason = reason
        self.retry_after = retry_after


class NotFoundError(ApiError):
    """404 of the API server itself: there is no such object or namespace."""


class AlreadyExistsError(ApiError):
    """409 on a create: an object of that name exists."""


class ConflictError(ApiError):
    """409: the object has changed, or has another uid. Plan again."""


class GoneError(ApiError):
    """410: the version to continue from is too old. List again."""


class InvalidError(ApiError):
    """400, 413, 422: the request itself is wrong, and repeating it won't help."""


class ForbiddenError(ApiError):
    """403: RBAC, quota, Pod Security or an admission policy says no. The message says which.

    A webhook that denies a request may choose another code, such as 418 or 409.
    """


class TransientError(ApiError):
    """Worth retrying later, unchanged. Whether a write was carried out is unknown."""


class UnauthorizedError(TransientError):
    """401: the token isn't accepted. Tokens rotate, so it is read again and the request retried."""


class ThrottledError(TransientError):
    """429: too many requests. `retry_after` is the delay that the server asks for, in seconds."""


class TooLargeError(TransientError):
    """The response is longer than the client reads. Request less."""


class UnavailableError(TransientError):
    """5xx, no connection, or no response in time."""


class TruncatedError(UnavailableError):
    """The response was cut off: it may be too long for a proxy in between."""


class DecodeError(UnavailableError):
    """The response isn't JSON: it was cut off, or isn't the API server's."""


def from_response(status: int, body: bytes, retry_after: str | None = None) -> ApiError:
    """The error that an HTTP response means."""
    reason, message = "", body[:MAX_TEXT].decode("utf-8", "replace")
    try:
        parsed = json.loads(body)
        if isinstance(parsed, dict):
            reason, message = str(parsed.get("reason", "")), str(parsed.get("message", message))
    except (ValueError, RecursionError):
        pass
    if status == 403 and STARTING in message:
        return UnavailableError(f"{message} (HTTP {status})", status=status, reason=reason)
    wait = float(retry_after) if retry_after and retry_after.isdigit() else None
    error_type = ForbiddenError if _is_denial(status, message) else _error_type(status, reason)
    return error_type(f"{message} (HTTP {status})", status=status, reason=reason, retry_after=wait)


def _is_denial(status: int, message: str) -> bool:
    """Whether an admission policy denied the request.

    Webhooks choose the status code. A ValidatingAdmissionPolicy has 422 unless it says otherwise,
    which is also the code of an invalid object. So the message decides.
    """
    webhook = message.startswith("admission webhook") and DENIED in message
    # guard: policy-denial - a denial can pass when a policy changes, a malformed object never
    # becomes valid
    return 400 <= status < 500 and status != 429 and (webhook or is_policy_denial(message))


def is_policy_denial(message: str) -> bool:
    """Whether a ValidatingAdmissionPolicy wrote the message."""
    return "ValidatingAdmissionPolicy '" in message and POLICY_DENIED in message


def _error_type(status: int, reason: str) -> type[ApiError]:
    if status == 409:
        return AlreadyExistsError if reason == "AlreadyExists" else ConflictError
    if status == 404 and reason != "NotFound":
        return UnavailableError  # A proxy's 404 says nothing about the object: it must not be taken for deleted.
    by_status: dict[int, type[ApiError]] = {
        400: InvalidError,
        401: UnauthorizedError,
        403: ForbiddenError,
        404: NotFoundError,
        410: GoneError,
        413: InvalidError,
        422: InvalidError,
        429: ThrottledError,
    }
    return by_status.get(status, UnavailableError if status >= 500 else ApiError)
