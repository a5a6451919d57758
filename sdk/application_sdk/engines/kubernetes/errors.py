"""What can go wrong between a pod and the API server, by meaning. Raised by `api` and `connection`
only."""

from __future__ import annotations

from typing import Final

from application_sdk.wire.pod import REFUSED_CALLS, REFUSED_FINISHED, REFUSED_NOT_CURRENT

_MESSAGE_LIMIT: Final = 2_000


class ApiError(Exception):
    """The API server refused a request. `status` is the HTTP code; `reason` and `message` are its
    own words."""

    def __init__(self, request: str, status: int, reason: str, message: str) -> None:
        shown = message if len(message) <= _MESSAGE_LIMIT else message[:_MESSAGE_LIMIT] + " …"
        super().__init__(f"{request}: {status} {reason}: {shown}")
        self.request = request
        self.status = status
        self.reason = reason
        self.message = message


class Unreachable(Exception):
    """No answer came: refused, reset, timed out, or broken off half-way. The request may have been
    carried out."""


class Busy(ApiError):
    """The API server can't answer now (429, 5xx, or a 404 of a proxy). `retry_after` is its
    Retry-After in seconds, 0 without one."""

    def __init__(self, request: str, status: int, reason: str, message: str, retry_after: float = 0.0) -> None:
        super().__init__(request, status, reason, message)
        self.retry_after = retry_after


class Unauthorized(ApiError):
    """The token isn't accepted (401): it expired, or the pod that it is bound to is gone."""


class Forbidden(ApiError):
    """RBAC doesn't allow it (403). Bindings that were just made take a moment, so this may pass."""


class Refused(ApiError):
    """A policy or a rule of the schema protects the object. It won't say yes to the same request
    later."""


class NotFound(ApiError):
    """The API server says that the object isn't there (404)."""


class AlreadyExists(ApiError):
    """A create met an object of that name (409)."""


class Conflict(ApiError):
    """Somebody else wrote at the same time (409)."""


class Gone(ApiError):
    """The resourceVersion or continue token is too old (410): list or read again."""


class Invalid(ApiError):
    """The object itself is wrong (400, 413, 422), or asks for what a policy allows to nobody here.
    Sending it again won't help."""


_BY_STATUS: Final[dict[int, type[ApiError]]] = {
    400: Invalid,
    401: Unauthorized,
    403: Forbidden,
    404: NotFound,
    409: Conflict,
    410: Gone,
    413: Invalid,
    422: Invalid,
}
_POLICY_WORDS: Final = ("ValidatingAdmissionPolicy", REFUSED_NOT_CURRENT, REFUSED_FINISHED)
_BUSY: Final = frozenset({408, 425, 429})


def error_for(request: str, status: int, reason: str, message: str, retry_after: float = 0.0) -> ApiError:
    """The error that stands for an answer other than 2xx."""
    # A 404 without the API server's reason is of somebody on the way: it says nothing about any
    # object.
    if status in _BUSY or status >= 500 or (status == 404 and reason != "NotFound"):
        return Busy(request, status, reason, message, retry_after)
    # guard: refused-call-fails-the-run - a driver that takes itself for fenced is replaced by
    # another one, which meets the same refusal
    if any(words in message for words in REFUSED_CALLS):
        return Invalid(request, status, reason, message)
    if any(words in message for words in _POLICY_WORDS):
        # Policies and schema rules pick the code of their refusals; what they mean is in the text
        # alone.
        return Refused(request, status, reason, message)
    if reason == "AlreadyExists":
        return AlreadyExists(request, status, reason, message)
    return _BY_STATUS.get(status, ApiError)(request, status, reason, message)
