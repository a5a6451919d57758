"""A proxy that spoils what passes through it: refusals, cut connections, a narrow line. For one upstream address.

It works on bytes and needs to know of HTTP only where a request ends.
"""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

_PIECE = 64 * 1024


class FaultyProxy:
    """Faults are set and taken back at any time; they hold for connections that begin afterwards."""

    def __init__(self, upstream: tuple[str, int], host: str = "127.0.0.1") -> None:
        self._upstream = upstream
        self._listener = socket.create_server((host, 0))
        self.host = host
        self.port: int = self._listener.getsockname()[1]
        self._open: set[socket.socket] = set()
        self._lock = threading.Lock()
        self.refusals = 0
        """How many requests, each on a connection of its own, are answered with `refusal`."""
        self.refusal = b"503 Service Unavailable"
        self.cuts = 0
        """How many connections are cut, each after `cut_after` bytes of the client's."""
        self.cut_after = 1024 * 1024
        self.bytes_per_second = 0
        """Of each direction of a connection; 0 for no limit."""
        self.refused = self.cut = 0
        """How often it came to that."""
        self.passed = 0
        """Bytes that went upstream."""
        threading.Thread(target=self._accept, daemon=True).start()

    @property
    def endpoint(self) -> str:
        return f"http://{self.host}:{self.port}"

    def set(self, **faults: int | bytes) -> None:
        """Set faults, and end the connections that began without them."""
        for name, value in faults.items():
            setattr(self, name, value)
        self._drop()

    def close(self) -> None:
        self._listener.close()
        self._drop()

    def _drop(self) -> None:
        with self._lock:
            doomed, self._open = self._open, set()
        for connection in doomed:
            _close(connection)

    def _take(self, name: str) -> bool:
        with self._lock:
            remaining: int = getattr(self, name)
            setattr(self, name, max(remaining - 1, 0))
            return remaining > 0

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        with contextlib.suppress(OSError):
            if self._take("refusals"):
                self.refused += 1
                _read_request(client)
                client.sendall(b"HTTP/1.1 " + self.refusal + b"\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
                _close(client)
                return
            limit = self.cut_after if self._take("cuts") else None
            server = socket.create_connection(self._upstream)
            with self._lock:
                self._open |= {client, server}
            threading.Thread(target=self._pump, args=(server, client, None), daemon=True).start()
            self._pump(client, server, limit)

    def _pump(self, source: socket.socket, target: socket.socket, limit: int | None) -> None:
        passed = 0
        with contextlib.suppress(OSError):
            while piece := source.recv(_PIECE):
                passed += len(piece)
                if limit is not None and passed > limit:
                    self.cut += 1
                    break
                target.sendall(piece)
                self.passed += len(piece) if target.getpeername() == self._upstream else 0
                if self.bytes_per_second:
                    time.sleep(len(piece) / self.bytes_per_second)
        for end in (source, target):
            _close(end)
            with self._lock:
                self._open.discard(end)


@contextmanager
def faulty_proxy(upstream: tuple[str, int], host: str = "127.0.0.1") -> Iterator[FaultyProxy]:
    """A proxy for as long as the block lasts."""
    proxy = FaultyProxy(upstream, host)
    try:
        yield proxy
    finally:
        proxy.close()


def _read_request(client: socket.socket) -> None:
    """Take in a whole request: a client that is still sending would see a broken connection instead of the answer."""
    head = b""
    while b"\r\n\r\n" not in head:
        piece = client.recv(_PIECE)
        if not piece:
            return
        head += piece
    head, _, body = head.partition(b"\r\n\r\n")
    length = next(
        (int(line.split(b":")[1]) for line in head.split(b"\r\n") if line.lower().startswith(b"content-length:")), 0
    )
    remaining = length - len(body)
    while remaining > 0 and (piece := client.recv(min(remaining, _PIECE))):
        remaining -= len(piece)


def _close(connection: socket.socket) -> None:
    with contextlib.suppress(OSError):
        connection.shutdown(socket.SHUT_RDWR)
    connection.close()
