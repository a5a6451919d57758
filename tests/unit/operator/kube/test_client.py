"""The client against a real HTTP server on this machine: only the wire is faked."""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from apprun_operator.kube.client import Client
from apprun_operator.kube.credentials import Cluster, RotatingToken
from apprun_operator.kube.decode import problem_of
from apprun_operator.kube.errors import (
    ConflictError,
    GoneError,
    TooLargeError,
    UnauthorizedError,
    UnavailableError,
)

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class Wire:
    """A server with one handler for everything, and a client of it."""

    def __init__(self) -> None:
        self.handler: Handler | None = None
        self.renewed = 0
        app = web.Application()
        app.router.add_route("*", "/{path:.*}", self._handle)
        self.server = TestServer(app)

    async def _handle(self, request: web.Request) -> web.StreamResponse:
        assert self.handler is not None
        return await self.handler(request)

    def connect(self) -> Client:
        return Client(Cluster(f"http://{self.server.host}:{self.server.port}", False, dict, self._renew))

    def _renew(self) -> None:
        self.renewed += 1


@pytest.fixture
async def wire() -> AsyncIterator[Wire]:
    created = Wire()
    await created.server.start_server()
    yield created
    await created.server.close()


@pytest.fixture
async def client(wire: Wire) -> AsyncIterator[Client]:
    created = wire.connect()
    yield created
    await created.close()


def answering(status: int, body: object, **headers: str) -> Handler:
    async def handler(request: web.Request) -> web.StreamResponse:
        return web.json_response(body, status=status, headers=headers)

    return handler


async def test_patch_says_what_kind_of_patch_it_is(wire: Wire, client: Client) -> None:
    got: list[tuple[str, str, object]] = []

    async def handler(request: web.Request) -> web.StreamResponse:
        got.append((request.method, request.headers["Content-Type"], await request.json()))
        return web.json_response({})

    wire.handler = handler
    await client.patch("/x", {"status": {}})
    assert got == [("PATCH", "application/merge-patch+json", {"status": {}})]


async def test_refusal_is_an_error_by_meaning(wire: Wire, client: Client) -> None:
    wire.handler = answering(409, {"reason": "Conflict", "message": "modified"})
    with pytest.raises(ConflictError):
        await client.patch("/x", {})


async def test_refused_token_is_read_anew(wire: Wire, client: Client) -> None:
    wire.handler = answering(401, {})
    with pytest.raises(UnauthorizedError):
        await client.get("/x")
    assert wire.renewed == 1


async def test_no_connection_is_transient(wire: Wire, client: Client) -> None:
    await wire.server.close()
    with pytest.raises(UnavailableError):
        await client.get("/x")


async def test_answer_that_is_no_json_is_transient(wire: Wire, client: Client) -> None:
    async def handler(request: web.Request) -> web.StreamResponse:
        return web.Response(text="<html>")

    wire.handler = handler
    with pytest.raises(UnavailableError):
        await client.get("/x")


