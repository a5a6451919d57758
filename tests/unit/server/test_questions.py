"""What a handler is asked over HTTP, and what becomes of questions that are wrong, slow or fatal."""

from __future__ import annotations

import logging
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from fastapi.testclient import TestClient

AUTH = "/workflows/v1/auth"


def credentials(**parts: str) -> dict[str, Any]:
    return {"credentials": [{"key": key, "value": value} for key, value in parts.items()]}


def error(client: TestClient, path: str, body: object, status: int) -> dict[str, Any]:
    answer = client.post(path, json=body)
    assert answer.status_code == status, answer.text
    said: dict[str, Any] = answer.json()
    assert said["success"] is False
    return said["error"]  # type: ignore[no-any-return]


def test_good_credentials_are_said_to_be_good(client: TestClient) -> None:
    answer = client.post(AUTH, json=credentials(user="ada", password="open sesame")).json()
    assert answer["success"] is True
    assert answer["data"]["identities"] == ["ada"]


def test_bad_credentials_are_an_answer_and_no_error(client: TestClient) -> None:
    answer = client.post(AUTH, json=credentials(password="wrong"))
    assert (answer.status_code, answer.json()["success"], answer.json()["data"]["status"]) == (401, False, "failed")


def test_each_request_sees_its_own_credentials(client: TestClient) -> None:
    def ask(number: int) -> list[str]:
        body = credentials(user=f"u{number}", password="open sesame")
        return client.post(AUTH, json=body).json()["data"]["identities"]  # type: ignore[no-any-return]

    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(ask, range(40))) == [[f"u{n}"] for n in range(40)]


def test_a_preflight_tells_its_checks(client: TestClient) -> None:
    bad = client.post("/workflows/v1/check", json={"connection_config": {"host": "x"}}).json()
    good = client.post("/workflows/v1/check", json={"connection_config": {"host": "db"}}).json()
    assert (bad["success"], bad["data"]["host"]) == (
        False,
        {"success": False, "message": "no such host", "error": None},
    )
    assert good["success"] is True


def test_an_entry_point_with_a_handler_of_its_own_is_answered_by_it(client: TestClient) -> None:
    asked = {"entrypoint": "take-back", **credentials(document="the receipt", password="open sesame")}
    own = client.post("/workflows/v1/check", json=asked).json()
    assert (own["success"], own["status"]) == (True, "partial")
    assert own["message"] == "take-back: bring the receipt"
    assert client.post(AUTH, json=asked).json()["success"] is True, "what it doesn't answer is inherited"
    for name in ("", "run"):
        other = client.post("/workflows/v1/check", json={**asked, "entrypoint": name}).json()
        assert other["checks"][0]["name"] == "host"


def test_a_failure_names_the_handler_that_failed(client: TestClient) -> None:
    asked = {"entrypoint": "take-back", "connection_config": {"crash": 1}}
    assert (
        "ShopTakeBackHandler.preflight_check() raised RuntimeError"
        in (error(client, "/workflows/v1/check", asked, 500)["message"])
    )


def test_metadata_is_the_list_of_objects(client: TestClient) -> None:
    answer = client.post("/workflows/v1/metadata", json={}).json()
    assert answer["data"] == [{"TABLE_CATALOG": "db", "TABLE_SCHEMA": "public"}]


def test_a_handlers_error_has_its_status_and_its_words_without_the_password(client: TestClient) -> None:
    body = credentials(host="db.example", password="open sesame", refuse="yes")
    found = error(client, AUTH, body, 409)
    assert (found["code"], found["message"]) == ("HandlerError", "db.example refuses [redacted]")


def test_a_crash_is_told_by_its_type_and_logged_without_the_password(
    client: TestClient, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.ERROR, "apprun.server"):
        found = error(client, AUTH, credentials(password="open sesame", crash="yes"), 500)
    assert "ShopHandler.test_auth() raised RuntimeError. The server's log has more" in found["message"]
    assert "can't log in with [redacted]" in caplog.text
    assert "open sesame" not in caplog.text


def test_a_slow_handler_is_given_up_after_the_time_that_was_asked_for(client: TestClient) -> None:
    found = error(client, AUTH, {**credentials(slow="yes"), "timeout_seconds": 1}, 504)
    assert (found["code"], "hasn't answered in 1 s" in found["message"]) == ("TimedOut", True)


def test_a_handler_that_blocks_doesnt_block_the_probes(client: TestClient) -> None:
    with ThreadPoolExecutor(1) as pool:
        blocked = pool.submit(client.post, AUTH, json=credentials(block="yes"))
        assert client.get("/health").status_code == 200
        assert not blocked.done()
        assert blocked.result().status_code == 401


def test_json_that_is_none_is_refused_with_the_place(client: TestClient) -> None:
    answer = client.post(AUTH, content=b'{"credentials": [', headers={"content-type": "application/json"})
    assert answer.status_code == 400
    assert answer.json()["error"]["code"] == "MalformedJSON"


def test_a_wrong_field_is_named_and_its_value_is_not_told(client: TestClient) -> None:
    found = error(client, AUTH, {"credentials": [{"key": "password", "value": ["open sesame"]}]}, 422)
    assert found["faults"] == [{"field": "credentials.0.value", "problem": "Input should be a valid string"}]
    assert "open sesame" not in str(found)


def test_a_body_over_the_limit_is_refused_also_without_a_length(client: TestClient) -> None:
    def pieces() -> Any:
        for _ in range(30):
            yield b" " * 1000

    answer = client.post(AUTH, content=pieces(), headers={"content-type": "application/json"})
    assert (answer.status_code, answer.json()["error"]["code"]) == (413, "RequestTooLarge")


def test_an_entry_point_that_isnt_there_is_named(client: TestClient) -> None:
    found = error(client, AUTH, {"entrypoint": "nope"}, 400)
    assert "has no entry point 'nope'; it has run" in found["message"]


def test_a_path_that_isnt_there_is_refused_in_the_same_form(client: TestClient) -> None:
    answer = client.get("/workflows/v1/nothing")
    assert (answer.status_code, answer.json()["error"]["message"]) == (404, "there is no GET /workflows/v1/nothing")
    assert client.get(AUTH).json()["error"]["code"] == "MethodNotAllowed"
