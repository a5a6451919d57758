"""The OpenAPI document: true under thousands of odd requests, and good enough to make a client from."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient
from hypothesis import HealthCheck, given, settings
from tests.unit.server.conftest import BODY_BYTES

pytestmark = pytest.mark.filterwarnings("default")


@pytest.fixture
def document(client: TestClient) -> dict[str, Any]:
    return client.get("/openapi.json").json()  # type: ignore[no-any-return]


@pytest.mark.slow
def test_odd_requests_are_answered_as_the_document_says(client: TestClient) -> None:
    import schemathesis  # two seconds, which other workers of `make unit` needn't spend

    schema = schemathesis.openapi.from_asgi("/openapi.json", client.app)
    asked = 0
    for found in schema.get_all_operations():
        operation = found.ok()

        @given(case=operation.as_strategy())
        @settings(max_examples=15, deadline=None, suppress_health_check=list(HealthCheck), database=None)
        def ask(case: Any) -> None:
            nonlocal asked
            asked += 1
            if "wait" in (case.query or {}):
                case.query["wait"] = "false"
            response = case.call()
            if response.status_code == 413:  # no schema says how long a text that fits it may be
                assert len(response.request.body or b"") > BODY_BYTES
            else:
                case.validate_response(response)

        ask()
    assert asked > 100


@pytest.mark.slow
def test_a_client_can_be_made_from_the_document(document: dict[str, Any], tmp_path: Path) -> None:
    (tmp_path / "openapi.json").write_text(json.dumps(document))
    made = subprocess.run(
        [sys.executable, "-m", "openapi_python_client", "generate", "--path", "openapi.json", "--meta", "none",
         "--output-path", "shopclient", "--fail-on-warning"],
        cwd=tmp_path, env={**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert made.returncode == 0, made.stdout + made.stderr
    assert (tmp_path / "shopclient" / "api" / "default" / "start.py").is_file()


def test_questions_name_the_entry_points_that_they_may_be_of(document: dict[str, Any]) -> None:
    for question in ("AuthInput", "PreflightInput", "MetadataInput"):
        asked = document["components"]["schemas"][question]["properties"]["entrypoint"]
        assert asked["enum"] == ["", "run", "take-back"]
        assert asked["description"] == "The entry point that is asked about; empty for run"
