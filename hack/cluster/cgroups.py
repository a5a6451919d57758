"""A control group for each node, below which its kubelet puts the pods; in cgroup v2, or in every v1 hierarchy."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

ROOT = Path("/sys/fs/cgroup")
_V2_CONTROLLERS = ("cpu", "cpuset", "io", "memory", "pids")


def ensure(name: str) -> None:
    """Makes the node's group where the kubelet looks for it."""
    for hierarchy in hierarchies():
        group = hierarchy / name
        group.mkdir(exist_ok=True)
        if (hierarchy / "cgroup.controllers").exists():
            _delegate_controllers(hierarchy)
            _delegate_controllers(group)
        for file in ("cpuset.cpus", "cpuset.mems"):
            # v1 starts a group without any CPU, so that nothing could run in it.
            if (hierarchy / file).exists() and not (group / file).read_text().strip():
                (group / file).write_text((hierarchy / file).read_text())


def remaining(name: str) -> list[Path]:
    """The node's groups that exist."""
    return [hierarchy / name for hierarchy in hierarchies() if (hierarchy / name).is_dir()]


def remove(name: str) -> None:
    """Removes the node's groups; its processes must be dead. The kernel takes a moment to let go of them."""
    for group in remaining(name):
        deepest_first = sorted((path for path in group.rglob("*") if path.is_dir()), key=lambda path: -len(path.parts))
        for folder in (*deepest_first, group):
            _rmdir(folder)


def _rmdir(folder: Path) -> None:
    for _ in range(50):
        try:
            folder.rmdir()
            return
        except FileNotFoundError:
            return
        except OSError:
            time.sleep(0.02)


def hierarchies() -> Iterator[Path]:
    """The root of the one v2 hierarchy, or of every v1 hierarchy."""
    if (ROOT / "cgroup.controllers").exists():
        yield ROOT
        return
    # v1 has links for controllers that share a hierarchy, such as cpu and cpuacct.
    for hierarchy in sorted({folder.resolve() for folder in ROOT.iterdir() if folder.is_dir()}):
        if (hierarchy / "cgroup.procs").exists():
            yield hierarchy


def _delegate_controllers(group: Path) -> None:
    for controller in _V2_CONTROLLERS:
        try:
            (group / "cgroup.subtree_control").write_text(f"+{controller}")
        except OSError:
            pass  # not every kernel has every controller, and the kubelet names one that it misses
