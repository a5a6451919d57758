"""Brings images into the nodes: finds the archive that is meant, and imports it on all nodes at once."""

from __future__ import annotations

import json
import tarfile
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from hack.cluster import machine, progress
from hack.cluster.configs import CONTAINERD_SOCKET
from hack.cluster.errors import ClusterError
from hack.cluster.layout import MachineDir
from hack.cluster.shell import run

INDEX = "images.json"


@dataclass(frozen=True)
class Archive:
    """A docker-archive tar: the names that it carries, each with the digest of what it names."""

    path: Path
    names: dict[str, str]

    @classmethod
    def read(cls, path: Path) -> Archive:
        """Reads an archive's table of contents; raises ClusterError when it is none."""
        try:
            with tarfile.open(path) as tar:
                manifest = tar.extractfile("manifest.json")
                assert manifest is not None
                entries = json.load(manifest)
        except (OSError, KeyError, tarfile.TarError, ValueError) as error:
            raise ClusterError(
                f"{path} is no image archive: {error}",
                "make one with: cluster build-image, or docker save, or podman save",
            ) from error
        names = {name: entry["Config"] for entry in entries for name in entry["RepoTags"] or ()}
        if not names:
            raise ClusterError(f"the image in {path} has no name", "save it by its name: docker save NAME:TAG > FILE")
        return cls(path, names)


def import_everywhere(nodes: Sequence[MachineDir], archives: Sequence[Archive]) -> None:
    """Imports the archives on the nodes, on all at once, as far as they aren't there yet."""
    with ThreadPoolExecutor(max_workers=max(1, len(nodes))) as pool:
        list(pool.map(lambda node: _import_missing(node, archives), nodes))


def load(nodes: Sequence[MachineDir], archive: Archive) -> bool:
    """``import_everywhere`` of one archive with a progress line; returns whether any node lacked it."""
    lacking = [node for node in nodes if not _has(node, archive)]
    if not lacking:
        return False
    with progress.step(f"load {', '.join(archive.names)} into {', '.join(node.machine for node in lacking)}"):
        import_everywhere(lacking, [archive])
    return True


def _has(node: MachineDir, archive: Archive) -> bool:
    have = _index(node)
    return all(have.get(name) == digest for name, digest in archive.names.items())


def _import_missing(node: MachineDir, archives: Sequence[Archive]) -> None:
    for archive in archives:
        if not _has(node, archive):
            in_node(
                node,
                ["ctr", "--address", CONTAINERD_SOCKET, "--namespace", "k8s.io", "images", "import", "-"],
                archive.path,
            )
            (node.path / INDEX).write_text(json.dumps({**_index(node), **archive.names}))


def in_node(node: MachineDir, argv: Sequence[str], stdin: Path | None = None) -> str:
    """Runs a command with the node's eyes: its files and its network."""
    init = machine.find_init(node)
    if init is None:
        raise ClusterError(
            f"{node.machine} is off", f"start it first: cluster start-node {node.machine.removeprefix('node')}"
        )
    return run(["nsenter", f"--target={init}", "--mount", "--net", *argv], stdin=stdin)


def _index(node: MachineDir) -> dict[str, str]:
    file = node.path / INDEX
    names: dict[str, str] = json.loads(file.read_text()) if file.exists() else {}
    return names
