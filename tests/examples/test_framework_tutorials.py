"""Programs in the shape of the App Framework's tutorials, with our package in place of theirs: served and tested."""

from __future__ import annotations

import importlib.util
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from typing_extensions import override

from application_sdk.app import NonRetryableError
from application_sdk.errors import AuthError
from application_sdk.infrastructure import InfrastructureContext, clear_infrastructure, set_infrastructure
from application_sdk.storage import create_memory_store, list_keys
from application_sdk.testing import MockSecretStore

FOLDER = Path(__file__).parent / "framework"


def curl(method: str, url: str, body: object = None) -> tuple[int, Any]:
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(url, data, {"Content-Type": "application/json"}, method=method)
    try:
        with urllib.request.urlopen(request, timeout=60) as answer:
            content = answer.read()
            return answer.status, json.loads(content) if content[:1] in b"{[" else content.decode()
    except urllib.error.HTTPError as error:
        return error.code, json.load(error)


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port: int = listening.getsockname()[1]
        return port


@contextmanager
def served(command: list[str], home: Path, **environment: str) -> Iterator[list[str]]:
    """The lines that a server says until it listens; then all that it says until Ctrl-C."""
    with subprocess.Popen(
        command,
        cwd=FOLDER,
        env={**os.environ, "APPRUN_HOME": str(home), **environment},
        stderr=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stderr is not None
        said: list[str] = []
        try:
            for line in process.stderr:
                said.append(line)
                if "is served at" in line:
                    break
            yield said
        finally:
            process.send_signal(signal.SIGINT)
            _, rest = process.communicate(timeout=60)
            said.append(rest)
    assert process.returncode == 0, "".join(said)


def test_a_script_serves_runs_its_example_and_answers_curl(tmp_path: Path) -> None:
    port = free_port()
    url = f"http://localhost:{port}/workflows/v1"
    with served([sys.executable, "run_dev.py"], tmp_path / "home", BAKERY_PORT=str(port)) as said:
        body = {"loaves": 2, "correlation_id": "c-1", "tenant": "x"}
        status, started = curl("POST", f"{url}/start", body)
        assert (status, started["success"], started["data"]["correlation_id"]) == (200, True, "c-1")
        run = started["data"]["workflow_id"]
        _, done = curl("GET", f"{url}/result/{run}?wait=true")
        assert (done["data"]["status"], done["data"]["result"]) == ("completed", {"told": "2 loaves are in the oven"})
        state = curl("GET", f"{url}/status/{run}/{started['data']['run_id']}")[1]["data"]
        assert state["status"] == "COMPLETED"
        assert curl("POST", f"{url}/stop/{run}/{started['data']['run_id']}")[0] == 200
        assert curl("POST", f"{url}/stop/{run}/another")[0] == 404
        assert curl("POST", f"{url}/start?entrypoint=nope", {})[0] == 400
        assert 'operation="start",status="200"} 1' in curl("GET", f"http://localhost:{port}/metrics")[1]
    told = "".join(said)
    assert f"served at http://127.0.0.1:{port}" in told
    assert "3 loaves are in the oven" in told
    assert "BakeInput has no field 'tenant': left out of the input" in told


def test_the_port_is_8000_unless_another_is_given() -> None:
    from application_sdk.server.serving import DEFAULT_PORT

    assert DEFAULT_PORT == 8000


def test_a_taken_port_is_said_with_what_to_do(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        done = subprocess.run(
            [sys.executable, "run_dev.py"],
            cwd=FOLDER,
            env={**os.environ, "APPRUN_HOME": str(tmp_path), "BAKERY_PORT": str(port)},
            capture_output=True,
            text=True,
            timeout=60,
        )
    assert f"port {port} of 127.0.0.1 can't be listened on" in done.stderr
    assert "another `port`" in done.stderr


@pytest.mark.parametrize(
    "command", [["-m", "application_sdk.main"], ["-c", "from application_sdk.command import main; main()"]]
)
def test_the_frameworks_command_serves_an_app(command: list[str], tmp_path: Path) -> None:
    port = free_port()
    arguments = [sys.executable, *command, "--mode", "combined", "--app", "app:BakeryApp", "--port", str(port)]
    with served(arguments, tmp_path / "home"):
        assert curl("GET", f"http://127.0.0.1:{port}/health")[0] == 200


def test_the_frameworks_command_says_what_replaces_workers() -> None:
    for arguments, expected in (
        (["--mode", "worker", "--app", "app:BakeryApp"], "there are no workers"),
        ([], "--app"),
    ):
        done = subprocess.run(
            [sys.executable, "-m", "application_sdk.main", *arguments],
            cwd=FOLDER,
            capture_output=True,
            text=True,
            timeout=60,
        )
        assert (done.returncode, expected in done.stderr) == (2, True), done.stderr


class Library(BaseHTTPRequestHandler):
    """A REST API with two pages of books."""

    def do_GET(self) -> None:
        good = self.headers["Authorization"] == "Bearer t0ken"
        page = int(self.path.rpartition("=")[2])
        books = [{"title": f"book {page}.{number}"} for number in range(2)] if page < 3 else []
        content = json.dumps(books).encode()
        self.send_response(200 if good else 401)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    @override
    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture
def library() -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Library)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_address[1]}"
    server.shutdown()
    server.server_close()


@pytest.fixture
def connector() -> Iterator[ModuleType]:
    spec = importlib.util.spec_from_file_location("library_connector", FOLDER / "connector.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    yield module
    del sys.modules[spec.name]


@pytest.fixture
def infra(library: str) -> Iterator[None]:
    secrets = {
        "good": json.dumps({"type": "bearer_token", "token": "t0ken", "base_url": library}),
        "bad": json.dumps({"type": "bearer_token", "token": "other", "base_url": library}),
    }
    set_infrastructure(InfrastructureContext(secret_store=MockSecretStore(secrets), storage=create_memory_store()))
    yield
    clear_infrastructure()


async def test_a_connectors_task_is_tested_as_a_plain_method(connector: Any, infra: None) -> None:
    done = await connector.LibraryApp().fetch_books(connector.ShelfInput(credential_guid="good"))
    assert (done.record_count, await list_keys("artifacts")) == (4, [done.output_path])
    with pytest.raises(AuthError) as caught:
        await connector.LibraryApp().fetch_books(connector.ShelfInput(credential_guid="bad"))
    assert (caught.value.effective_retryable, isinstance(caught.value, NonRetryableError)) == (False, False)


def test_a_connectors_handler_answers_as_the_tutorial_shows(library: str, tmp_path: Path) -> None:
    port = free_port()
    url = f"http://127.0.0.1:{port}/workflows/v1"
    arguments = ["-m", "application_sdk.main", "--app", "connector:LibraryApp", "--port", str(port)]
    with served([sys.executable, *arguments], tmp_path / "home"):
        flat = {"base_url": library, "token": "t0ken"}
        assert curl("POST", f"{url}/auth", {"credentials": flat})[0] == 200
        assert curl("POST", f"{url}/auth", flat)[1]["data"]["message"] == "welcome"
        status, refused = curl("POST", f"{url}/auth", {"credentials": {**flat, "token": "other"}})
        assert (status, refused["success"], refused["data"]["status"]) == (401, False, "invalid_credentials")
        checked = curl("POST", f"{url}/check", {"credentials": flat})[1]
        assert checked["data"]["diskCheck"] == {"success": True, "message": "there is a disk", "error": None}
        assert curl("POST", f"{url}/metadata", {})[1]["data"][0]["title"] == "Shelf"
