"""The wires of simulated clients: `PodConnection` stands in for the SDK's connection, with HTTP's bodies and codes.

The operator's side is `fake_api.FakeApi`, since its client is a protocol; both ask the same server.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from typing import Any
from urllib.parse import parse_qsl, unquote

from tests.support.fake_api import FakeApi, FakeServer, Object, User
from tests.support.sim import greenlets

from application_sdk.engines.kubernetes.connection import Response
from application_sdk.engines.kubernetes.errors import Unreachable
from apprun_operator.kube.errors import ApiError

Reach = Callable[[str, str], Awaitable[None]]
"""What lies between a client and the server; called as a fault hook is."""


class PodConnection:
    """One connection of a pod. What `reach` raises without a status is a broken wire, with one an answer."""

    def __init__(self, server: FakeServer, user: User, reach: Reach, timeout: float) -> None:
        self._api = FakeApi(server, user, reach)
        self._timeout = timeout
        self.reusable = True

    def close(self) -> None:
        self.reusable = False

    def request(self, method: str, target: str, headers: dict[str, str], body: bytes) -> Response:
        return greenlets.block(self._request(method, target, headers, body))

    async def _request(self, method: str, target: str, headers: dict[str, str], body: bytes) -> Response:
        try:
            async with asyncio.timeout(self._timeout):
                result = await self._carry_out(method, target, json.loads(body) if body else None)
        except TimeoutError as error:
            self.close()
            raise Unreachable(f"{method} {target}: timed out") from error
        except ApiError as error:
            return self._refused(error, f"{method} {target}")
        return Response(200, {}, json.dumps(_shown(result, headers.get("Accept", ""))).encode())

    async def _carry_out(self, method: str, target: str, body: Any) -> Object:
        path, _, query = target.partition("?")
        path = unquote(path)
        if method == "GET":
            return await self._api.get(path, dict(parse_qsl(query)))
        if method == "POST":
            return await self._api.create(path, body)
        assert method == "PATCH", method
        return await self._api.patch(path, body)

    def _refused(self, error: ApiError, request: str) -> Response:
        if not error.status:
            self.close()
            raise Unreachable(f"{request}: {error}") from error
        status = {"kind": "Status", "code": error.status, "reason": error.reason, "message": error.message}
        headers = {} if error.retry_after is None else {"retry-after": str(int(error.retry_after))}
        return Response(error.status, headers, json.dumps(status).encode())

    def stream(self, target: str, headers: dict[str, str]) -> tuple[Response, Iterator[bytes]]:
        path, _, query = target.partition("?")
        events = self._api.watch(unquote(path), dict(parse_qsl(query)))
        try:
            first = greenlets.block(self._next(events))
        except ApiError as error:
            return self._refused(error, f"GET {target}"), iter(())
        return Response(200, {}, b""), self._lines(target, first, events)

    def _lines(self, target: str, batch: Sequence[Object] | None, events: AsyncIterator[Sequence[Object]]) -> Any:
        try:
            while batch is not None:
                for event in batch:
                    yield json.dumps(event).encode()
                batch = greenlets.block(self._next(events))
        except ApiError as error:
            raise Unreachable(f"GET {target}: the stream broke: {error}") from error

    async def _next(self, events: AsyncIterator[Sequence[Object]]) -> Sequence[Object] | None:
        try:
            async with asyncio.timeout(self._timeout):
                return await anext(events, None)
        except TimeoutError as error:
            raise ApiError("silence") from error


def _shown(found: Object, accept: str) -> Object:
    """As much of an answer as was asked for."""
    if "PartialObjectMetadata" not in accept:
        return found
    if "items" in found:
        return {**found, "items": [{"metadata": item["metadata"]} for item in found["items"]]}
    return {"kind": "PartialObjectMetadata", "metadata": found["metadata"]}
