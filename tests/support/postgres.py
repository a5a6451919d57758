"""A real PostgreSQL, Debian's, on an address of the test's own."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from hack.cluster.preflight import TEST_TOOLS, find_tool, missing_tools
from tests.support.s3 import free_port

USER = "extractor"
PASSWORD = "canary-pg-p4ss/word+7"
_ACCESS = """local all all trust
host all all all scram-sha-256
"""
# It may lose everything when the machine does.
_HASTY = ("-c", "fsync=off", "-c", "synchronous_commit=off", "-c", "full_page_writes=off")


@dataclass
class Postgres:
    """The server. Its superuser comes in through a socket, `USER` from everywhere with its password."""

    folder: Path
    host: str = "127.0.0.1"
    port: int = 0
    _process: subprocess.Popen[bytes] | None = field(default=None, repr=False)

    def secret(self, **changed: str) -> dict[str, str]:
        """The fields of the credential that the example takes."""
        login = {"host": self.host, "port": str(self.port), "username": USER, "password": PASSWORD}
        return {**login, "database": "postgres", **changed}

    def client(self, database: str = "postgres") -> subprocess.Popen[str]:
        """A session of the superuser's."""
        options = ("-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1", "-h", str(self.folder), "-p", str(self.port))
        return subprocess.Popen(
            [_program("psql"), *options, "-U", "postgres", "-d", database],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def sql(self, text: str, database: str = "postgres") -> list[str]:
        """What the superuser is told, line by line."""
        with self.client(database) as session:
            output, complaints = session.communicate(text, timeout=60)
        assert session.returncode == 0, complaints
        return output.splitlines()

    def create_database(self, name: str) -> None:
        """An empty database that `USER` may read."""
        self.sql(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")
        self.sql(f"CREATE DATABASE {name}")

    def make(self) -> None:
        """Its files, once."""
        self.port = self.port or free_port(self.host)
        self._run("initdb", "--no-sync", "--auth=trust", "--username=postgres", "--encoding=UTF8", "-D", self._data)
        (self.folder / "data" / "pg_hba.conf").write_text(_ACCESS)

    def start(self) -> None:
        options = ("-c", f"listen_addresses={self.host}", "-c", f"unix_socket_directories={self.folder}", *_HASTY)
        with (self.folder / "log").open("ab") as log:
            self._process = subprocess.Popen(
                [_program("postgres"), "-D", self._data, "-p", str(self.port), *options],
                stdout=log,
                stderr=log,
                **_identity(),
            )
        deadline = time.monotonic() + 60
        while subprocess.run([_program("pg_isready"), "-q", "-h", self.folder, "-p", str(self.port)]).returncode:
            assert self._process.poll() is None, (self.folder / "log").read_text()
            assert time.monotonic() < deadline, "PostgreSQL doesn't answer"
            time.sleep(0.05)

    def stop(self) -> None:
        """As a crash: sessions end at once."""
        if self._process is not None:
            self._process.send_signal(3)
            self._process.wait(60)
            self._process = None

    @property
    def _data(self) -> str:
        return str(self.folder / "data")

    def _run(self, program: str, *arguments: str) -> None:
        subprocess.run([_program(program), *arguments], check=True, capture_output=True, timeout=120, **_identity())


@contextmanager
def postgres_server(host: str = "127.0.0.1") -> Iterator[Postgres]:
    """A server for as long as the block lasts."""
    missing = missing_tools(TEST_TOOLS)
    assert not missing, "\n".join(each.text for each in missing)
    # Not below pytest's folder, which is closed to other users: the server doesn't run as root.
    folder = Path(tempfile.mkdtemp(prefix="apprun-pg-"))
    if os.geteuid() == 0:
        shutil.chown(folder, "postgres", "postgres")
    server = Postgres(folder, host)
    try:
        server.make()
        server.start()
        server.sql(f"CREATE ROLE {USER} LOGIN PASSWORD '{PASSWORD}'")
        yield server
    finally:
        server.stop()
        shutil.rmtree(folder)


def _program(name: str) -> str:
    program = find_tool(f"/usr/lib/postgresql/*/bin/{name}")
    assert program is not None, f"PostgreSQL's {name} isn't installed: hack/deps --tests"
    return program


def _identity() -> dict[str, Any]:
    """It refuses to run as root."""
    return {"user": "postgres", "group": "postgres", "extra_groups": []} if os.geteuid() == 0 else {}
