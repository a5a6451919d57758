"""Connections whose requests don't come: uvicorn waits for headers, and for the rest of a body, as
long as they take.

A request has to be complete within a time, whatever part of it has come, and of those that aren't
only so many are waited for. So requests that are sent by halves cost their senders more than this
server.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from dataclasses import dataclass, field
from typing import Any, Final

import h11
from typing_extensions import override
from uvicorn.protocols.http.h11_impl import H11Protocol

HEADER_SECONDS: Final = 5.0
REQUEST_SECONDS: Final = 20.0
MAX_INCOMPLETE: Final = 256
_TIMEOUT: Final = b"HTTP/1.1 408 Request Timeout\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"


@dataclass(frozen=True, slots=True)
class Patience:
    """How long incomplete requests are waited for, and for how many. One of a server."""

    header_seconds: float = HEADER_SECONDS
    """From the connection, or the first byte of a further request, to the end of its headers."""
    request_seconds: float = REQUEST_SECONDS
    """From there to the end of its body, which is longer than `Limits.body_seconds`: that one gives
    an answer."""
    max_incomplete: int = MAX_INCOMPLETE
    """When there are more, the one that is waited for longest is dropped."""
    incomplete: OrderedDict[BoundedProtocol, None] = field(default_factory=OrderedDict)

    def protocol(self) -> type[asyncio.Protocol]:
        """The class of a server's connections."""
        patience = self

        class Protocol(BoundedProtocol):
            def __init__(self, *args: Any, **options: Any) -> None:
                super().__init__(*args, **options)
                self.patience = patience

        return Protocol


class BoundedProtocol(H11Protocol):
    """A connection that ends when a request on it isn't complete in time."""

    patience: Patience
    _deadline: asyncio.TimerHandle | None = None
    _awaited: object = None
    """The state of the sender for which the deadline counts."""

    @override
    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._watch()

    @override
    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        self._watch()

    @override
    def connection_lost(self, exc: Exception | None) -> None:
        self._unwatch()
        super().connection_lost(exc)

    @override
    def on_response_complete(self) -> None:
        super().on_response_complete()
        # A further request may have come by now, or the body of this one may still be on its way.
        if self.conn.their_state is h11.SEND_BODY or self.conn.trailing_data[0]:
            self._watch()

    def _watch(self) -> None:
        """Set the deadline that the sender's state calls for. More bytes in the same state don't
        move it."""
        state = self.conn.their_state
        if state not in (h11.IDLE, h11.SEND_BODY) or self.transport.is_closing():
            self._unwatch()
            return
        if self._awaited is state:
            return
        self._unwatch()
        patience = self.patience
        seconds = patience.header_seconds if state is h11.IDLE else patience.request_seconds
        self._awaited = state
        # guard: request-timeout - clients that send slowly would hold all connections
        self._deadline = self.loop.call_later(seconds, self._give_up)
        patience.incomplete[self] = None
        if len(patience.incomplete) > patience.max_incomplete:
            next(iter(patience.incomplete))._drop()  # noqa: SLF001 - of the same class

    def _unwatch(self) -> None:
        self._awaited = None
        self.patience.incomplete.pop(self, None)
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    def _give_up(self) -> None:
        if self.conn.our_state is h11.IDLE:
            self.transport.write(_TIMEOUT)
            self._unwatch()
            self.transport.close()
        else:
            self._drop()

    def _drop(self) -> None:
        self._unwatch()
        self.transport.abort()
