"""API calls over aiohttp: JSON in, JSON out, a timeout on each, errors by meaning. The only module that opens sockets.

Executor and informer use it through the `Api` protocol, which the tests' in-memory API server implements too. What an
object holds never decides whether it can be read: see `kube.decode`.
"""

from __future__ import annotations

import asyncio
import json
import logging
import socket
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from typing import Any, Final, Protocol, TypeAlias

import aiohttp

from application_sdk.wire.digest import JSON, JSONObject
from apprun_operator.kube.credentials import Cluster
from apprun_operator.kube.decode import LONG, Page, decode, decode_async, decode_event_async
from apprun_operator.kube.errors import (
    ApiError,
    DecodeError,
    TooLargeError,
    TruncatedError,
    UnavailableError,
    from_response,
)

logger = logging.getLogger(__name__)

REQUEST_TIMEOUT: Final = aiohttp.ClientTimeout(total=20, connect=10)
LIST_TIMEOUT: Final = aiohttp.ClientTimeout(total=60, connect=10)
WATCH_SILENCE: Final = 90.0
"""Bookmarks come every minute. A watch that is silent for longer is a dead connection, whatever TCP says."""
KEEPALIVE_OPTIONS: Final = {"TCP_KEEPIDLE": 15, "TCP_KEEPINTVL": 5, "TCP_KEEPCNT": 3, "TCP_USER_TIMEOUT": 30_000}
"""The kernel gives up a connection half a minute after the other side fell silent, so that a watch behind a load
balancer or a node that is gone without a word is noticed long before its silence is odd. The last one in ms."""
MERGE: Final = "application/merge-patch+json"
JSON_PATCH: Final = "application/json-patch+json"
APPLY: Final = "application/apply-patch+yaml"
"""Server-side apply; JSON is YAML."""
CONNECTIONS: Final = 64
MAX_RESPONSE_BYTES: Final = 16 * 1024 * 1024
"""Bytes of one answer. Ten objects of the largest size that etcd takes fit; what is longer is to be asked for in
smaller pages."""

PatchBody: TypeAlias = "JSONObject | list[JSONObject]"
RequestObserver: TypeAlias = Callable[[str, str, float | None], None]
"""Told of each request: verb, status code or `none`, and the seconds that an answer took; None for a watch."""


class KubeApi(Protocol):
    """The calls that the operator makes. Each raises an `ApiError` of the type that says what it means."""

    async def get(self, path: str, query: Mapping[str, str] | None = None) -> JSONObject: ...
    async def page(self, path: str, query: Mapping[str, str]) -> Page: ...
    async def create(self, path: str, body: JSONObject) -> JSONObject: ...
    async def patch(self, path: str, body: PatchBody, content_type: str = MERGE) -> JSONObject: ...
    async def delete(self, path: str, options: JSONObject) -> JSONObject: ...
    def watch(self, path: str, query: Mapping[str, str]) -> AsyncIterator[Sequence[JSONObject]]: ...


def ignore_request(verb: str, code: str, seconds: float | None) -> None:
    pass


