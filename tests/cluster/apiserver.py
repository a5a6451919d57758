"""A plain client of a real API server for tests that must speak as somebody in particular. Standard library and PyYAML.

It sends what it is told and returns what came back: no retries, no caching, so that a refusal is seen as it is.
"""

from __future__ import annotations

import base64
import contextlib
import http.client
import json
import os
import ssl
import tempfile
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import yaml

MERGE_PATCH = "application/merge-patch+json"
JSON_PATCH = "application/json-patch+json"
AGENT = "apprun-tests"
"""What it calls itself, in the API server's audit log too."""

Body = dict[str, Any] | list[dict[str, Any]]


@dataclass(frozen=True)
class Answer:
    """Status code and body of one answer."""

    code: int
    body: dict[str, Any]

    @property
    def message(self) -> str:
        """The API server's words, when it refused."""
        return str(self.body.get("message", ""))

    @property
    def allowed(self) -> bool:
        """Whether the API server did what it was asked."""
        return self.code < 300


@dataclass(frozen=True)
class Client:
    """One user's connection to the API server."""

    server: str
    context: ssl.SSLContext = field(repr=False)
    headers: tuple[tuple[str, str], ...] = field(default=(), repr=False)

    @classmethod
    def from_kubeconfig(cls, path: Path) -> Client:
        """The user of the current context."""
        config = yaml.safe_load(path.read_text("utf-8"))
        context = _named(config["contexts"], config["current-context"])["context"]
        user = _named(config["users"], context["user"])["user"]
        client = cls.without_credentials(path)
        if "token" in user:
            return client.with_token(user["token"])
        with tempfile.TemporaryDirectory() as folder:
            certificate, key = Path(folder, "crt"), Path(folder, "key")
            certificate.write_bytes(_material(user, "client-certificate", path))
            key.write_bytes(_material(user, "client-key", path))
            client.context.load_cert_chain(certificate, key)
        return client

    @classmethod
    def without_credentials(cls, path: Path) -> Client:
        """Nobody in particular, at the API server of the current context."""
        config = yaml.safe_load(path.read_text("utf-8"))
        context = _named(config["contexts"], config["current-context"])["context"]
        cluster = _named(config["clusters"], context["cluster"])["cluster"]
        authority = _material(cluster, "certificate-authority", path)
        return cls(cluster["server"], ssl.create_default_context(cadata=authority.decode()))

    def with_token(self, token: str) -> Client:
        """Whoever the token belongs to, on a connection without any other credentials."""
        return replace(self, headers=(("Authorization", f"Bearer {token}"),))

    def impersonating(self, user: str, group: str | None = None) -> Client:
        """Another user, by this one's right to impersonate."""
        groups = () if group is None else (("Impersonate-Group", group),)
        return replace(self, headers=(*self.headers, ("Impersonate-User", user), *groups))

    def get(self, path: str) -> Answer:
        """GET."""
        return self.send("GET", path)

    def create(self, path: str, body: dict[str, Any]) -> Answer:
        """POST to a collection."""
        return self.send("POST", path, body)

    def patch(self, path: str, body: dict[str, Any]) -> Answer:
        """Merge patch."""
        return self.send("PATCH", path, body, MERGE_PATCH)

    def json_patch(self, path: str, operations: list[dict[str, Any]]) -> Answer:
        """JSON patch: unlike a merge patch it can write null."""
        return self.send("PATCH", path, operations, JSON_PATCH)

    def delete(self, path: str) -> Answer:
        """DELETE, in the background."""
        return self.send(
            "DELETE", path, {"apiVersion": "v1", "kind": "DeleteOptions", "propagationPolicy": "Background"}
        )

    def send(self, method: str, path: str, body: Body | None = None, content_type: str = "application/json") -> Answer:
        """One request, one answer.

        Over a connection that the API server needn't close: one that it is asked to close it closes as soon as it has
        refused, though a body of more than 16 KiB is still being sent; then nobody hears its answer.
        """
        data = None if body is None else json.dumps(body).encode()
        headers = {"Content-Type": content_type, "Accept": "application/json", "User-Agent": AGENT}
        connection = http.client.HTTPSConnection(self.server.removeprefix("https://"), timeout=20, context=self.context)
        with contextlib.closing(connection):
            connection.request(method, path, data, headers | dict(self.headers))
            with connection.getresponse() as response:
                return Answer(response.status, json.load(response))


def kubeconfig() -> Path | None:
    """A kubeconfig of a bare API server with the chart installed, for work on the policies without a whole cluster.

    Never `KUBECONFIG` itself: nobody's own cluster is a test bed by accident.
    """
    path = os.environ.get("APPRUN_TEST_KUBECONFIG")
    return Path(path) if path else None


def _named(entries: list[dict[str, Any]], name: str) -> dict[str, Any]:
    return next(entry for entry in entries if entry["name"] == name)


def _material(section: dict[str, Any], key: str, config: Path) -> bytes:
    if f"{key}-data" in section:
        return base64.b64decode(section[f"{key}-data"])
    return (config.parent / section[key]).read_bytes()
