"""A client of the API server for pods: a few verbs on AppRun's resources in one namespace, errors
by meaning.

`report` and `driver` call it. It neither waits nor retries, except on an idle connection that
turned out to be dead: callers decide whether to try again. Every request of ours may be sent twice:
creates have deterministic names, and a repeated patch sets the same values.
"""

from __future__ import annotations

import json
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Final, Protocol, cast

from application_sdk.engines.kubernetes.connection import Address, Connection, Response
from application_sdk.engines.kubernetes.errors import ApiError, Unreachable, error_for
from application_sdk.wire import names

if TYPE_CHECKING:
    import ssl

    from application_sdk.wire.digest import JSON, JSONObject

REQUEST_TIMEOUT_SECONDS: Final = 15.0
IDLE_SECONDS: Final = 20.0
"""A connection that was idle for longer is dropped: a load balancer may have forgotten it without
closing it."""

_JSON: Final = "application/json"
_JSON_PATCH: Final = "application/json-patch+json"
_MERGE_PATCH: Final = "application/merge-patch+json"
_METADATA_ONLY: Final = "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1,application/json"
"""Keeps inputs and outputs out of the responses to writes."""


_NAMES_ONLY: Final = "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1,application/json"
NAMES_LIMIT: Final = 2000


class TokenSource(Protocol):
    """Where the bearer token comes from; asked before every request, since kubelet replaces it."""

    def __call__(self) -> str: ...


def in_cluster(environ: Mapping[str, str], directory: Path, namespace: str) -> Api:
    """The API server of the cluster that this pod runs in.

    Raises KeyError when the service variables are missing, OSError when the CA certificate is.
    """
    address = Address(environ["KUBERNETES_SERVICE_HOST"], int(environ["KUBERNETES_SERVICE_PORT"]), _trust(directory))
    token_file = directory / "token"
    return Api(address, lambda: token_file.read_text("ascii").strip(), namespace)


def _trust(directory: Path) -> ssl.SSLContext:
    # Only here: those who speak to an API server through a proxy of their own need no TLS.
    import ssl

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.load_verify_locations(directory / "ca.crt")
    return context


