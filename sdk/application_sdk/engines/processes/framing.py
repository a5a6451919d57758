"""JSON messages over a stream socket between the engine and the process of an attempt."""

from __future__ import annotations

import json
import socket
import struct
from collections import deque
from typing import Final, cast

from application_sdk.wire.digest import JSONObject

_HEADER: Final = struct.Struct("!I")
_CHUNK: Final = 65536


def send(channel: socket.socket, message: JSONObject) -> None:
    """Send one message, waiting for room. Raises OSError when the other end is gone."""
    content = json.dumps(message).encode()
    channel.sendall(_HEADER.pack(len(content)) + content)


class Inbox:
    """Puts messages together from what has come so far. The socket may block or not."""

    def __init__(self) -> None:
        self._buffer = bytearray()
        self._complete: deque[JSONObject] = deque()
        self.closed = False
        """Whether the other end is gone. Complete messages that came before are still given out."""

    def take(self) -> JSONObject | None:
        """The next complete message that has been read and wasn't taken yet."""
        return self._complete.popleft() if self._complete else None

    def read(self, channel: socket.socket) -> None:
        """Receive once."""
        try:
            content = channel.recv(_CHUNK)
        except (BlockingIOError, InterruptedError):
            return
        except ConnectionError:
            content = b""
        if not content:
            self.closed = True
        self._buffer += content
        while len(self._buffer) >= _HEADER.size:
            (length,) = _HEADER.unpack_from(self._buffer)
            end = _HEADER.size + length
            if len(self._buffer) < end:
                break
            self._complete.append(cast("JSONObject", json.loads(self._buffer[_HEADER.size : end])))
            del self._buffer[:end]


def receive(channel: socket.socket, inbox: Inbox) -> JSONObject | None:
    """Wait for one message; None when the other end is gone."""
    while (message := inbox.take()) is None and not inbox.closed:
        inbox.read(channel)
    return message
