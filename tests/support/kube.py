"""A small synchronous API client for tests: JSON in, JSON out, nothing cached, every call under a timeout."""

from __future__ import annotations

import base64
import json
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import urllib3
import yaml

# Objects come from a live API server and are asserted on field by field, hence Any.
Object = dict[str, Any]

T = TypeVar("T")

CORE = "/api/v1"
APPRUN = "/apis/apprun.dev/v1alpha1"


class ApiError(Exception):
    """The API server refused: `code` is the HTTP status, `reason` and the text are the Status object's."""

    def __init__(self, code: int, body: str) -> None:
        try:
            status = json.loads(body)
        except ValueError:
            status = {}
        self.code = code
        self.reason = status.get("reason", "")
        super().__init__(f"{code} {self.reason}: {status.get('message', body[:500])}")


@dataclass(frozen=True)
class Kube:
    """One identity at one API server."""

    server: str
    pool: urllib3.PoolManager
    headers: dict[str, str]

    @classmethod
    def from_kubeconfig(cls, path: Path) -> Kube:
        config = yaml.safe_load(path.read_text())
        context = next(c for c in config["contexts"] if c["name"] == config["current-context"])["context"]
        cluster = next(c for c in config["clusters"] if c["name"] == context["cluster"])["cluster"]
        user = next(u for u in config["users"] if u["name"] == context["user"])["user"]
        pool = urllib3.PoolManager(
            maxsize=64,
            ca_certs=_file(cluster, "certificate-authority"),
            cert_file=_file(user, "client-certificate"),
            key_file=_file(user, "client-key"),
            retries=False,
        )
        headers = {"Authorization": f"Bearer {user['token']}"} if "token" in user else {}
        return cls(cluster["server"], pool, headers)

    def request(self, method: str, path: str, body: Object | None = None, content: str = "application/json") -> Object:
        response = self.pool.request(
            method,
            self.server + path,
            body=None if body is None else json.dumps(body),
            headers={**self.headers, "Content-Type": content, "Accept": "application/json"},
            timeout=urllib3.Timeout(connect=5, read=30),
        )
        text = response.data.decode()
        if response.status >= 300:
            raise ApiError(response.status, text)
        result: Object = json.loads(text)
        return result

    def raw(self, path: str, seconds: float = 30) -> str:
        """What is there, as text. `seconds` may pass in silence."""
        return self.pool.request("GET", self.server + path, headers=self.headers, timeout=seconds).data.decode()

    def get(self, path: str) -> Object:
        return self.request("GET", path)

    def find(self, path: str) -> Object | None:
        try:
            return self.get(path)
        except ApiError as error:
            if error.code == 404:
                return None
            raise

    def items(self, path: str) -> list[Object]:
        listed: list[Object] = self.get(path)["items"]
        return listed

    def create(self, path: str, body: Object) -> Object:
        return self.request("POST", path, body)

    def merge(self, path: str, body: Object) -> Object:
        return self.request("PATCH", path, body, "application/merge-patch+json")

    def delete(self, path: str, **options: Any) -> None:
        try:
            self.request("DELETE", path, options or None)
        except ApiError as error:
            if error.code != 404:
                raise

    def watch(self, path: str, query: str = "", seconds: int = 60) -> Iterator[Object]:
        """Objects as they change, from now on; ends after `seconds`."""
        separator = "&" if "?" in path else "?"
        response = self.pool.request(
            "GET",
            f"{self.server}{path}{separator}watch=1&timeoutSeconds={seconds}{query}",
            headers=self.headers,
            timeout=urllib3.Timeout(connect=5, read=seconds + 10),
            preload_content=False,
        )
        try:
            for line in response:
                yield json.loads(line)
        finally:
            response.close()


def _file(entry: dict[str, str], field: str) -> str | None:
    """Path of a kubeconfig field that is either a path or inline base64 data."""
    if field in entry:
        return entry[field]
    if f"{field}-data" not in entry:
        return None
    with tempfile.NamedTemporaryFile(delete=False, suffix=".pem") as file:
        file.write(base64.b64decode(entry[f"{field}-data"]))
    return file.name


def eventually(what: str, probe: Callable[[], T | None], seconds: float = 60, every: float = 0.2) -> T:
    """The first true answer of `probe`. Connection errors count as "not yet", since tests kill the API server.

    The limit is a safety net against hanging forever, never an assertion about speed.
    """
    deadline = time.monotonic() + seconds
    last: object = None
    while time.monotonic() < deadline:
        try:
            if (found := probe()) or (found == 0 and found is not False):
                return found
            last = found
        except (urllib3.exceptions.HTTPError, ApiError) as error:
            last = error
        time.sleep(every)
    raise AssertionError(f"not within {seconds:g} s: {what} (last seen: {last!r})")
