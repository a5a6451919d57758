"""Task pods with a real S3: processes as the kubelet starts them, with what a namespace's store gives them."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.support.pods import PodProcess, call
from tests.support.s3 import BUCKET, SECRET_KEY, S3Server
from tests.support.wire_server import WireServer, make_certificate, wire_server

from application_sdk.wire.pod import EXIT_REPORTED

APP = Path(__file__).parents[1] / "cluster" / "apps" / "files.py"
SIZE = 20 * 1024 * 1024


@pytest.fixture
def server(tmp_path: Path) -> Iterator[WireServer]:
    with wire_server(*make_certificate(tmp_path)) as wire:
        yield wire


@pytest.fixture
def pod(tmp_path: Path, server: WireServer, s3: S3Server, prefix: str) -> PodProcess:
    """A pod of the app `files`, its store's address and keys in its environment."""
    directory = tmp_path / "pod"
    directory.mkdir()
    (directory / "token").write_text("token\n")
    shutil.copy(tmp_path / "ca.crt", directory / "ca.crt")
    environ = {
        "KUBERNETES_SERVICE_HOST": "127.0.0.1",
        "KUBERNETES_SERVICE_PORT": str(server.port),
        "APPRUN_NODE_NAME": "node1",
        "APPRUN_STORE_URL": f"s3://{BUCKET}/{prefix}",
        "APPRUN_STORE_OPTIONS": json.dumps(s3.options()),
        "TMPDIR": str(tmp_path),
        **{f"AWS_{name.upper()}": value for name, value in s3.secrets().items()},
    }
    return PodProcess(directory, tmp_path / "source", environ)


def run(pod: PodProcess, server: WireServer, task: str, **given: Any) -> dict[str, Any]:
    """What a pod reports."""
    pod.write(call(task=task, entry="app:Files", input=given), app=APP.read_text())
    ended = pod.run()
    assert ended.returncode == EXIT_REPORTED, ended.stderr
    assert SECRET_KEY not in ended.stderr
    return {operation["path"].rpartition("/")[2]: operation.get("value") for operation in server.requests[-1].json}


def test_file_goes_from_pod_to_pod_through_the_store(
    pod: PodProcess, server: WireServer, s3: S3Server, prefix: str
) -> None:
    made = run(pod, server, "make", size=SIZE)["output"]["file"]
    assert s3.objects(prefix) == {f"{prefix}/{made['storage_path']}": SIZE}
    assert run(pod, server, "check", file=made)["output"]["size"] == SIZE


def test_many_small_files_go_from_pod_to_pod(pod: PodProcess, server: WireServer, s3: S3Server, prefix: str) -> None:
    made = run(pod, server, "make", size=500, small=200)["output"]["file"]
    assert len(s3.objects(prefix)) == 201
    assert run(pod, server, "check", file=made)["output"]["files"] == 200


def test_last_pod_of_a_run_deletes_its_transient_files(
    pod: PodProcess, server: WireServer, s3: S3Server, prefix: str
) -> None:
    kept = run(pod, server, "make", size=1000)["output"]["file"]["storage_path"]
    run(pod, server, "make", size=2000)
    cleared = run(pod, server, "apprun.cleanup", keep=[kept])["output"]
    assert cleared == {"objects": 1, "size_bytes": 2000}
    assert list(s3.objects(prefix)) == [f"{prefix}/{kept}"]


def test_altered_object_fails_the_pod_for_good_and_is_named(
    pod: PodProcess, server: WireServer, s3: S3Server, prefix: str
) -> None:
    made = run(pod, server, "make", size=1000)["output"]["file"]
    (s3.bucket / prefix / made["storage_path"]).write_bytes(b"x" * 1000)
    error = run(pod, server, "check", file=made)["error"]
    assert (error["type"], error["retryable"]) == ("ObjectChangedError", False)
    assert made["storage_path"] in error["message"]


def test_wrong_keys_fail_the_pod_and_are_not_told(pod: PodProcess, server: WireServer) -> None:
    pod.environ["AWS_SECRET_ACCESS_KEY"] = "canary-secret-9x"
    error = run(pod, server, "make", size=1000)["error"]
    assert error["type"] == "StoreRefusedError"
    assert "canary" not in json.dumps(error)