class Api:
    """Requests in one namespace, over kept connections. Safe to share between threads."""

    def __init__(
        self,
        address: Address,
        token: TokenSource,
        namespace: str,
        agent: str = "apprun-pod",
        connect: Callable[[Address, float], Connection] = Connection,
    ) -> None:
        self._address = address
        self._connect = connect
        self._token = token
        self._base = f"/apis/{names.API_VERSION}/namespaces/{namespace}"
        self._agent = agent
        self._idle: deque[tuple[float, Connection]] = deque()
        self._closed = False
        self.has_created = False
        """Whether an object was created over it: its creator has been heard of, then."""

    def connect(self) -> None:
        """Open a connection ahead of its use. Raises Unreachable."""
        self._put_idle(self._connect(self._address, REQUEST_TIMEOUT_SECONDS))

    def close(self) -> None:
        """Close the kept connections, and keep none from now on."""
        self._closed = True
        while self._idle:
            self._idle.pop()[1].close()

    def get(self, plural: str, name: str) -> JSONObject:
        """One object."""
        return self._send("GET", f"{self._base}/{plural}/{name}")

    def list_page(self, plural: str, selector: str, limit: int, token: str = "") -> JSONObject:
        """One page of a list; `metadata.continue` in it is the token of the next. Raises Gone on a
        stale token."""
        query = f"?labelSelector={selector}&limit={limit}" + (f"&continue={token}" if token else "")
        return self._send("GET", f"{self._base}/{plural}{query}")

    def names(self, plural: str, selector: str) -> set[str]:
        """Names of all objects that the selector chooses. Raises Gone when the list is too long in
        coming."""
        object_names: set[str] = set()
        token = ""
        while True:
            query = f"?labelSelector={selector}&limit={NAMES_LIMIT}" + (f"&continue={token}" if token else "")
            page = self._send("GET", f"{self._base}/{plural}{query}", accept=_NAMES_ONLY)
            for item in cast("list[Mapping[str, Mapping[str, str]]]", page["items"]):
                object_names.add(item["metadata"]["name"])
            token = cast("Mapping[str, str]", page["metadata"]).get("continue", "")
            if not token:
                return object_names

    def create(self, plural: str, body: JSONObject) -> None:
        """Create an object. Raises AlreadyExists."""
        self._send("POST", f"{self._base}/{plural}", body, _JSON, _METADATA_ONLY)
        self.has_created = True

    def add(self, plural: str, body: JSONObject) -> JSONObject:
        """Create an object, and return it as it is now. Raises AlreadyExists."""
        created = self._send("POST", f"{self._base}/{plural}", body, _JSON)
        self.has_created = True
        return created

    def ask(self, path: str, body: JSONObject) -> JSONObject:
        """Post a review, which is answered and not kept, to a path of another API group."""
        return self._send("POST", path, body, _JSON)

    def set_spec(self, plural: str, name: str, fields: Mapping[str, JSON]) -> None:
        """Set fields of an object's spec."""
        body: JSONObject = {"spec": dict(fields)}
        self._send("PATCH", f"{self._base}/{plural}/{name}", body, _MERGE_PATCH, _METADATA_ONLY)

    def set_status(self, plural: str, name: str, fields: Mapping[str, JSON]) -> None:
        """Set fields of an object's status, through the subresource, and remove those whose value
        is None."""
        self._send("PATCH", f"{self._base}/{plural}/{name}/status", _operations(fields), _JSON_PATCH, _METADATA_ONLY)

    def watch(self, plural: str, name: str, version: str, seconds: int, silence: float) -> Iterator[JSONObject]:
        """Events of one object since a resourceVersion, as the API server sends them, bookmarks
        too.

        The server ends it after `seconds`; a silence of `silence` seconds counts as a broken
        stream. Raises Unreachable and ApiError, Gone among them, also in the middle.
        """
        target = (
            f"{self._base}/{plural}?watch=1&fieldSelector=metadata.name%3D{name}&resourceVersion={version}"
            f"&allowWatchBookmarks=true&timeoutSeconds={seconds}"
        )
        connection = self._connect(self._address, silence)
        try:
            response, lines = connection.stream(target, self._headers(_JSON))
            if response.status != 200:
                raise _response_error(f"GET {target}", response)
            for line in lines:
                event = json.loads(line)
                if event["type"] == "ERROR":
                    raise _event_error(f"GET {target}", event["object"])
                yield event
        finally:
            connection.close()

    def _send(
        self, method: str, target: str, body: JSON = None, content_type: str = "", accept: str = _JSON
    ) -> JSONObject:
        headers = self._headers(accept)
        content = b""
        if body is not None:
            headers["Content-Type"] = content_type
            content = json.dumps(body, separators=(",", ":")).encode("ascii")
        response = self._exchange(method, target, headers, content)
        if not 200 <= response.status < 300:
            raise _response_error(f"{method} {target}", response)
        try:
            document = json.loads(response.body)
        except ValueError as error:
            raise Unreachable(f"{method} {target}: the answer isn't JSON: {error}") from error
        if not isinstance(document, dict):
            raise Unreachable(f"{method} {target}: the answer isn't an object")
        return document

    def _exchange(self, method: str, target: str, headers: dict[str, str], content: bytes) -> Response:
        idle = self._take_idle()
        if idle is not None:
            try:
                response = idle.request(method, target, headers, content)
            except Unreachable:
                pass  # Closed by the server while idle, as it may: say it again on a fresh one.
            else:
                self._put_idle(idle)
                return response
        connection = self._connect(self._address, REQUEST_TIMEOUT_SECONDS)
        response = connection.request(method, target, headers, content)
        self._put_idle(connection)
        return response

    def _take_idle(self) -> Connection | None:
        while True:
            try:
                since, connection = self._idle.pop()
            except IndexError:
                return None
            if connection.reusable and time.monotonic() - since < IDLE_SECONDS:
                return connection
            connection.close()

    def _put_idle(self, connection: Connection) -> None:
        if connection.reusable and not self._closed:
            self._idle.append((time.monotonic(), connection))
        else:
            connection.close()

    def _headers(self, accept: str) -> dict[str, str]:
        return {"Authorization": f"Bearer {self._token()}", "Accept": accept, "User-Agent": self._agent}


def _operations(fields: Mapping[str, JSON]) -> JSON:
    """A JSON Patch. Not a merge patch: that would drop each null in an output, and mix an error
    with an earlier one."""
    operations: list[JSON] = []
    for field, value in fields.items():
        path = f"/status/{field}"
        operations.append({"op": "add", "path": path, "value": value})
        if value is None:
            # Removing what isn't there is an error, so it is put there first.
            operations.append({"op": "remove", "path": path})
    return operations


def _event_error(request: str, status: Mapping[str, JSON]) -> ApiError:
    """The error that ends a watch whose answer was 200 already."""
    code = status.get("code")
    return error_for(
        request,
        code if isinstance(code, int) else 500,
        str(status.get("reason") or ""),
        str(status.get("message") or ""),
    )


def _response_error(request: str, response: Response) -> ApiError:
    """The error in an answer: a Kubernetes Status, or whatever a proxy in between made of it."""
    reason, message, wait = "", response.body[:500].decode("utf-8", "replace"), 0.0
    try:
        status: JSON = json.loads(response.body)
    except ValueError:
        status = None
    if isinstance(status, dict):
        reason, message = str(status.get("reason") or ""), str(status.get("message") or "")
    try:
        wait = float(response.headers.get("retry-after", "0"))
    except ValueError:
        pass  # A date: the usual backoff will do.
    return error_for(request, response.status, reason, message, wait)
