"""A real S3 server, versitygw, on an address of the test's own: what it stores are files below a folder."""

from __future__ import annotations

import os
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from hack.cluster.binaries import S3_PROGRAM, ensure

ACCESS_KEY = "test-access"
SECRET_KEY = "test-secret-a7f3c9"
BUCKET = "files"


@dataclass
class S3Server:
    """The server and its one bucket."""

    folder: Path
    host: str = "127.0.0.1"
    port: int = 0
    _process: subprocess.Popen[bytes] | None = field(default=None, repr=False)

    @property
    def endpoint(self) -> str:
        return f"http://{self.host}:{self.port}"

    @property
    def bucket(self) -> Path:
        return self.folder / BUCKET

    def options(self, endpoint: str | None = None) -> dict[str, str]:
        """What obstore needs beside the URL, secrets left out."""
        return {"endpoint": endpoint or self.endpoint, "region": "us-east-1"}

    def secrets(self) -> dict[str, str]:
        return {"access_key_id": ACCESS_KEY, "secret_access_key": SECRET_KEY}

    def objects(self, prefix: str = "") -> dict[str, int]:
        """Sizes of the stored objects, by key."""
        top = self.bucket / prefix
        return {
            str(place.relative_to(self.bucket)): place.stat().st_size
            for place in top.rglob("*")
            if place.is_file() and ".sgwtmp" not in place.parts
        }

    def start(self) -> None:
        self.bucket.mkdir(parents=True, exist_ok=True)
        self.port = self.port or free_port(self.host)
        environment = {**os.environ, "ROOT_ACCESS_KEY": ACCESS_KEY, "ROOT_SECRET_KEY": SECRET_KEY}
        self._process = subprocess.Popen(
            [ensure(S3_PROGRAM), "--port", f"{self.host}:{self.port}", "--quiet", "posix", str(self.folder)],
            env=environment,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        deadline = time.monotonic() + 60
        while not _answers(self.host, self.port):
            assert self._process.poll() is None, "versitygw ended at once"
            assert time.monotonic() < deadline, "versitygw doesn't answer"
            time.sleep(0.05)

    def stop(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None


@contextmanager
def s3_server(folder: Path, host: str = "127.0.0.1") -> Iterator[S3Server]:
    """A server for as long as the block lasts."""
    server = S3Server(folder, host)
    server.start()
    try:
        yield server
    finally:
        server.stop()


def free_port(host: str) -> int:
    """A port of that address that nobody listens on."""
    with socket.socket() as probe:
        probe.bind((host, 0))
        port: int = probe.getsockname()[1]
        return port


def _answers(host: str, port: int) -> bool:
    try:
        socket.create_connection((host, port), timeout=1).close()
    except OSError:
        return False
    return True
