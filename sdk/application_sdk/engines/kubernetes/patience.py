"""Repeats a read until the API server answers. Used where a driver can do nothing useful without the answer."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Final, TypeVar

from application_sdk.engines.kubernetes.backoff import Backoff
from application_sdk.engines.kubernetes.errors import ApiError, Busy, Conflict, Forbidden, Unauthorized, Unreachable

T = TypeVar("T")
_log = logging.getLogger("apprun.driver")

PASSING: Final[tuple[type[ApiError] | type[Unreachable], ...]] = (Busy, Conflict, Forbidden, Unauthorized, Unreachable)
"""What a later try may not meet. Forbidden is among them since role bindings and quotas change."""


def patiently(request: Callable[[], T], what: str, pause: Callable[[float], None]) -> T:
    """What `request` returns, however long the API server is away. Raises what won't pass: NotFound, Refused, Gone, …

    `pause` waits for seconds between two tries; `what` is for the log.
    """
    backoff = Backoff()
    while True:
        try:
            return request()
        except PASSING as error:
            delay = backoff.delay(at_least=error.retry_after if isinstance(error, Busy) else 0.0)
            _log.warning("%s: next try in %.1f s: %s", what, delay, error)
            pause(delay)
