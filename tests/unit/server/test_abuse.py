"""Requests that are made to cost more than they should, to read what they may not, or to have secrets told."""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient
from tests.unit.server.shop import Shop

from application_sdk.app import App, task
from application_sdk.contracts import FileReference, Input, Output
from application_sdk.engines.local.limits import Limits as EngineLimits
from application_sdk.engines.local.run_store import RunStore
from application_sdk.engines.local.source import source_of
from application_sdk.handler.discovery import handlers_of
from application_sdk.server.access import Action, Caller
from application_sdk.server.application import Service, create_application
from application_sdk.server.errors import Problem
from application_sdk.server.local_runs import LocalRuns
from application_sdk.server.serving import manifest_as_json

AUTH = "/workflows/v1/auth"
JSON = {"Content-Type": "application/json"}
MIB = 1024 * 1024


class Sheet(Input):
    file: FileReference = FileReference()


class Header(Output):
    text: str = ""


class Reader(App):
    """Reads the first line of a file, as connectors do with an uploaded table."""

    @task
    def header(self, input: Sheet) -> Header:
        return Header(text=Path(input.file.local_path or "").read_text().splitlines()[0])

    async def run(self, input: Sheet) -> Header:
        return await self.header(input)


@contextmanager
def served(app: type[App], home: Path, **changes: Any) -> Iterator[TestClient]:
    with closing(LocalRuns(RunStore(home), app, source_of(app), EngineLimits())) as runs:
        service = replace(Service(app, handlers_of(app), runs, manifest_as_json(app)), **changes)
        with TestClient(create_application(service), raise_server_exceptions=False) as client:
            yield client


@pytest.fixture
def shop(tmp_path: Path) -> Iterator[TestClient]:
    with served(Shop, tmp_path) as client:
        yield client


