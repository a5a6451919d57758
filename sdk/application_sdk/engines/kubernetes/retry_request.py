"""Repeats a request until the API server answers. For drivers, which can do nothing useful without
the answer."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Final, TypeVar

from application_sdk.engines.kubernetes.backoff import Backoff
from application_sdk.engines.kubernetes.errors import ApiError, Busy, Conflict, Forbidden, Unauthorized, Unreachable

T = TypeVar("T")
_log = logging.getLogger("apprun.driver")

TRANSIENT_ERRORS: Final[tuple[type[ApiError] | type[Unreachable], ...]] = (
    Busy,
    Conflict,
    Forbidden,
    Unauthorized,
    Unreachable,
)
"""Errors that may be gone by a later try. Forbidden is among them since role bindings and quotas
change."""


FORBIDDEN_SECONDS: Final = 60.0
"""How long a 403 counts as transient: longer than the operator takes to recreate role bindings that
were pruned."""
UNAUTHORIZED_SECONDS: Final = 30.0
"""How long a 401 does. A token whose service account was deleted is never accepted again."""


class Denials:
    """How long the API server has answered with nothing but 401 and 403: it works then, and refuses
    this pod."""

    def __init__(self) -> None:
        self._seconds = 0.0

    def exhausted_by(self, error: ApiError | Unreachable, delay: float) -> bool:
        """Count `error`, after which the caller waits `delay` seconds. Returns whether it has to
        give up instead."""
        if not isinstance(error, Forbidden | Unauthorized):
            self._seconds = 0.0
            return False
        self._seconds += delay
        return self._seconds > (FORBIDDEN_SECONDS if isinstance(error, Forbidden) else UNAUTHORIZED_SECONDS)


def retry_request(request: Callable[[], T], what: str, pause: Callable[[float], None]) -> T:
    """Return what `request` returns, however long the API server is away.

    Args:
        request: Makes the request. It may be made several times.
        what: Names the request in the log.
        pause: Waits for that many seconds between two tries.

    Raises:
        ApiError: An error that no later try would change (NotFound, Refused, Gone, …), or Forbidden
            or Unauthorized when the API server has answered nothing else for long. A driver that
            ends with it says so on its run; one that went on waiting would be silent.
    """
    backoff = Backoff()
    denials = Denials()
    while True:
        try:
            return request()
        except TRANSIENT_ERRORS as error:
            delay = backoff.delay(at_least=error.retry_after if isinstance(error, Busy) else 0.0)
            # guard: denied-driver-ends - a driver that keeps retrying after 403 would wait without
            # end and without a message
            if denials.exhausted_by(error, delay):
                raise
            _log.warning("%s: next try in %.1f s: %s", what, delay, error)
            pause(delay)
