"""kopf's session, whose answers about Apps and AppRuns hold nothing that kopf could fail on.

kopf decodes whole lists and whole objects with a decoder that recurses. So of an object it is shown the metadata here,
and in events the object's text as one string, which our own loop decodes within its bounds. What a list holds is read
by our informer; kopf's says only that there is something to read.
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
"""Field of what kopf is shown that holds the object's text."""
_OURS: Final = re.compile(rf"/apis/{names.GROUP}/[^/]+(/namespaces/[^/]+)?/({names.APPS}|{names.APP_RUNS})/?$")
_SHOWN: Final = ("name", "namespace", "uid", "resourceVersion", "creationTimestamp", "deletionTimestamp")
_CHUNK: Final = 1024 * 1024


def bounded(found: kopf.ConnectionInfo | None) -> kopf.AiohttpSession | None:
    """The same login, over a session that shows kopf no more than it can take. To be called in kopf's loop."""
    if found is None:
        return None
    made = aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(limit=0, ssl=found.as_ssl_context()),
        headers=found.as_http_headers(),
        proxy=found.proxy_url,
        trust_env=found.trust_env,
        response_class=_Response,
    )
    return kopf.AiohttpSession(
        server=found.server,
        default_namespace=found.default_namespace,
        priority=found.priority,
        expiration=found.expiration,
        aiohttp_session=made,
    )


class _Response(aiohttp.ClientResponse):
    """An answer, shortened where it is about our kinds."""

    @override
    async def json(self, **given: Any) -> Any:
        if not self._is_ours():
            return await super().json(**given)
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
    """The stream of a watch, line by line."""

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
                    yield shown(line) + b"\n"


def shown(line: bytes) -> bytes:
    """What kopf is shown of an event."""
    event = decode_event(line)
    item = event.get("object")
    if event.get("type") not in ("ADDED", "MODIFIED", "DELETED") or not isinstance(item, dict):
        return json.dumps(event).encode()
    short: JSONObject = {
        "apiVersion": item.get("apiVersion"),
        "kind": item.get("kind"),
        "metadata": _identity(item),
        RAW: json.dumps(item, ensure_ascii=False, separators=(",", ":")),
    }
    return json.dumps({**event, "object": cast("JSON", short)}).encode()


def object_text(item: Mapping[str, JSON]) -> str | None:
    """The whole object as JSON text, of what kopf was shown of it; None for an object that came in a list."""
    text = item.get(RAW)
    return text if isinstance(text, str) else None


def _identity(item: JSONObject) -> JSONObject:
    metadata = item.get("metadata")
    known = metadata if isinstance(metadata, dict) else {}
    return {name: known[name] for name in _SHOWN if name in known}
