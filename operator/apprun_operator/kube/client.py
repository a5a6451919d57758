"""API calls over aiohttp: JSON in, JSON out, a timeout on each, errors by meaning. The only module
that opens sockets.

The executor and the informers use it through the `KubeApi` protocol, which the tests' in-memory API
server implements too. No object's content can keep it from being read: see `kube.decode`.
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
"""Seconds. Bookmarks come every minute, so a watch that is silent for longer is a dead connection.
"""
KEEPALIVE_OPTIONS: Final = {"TCP_KEEPIDLE": 15, "TCP_KEEPINTVL": 5, "TCP_KEEPCNT": 3, "TCP_USER_TIMEOUT": 30_000}
"""The kernel closes a connection half a minute after the peer fell silent. So a watch through a
load balancer, or to a node that has vanished, is noticed long before WATCH_SILENCE. The last value
is in ms, the others in s."""
MERGE: Final = "application/merge-patch+json"
JSON_PATCH: Final = "application/json-patch+json"
APPLY: Final = "application/apply-patch+yaml"
"""Server-side apply. JSON is YAML too."""
CONNECTIONS: Final = 64
MAX_RESPONSE_BYTES: Final = 16 * 1024 * 1024
"""Bytes of one response. Ten objects of the largest size that etcd accepts fit; a longer list has
to be requested in smaller pages."""

PatchBody: TypeAlias = "JSONObject | list[JSONObject]"
RequestObserver: TypeAlias = Callable[[str, str, float | None], None]
"""Called for each request with verb, status code or `none`, and seconds until the response; None
for a watch."""


class KubeApi(Protocol):
    """The calls that the operator makes.

    Each raises an `ApiError` of the type that says what it means.
    """

    async def get(self, path: str, query: Mapping[str, str] | None = None) -> JSONObject: ...
    async def page(self, path: str, query: Mapping[str, str]) -> Page: ...
    async def create(self, path: str, body: JSONObject) -> JSONObject: ...
    async def patch(self, path: str, body: PatchBody, content_type: str = MERGE) -> JSONObject: ...
    async def delete(self, path: str, options: JSONObject) -> JSONObject: ...
    def watch(self, path: str, query: Mapping[str, str]) -> AsyncIterator[Sequence[JSONObject]]: ...


def ignore_request(verb: str, code: str, seconds: float | None) -> None:
    pass


class Client:
    """A connection pool to one API server, with one identity. `main` makes and closes it."""

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
        """Read one object, or a list of few."""
        timeout = LIST_TIMEOUT if query else REQUEST_TIMEOUT
        return await self._decode_response(await self._call("GET", path, query=query, timeout=timeout))

    async def page(self, path: str, query: Mapping[str, str]) -> Page:
        """Read one page of a list, whose objects are decoded later.

        TooLargeError means: request a smaller one.
        """
        return Page(await self._call("GET", path, query=query, timeout=LIST_TIMEOUT))

    async def create(self, path: str, body: JSONObject) -> JSONObject:
        return await self._write_result(await self._call("POST", path, body), path)

    async def patch(self, path: str, body: PatchBody, content_type: str = MERGE) -> JSONObject:
        return await self._write_result(await self._call("PATCH", path, body, content_type), path)

    async def delete(self, path: str, options: JSONObject) -> JSONObject:
        """Delete an object. Returns the object while it ends gracefully, otherwise a Status."""
        return await self._write_result(await self._call("DELETE", path, options), path)

    async def watch(self, path: str, query: Mapping[str, str]) -> AsyncIterator[Sequence[JSONObject]]:
        """Yield events in batches: all that have arrived.

        Ends when the server ends it; silence is UnavailableError.
        """
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
                    raise self._error_of(response, await response.read())
                while chunk := await response.content.readany():
                    *lines, rest = (rest + chunk).split(b"\n")
                    if lines:
                        yield [await decode_event_async(line) for line in lines if line]
        except (aiohttp.ClientError, TimeoutError, ValueError, OSError) as error:
            if code == "none":
                self._requested("WATCH", code, None)
            raise UnavailableError(f"watch of {path} broke: {error!r}") from error

    async def _decode_response(self, body: bytes) -> JSONObject:
        """Decode a response.

        Long ones are decoded one after the other, since others wait for the event loop too.
        """
        if len(body) < LONG:
            return decode(body)
        async with self._decoding:
            try:
                return await decode_async(body)
            finally:
                await asyncio.sleep(0)

    async def _write_result(self, body: bytes, path: str) -> JSONObject:
        """Decode the response to an accepted write; empty if that isn't possible.

        The write is done either way. Reporting it as failed would repeat it again and again; the
        object's new version comes through its watch.
        """
        try:
            return await self._decode_response(body)
        except DecodeError as error:
            # guard: write-is-done - calling an acknowledged write failed would repeat it again and
            # again
            logger.warning("%s: the write was accepted, but its response can't be decoded: %s", path, error)
            return {}

    def _error_of(self, response: aiohttp.ClientResponse, body: bytes) -> ApiError:
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
                    raise self._error_of(response, text)
                return text
        except ApiError:
            raise
        except (aiohttp.ClientError, TimeoutError, ValueError, OSError) as error:
            error_type = TruncatedError if code.startswith("2") else UnavailableError
            raise error_type(f"{method} {path}: {error!r}") from error
        finally:
            self._requested(method, code, time.perf_counter() - began)


async def _read(response: aiohttp.ClientResponse) -> bytes:
    """Read the whole body.

    One that is too long raises TooLargeError, and the rest of it isn't read.
    """
    parts: list[bytes] = []
    size = 0
    async for part in response.content.iter_any():
        parts.append(part)
        size += len(part)
        # guard: answer-size - an answer without a limit takes all memory
        if size > MAX_RESPONSE_BYTES:
            response.close()
            raise TooLargeError(f"{response.url.path}: the response has more than {MAX_RESPONSE_BYTES} bytes")
    return b"".join(parts)


def _keepalive_socket(address: tuple[Any, ...]) -> socket.socket:
    """A socket with keepalive, for an address as `getaddrinfo` returns it."""
    family, type_, protocol, *_ = address
    connection = socket.socket(family, type_, protocol)
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for name, value in KEEPALIVE_OPTIONS.items():
        if hasattr(socket, name):  # some are missing on some systems
            connection.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)
    return connection
