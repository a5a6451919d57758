"""Requests that are sent by halves, to a server that listens: they end, and hold up nobody."""

from __future__ import annotations

import asyncio
import contextlib
import http.client
import socket
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
import uvicorn
from tests.unit.server.shop import Shop

from application_sdk.engines.local.limits import Limits as EngineLimits
from application_sdk.engines.local.run_store import RunStore
from application_sdk.engines.local.source import source_of
from application_sdk.server.application import create_application
from application_sdk.server.connections import Patience
from application_sdk.server.limits import Limits
from application_sdk.server.serving import local_service

HALVES = {
    "nothing": b"",
    "half a line": b"GET /health HT",
    "half of the headers": b"GET /health HTTP/1.1\r\nHost: localhost\r\nX-A: ",
    "half a body": b"POST /workflows/v1/auth HTTP/1.1\r\nHost: localhost\r\n"
    b"Content-Type: application/json\r\nContent-Length: 20\r\n\r\n{",
    "half a body that nobody waits for": b"POST /nowhere HTTP/1.1\r\nHost: localhost\r\nContent-Length: 20\r\n\r\n{",
    "a further request by half": b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\nGET /hea",
}


@dataclass
class Listening:
    port: int
    patience: Patience

    def open(self, content: bytes = b"") -> socket.socket:
        connection = socket.create_connection(("127.0.0.1", self.port), timeout=30)
        connection.sendall(content)
        return connection

    def healthy(self) -> bool:
        with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/health", timeout=10) as answer:
            return bool(answer.status == 200)


@pytest.fixture
def listen(tmp_path: Path) -> Iterator[Callable[[Patience], Listening]]:
    with contextlib.ExitStack() as stack:

        def start(patience: Patience) -> Listening:
            service = stack.enter_context(local_service(Shop, source_of(Shop), RunStore(tmp_path), EngineLimits()))
            service = replace(service, limits=Limits(body_seconds=0.5))
            config = uvicorn.Config(
                create_application(service), log_config=None, access_log=False, http=patience.protocol(), ws="none"
            )
            server = uvicorn.Server(config)
            listening = stack.enter_context(socket.create_server(("127.0.0.1", 0)))
            thread = threading.Thread(target=lambda: asyncio.run(server.serve([listening])))
            thread.start()
            stack.callback(thread.join, 30)
            stack.callback(setattr, server, "should_exit", True)
            return Listening(listening.getsockname()[1], patience)

        yield start


def rest_of(connection: socket.socket) -> bytes:
    """All that comes until the server closes."""
    received = b""
    with connection, contextlib.suppress(ConnectionResetError):
        while piece := connection.recv(65536):
            received += piece
    return received


@pytest.mark.parametrize("half", HALVES)
def test_a_request_that_does_not_come_is_given_up(listen: Callable[[Patience], Listening], half: str) -> None:
    server = listen(Patience(header_seconds=0.5, request_seconds=1.5))
    begun = time.monotonic()
    rest_of(server.open(HALVES[half]))
    assert time.monotonic() - begun < 10
    assert server.healthy()
    assert len(server.patience.incomplete) == 0


def test_a_drip_does_not_buy_time(listen: Callable[[Patience], Listening]) -> None:
    server = listen(Patience(header_seconds=0.5, request_seconds=1.5))
    connection, begun = server.open(b"GET /health HTTP/1.1\r\nX-A: "), time.monotonic()
    with connection, contextlib.suppress(OSError):
        while time.monotonic() - begun < 10:
            connection.sendall(b"a")
            time.sleep(0.05)
    assert time.monotonic() - begun < 5


@pytest.mark.parametrize(("half", "status"), [("half of the headers", b"408"), ("half a body", b"408")])
def test_who_is_late_is_told_so(listen: Callable[[Patience], Listening], half: str, status: bytes) -> None:
    server = listen(Patience(header_seconds=0.5, request_seconds=3))
    assert rest_of(server.open(HALVES[half])).split()[1] == status


def test_many_halves_keep_nobody_out(listen: Callable[[Patience], Listening]) -> None:
    server = listen(Patience(header_seconds=20, request_seconds=20, max_incomplete=50))
    with contextlib.ExitStack() as stack:
        halves = [stack.enter_context(server.open(HALVES["half of the headers"])) for _ in range(150)]
        assert server.healthy()
        assert len(server.patience.incomplete) <= 51
        halves[0].settimeout(10)
        with contextlib.suppress(ConnectionResetError):
            assert halves[0].recv(1) == b"", "the oldest is dropped"


def test_a_whole_request_has_the_time_that_it_needs(listen: Callable[[Patience], Listening]) -> None:
    server = listen(Patience(header_seconds=0.3, request_seconds=0.6))
    body = b'{"credentials": [{"key": "block", "value": ""}, {"key": "password", "value": "open sesame"}]}'
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=30)
    connection.request("POST", "/workflows/v1/auth", body, {"Content-Type": "application/json"})
    assert connection.getresponse().status == 200  # its handler takes a second
    connection.close()


def test_a_connection_serves_one_request_after_the_other(listen: Callable[[Patience], Listening]) -> None:
    server = listen(Patience(header_seconds=0.5, request_seconds=1))
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=30)
    connection.connect()
    used = connection.sock
    for _ in range(5):
        connection.request("GET", "/health")
        with connection.getresponse() as answer:
            assert (answer.status, bool(answer.read()), connection.sock is used) == (200, True, True)
        time.sleep(0.2)
    connection.close()