class Client:
    """One identity at one API server. Made and closed by `main`."""

    def __init__(self, cluster: Cluster, requested: RequestObserver = ignore_request) -> None:
        self._cluster = cluster
        self._requested = requested
        connector = aiohttp.TCPConnector(
            limit=CONNECTIONS, ssl=cluster.ssl, keepalive_timeout=60, socket_factory=_keepalive_socket
        )
        self._decoding = asyncio.Lock()
        self._session = aiohttp.ClientSession(connector=connector, auto_decompress=True)

    async def close(self) -> None:
        await self._session.close()

    async def get(self, path: str, query: Mapping[str, str] | None = None) -> JSONObject:
        """An object, or a short list of a few."""
        timeout = LIST_TIMEOUT if query else REQUEST_TIMEOUT
        return await self._decoded(await self._call("GET", path, query=query, timeout=timeout))

    async def page(self, path: str, query: Mapping[str, str]) -> Page:
        """One page of a list, whose objects are still to be decoded. TooLargeError asks for a smaller one."""
        return Page(await self._call("GET", path, query=query, timeout=LIST_TIMEOUT))

    async def create(self, path: str, body: JSONObject) -> JSONObject:
        return await self._done(await self._call("POST", path, body), path)

    async def patch(self, path: str, body: PatchBody, content_type: str = MERGE) -> JSONObject:
        return await self._done(await self._call("PATCH", path, body, content_type), path)

    async def delete(self, path: str, options: JSONObject) -> JSONObject:
        """Delete an object; the answer is the object, while it ends gracefully, or a Status."""
        return await self._done(await self._call("DELETE", path, options), path)

    async def watch(self, path: str, query: Mapping[str, str]) -> AsyncIterator[Sequence[JSONObject]]:
        """Events in batches: all that have arrived so far. Ends as the server ends it; silence is UnavailableError."""
        timeout = aiohttp.ClientTimeout(total=None, sock_connect=10, sock_read=WATCH_SILENCE)
        url, headers = self._cluster.server + path, self._cluster.headers()
        rest, code = b"", "none"
        try:
            async with self._session.get(
                url, params={**query, "watch": "1"}, headers=headers, timeout=timeout
            ) as response:
                code = str(response.status)
                self._requested("WATCH", code, None)
                if response.status >= 300:
                    raise self._refused(response, await response.read())
                while chunk := await response.content.readany():
                    *lines, rest = (rest + chunk).split(b"\n")
                    if lines:
                        yield [await decode_event_async(line) for line in lines if line]
        except (aiohttp.ClientError, TimeoutError, ValueError, OSError) as error:
            if code == "none":
                self._requested("WATCH", code, None)
            raise UnavailableError(f"watch of {path} broke: {error!r}") from error

    async def _decoded(self, answer: bytes) -> JSONObject:
        """Of long answers that arrive together, one after the other: others wait for the event loop too."""
        if len(answer) < LONG:
            return decode(answer)
        async with self._decoding:
            try:
                return await decode_async(answer)
            finally:
                await asyncio.sleep(0)

    async def _done(self, answer: bytes, path: str) -> JSONObject:
        """What the API server says of a write that it has done. It is done whether that can be decoded or not: to call
        it failed would have it done again and again. What became of the object, its watch tells."""
        try:
            return await self._decoded(answer)
        except DecodeError as error:
            # guard: write-is-done - calling an acknowledged write failed would repeat it again and again
            logger.warning("%s: the answer to a write can't be decoded: %s", path, error)
            return {}

    def _refused(self, response: aiohttp.ClientResponse, body: bytes) -> ApiError:
        if response.status == 401:
            self._cluster.invalidate()
        return from_response(response.status, body, response.headers.get("Retry-After"))

    async def _call(
        self,
        method: str,
        path: str,
        body: JSON | PatchBody = None,
        content_type: str = "application/json",
        *,
        query: Mapping[str, str] | None = None,
        timeout: aiohttp.ClientTimeout = REQUEST_TIMEOUT,  # noqa: ASYNC109 (aiohttp's own, not a cancellation)
    ) -> bytes:
        data = None if body is None else json.dumps(body, separators=(",", ":")).encode()
        headers = {**self._cluster.headers(), "Content-Type": content_type, "Accept": "application/json"}
        began, code = time.perf_counter(), "none"
        try:
            async with self._session.request(
                method, self._cluster.server + path, data=data, params=query, headers=headers, timeout=timeout
            ) as response:
                code = str(response.status)
                text = await _read(response)
                if response.status >= 300:
                    raise self._refused(response, text)
                return text
        except ApiError:
            raise
        except (aiohttp.ClientError, TimeoutError, ValueError, OSError) as error:
            kind = TruncatedError if code.startswith("2") else UnavailableError
            raise kind(f"{method} {path}: {error!r}") from error
        finally:
            self._requested(method, code, time.perf_counter() - began)


async def _read(response: aiohttp.ClientResponse) -> bytes:
    """The whole body. One that is too long isn't read to its end, but refused: it may be as large as the server."""
    parts: list[bytes] = []
    size = 0
    async for part in response.content.iter_any():
        parts.append(part)
        size += len(part)
        # guard: answer-size - an answer without a limit takes all memory
        if size > MAX_RESPONSE_BYTES:
            response.close()
            raise TooLargeError(f"{response.url.path}: the answer has more than {MAX_RESPONSE_BYTES} bytes")
    return b"".join(parts)


def _keepalive_socket(address: tuple[Any, ...]) -> socket.socket:
    """A socket for an address as `getaddrinfo` gives it, on which a dead peer is noticed."""
    family, kind, protocol, *_ = address
    made = socket.socket(family, kind, protocol)
    made.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for name, value in KEEPALIVE_OPTIONS.items():
        if hasattr(socket, name):  # not every system has every one
            made.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)
    return made
