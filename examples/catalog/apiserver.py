"""The Kubernetes API over plain HTTP: JSON text in and out, one connection kept open, every call under a timeout.

Used by `reading.py` and `witness.py`. Standard library only, since a task pod has nothing else but pydantic.
`CATALOG_API_SERVER` replaces the pod's own API server by another address: with `kubectl proxy` on a laptop, or a fake
in a test, tasks run as plain methods.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from http.client import HTTPConnection, HTTPException, HTTPSConnection
from pathlib import Path
from ssl import create_default_context
from typing import Concatenate, Final, ParamSpec, TypeVar
from urllib.parse import urlsplit

JSON_TYPE: Final = "application/json"
METADATA_LIST: Final = "application/json;as=PartialObjectMetadataList;v=v1;g=meta.k8s.io"
"""Asks for the metadata of objects only: their contents never leave the API server."""

IDENTITY: Final = Path("/var/run/secrets/kubernetes.io/serviceaccount")
TIMEOUT_SECONDS: Final = 20.0
PAUSES_SECONDS: Final = (0.2, 0.5, 1.0, 2.0, 4.0)
BUSY: Final = frozenset({429, 500, 502, 503, 504})

P = ParamSpec("P")
T = TypeVar("T")


class Refused(Exception):
    """The API server's answer was an error: `code` is the HTTP status."""

    def __init__(self, method: str, path: str, code: int, text: str) -> None:
        self.code = code
        super().__init__(f"{method} {path}: {code} {text[:300]}")


def at_work(work: Callable[Concatenate[ApiServer, P], T], *args: P.args, **kwargs: P.kwargs) -> T:
    """Call `work` with the API server of this environment as its first argument."""
    with ApiServer.here() as api:
        return work(api, *args, **kwargs)


@dataclass
class ApiServer:
    """One API server as one identity. Not for use by two threads at a time."""

    address: str
    token: str = ""
    certificate: Path | None = None
    namespace: str = "default"
    pauses: tuple[float, ...] = PAUSES_SECONDS
    _connection: HTTPConnection | None = field(default=None, init=False, repr=False)

    @classmethod
    def here(cls, environment: Mapping[str, str] = os.environ) -> ApiServer:
        """The API server that this process is meant to talk to: the one named in the environment, else its pod's."""
        if address := environment.get("CATALOG_API_SERVER"):
            return cls(address, environment.get("CATALOG_TOKEN", ""))
        host, port = environment["KUBERNETES_SERVICE_HOST"], environment["KUBERNETES_SERVICE_PORT"]
        return cls(
            address=f"https://{f'[{host}]' if ':' in host else host}:{port}",
            token=(IDENTITY / "token").read_text().strip(),
            certificate=IDENTITY / "ca.crt",
            namespace=(IDENTITY / "namespace").read_text().strip(),
        )

    def get(self, path: str, accept: str = JSON_TYPE) -> bytes:
        """Return the body of an answer. Raises Refused, or OSError if there is no answer after several tries."""
        return self._send("GET", path, None, accept)

    def create(self, path: str, body: Mapping[str, object]) -> bool:
        """Create an object; return False if one of that name exists. After a lost answer, no second one is created."""
        try:
            self._send("POST", path, json.dumps(body).encode(), JSON_TYPE)
        except Refused as error:
            if error.code == 409:
                return False
            raise
        return True

    def __enter__(self) -> ApiServer:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the connection; the next call opens another."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _send(self, method: str, path: str, body: bytes | None, accept: str) -> bytes:
        for pause in self.pauses:
            try:
                return self._once(method, path, body, accept)
            except (OSError, HTTPException):
                self.close()
            except Refused as error:
                if error.code not in BUSY:
                    raise
            time.sleep(pause)
        return self._once(method, path, body, accept)

    def _once(self, method: str, path: str, body: bytes | None, accept: str) -> bytes:
        if self._connection is None:
            self._connection = self._connect()
        headers = {"Accept": accept, "Content-Type": JSON_TYPE}
        if self.token:
            headers["Authorization"] = f"Bearer {self.token}"
        self._connection.request(method, path, body, headers)
        response = self._connection.getresponse()
        answer = response.read()
        if response.status >= 300:
            raise Refused(method, path, response.status, answer.decode(errors="replace"))
        return answer

    def _connect(self) -> HTTPConnection:
        parts = urlsplit(self.address)
        if parts.scheme == "http":
            return HTTPConnection(parts.hostname or "", parts.port, timeout=TIMEOUT_SECONDS)
        trust = create_default_context(cafile=str(self.certificate) if self.certificate else None)
        return HTTPSConnection(parts.hostname or "", parts.port, timeout=TIMEOUT_SECONDS, context=trust)
