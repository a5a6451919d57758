from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

import pytest
from fastapi.testclient import TestClient
from tests.unit.server.shop import Shop

from application_sdk.engines.local.limits import Limits as EngineLimits
from application_sdk.engines.local.run_store import RunStore
from application_sdk.engines.local.source import source_of
from application_sdk.handler.discovery import handlers_of
from application_sdk.server.application import Service, create_application
from application_sdk.server.limits import Limits
from application_sdk.server.local_runs import LocalRuns
from application_sdk.server.serving import manifest_as_json

BODY_BYTES = 20_000


@pytest.fixture
def runs(tmp_path: Path) -> Iterator[LocalRuns]:
    with contextlib.closing(LocalRuns(RunStore(tmp_path), Shop, source_of(Shop), EngineLimits())) as found:
        yield found


@pytest.fixture
def client(runs: LocalRuns) -> Iterator[TestClient]:
    limits = Limits(body_bytes=BODY_BYTES, call_seconds=5, wait_seconds=30)
    service = Service(Shop, handlers_of(Shop), runs, manifest_as_json(Shop), limits=limits)
    with TestClient(create_application(service), raise_server_exceptions=False) as found:
        yield found
