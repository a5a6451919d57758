"""What the server bounds: the size of a request, and how long a handler may take."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

CALL_SECONDS: Final = 300.0
WAIT_SECONDS: Final = 30.0
BODY_BYTES: Final = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Limits:
    """Bounds of one server."""

    body_bytes: int = BODY_BYTES
    """Of a request."""
    call_seconds: float = CALL_SECONDS
    """Of a call of the handler. A request's own `timeout_seconds` may ask for less."""
    wait_seconds: float = WAIT_SECONDS
    """How long `result?wait=true` waits for the end of a run before it says that it still runs."""


class BodyTooLargeError(Exception):
    """The body has more bytes than the limit. Raised where it is read."""


class BodyLimit:
    """Stops reading a request's body at the limit, whatever its Content-Length says."""

    def __init__(self, app: ASGIApp, limit: int) -> None:
        self._app = app
        self._limit = limit

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        read = 0

        async def counted() -> Message:
            nonlocal read
            message = await receive()
            if message["type"] == "http.request":
                read += len(message.get("body", b""))
                if read > self._limit:
                    raise BodyTooLargeError
            return message

        await self._app(scope, counted, send)
