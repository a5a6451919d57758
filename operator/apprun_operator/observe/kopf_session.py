"""kopf's HTTP session, whose responses about Apps and AppRuns contain nothing that kopf could fail
on.

kopf decodes whole lists and whole objects with a decoder that recurses. So it gets only an object's
metadata here, and in events the object's text as one string, which the main loop decodes within its
bounds. The content of a list is read by the operator's own informer; kopf's list only says that
there is something to read.
"""

from __future__ import annotations

import json
import re
from collections.abc import AsyncIterator, Mapping
from typing import Any, Final, cast

import aiohttp
import kopf
from typing_extensions import override

from application_sdk.wire import names
from application_sdk.wire.digest import JSON, JSONObject
from apprun_operator.kube.decode import Page, decode_event

RAW: Final = "raw"
"""Field of the shortened object that has the whole object's text."""
_OURS: Final = re.compile(rf"/apis/{names.GROUP}/[^/]+(/namespaces/[^/]+)?/({names.APPS}|{names.APP_RUNS})/?$")
_KEPT: Final = ("name", "namespace", "uid", "resourceVersion", "creationTimestamp", "deletionTimestamp")
_CHUNK: Final = 1024 * 1024


def bounded_session(login: kopf.ConnectionInfo | None) -> kopf.AiohttpSession | None:
    """The login over a session that shortens objects. Must be called in kopf's loop."""
    if login is None:
        return None
    session = aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(limit=0, ssl=login.as_ssl_context()),
        headers=login.as_http_headers(),
        proxy=login.proxy_url,
        trust_env=login.trust_env,
        response_class=_Response,
    )
    return kopf.AiohttpSession(
        server=login.server,
        default_namespace=login.default_namespace,
        priority=login.priority,
        expiration=login.expiration,
        aiohttp_session=session,
    )


class _Response(aiohttp.ClientResponse):
    """A response, shortened if it is about Apps or AppRuns."""

    @override
    async def json(self, **options: Any) -> Any:
        if not self._is_ours():
            return await super().json(**options)
        page = Page(await self.read())
        items = [{"metadata": _identity(item)} async for _, item in page]
        return {"metadata": page.details, "items": items}

    @override
    async def start(self, connection: Any) -> aiohttp.ClientResponse:
        await super().start(connection)
        if self._is_ours():
            self.content = cast("aiohttp.StreamReader", _Events(self.content))
        return self

    def _is_ours(self) -> bool:
        return self.status < 300 and _OURS.search(self.url.path) is not None


class _Events:
    """The stream of a watch, with each event shortened."""

    def __init__(self, stream: aiohttp.StreamReader) -> None:
        self._stream = stream

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    async def iter_chunked(self, size: int) -> AsyncIterator[bytes]:
        rest = b""
        async for chunk in self._stream.iter_chunked(_CHUNK):
            *lines, rest = (rest + chunk).split(b"\n")
            for line in lines:
                if line:
                    yield shortened(line) + b"\n"


def shortened(line: bytes) -> bytes:
    """The event as kopf gets it: the object's identity, and its text as one string."""
    event = decode_event(line)
    item = event.get("object")
    if event.get("type") not in ("ADDED", "MODIFIED", "DELETED") or not isinstance(item, dict):
        return json.dumps(event).encode()
    summary: JSONObject = {
        "apiVersion": item.get("apiVersion"),
        "kind": item.get("kind"),
        "metadata": _identity(item),
        RAW: json.dumps(item, ensure_ascii=False, separators=(",", ":")),
    }
    return json.dumps({**event, "object": cast("JSON", summary)}).encode()


def object_text(item: Mapping[str, JSON]) -> str | None:
    """The whole object as JSON text, from a shortened one; None for an object that came in a list."""
    text = item.get(RAW)
    return text if isinstance(text, str) else None


def _identity(item: JSONObject) -> JSONObject:
    metadata = item.get("metadata")
    fields = metadata if isinstance(metadata, dict) else {}
    return {name: fields[name] for name in _KEPT if name in fields}
