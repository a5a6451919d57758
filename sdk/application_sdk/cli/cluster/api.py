"""Requests to the API server in the person's name: JSON in, JSON out, errors by meaning and with a remedy.

Works on the driver's HTTP connection: it is as good here, and takes milliseconds to import.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, Final, TypeAlias, cast
from urllib.parse import quote, urlencode

from application_sdk.cli.cluster.errors import (
    ClusterError,
    NoClusterError,
    NotAllowedError,
    NotInstalledError,
    ObjectNotFoundError,
    RefusedError,
    TakenError,
)
from application_sdk.engines.kubernetes.connection import Connection, Response
from application_sdk.engines.kubernetes.errors import Unreachable
from application_sdk.wire import names

if TYPE_CHECKING:
    from application_sdk.cli.cluster.access import Access

# What the API server sends is read field by field by those who know the kind.
Object: TypeAlias = dict[str, Any]
Body: TypeAlias = Object | list[Object]
"""What is sent: an object or a part of one, or the operations of a JSON patch."""

TIMEOUT_SECONDS: Final = 15.0
PAGE: Final = 500
SILENCE_SECONDS: Final = 90.0
WATCH_SECONDS: Final = 240
MANAGER: Final = "apprun"
GROUP: Final = f"/apis/{names.API_VERSION}"
CORE: Final = "/api/v1"

_JSON: Final = "application/json"


class ApiRefusal(Exception):
    """An answer other than 2xx, before it is known what was asked for. Doesn't leave this module but by `raw`."""

    def __init__(self, status: int, body: Mapping[str, Any], text: str) -> None:
        super().__init__(text)
        self.status = status
        self.reason = str(body.get("reason") or "")
        self.text = text
        self.details = cast("Mapping[str, Any]", body.get("details") or {})


class Api:
    """One API server, one person. Not to be shared between threads: `new_connection` gives another one."""

    def __init__(self, access: Access, timeout: float = TIMEOUT_SECONDS) -> None:
        self.access = access
        self._timeout = timeout
        self._connection: Connection | None = None
        self.date = ""
        """The server's clock in its last answer, as HTTP writes it."""

    def __del__(self) -> None:
        # A verb ends in many ways; with the last that knows of it the connection ends.
        if self._connection is not None:
            self._connection.close()

    def new_connection(self) -> Api:
        """The same server and identity over a new connection, for another thread."""
        return Api(self.access, self._timeout)

    def path(self, plural: str, name: str = "", namespace: str | None = None, group: str = GROUP) -> str:
        """Of a resource in a namespace: the person's unless given, and of all when that is empty."""
        chosen = self.access.namespace if namespace is None else namespace
        scope = f"/namespaces/{quote(chosen)}" if chosen else ""
        return f"{group}{scope}/{plural}" + (f"/{quote(name)}" if name else "")

    def get(self, path: str) -> Object:
        """One object."""
        return self._send("GET", path)

    def find(self, path: str) -> Object | None:
        """One object, or None."""
        try:
            return self.get(path)
        except ObjectNotFoundError:
            return None

    def items(self, path: str, selector: str = "") -> list[Object]:
        """All objects of a list, page by page."""
        return self.listing(path, selector)[0]

    def listing(self, path: str, selector: str = "") -> tuple[list[Object], str]:
        """All objects of a list, and the version from which a watch goes on."""
        items: list[Object] = []
        token = ""
        while True:
            page = self._send("GET", path, {"labelSelector": selector, "limit": str(PAGE), "continue": token})
            items += page.get("items") or []
            metadata = page.get("metadata") or {}
            token = metadata.get("continue") or ""
            if not token:
                return items, str(metadata.get("resourceVersion") or "")

    def create(self, path: str, body: Object, *, dry_run: bool = False) -> Object:
        """Create an object."""
        return self._send("POST", path, _writing(dry_run), body)

    def apply(self, path: str, body: Object, *, dry_run: bool = False, force: bool = False) -> Object:
        """Server-side apply."""
        query = {**_writing(dry_run), "force": "true" if force else ""}
        return self._send("PATCH", path, query, body, "application/apply-patch+yaml")

    def merge(self, path: str, body: Object) -> Object:
        """Merge-patch an object."""
        return self._send("PATCH", path, _writing(False), body, "application/merge-patch+json")

    def write_status(self, path: str, status: Object) -> Object:
        """Replace an object's whole status. Merging would drop the nulls inside an output."""
        operations = [{"op": "add", "path": "/status", "value": status}]
        return self._send("PATCH", f"{path}/status", _writing(False), operations, "application/json-patch+json")

    def delete(self, path: str) -> None:
        """Delete an object; one that is gone is no error."""
        try:
            self._send("DELETE", path)
        except ObjectNotFoundError:
            pass

    def watch(self, path: str, version: str, selector: str = "", field: str = "") -> Iterator[Object]:
        """Events since a version until the server ends the stream. Raises Unreachable when it breaks, ApiRefusal when
        the server ends it with an error."""
        query = {
            "watch": "1",
            "labelSelector": selector,
            "fieldSelector": field,
            "resourceVersion": version,
            "allowWatchBookmarks": "true",
            "timeoutSeconds": str(WATCH_SECONDS),
        }
        for line in self.stream(path, query):
            event = json.loads(line)
            if event["type"] == "ERROR":
                status = event["object"]
                raise ApiRefusal(int(status.get("code") or 500), status, str(status.get("message") or ""))
            yield event

    def stream(self, path: str, query: Mapping[str, str], silence: float = SILENCE_SECONDS) -> Iterator[bytes]:
        """An answer line by line, over a connection of its own. Raises Unreachable and ApiRefusal."""
        connection = Connection(self.access.address, silence)
        try:
            response, lines = connection.stream(self._target(path, query), self._headers())
            if response.status != 200:
                raise _refusal(response)
            yield from lines
        finally:
            connection.close()

    def raw(self, method: str, path: str, query: Mapping[str, str] | None = None, body: Body | None = None,
            content_type: str = _JSON) -> Object:  # fmt: skip
        """A request whose refusals the caller reads itself. Raises ApiRefusal and Unreachable."""
        headers, content = self._headers(), b""
        if body is not None:
            headers["Content-Type"] = content_type
            content = json.dumps(body, separators=(",", ":")).encode()
        response = self._exchange(method, self._target(path, query or {}), headers, content)
        self.date = response.headers.get("date", "")
        if not 200 <= response.status < 300:
            raise _refusal(response)
        try:
            answer: object = json.loads(response.body) if response.body else {}
        except ValueError as error:
            raise Unreachable(f"the answer isn't JSON: {response.body[:200]!r}") from error
        return cast("Object", answer) if isinstance(answer, dict) else {}

    def _send(self, method: str, path: str, query: Mapping[str, str] | None = None, body: Body | None = None,
              content_type: str = _JSON) -> Object:  # fmt: skip
        try:
            return self.raw(method, path, query, body, content_type)
        except Unreachable as error:
            raise unreachable(self.access, error) from error
        except ApiRefusal as refusal:
            raise explained(self.access, refusal, path) from refusal

    def _exchange(self, method: str, target: str, headers: dict[str, str], content: bytes) -> Response:
        kept, self._connection = self._connection, None
        if kept is not None and kept.reusable:
            try:
                response = kept.request(method, target, headers, content)
            except Unreachable:
                # Closed while it was idle, as servers may. What changes something isn't said twice.
                if method != "GET":
                    raise
            else:
                self._connection = kept
                return response
        connection = Connection(self.access.address, self._timeout)
        response = connection.request(method, target, headers, content)
        self._connection = connection
        return response

    def _target(self, path: str, query: Mapping[str, str]) -> str:
        encoded = urlencode({name: value for name, value in query.items() if value})
        return f"{self.access.base}{path}" + (f"?{encoded}" if encoded else "")

    def _headers(self) -> dict[str, str]:
        try:
            return {**self.access.headers(), "Accept": _JSON, "User-Agent": "apprun"}
        except (OSError, ValueError) as error:
            raise NoClusterError(f"the credentials of context {self.access.context!r} can't be had: {error}") from error


