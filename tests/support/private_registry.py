"""A real registry that serves nobody without a password, beside the containerd of a node."""

from __future__ import annotations

import base64
import json
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import yaml
from hack.cluster.configs import CONTAINERD_SOCKET
from hack.cluster.images import in_node
from hack.cluster.layout import cluster_dir
from tests.support.bed import Bed
from tests.support.kube import eventually

USER, PASSWORD = "puller", "let me pull"
HASHED_PASSWORD = "$2b$10$fRHiNS6eS.z61KmrwNDoJu3k/TK7ojV8y9JDO0Zfywj6t6DrsG7Pa"
"""By bcrypt, the only hash that the registry takes."""
PORT = 5005
HOST = f"localhost:{PORT}"


@contextmanager
def private_registry(bed: Bed, node: str, folder: Path) -> Iterator[None]:
    """A registry at `HOST` of the node, empty at first. It ends with the block."""
    (folder / "users").write_text(f"{USER}:{HASHED_PASSWORD}\n")
    configuration = {
        "version": "0.1",
        "log": {"level": "info", "accesslog": {"disabled": True}},
        "storage": {"filesystem": {"rootdirectory": str(folder / "images")}},
        "http": {"addr": f"127.0.0.1:{PORT}", "secret": "of one process alone"},
        "auth": {"htpasswd": {"realm": "team", "path": str(folder / "users")}},
    }
    file = folder / "registry.yml"
    file.write_text(yaml.safe_dump(configuration))
    inside = ["nsenter", f"--net=/run/netns/{bed.name}-{node}"]
    with (folder / "log").open("wb") as log:
        command = [*inside, "docker-registry", "serve", str(file)]
        process = subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT)
    try:
        eventually("the registry listens", lambda: "listening on" in (folder / "log").read_text() or None)
        yield
    finally:
        process.kill()
        process.wait()


def push(bed: Bed, node: str, image: str, name: str) -> str:
    """Push an image that the node has to its registry, as `name`; the full name, for pods of that node."""
    machine = cluster_dir(bed.name).machine(node)
    target = f"{HOST}/{name}"
    ctr = ["ctr", "--address", CONTAINERD_SOCKET, "--namespace", "k8s.io", "images"]
    in_node(machine, [*ctr, "tag", "--force", image, target])
    in_node(machine, [*ctr, "push", "--plain-http", "--user", f"{USER}:{PASSWORD}", target])
    # Otherwise kubelet needn't ask the registry.
    in_node(machine, [*ctr, "rm", "--sync", target])
    return target


def docker_config() -> str:
    """The content of a Secret of the type `kubernetes.io/dockerconfigjson` that may pull."""
    credentials = base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()
    return json.dumps({"auths": {HOST: {"auth": credentials}}})
