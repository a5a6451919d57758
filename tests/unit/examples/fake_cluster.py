"""A small Kubernetes API over real HTTP, its answers shaped as a cluster's.

It serves `core` (pods, secrets that nobody may list, events) and `apps` (deployments), pages lists, and keeps what is
created. Tests of the catalog talk to it; nothing of the catalog is replaced.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TypeAlias
from urllib.parse import parse_qs, urlsplit

from typing_extensions import override

Object: TypeAlias = dict[str, "str | int | bool | list[Object] | list[str] | Object | None"]

DEPLOYMENT_SCHEMA: Object = {
    "type": "object",
    "description": "A deployment.",
    "properties": {
        "metadata": {"$ref": "#/components/schemas/Meta", "description": "Standard metadata."},
        "replicas": {"type": "integer"},
        "more": {"type": "array", "items": {"type": "object", "properties": {"inner": {"description": "Deep."}}}},
        "self": {"allOf": [{"$ref": "#/components/schemas/Deployment"}]},
    },
    "x-kubernetes-group-version-kind": [{"group": "apps", "version": "v1", "kind": "Deployment"}],
}
META_SCHEMA: Object = {"type": "object", "properties": {"name": {"description": "Its name."}}}

RESOURCES: dict[str, list[Object]] = {
    "/api/v1": [
        {"name": "pods", "kind": "Pod", "namespaced": True, "verbs": ["get", "list"]},
        {"name": "pods/log", "kind": "Pod", "namespaced": True, "verbs": ["get"]},
        {"name": "secrets", "kind": "Secret", "namespaced": True, "verbs": ["list"]},
        {"name": "events", "kind": "Event", "namespaced": True, "verbs": ["list"]},
        {"name": "bindings", "kind": "Binding", "namespaced": True, "verbs": ["create"]},
    ],
    "/apis/apps/v1": [{"name": "deployments", "kind": "Deployment", "namespaced": True, "verbs": ["list"]}],
}
SCHEMAS: dict[str, Object] = {
    "/openapi/v3/apis/apps/v1": {"components": {"schemas": {"Deployment": DEPLOYMENT_SCHEMA, "Meta": META_SCHEMA}}}
}


def item(kind: str, name: str, *owners: str) -> Object:
    """Metadata of one object. Its UID is `<kind>/<name>`, and so are those of the owners."""
    references: list[Object] = [{"kind": uid.split("/")[0], "name": uid.split("/")[1], "uid": uid} for uid in owners]
    return {"metadata": {"name": name, "uid": f"{kind}/{name}", "ownerReferences": references}}


@dataclass
class FakeCluster:
    """What the API server holds, and what was done to it."""

    objects: dict[str, list[Object]] = field(default_factory=dict)
    """Items by collection path."""
    hidden: set[str] = field(default_factory=lambda: {"/api/v1/secrets"})
    """Collections that answer 403."""
    tells_remaining: bool = True
    """Whether lists say how many items remain."""
    created: list[Object] = field(default_factory=list)
    asked: list[tuple[str, str]] = field(default_factory=list)
    """Path and Accept header of every GET."""
    stumbles: list[int] = field(default_factory=list)
    """Statuses for the next answers, before all goes well again."""
    loses_next_answer: bool = False
    """The next POST is carried out, and its answer lost."""
    address: str = ""

    def answer(self, path: str, query: dict[str, list[str]]) -> tuple[int, Object]:
        if path == "/apis":
            preferred: Object = {"groupVersion": "apps/v1", "version": "v1"}
            return 200, {"groups": [{"name": "apps", "preferredVersion": preferred}]}
        if path in RESOURCES:
            return 200, {"resources": list(RESOURCES[path])}
        if path in SCHEMAS:
            return 200, SCHEMAS[path]
        if path in self.hidden:
            return 403, {"message": f"{path} is forbidden"}
        if path.startswith("/openapi"):
            return 404, {"message": "not found"}
        return 200, self._page(path, int(query["limit"][0]), int(query.get("continue", ["0"])[0]))

    def create(self, body: Object) -> int:
        names = {_name(each) for each in self.created}
        if _name(body) in names:
            return 409
        self.created.append(body)
        return 201

    def _page(self, path: str, limit: int, start: int) -> Object:
        there = self.objects.get(path, [])
        end = start + limit
        left = max(0, len(there) - end)
        metadata: Object = {"continue": str(end)} if left else {}
        if left and self.tells_remaining:
            metadata["remainingItemCount"] = left
        return {"metadata": metadata, "items": there[start:end] or None}


def _name(body: Object) -> object:
    metadata = body["metadata"]
    return metadata["name"] if isinstance(metadata, dict) else None


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    cluster: FakeCluster

    def do_GET(self) -> None:
        parts = urlsplit(self.path)
        self.cluster.asked.append((parts.path, self.headers["Accept"]))
        if self.cluster.stumbles:
            self._reply(self.cluster.stumbles.pop(0), {"message": "not now"})
        else:
            self._reply(*self.cluster.answer(parts.path, parse_qs(parts.query)))

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        code = self.cluster.create(body)
        if self.cluster.loses_next_answer:
            self.cluster.loses_next_answer = False
            self.close_connection = True
            return
        self._reply(code, {})

    @override
    def log_message(self, format: str, *args: object) -> None:
        pass

    def _reply(self, code: int, body: Object) -> None:
        text = json.dumps(body).encode()
        self.send_response(code)
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)


@contextmanager
def serving(cluster: FakeCluster) -> Iterator[FakeCluster]:
    """The cluster at an address of its own."""
    handler = type("Handler", (_Handler,), {"cluster": cluster})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    # Closing waits for the handlers, and so for every client to have closed its connection.
    server.daemon_threads = False
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    cluster.address = f"http://127.0.0.1:{server.server_address[1]}"
    try:
        yield cluster
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
