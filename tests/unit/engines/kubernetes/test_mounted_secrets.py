"""What is mounted into a pod is a secret from its first moment, whoever reads it."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.support.pods import PodProcess, call
from tests.support.wire_server import Request, WireServer

from application_sdk.engines.kubernetes.mounted_secrets import register_mounted_secrets
from application_sdk.execution import secret_leaks
from application_sdk.execution.redaction import redacted

APP = """
import os
from pathlib import Path
from application_sdk.app import App, task
from application_sdk.contracts import FileReference, Input, Output

class Given(Input):
    file: FileReference = FileReference()
    read: str = ""

class Made(Output):
    text: str = ""

class Subject(App):
    async def run(self, input: Given) -> Made:
        return await self.work(input)

    @task
    async def work(self, input: Given) -> Made:
        place = input.read or input.file.local_path
        return Made(text=Path(place).read_text() if place else "nothing to read")
"""


@pytest.fixture(autouse=True)
def _clean() -> Iterator[None]:
    secret_leaks.clear()
    yield
    secret_leaks.clear()


@pytest.fixture
def mounts(tmp_path: Path) -> Path:
    place = tmp_path / "mounted"
    for name, value in (("login/password", "p4ssw0rd-of-db"), ("login/username", "extractor"), ("db/url", URL)):
        (place / name).parent.mkdir(parents=True, exist_ok=True)
        (place / name).write_text(value)
    return place


URL = "postgres://u:hunter2-hunter2@h/db"


def known(directory: Path, mounts: Path) -> None:
    register_mounted_secrets(directory, {"APPRUN_SECRETS_DIR": str(mounts)})


def reported(request: Request) -> dict[str, Any]:
    return {operation["path"].rpartition("/")[2]: operation.get("value") for operation in request.json}


def test_each_file_is_known_and_public_fields_are_not(tmp_path: Path, mounts: Path) -> None:
    (tmp_path / "token").write_text("eyJhbGciOi.eyJpc3Mi.c2lnbmF0dXJl")
    known(tmp_path, mounts)
    for value in ("p4ssw0rd-of-db", URL, "hunter2-hunter2", "eyJhbGciOi.eyJpc3Mi.c2lnbmF0dXJl"):
        assert secret_leaks.find_leak({"text": f"<{value}>"}) is not None, value
    assert secret_leaks.find_leak({"text": "extractor"}) is None
    assert redacted("p4ssw0rd-of-db") == "[redacted]"


def test_a_secret_that_is_replaced_is_known_by_the_next_check(
    tmp_path: Path, mounts: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    known(tmp_path, mounts)
    (mounts / "login" / "password").write_text("the-next-passw0rd")
    later = time.monotonic() + secret_leaks.RESCAN_SECONDS
    monkeypatch.setattr(time, "monotonic", lambda: later)
    assert secret_leaks.find_leak({"text": "the-next-passw0rd"}) is not None


def test_a_large_tree_is_not_read(tmp_path: Path, mounts: Path) -> None:
    deep = mounts / "big" / "deeper"
    deep.mkdir(parents=True)
    (deep / "file").write_text("a-value-too-deep-down")
    (mounts / "big" / "huge").write_text("h" * 1_000_000)
    for number in range(1000):
        (mounts / "big" / f"k{number}").write_text(f"value-of-{number:04}-x")
    begun = time.monotonic()
    known(tmp_path, mounts)
    assert time.monotonic() - begun < 5
    assert secret_leaks.find_leak({"text": "a-value-too-deep-down"}) is None


def test_a_type_of_credential_may_call_more_fields_public(tmp_path: Path, mounts: Path) -> None:
    (mounts / "site").write_text('{"address": "tenant-0815", "key": "k3y-of-tenant"}')
    known(tmp_path, mounts)
    assert secret_leaks.find_leak({"text": "tenant-0815"}) is not None
    secret_leaks.register_secret("site", (mounts / "site").read_text(), secret_leaks.PUBLIC_NAMES | {"address"})
    assert secret_leaks.find_leak({"text": "tenant-0815"}) is None
    assert secret_leaks.find_leak({"text": "k3y-of-tenant"}) is not None


def test_a_task_that_reads_its_pods_token_is_not_reported(pod: PodProcess, server: WireServer) -> None:
    pod.write(call(input={"read": str(pod.directory / "token")}), app=APP)
    (pod.directory / "token").write_text("eyJhbGciOi.eyJpc3Mi.c2lnbmF0dXJl")
    pod.run()
    error = reported(server.requests[-1])["error"]
    assert error["type"] == "SecretLeakError"
    assert "the pod's own token" in error["message"]


def test_a_path_in_a_tasks_input_is_not_followed(pod: PodProcess, server: WireServer, mounts: Path) -> None:
    pod.environ["APPRUN_SECRETS_DIR"] = str(mounts)
    pod.write(call(input={"file": {"local_path": str(mounts / "login" / "username")}}), app=APP)
    pod.run()
    assert reported(server.requests[-1])["output"] == {"text": "nothing to read"}


ECHO = """
from application_sdk.app import App, task
from application_sdk.contracts import FileReference, Input, Output

class Given(Input):
    file: FileReference = FileReference()

class Made(Output):
    file: FileReference = FileReference()

class Subject(App):
    async def run(self, input: Given) -> Made:
        return await self.work(input)

    @task
    async def work(self, input: Given) -> Made:
        return Made(file=input.file)
"""


def test_a_reference_that_is_echoed_uploads_nothing(pod: PodProcess, server: WireServer, tmp_path: Path) -> None:
    (tmp_path / "etc").write_text("somebody's file")
    pod.environ["APPRUN_STORE_URL"] = (tmp_path / "store").as_uri()
    pod.write(call(input={"file": {"local_path": str(tmp_path / "etc")}}), app=ECHO)
    pod.run()
    assert reported(server.requests[-1])["output"]["file"]["storage_path"] is None
    assert [place for place in (tmp_path / "store").rglob("*") if place.is_file()] == []
