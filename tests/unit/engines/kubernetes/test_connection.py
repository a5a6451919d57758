"""One connection to the API server, from the dial on."""

from __future__ import annotations

import gc
import socket
import ssl
import struct
import threading
import time

import pytest

from application_sdk.engines.kubernetes.connection import Address, Connection
from application_sdk.engines.kubernetes.errors import Unreachable

RESET_ON_CLOSE = struct.pack("ii", 1, 0)
TRIES = 1000


def is_connected(end: socket.socket) -> bool:
    try:
        end.getpeername()
    except OSError:
        return False
    return True


def dial_somebody_who_resets(seconds: float) -> socket.socket:
    with socket.create_server(("127.0.0.1", 0)) as server:
        end = socket.create_connection(server.getsockname(), seconds)
        peer, _ = server.accept()
        peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET_ON_CLOSE)
        peer.close()
    while is_connected(end):
        time.sleep(0.001)
    return end


def test_of_a_peer_that_is_gone_before_the_handshake_no_socket_stays_open() -> None:
    """`ssl` takes the socket over, and raises without closing it. Garbage that is open is an error in these tests."""
    address = Address("127.0.0.1", 1, ssl.create_default_context(), dial=dial_somebody_who_resets)
    with pytest.raises(Unreachable, match="can't connect"):
        Connection(address, 5)
    gc.collect()


@pytest.mark.slow
def test_of_a_server_that_goes_at_any_moment_no_socket_stays_open() -> None:
    """What it hasn't accepted is reset: before, between or amid the steps of the handshake, as luck has it."""
    trust = ssl.create_default_context()
    for number in range(TRIES):
        server = socket.create_server(("127.0.0.1", 0))
        address = Address("127.0.0.1", server.getsockname()[1], trust)
        going = threading.Timer(number % 40 * 10e-6, server.close)
        going.start()
        for _ in range(2):
            with pytest.raises(Unreachable, match="can't connect"):
                Connection(address, 5)
        going.join()
    gc.collect()
