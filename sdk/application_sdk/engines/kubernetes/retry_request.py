"""Repeats a read until the API server answers. Used where a driver can do nothing useful without the answer."""

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
"""What a later try may not meet. Forbidden is among them since role bindings and quotas change."""


FORBIDDEN_SECONDS: Final = 60.0
"""How long 403 counts as something that passes: longer than the operator takes to put back pruned bindings."""
UNAUTHORIZED_SECONDS: Final = 30.0
"""The same of 401: a token whose service account was deleted, and made again, is never accepted again."""


class Denials:
    """How long the API server has answered with nothing but 401 and 403. It is well then, and means this pod."""

    def __init__(self) -> None:
        self._seconds = 0.0

    def last(self, error: ApiError | Unreachable, delay: float) -> bool:
        """Whether `error`, after which one would wait for `delay`, is one too many."""
        if not isinstance(error, Forbidden | Unauthorized):
            self._seconds = 0.0
            return False
        self._seconds += delay
        return self._seconds > (FORBIDDEN_SECONDS if isinstance(error, Forbidden) else UNAUTHORIZED_SECONDS)


def retry_request(request: Callable[[], T], what: str, pause: Callable[[float], None]) -> T:
    """What `request` returns, however long the API server is away. Raises what won't pass: NotFound, Refused, Gone, …

    Forbidden and Unauthorized too when nothing else is answered for long: a driver that ends with that says so, where
    one that waits on is silent. `pause` waits for seconds between two tries; `what` is for the log.
    """
    backoff = Backoff()
    denials = Denials()
    while True:
        try:
            return request()
        except TRANSIENT_ERRORS as error:
            delay = backoff.delay(at_least=error.retry_after if isinstance(error, Busy) else 0.0)
            # guard: denied-driver-ends - a driver that keeps retrying after 403 would wait without end and without a
            # message
            if denials.last(error, delay):
                raise
            _log.warning("%s: next try in %.1f s: %s", what, delay, error)
            pause(delay)
