"""Heartbeat details and progress: the latest only, seldom, and never in the way of the body."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any

import pytest
from tests.support.wire_server import Handler, Request, WireServer, answer, refuse

from application_sdk.engines.kubernetes.api import Api
from application_sdk.engines.kubernetes.heartbeat_writer import HeartbeatWriter
from application_sdk.wire.pod import REFUSED_NOT_CURRENT


@pytest.fixture
def fenced() -> threading.Event:
    return threading.Event()


@pytest.fixture
def signs(api: Api, fenced: threading.Event) -> Iterator[HeartbeatWriter]:
    writer = HeartbeatWriter(api, "t", fenced.set, interval=600)
    yield writer
    writer.stop()


class Gate:
    """Holds an answer back until it is opened."""

    def __init__(self) -> None:
        self.arrived = threading.Event()
        self.open = threading.Event()

    def __call__(self, handler: Handler, request: Request) -> None:
        self.arrived.set()
        self.open.wait(10)
        answer()(handler, request)


def values(request: Request) -> dict[str, Any]:
    return {operation["path"].rpartition("/")[2]: operation["value"] for operation in request.json}


def test_nothing_is_written_when_nothing_is_told(signs: HeartbeatWriter, server: WireServer) -> None:
    assert signs.stop() == {}
    assert server.requests == []


def test_the_first_sign_is_written_at_once_and_the_latest_of_the_rest_is_left(
    signs: HeartbeatWriter, server: WireServer
) -> None:
    gate = Gate()
    server.script = [gate]
    signs.heartbeat({"row": 1})
    assert gate.arrived.wait(10)
    for row in range(2, 100):
        signs.heartbeat({"row": row})
    signs.progress({"done": 99})
    gate.open.set()
    assert signs.stop() == {"heartbeat": {"row": 99}, "progress": {"done": 99}}
    assert [values(request) for request in server.requests] == [{"heartbeat": {"row": 1}}]


def test_what_could_not_be_written_is_left_unless_something_newer_is(
    signs: HeartbeatWriter, server: WireServer
) -> None:
    gone = threading.Event()

    def busy(handler: Handler, request: Request) -> None:
        refuse(503, "ServiceUnavailable", "starting")(handler, request)
        gone.set()

    server.script = [busy]
    signs.heartbeat({"row": 1})
    assert gone.wait(10)
    assert signs.stop() == {"heartbeat": {"row": 1}}


def test_a_pod_that_ends_without_a_report_writes_what_is_left(signs: HeartbeatWriter, server: WireServer) -> None:
    gate = Gate()
    server.script = [gate]
    signs.heartbeat({"row": 1})
    assert gate.arrived.wait(10)
    signs.heartbeat({"row": 2})
    gate.open.set()
    signs.flush()
    assert [values(request) for request in server.requests] == [{"heartbeat": {"row": 1}}, {"heartbeat": {"row": 2}}]


@pytest.mark.parametrize(
    "refusal",
    [
        refuse(403, "Forbidden", f"ValidatingAdmissionPolicy 'x' denied request: {REFUSED_NOT_CURRENT}"),
        refuse(404, "NotFound", "gone"),
    ],
)
def test_a_refusal_ends_the_writing_and_the_attempt(
    signs: HeartbeatWriter, server: WireServer, fenced: threading.Event, refusal: Any
) -> None:
    server.script = [refusal]
    signs.heartbeat({"row": 1})
    assert fenced.wait(10)
    signs.heartbeat({"row": 2})
    signs.stop()
    assert len(server.requests) == 1
