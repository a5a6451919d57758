"""What a cluster could leave on its host, as a value that can be compared before and after."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

# Folders where container tools keep things; a cluster of ours must not add to any of them.
_FOLDERS = ("/etc/cni", "/run", "/run/containerd", "/var/lib", "/var/lib/cni", "/var/lib/kubelet", "/var/log")
# Values that the kernel itself moves, or that belong to network interfaces, which come and go with other work.
_MOVING = (
    "fs/",
    "kernel/random/",
    "kernel/ns_last_pid",
    "net/ipv4/conf/",
    "net/ipv6/conf/",
    "net/ipv4/neigh/",
    "net/ipv6/neigh/",
)
# What a test run beside this one may make and remove.
_SHARED = (
    "/run/netns",
    "/run/containers",
    "/run/crun",
    "/run/buildah",
    "/var/lib/containers",
    "/var/lib/apprun-cluster",
)


def snapshot(name: str) -> dict[str, str]:
    """Everything that the cluster ``name`` could have touched outside its own namespaces; keys say what and where."""
    found = dict(_sysctls())
    entries = [entry for folder in _FOLDERS if Path(folder).is_dir() for entry in Path(folder).iterdir()]
    found |= {f"file {entry}": "" for entry in entries if not str(entry).startswith(_SHARED)}
    named = [*_children("/run/netns"), *_children("/sys/class/net"), *_children("/var/lib/apprun-cluster")]
    found |= {f"file {entry}": "" for entry in named if _is_of(name, entry.name)}
    mounts = (line.split()[4] for line in Path("/proc/self/mountinfo").read_text().splitlines())
    found |= {f"mount {point}": "" for point in mounts if any(_is_of(name, part) for part in Path(point).parts)}
    for folder, folders, _ in os.walk("/sys/fs/cgroup"):
        found |= {f"cgroup {folder}/{each}": "" for each in folders if _is_of(name, each)}
    rules = subprocess.run(["iptables-save"], capture_output=True, text=True, check=False).stdout
    found |= {f"rule {line}": "" for line in rules.splitlines() if line.startswith("-A")}
    return found


def _is_of(name: str, entry: str) -> bool:
    return entry == name or entry.startswith(f"{name}-")


def _children(folder: str) -> list[Path]:
    return list(Path(folder).iterdir()) if Path(folder).is_dir() else []


def _sysctls() -> Iterator[tuple[str, str]]:
    """The kernel's settings; files that can't be written are its counters."""
    root = Path("/proc/sys")
    for folder, _, files in os.walk(root):
        for path in (Path(folder, file) for file in files):
            key = str(path.relative_to(root))
            mode = path.stat().st_mode
            if mode & 0o200 and mode & 0o400 and not key.startswith(_MOVING):
                try:
                    yield f"sysctl {key}", path.read_text(errors="replace")
                except OSError:
                    pass  # some can't be read in spite of their mode
