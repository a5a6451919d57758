"""A prepared image store: nodes that are new start with the images that were last loaded, without unpacking them again.

The store is a containerd root in the cache. A node gets hard links to its files, which containerd never changes once
written, and copies of its databases, which it does.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from hack.cluster import progress
from hack.cluster.binaries import build_lock, content_key
from hack.cluster.errors import ClusterError
from hack.cluster.images import INDEX, Archive
from hack.cluster.layout import MachineDir, cache_root
from hack.cluster.shell import run, succeeds

_KEPT = 2
_SECONDS_TO_START = 15.0
_LOADED = "loaded.json"


def remember(archive: Archive) -> None:
    """Notes an archive that was loaded, so that the next new nodes start with it."""
    _folder().mkdir(parents=True, exist_ok=True)
    loaded = {**_loaded(), **dict.fromkeys(archive.names, str(archive.path))}
    (_folder() / _LOADED).write_text(json.dumps(loaded, indent=1))


def seed(nodes: Sequence[MachineDir], pause: Archive) -> None:
    """Gives nodes that never ran their images. Where links can't be made, nothing is done: ``load`` works without."""
    new = [node for node in nodes if not _root_of(node).exists()]
    if not new or cache_root().stat().st_dev != new[0].path.parent.stat().st_dev:
        return
    archives = [pause, *(Archive.read(Path(path)) for path in sorted(set(_loaded().values())) if Path(path).exists())]
    store = _ensure_store(archives)
    for node in new:
        _link(store, node)


def _ensure_store(archives: Sequence[Archive]) -> Path:
    digests = [f"{name} {digest}" for archive in archives for name, digest in sorted(archive.names.items())]
    store = _folder() / content_key((), [run(["containerd", "--version"]), *digests])
    if not store.exists():
        with build_lock():
            if not store.exists():
                with progress.step("prepare the image store of new nodes"):
                    _make(store, archives)
    return store


def _make(store: Path, archives: Sequence[Archive]) -> None:
    """Starts from the newest store that there is, so that only images that changed are unpacked."""
    partial = store.with_suffix(".partial")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    stores = sorted((path.parent for path in _folder().glob(f"*/{INDEX}")), key=lambda path: path.stat().st_mtime)
    have: dict[str, str] = {}
    if stores:
        have = json.loads((stores[-1] / INDEX).read_text())
        _copy(stores[-1] / "root", partial / "root")
    names = {name: digest for archive in archives for name, digest in archive.names.items()}
    with _containerd(partial) as socket:
        for archive in archives:
            if not archive.names.items() <= have.items():
                run(["ctr", "--address", socket, "--namespace", "k8s.io", "images", "import", archive.path])
    (partial / INDEX).write_text(json.dumps({**have, **names}))
    partial.rename(store)
    for old in stores[: 1 - _KEPT]:
        shutil.rmtree(old)


@contextmanager
def _containerd(folder: Path) -> Iterator[Path]:
    """A containerd that lives only to unpack images into ``folder/root``; yields its socket."""
    socket, config = folder / "state" / "containerd.sock", folder / "config.toml"
    config.write_text(f"""\
version = 2
root = "{folder / "root"}"
state = "{folder / "state"}"
disabled_plugins = ["io.containerd.grpc.v1.cri", "io.containerd.internal.v1.opt"]

[grpc]
  address = "{socket}"
""")
    with (folder / "containerd.log").open("wb") as log:
        # In a mount namespace of its own, so that no mount can outlive it.
        isolation = ["unshare", "--mount", "--propagation", "slave"]
        process = subprocess.Popen([*isolation, "containerd", "--config", str(config)], stdout=log, stderr=log)
    try:
        deadline = time.monotonic() + _SECONDS_TO_START
        while not succeeds(["ctr", "--address", socket, "version"]):
            if process.poll() is not None or time.monotonic() > deadline:
                raise ClusterError("containerd does not start", f"its log says why: {folder / 'containerd.log'}")
            time.sleep(0.05)
        yield socket
    finally:
        process.terminate()
        process.wait()


def _link(store: Path, node: MachineDir) -> None:
    root = _root_of(node)
    partial = root.with_name("containerd.partial")
    shutil.rmtree(partial, ignore_errors=True)
    partial.parent.mkdir(parents=True, exist_ok=True)
    _copy(store / "root", partial)
    shutil.copy2(store / INDEX, node.path / INDEX)
    partial.rename(root)


def _copy(source: Path, target: Path) -> None:
    run(["cp", "--archive", "--link", source, target])
    for database in target.rglob("*.db"):
        database.unlink()
        shutil.copy2(source / database.relative_to(target), database)


def _root_of(node: MachineDir) -> Path:
    """Where the node's containerd keeps its images, as this host sees it."""
    return node.path / "var" / "lib" / "containerd"


def _folder() -> Path:
    return cache_root() / "image-store"


def _loaded() -> dict[str, str]:
    file = _folder() / _LOADED
    loaded: dict[str, str] = json.loads(file.read_text()) if file.exists() else {}
    return loaded
