"""A real S3 server for the session, a bucket's prefix for each test, and a proxy that spoils what passes."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from tests.support.faulty import FaultyProxy, faulty_proxy
from tests.support.s3 import BUCKET, S3Server, s3_server

from application_sdk.storage.files import FileStorage, Place
from application_sdk.storage.keys import Scope
from application_sdk.storage.remote import RemoteStore

SCOPE = Scope("ns", "catalog", "uid-1", "chain-1")


@pytest.fixture(scope="session")
def s3(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Server]:
    with s3_server(tmp_path_factory.mktemp("s3")) as server:
        yield server


@pytest.fixture
def proxy(s3: S3Server) -> Iterator[FaultyProxy]:
    with faulty_proxy((s3.host, s3.port)) as found:
        yield found


@pytest.fixture
def prefix() -> str:
    """Where in the bucket the test's files are."""
    return f"t-{uuid.uuid4().hex[:8]}"


Opener = Callable[..., FileStorage]


@pytest.fixture
def opened(s3: S3Server, prefix: str, tmp_path: Path) -> Opener:
    """Opens the files of a run in that prefix: `opened("node1", endpoint=…, secret_access_key=…)`."""

    def open_files(
        node: str = "node1", endpoint: str | None = None, bucket: str = BUCKET, **changed: str
    ) -> FileStorage:
        options = {**s3.options(endpoint), **s3.secrets(), **changed}
        store = RemoteStore.open(f"s3://{bucket}/{prefix}", options)
        return FileStorage(SCOPE, Place("file:///nowhere", str(tmp_path / node)), store=store)

    return open_files
