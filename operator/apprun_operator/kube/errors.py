"""What can go wrong with an API call, by meaning. Raised by the client; everybody else decides by these types alone."""

from __future__ import annotations

import json
from typing import Final

MAX_TEXT: Final = 2000
STARTING: Final = "not yet ready to handle request"
"""An API server that was started a moment ago refuses writes as forbidden until its admission plugins know enough."""

DENIED: Final = "denied the request"
POLICY_DENIED: Final = "denied request"
"""So the API server says that a webhook did, whose code comes with it: any that is no success."""


class ApiError(Exception):
    """The API server refused. `status` is the HTTP status, `reason` the Status object's, `message` its words."""

    def __init__(self, message: str, *, status: int = 0, reason: str = "", retry_after: float | None = None) -> None:
        super().__init__(message[:MAX_TEXT])
        self.message = message[:MAX_TEXT]
        self.status = status
        self.reason = reason
        self.retry_after = retry_after


class NotFoundError(ApiError):
    """404, in the API server's own words: there is no such object or namespace."""


class AlreadyExistsError(ApiError):
    """409 on a create: an object of that name is there."""


class ConflictError(ApiError):
    """409: the object has changed, or isn't the one with that uid. Plan anew."""


class GoneError(ApiError):
    """410: the version to go on from is too old. List anew."""


class InvalidError(ApiError):
    """400, 413, 422: the request itself is wrong, and stays so."""


class ForbiddenError(ApiError):
    """403: RBAC, quota, Pod Security or an admission policy says no. The message says which.

    A webhook that denies a request may choose the code: 418 or 409, it's the same no.
    """


class TransientError(ApiError):
    """Worth trying again later, unchanged. Whether a write was done is unknown."""


class UnauthorizedError(TransientError):
    """401: the token isn't accepted (any more). Tokens rotate, so it is read anew and tried again."""


class ThrottledError(TransientError):
    """429: too many requests; `retry_after` is the server's wish, in seconds."""


class TooLargeError(TransientError):
    """The answer is longer than anything that is read at once. Ask for less."""


class UnavailableError(TransientError):
    """5xx, no connection, or no answer in time."""


class TruncatedError(UnavailableError):
    """The answer began and came to no end: it may be too long for what lies between."""


class DecodeError(UnavailableError):
    """The answer is no JSON: one that was cut off, or somebody else's."""


def from_response(status: int, body: bytes, retry_after: str | None = None) -> ApiError:
    """The error that an HTTP answer means."""
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
    kind = ForbiddenError if _is_denial(status, message) else _kind(status, reason)
    return kind(f"{message} (HTTP {status})", status=status, reason=reason, retry_after=wait)


def _is_denial(status: int, message: str) -> bool:
    """Whether somebody's policy said no. Webhooks choose the code of that. A ValidatingAdmissionPolicy has 422 unless
    it says otherwise, which is also the code of an object that makes no sense."""
    webhook = message.startswith("admission webhook") and DENIED in message
    # guard: policy-denial - a denial can pass when a policy changes, a malformed object never becomes valid
    return 400 <= status < 500 and status != 429 and (webhook or is_policy_denial(message))


def is_policy_denial(message: str) -> bool:
    """Whether a refusal is the word of a policy of the cluster's own, of whichever kind."""
    return "ValidatingAdmissionPolicy '" in message and POLICY_DENIED in message


def _kind(status: int, reason: str) -> type[ApiError]:
    if status == 409:
        return AlreadyExistsError if reason == "AlreadyExists" else ConflictError
    if status == 404 and reason != "NotFound":
        return UnavailableError  # Somebody on the way, who knows nothing of objects: none may be taken for gone.
    known: dict[int, type[ApiError]] = {
        400: InvalidError,
        401: UnauthorizedError,
        403: ForbiddenError,
        404: NotFoundError,
        410: GoneError,
        413: InvalidError,
        422: InvalidError,
        429: ThrottledError,
    }
    return known.get(status, UnavailableError if status >= 500 else ApiError)
