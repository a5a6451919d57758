"""Runs that are started, looked at and stopped over HTTP, on the local engine."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

from fastapi.testclient import TestClient
from tests.unit.server.shop import Shop

from application_sdk.engines.local.limits import Limits
from application_sdk.engines.local.run_store import Home
from application_sdk.engines.local.runs import Order, begin
from application_sdk.engines.local.source import source_of
from application_sdk.server.local_runs import LocalRuns


def start(client: TestClient, body: dict[str, Any], key: str = "", status: int = 200) -> dict[str, Any]:
    answer = client.post("/workflows/v1/start", json=body, headers={"Idempotency-Key": key} if key else {})
    assert answer.status_code == status, answer.text
    found: dict[str, Any] = answer.json()
    return found["data"] if status == 200 else found["error"]  # type: ignore[no-any-return]


def result(client: TestClient, run: str) -> dict[str, Any]:
    return client.get(f"/workflows/v1/result/{run}", params={"wait": True}).json()  # type: ignore[no-any-return]


def test_a_run_is_started_and_its_result_waited_for(client: TestClient) -> None:
    run = start(client, {"items": ["a", "b"]})
    done = result(client, run["workflow_id"])
    assert done["data"] == {
        "workflow_id": run["workflow_id"], "status": "completed", "result": {"lines": 2}, "error": None
    }  # fmt: skip
    state = client.get(f"/workflows/v1/status/{run['workflow_id']}").json()["data"]
    assert (state["status"], state["phase"], state["tasks_done"]) == ("COMPLETED", "Succeeded", 1)


def test_requests_with_one_key_start_one_run(client: TestClient) -> None:
    first = start(client, {"items": ["a"]}, key="order-7")
    again = start(client, {"items": ["a"]}, key="order-7")
    assert (first["created"], again["created"]) == (True, False)
    assert first["run_id"] == again["run_id"]


def test_a_request_is_repeated_after_its_run_has_begun(client: TestClient) -> None:
    first = start(client, {"items": ["a"]}, key="order-7")
    result(client, first["workflow_id"])
    again = start(client, {"items": ["a"]}, key="order-7")
    assert (again["created"], again["run_id"]) == (False, first["run_id"])
    # A run that has begun has its defaults filled in. They are still not what was asked for.
    start(client, {"items": ["a"], "wait": 0}, key="order-7", status=409)


def test_a_key_that_was_used_with_another_input_is_refused(client: TestClient) -> None:
    start(client, {"items": ["a"]}, key="order-7")
    found = start(client, {"items": ["b"]}, key="order-7", status=409)
    assert (found["code"], "use another key" in found["message"]) == ("NameTaken", True)


def test_an_input_that_doesnt_fit_is_refused_with_the_path_of_each_fault(client: TestClient) -> None:
    found = start(client, {"items": ["a"] * 6, "wait": "long"}, status=422)
    assert found["code"] == "InvalidInput"
    assert [fault["field"] for fault in found["faults"]] == ["items", "wait"]


def test_credentials_beside_an_input_are_not_kept(client: TestClient, tmp_path: Path) -> None:
    body = {"items": ["a"], "credentials": [{"key": "password", "value": "open sesame"}]}
    result(client, start(client, body)["workflow_id"])
    kept = b"".join(path.read_bytes() for path in tmp_path.rglob("*") if path.is_file())
    assert b"items" in kept
    assert b"open sesame" not in kept


def test_a_failed_run_tells_why(client: TestClient) -> None:
    done = result(client, start(client, {"items": ["bomb"]})["workflow_id"])
    assert (done["success"], done["data"]["status"]) == (False, "failed")
    assert "no bombs" in done["data"]["error"]["message"]


def test_a_run_that_works_is_running_and_can_be_stopped(client: TestClient) -> None:
    run = start(client, {"items": ["a"], "wait": 60})["workflow_id"]
    assert client.get(f"/workflows/v1/result/{run}").json()["data"]["status"] == "running"
    client.post(f"/workflows/v1/stop/{run}")
    assert result(client, run)["data"]["status"] == "canceled"


def test_a_run_that_isnt_there_is_not_found(client: TestClient) -> None:
    assert client.get("/workflows/v1/status/nope").status_code == 404
    assert client.get("/workflows/v1/status/..%2Fetc").json()["error"]["faults"][0]["field"] == "workflow_id"


def test_an_id_of_an_earlier_run_of_that_name_is_not_found(client: TestClient) -> None:
    run = start(client, {"items": []})
    good = client.get(f"/workflows/v1/status/{run['workflow_id']}/{run['run_id']}")
    assert good.status_code == 200
    assert client.get(f"/workflows/v1/status/{run['workflow_id']}/another").status_code == 404


def test_the_manifest_has_the_input_contract(client: TestClient) -> None:
    found = client.get("/workflows/v1/manifest").json()["data"]
    assert found["entrypoints"]["run"]["input"]["properties"]["items"]["maxItems"] == 5


def test_a_server_goes_on_with_the_runs_that_its_last_life_left(tmp_path: Path) -> None:
    home = Home(tmp_path)
    begin(home, "left", Order(source_of(Shop), "shop", "run", {"items": ["a"]}))
    runs = LocalRuns(home, Shop, source_of(Shop), Limits())
    runs.go_on()
    until = time.monotonic() + 30
    while runs.look("left").state.status == "RUNNING" and time.monotonic() < until:
        time.sleep(0.05)
    runs.close()
    assert runs.look("left").output == {"lines": 1}
