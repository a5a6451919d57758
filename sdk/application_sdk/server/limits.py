"""What the server bounds: the size of a request, how long it may take to come, and how long a
handler may take."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from application_sdk.server.errors import Problem, fault_of

if TYPE_CHECKING:
    from collections.abc import Iterable

    from starlette.types import ASGIApp, Message, Receive, Scope, Send

    from application_sdk.handler.contracts import HandlerCredential

CALL_SECONDS: Final = 300.0
WAIT_SECONDS: Final = 30.0
BODY_BYTES: Final = 1024 * 1024
BODY_SECONDS: Final = 15.0
VALUE_CHARACTERS: Final = 32 * 1024
CREDENTIAL_CHARACTERS: Final = 128 * 1024


@dataclass(frozen=True, slots=True)
class Limits:
    """Bounds of one server."""

    body_bytes: int = BODY_BYTES
    """Of a request."""
    body_seconds: float = BODY_SECONDS
    """How long a request's body may take to come, once its headers are there."""
    call_seconds: float = CALL_SECONDS
    """Of a call of the handler. A request's own `timeout_seconds` may ask for less."""
    wait_seconds: float = WAIT_SECONDS
    """How long `result?wait=true` waits for the end of a run before it says that it still runs."""
    value_characters: int = VALUE_CHARACTERS
    """Of a part of a credential."""
    credential_characters: int = CREDENTIAL_CHARACTERS
    """Of all parts of a request's credentials. Each is masked, in many forms, in what is told of a
    failure."""


def check_credentials(parts: Iterable[HandlerCredential], limits: Limits) -> None:
    """Raises Problem for credentials that are larger than any credential is."""
    total = 0
    for number, part in enumerate(parts):
        total += len(part.key) + len(part.value)
        if len(part.value) > limits.value_characters or total > limits.credential_characters:
            fault = fault_of(
                f"credentials.{number}",
                f"a value may have {limits.value_characters} characters, all of them {limits.credential_characters}",
            )
            raise Problem("InvalidRequest", "the credentials are too large: see `faults`", faults=[fault])


class BodyTooLargeError(Exception):
    """The body has more bytes than the limit. Raised where it is read."""


class BodyTimeoutError(Exception):
    """The body hasn't come in time. Raised where it is read."""


class BodyLimit:
    """Stops reading a request's body at the limit, whatever its Content-Length says, and when it
    doesn't come."""

    def __init__(self, app: ASGIApp, limit: int, seconds: float = BODY_SECONDS) -> None:
        self._app = app
        self._limit = limit
        self._seconds = seconds

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        loop = asyncio.get_running_loop()
        read, complete, until = 0, False, loop.time() + self._seconds

        async def counted() -> Message:
            nonlocal read, complete
            if complete:
                # Only that the caller has gone is still to come, which may take as long as the
                # answer does.
                return await receive()
            try:
                async with asyncio.timeout_at(until):
                    message = await receive()
            except TimeoutError as error:
                raise BodyTimeoutError from error
            if message["type"] == "http.request":
                read += len(message.get("body", b""))
                complete = not message.get("more_body", False)
                if read > self._limit:
                    raise BodyTooLargeError
            return message

        await self._app(scope, counted, send)