def unreachable(access: Access, error: Unreachable) -> NoClusterError:
    """For people: which server, whose configuration, what to look at."""
    return NoClusterError(
        f"the API server of context {access.context!r}, {access.server}, doesn't answer: {error}. Is the cluster up,"
        " and is this the right --context? `kubectl cluster-info` asks the same server"
    )


def explained(access: Access, refusal: ApiRefusal, path: str) -> ClusterError:
    """A refusal as an error with a remedy."""
    server = f"context {access.context!r}"
    if refusal.status == 401:
        return NotAllowedError(
            f"the API server of {server} doesn't accept these credentials: {refusal.text}. Log in again, or choose"
            " another --context"
        )
    if refusal.status == 403 and "forbidden" in refusal.text.lower() and "ValidatingAdmission" not in refusal.text:
        return NotAllowedError(
            f"not allowed: {refusal.text}. Somebody who administers namespace {access.namespace!r} can let you:"
            f" kubectl create rolebinding apprun-YOU -n {access.namespace} --clusterrole=edit --user=YOU"
            " (`view` is enough to look)"
        )
    if refusal.status == 404:
        return _not_found(access, refusal, path)
    if refusal.status == 409:
        return TakenError(_conflict(refusal))
    if refusal.status in (400, 403, 413, 422):
        return RefusedError(f"the API server doesn't take it: {refusal.text}")
    return NoClusterError(
        f"the API server of {server} can't answer now ({refusal.status} {refusal.reason}): {refusal.text}. Try again"
        " in a moment"
    )


def _not_found(access: Access, refusal: ApiRefusal, path: str) -> ClusterError:
    kind, name = refusal.details.get("kind"), refusal.details.get("name")
    if path.startswith(f"/apis/{names.GROUP}/") and not name:
        return NotInstalledError(
            f"AppRun isn't installed on the cluster of context {access.context!r}: it serves no {names.API_VERSION}."
            " Install the chart (`helm install apprun charts/apprun -n apprun-system --create-namespace`), or choose"
            " another --context. `apprun doctor` looks at all of it"
        )
    if kind == "namespaces":
        return ObjectNotFoundError(
            f"there is no namespace {name!r} on the cluster of context {access.context!r}: `kubectl create namespace"
            f" {name}`, or another -n"
        )
    return ObjectNotFoundError(f"{refusal.text} (context {access.context!r}, namespace {access.namespace!r})")


def _conflict(refusal: ApiRefusal) -> str:
    causes = [cause for cause in refusal.details.get("causes") or [] if cause.get("reason") == "FieldManagerConflict"]
    if not causes:
        return f"{refusal.text}"
    fields = "; ".join(f"{cause.get('field')}: {cause.get('message')}" for cause in causes)
    return (
        f"somebody else manages fields that this would change ({fields}). Change them there, in Git for example, or"
        " take them over with --force"
    )


def _writing(dry_run: bool) -> dict[str, str]:
    return {"fieldManager": MANAGER, "fieldValidation": "Strict", "dryRun": "All" if dry_run else ""}


def _refusal(response: Response) -> ApiRefusal:
    text = response.body[:2000].decode("utf-8", "replace").strip()
    try:
        answer: object = json.loads(response.body)
    except ValueError:
        answer = None
    body = answer if isinstance(answer, dict) else {}
    return ApiRefusal(response.status, body, str(body.get("message") or text or response.status))