def streaming(*chunks: bytes) -> Handler:
    async def handler(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        for chunk in chunks:
            await response.write(chunk)
            await asyncio.sleep(0)
        return response

    return handler


async def test_watch_puts_events_together_however_the_bytes_come(wire: Wire, client: Client) -> None:
    events = [{"type": "ADDED", "object": {"n": n, "text": "ä" * 100}} for n in range(50)]
    data = b"".join(json.dumps(event, ensure_ascii=False).encode() + b"\n" for event in events)
    wire.handler = streaming(*(data[i : i + 97] for i in range(0, len(data), 97)))
    seen = [event async for batch in client.watch("/x", {}) for event in batch]
    assert seen == events


async def test_watch_of_too_old_a_version_says_so(wire: Wire, client: Client) -> None:
    wire.handler = answering(410, {"reason": "Expired"})
    with pytest.raises(GoneError):
        async for _ in client.watch("/x", {}):
            pass


async def test_watch_cut_off_inside_an_event_loses_only_that_event(wire: Wire, client: Client) -> None:
    wire.handler = streaming(b'{"type": "ADDED"}\n', b'{"type": "MOD')
    assert [event async for batch in client.watch("/x", {}) for event in batch] == [{"type": "ADDED"}]


async def test_watch_that_is_silent_for_too_long_is_given_up(
    wire: Wire, client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("apprun_operator.kube.client.WATCH_SILENCE", 0.2)
    over = asyncio.Event()

    async def handler(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        await response.write(b'{"type": "ADDED"}\n')
        await over.wait()
        return response

    wire.handler = handler
    seen: list[object] = []

    async def follow() -> None:
        async for batch in client.watch("/x", {}):
            seen.extend(batch)

    with pytest.raises(UnavailableError):
        await follow()
    over.set()
    assert seen == [{"type": "ADDED"}]


async def test_connections_detect_a_dead_peer(wire: Wire, client: Client) -> None:
    """Otherwise a half-open connection would be silent until the next bookmark is overdue."""
    wire.handler = answering(200, {})
    await client.get("/x")
    ((connection, *_),) = client._session.connector._conns.values()  # type: ignore[union-attr]
    used = connection[0].transport.get_extra_info("socket")  # type: ignore[union-attr]
    assert used.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE) == 1
    assert used.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT) == 30_000
    idle, every, count = (
        used.getsockopt(socket.IPPROTO_TCP, option)
        for option in (socket.TCP_KEEPIDLE, socket.TCP_KEEPINTVL, socket.TCP_KEEPCNT)
    )
    assert idle + every * count == 30


async def test_rotated_token_is_sent_with_the_try_after_the_refusal(wire: Wire, tmp_path: Path) -> None:
    path = tmp_path / "token"
    path.write_text("old")
    token = RotatingToken(path)
    client = Client(Cluster(f"http://{wire.server.host}:{wire.server.port}", False, token.headers, token.invalidate))

    async def handler(request: web.Request) -> web.StreamResponse:
        return web.json_response({}, status=200 if request.headers["Authorization"] == "Bearer new" else 401)

    wire.handler = handler
    with pytest.raises(UnauthorizedError):
        async for _ in client.watch("/x", {}):
            pass
    path.write_text("new")
    assert await client.get("/x") == {}
    await client.close()


def test_token_is_read_again_after_renewal(tmp_path: Path) -> None:
    path = tmp_path / "token"
    path.write_text("one\n")
    token = RotatingToken(path)
    assert token.headers() == {"Authorization": "Bearer one"}
    path.write_text("two\n")
    assert token.headers() == {"Authorization": "Bearer one"}
    token.invalidate()
    assert token.headers() == {"Authorization": "Bearer two"}


async def test_each_request_is_told_by_verb_and_code(wire: Wire) -> None:
    requests: list[tuple[str, str]] = []
    client = Client(
        Cluster(f"http://{wire.server.host}:{wire.server.port}", False, dict, lambda: None),
        lambda verb, code, seconds: requests.append((verb, code)),
    )
    wire.handler = answering(200, {})
    await client.get("/x")
    wire.handler = answering(409, {"reason": "Conflict"})
    with pytest.raises(ConflictError):
        await client.create("/x", {})
    wire.handler = answering(200, {"type": "BOOKMARK"})
    async for _ in client.watch("/x", {}):
        pass
    await wire.server.close()
    with pytest.raises(UnavailableError):
        await client.patch("/x", {})
    with pytest.raises(UnavailableError):
        async for _ in client.watch("/x", {}):
            pass
    assert requests == [("GET", "200"), ("POST", "409"), ("WATCH", "200"), ("PATCH", "none"), ("WATCH", "none")]
    await client.close()


DEEP = '{"a":' * 1200 + "1" + "}" * 1200
DEEP_TASK = f'{{"metadata":{{"name":"t","resourceVersion":"7","uid":"u"}},"status":{{"heartbeat":{DEEP}}}}}'


def saying(text: str, status: int = 200) -> Handler:
    async def handler(request: web.Request) -> web.StreamResponse:
        return web.Response(text=text, status=status, content_type="application/json")

    return handler


async def test_a_write_is_done_whatever_its_answer_holds(wire: Wire, client: Client) -> None:
    wire.handler = saying(DEEP_TASK)
    answer = await client.patch("/x", {})
    assert problem_of(answer).startswith("status.heartbeat")
    wire.handler = saying("<html>")
    assert await client.patch("/x", {}) == {}


async def test_a_deep_event_is_followed_by_the_next(wire: Wire, client: Client) -> None:
    lines = f'{{"type":"MODIFIED","object":{DEEP_TASK}}}\n{{"type":"ADDED","object":{{"n":1}}}}\n'
    wire.handler = streaming(lines.encode())
    events = [event async for batch in client.watch("/x", {}) for event in batch]
    assert [event["type"] for event in events] == ["MODIFIED", "ADDED"]


async def test_an_answer_too_long_is_not_read_to_its_end(
    wire: Wire, client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("apprun_operator.kube.client.MAX_RESPONSE_BYTES", 1000)
    wire.handler = saying('{"items":[' + " " * 1000 + "]}")
    with pytest.raises(TooLargeError):
        await client.page("/x", {"limit": "500"})