def test_a_path_that_a_caller_names_is_refused(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("open sesame")
    with served(Reader, tmp_path / "home") as client:
        answer = client.post("/workflows/v1/start", json={"file": {"local_path": str(tmp_path / "secret")}})
    assert answer.status_code == 422, answer.text
    (fault,) = answer.json()["error"]["faults"]
    assert fault["field"] == "file.local_path"
    assert "Store the file, and give a reference" in fault["problem"]


@pytest.mark.parametrize("parts", [[{}] * 250_000, [{"key": "k"}] * 80_000, ["x"] * 200_000])
def test_a_list_of_wrong_credentials_gets_a_short_answer(shop: TestClient, parts: list[Any]) -> None:
    begun = time.monotonic()
    answer = shop.post(AUTH, content=json.dumps({"credentials": parts}, separators=(",", ":")), headers=JSON)
    assert answer.status_code == 422
    assert len(answer.content) < 10_000
    assert 1 <= len(answer.json()["error"]["faults"]) <= 20
    assert time.monotonic() - begun < 5


def test_many_unknown_fields_are_told_in_one_short_line(shop: TestClient, caplog: pytest.LogCaptureFixture) -> None:
    answer = shop.post("/workflows/v1/start", json={f"f{number}": 1 for number in range(15_000)})
    assert answer.status_code == 200
    (told,) = [line for line in caplog.messages if line.startswith("Basket has no field")]
    assert "and 14990 more: left out of the input" in told
    assert len(told) < 1000


def test_a_body_that_no_run_may_have_is_not_looked_into(shop: TestClient) -> None:
    answer = shop.post("/workflows/v1/start", json={f"field{number}": 1 for number in range(60_000)})
    assert (answer.status_code, answer.json()["error"]["faults"]) == (422, [])
    assert "bytes" in answer.json()["error"]["message"]


def test_a_long_name_is_cut_in_the_log(shop: TestClient, caplog: pytest.LogCaptureFixture) -> None:
    assert shop.post("/workflows/v1/start", json={"x" * 100_000: 1}).status_code == 200
    assert max(map(len, caplog.messages)) < 3_000


@pytest.mark.parametrize("depth", [900, 5_000, 400_000])
def test_a_nested_body_is_refused_or_read_and_no_fault(shop: TestClient, depth: int) -> None:
    nested = "[" * depth + "]" * depth
    for path, body in (("start", f'{{"items": {nested}}}'), ("check", f'{{"connection_config": {{"a": {nested}}}}}')):
        answer = shop.post(f"/workflows/v1/{path}", content=body, headers=JSON)
        assert answer.status_code in (200, 400, 422), answer.text
        assert len(answer.content) < 10_000


@pytest.mark.parametrize("sizes", [[40_000], [30_000] * 6])
def test_credentials_larger_than_any_are_refused(shop: TestClient, sizes: list[int]) -> None:
    parts = [{"key": f"k{number}", "value": "v" * size} for number, size in enumerate(sizes)]
    answer = shop.post(AUTH, json={"credentials": parts})
    assert (answer.status_code, answer.json()["error"]["message"]) == (
        422, "the credentials are too large: see `faults`"
    )  # fmt: skip


@pytest.mark.parametrize("key", ["url", "host"])
def test_an_address_with_a_password_is_masked(shop: TestClient, caplog: pytest.LogCaptureFixture, key: str) -> None:
    caplog.set_level(logging.WARNING)
    parts = {key: "postgres://u:hunter2secret@h/db", "refuse": "", "password": "hunter2secret"}
    answer = shop.post(AUTH, json={"credentials": [{"key": name, "value": value} for name, value in parts.items()]})
    assert (answer.status_code, answer.json()["error"]["message"]) == (409, "[redacted] refuses [redacted]")
    assert "refuses" in caplog.text
    assert "hunter2secret" not in caplog.text


def test_a_url_without_a_password_is_masked_too(shop: TestClient) -> None:
    parts = [{"key": "url", "value": "https://h/?token=a-t0ken"}, {"key": "refuse", "value": ""}]
    answer = shop.post(AUTH, json={"credentials": parts})
    assert answer.json()["error"]["message"] == "[redacted] refuses None"


class Doorkeeper:
    """Lets those in who say the word, and counts the others."""

    def __init__(self) -> None:
        self.actions: list[Action] = []

    def recall(self, authorization: str, action: Action, run: str = "") -> Caller | None:
        self.actions.append(action)
        if authorization != "Bearer word":
            raise Problem("Unauthenticated", "say the word")
        return None

    def check(self, authorization: str, action: Action, run: str = "") -> Caller:
        return Caller("friend")


def test_the_document_is_behind_the_same_door(tmp_path: Path) -> None:
    door = Doorkeeper()
    with served(Shop, tmp_path, access=door) as client:
        assert client.get("/openapi.json").status_code == 401
        known = client.get("/openapi.json", headers={"Authorization": "Bearer word"})
        assert known.json()["paths"]["/workflows/v1/start"]
        assert [client.get(path).status_code for path in ("/health", "/ready")] == [200, 200]
        assert [client.get(path).status_code for path in ("/docs", "/redoc")] == [404, 404]
    assert door.actions == ["describe", "describe"]


def test_a_stranger_s_body_is_not_read(tmp_path: Path) -> None:
    with served(Shop, tmp_path, access=Doorkeeper()) as client:
        for body in ("{", "[" * 100_000, '{"credentials": 3}', " " * (MIB + 1)):
            assert client.post(AUTH, content=body, headers=JSON).status_code == 401


def test_a_caller_beyond_those_that_are_checked_is_sent_away(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("application_sdk.server.guarded.CHECKS_WAITING", -8)
    with served(Shop, tmp_path, access=Doorkeeper()) as client:
        answer = client.post(AUTH, json={}, headers={"Authorization": "Bearer word"})
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "1")


LOCAL = {"Host": "127.0.0.1:8000"}


@pytest.fixture
def laptop(tmp_path: Path) -> Iterator[TestClient]:
    with served(Shop, tmp_path, hosts=frozenset({"workbench"})) as client:
        yield client


@pytest.mark.parametrize(
    "host", ["127.0.0.1:8000", "localhost:8000", "LOCALHOST", "[::1]:8000", "shop.localhost:8000", "workbench:8000"]
)
def test_this_machine_s_names_are_served(laptop: TestClient, host: str) -> None:
    assert laptop.get("/health", headers={"Host": host}).status_code == 200
    own = {"Host": host, "Origin": f"http://{host}", "Sec-Fetch-Site": "same-origin"}
    assert laptop.post(AUTH, json={}, headers=own).status_code == 401, "the handler was asked"


@pytest.mark.parametrize(
    "host",
    ["evil.example", "evil.example:8000", "localhost.evil.example", "127.0.0.1.evil.example", "", "[bad", "10.0.0.1"],
)
def test_a_name_that_leads_here_is_not_served(laptop: TestClient, host: str) -> None:
    for method, path in (("GET", "/workflows/v1/manifest"), ("GET", "/openapi.json"), ("POST", "/workflows/v1/stop/r")):
        answer = laptop.request(method, path, headers={"Host": host})
        assert (answer.status_code, answer.json()["error"]["code"]) == (403, "Forbidden")
    assert "Ask it as localhost or 127.0.0.1" in answer.json()["error"]["message"]


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "https://evil.example"},
        {"Origin": "null"},
        {"Origin": "http://localhost:3000"},
        {"Origin": "https://127.0.0.1:8000"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
    ],
)
def test_another_site_s_page_changes_nothing(laptop: TestClient, headers: dict[str, str]) -> None:
    for method, path in (("POST", "/workflows/v1/stop/r"), ("POST", "/workflows/v1/start"), ("OPTIONS", AUTH)):
        answer = laptop.request(method, path, headers={**LOCAL, **headers}, content=b"{}")
        assert (answer.status_code, answer.json()["error"]["code"]) == (403, "Forbidden")
        assert not [name for name in answer.headers if name.startswith("access-control")]
    assert "could do so without your knowledge" in answer.json()["error"]["message"]


def test_a_program_without_an_origin_is_served(laptop: TestClient) -> None:
    assert laptop.post("/workflows/v1/start", json={"items": ["tea"]}, headers=LOCAL).status_code == 200
