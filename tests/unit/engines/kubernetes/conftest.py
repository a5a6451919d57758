"""A server of its own for each test, and the client that talks to it."""

from __future__ import annotations

import shutil
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from tests.support.pods import PodProcess
from tests.support.run_world import RUN, UID, RunWorld
from tests.support.wire_server import WireServer, make_certificate, wire_server

from application_sdk.engines.kubernetes.api import Api, in_cluster
from application_sdk.engines.kubernetes.app_tasks import Owner
from application_sdk.engines.kubernetes.driver import KubernetesEngine


@pytest.fixture(scope="session")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    return make_certificate(tmp_path_factory.mktemp("tls"))


@pytest.fixture
def pod_directory(tmp_path: Path, certificate: tuple[Path, Path]) -> Path:
    """What a pod finds beside its call."""
    directory = tmp_path / "pod"
    directory.mkdir()
    (directory / "token").write_text("first-token\n")
    shutil.copy(certificate[0], directory / "ca.crt")
    return directory


@pytest.fixture
def server(certificate: tuple[Path, Path]) -> Iterator[WireServer]:
    with wire_server(*certificate) as wire:
        yield wire


@pytest.fixture
def environ(server: WireServer) -> dict[str, str]:
    """The variables that every pod gets."""
    return {"KUBERNETES_SERVICE_HOST": "127.0.0.1", "KUBERNETES_SERVICE_PORT": str(server.port)}


@pytest.fixture
def api(environ: dict[str, str], pod_directory: Path) -> Iterator[Api]:
    client = in_cluster(environ, pod_directory, "ns")
    yield client
    client.close()


@pytest.fixture
def pod(pod_directory: Path, tmp_path: Path, environ: dict[str, str]) -> PodProcess:
    """A pod's process that talks to `server`."""
    return PodProcess(pod_directory, tmp_path / "source", environ)


@pytest.fixture
def world(server: WireServer) -> RunWorld:
    """The objects of one run, which the server answers with."""
    world = RunWorld()
    server.always = world
    return world


@pytest.fixture
def open_engine(api: Api, world: RunWorld) -> Iterator[Callable[..., KubernetesEngine]]:
    """Opens engines of the run's driver. They are closed at the end, and none of their threads is left."""
    opened: list[KubernetesEngine] = []

    def open_one(recheck_seconds: float = 300.0) -> KubernetesEngine:
        opened.append(KubernetesEngine.open(api, Owner(RUN, UID), lambda seconds: None, recheck_seconds))
        return opened[-1]

    yield open_one
    for engine in opened:
        engine.close()
    world.touch()
    for thread in threading.enumerate():
        if thread.name == "follow":
            thread.join(10)
