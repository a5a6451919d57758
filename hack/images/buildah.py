"""buildah with a store of our own in the cache, so that it neither sees nor touches the machine's other images."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from hack.cluster import kernel
from hack.cluster.layout import cache_root
from hack.cluster.shell import run, succeeds

_ACCEPT_ALL = '{"default": [{"type": "insecureAcceptAnything"}]}\n'


def buildah(command: str, *words: str | Path, log: Path | None = None) -> str:
    """Runs one buildah command on our store and returns its stdout."""
    return run([*_base(), command, *words], log=log, env={"BUILDAH_ISOLATION": "chroot"}).strip()


def has_image(name: str) -> bool:
    """Whether our store has an image of that name."""
    return succeeds([*_base(), "inspect", "--type", "image", name])


def trust_options() -> Sequence[str | Path]:
    """For commands that read or write images: accept unsigned ones; the machine may have no policy at all."""
    policy = _store() / "policy.json"
    policy.parent.mkdir(parents=True, exist_ok=True)
    policy.write_text(_ACCEPT_ALL)
    return ("--signature-policy", policy)


def _store() -> Path:
    return cache_root() / "buildah"


def _base() -> list[str | Path]:
    # In a mount namespace of its own, so that no mount outlives the command, even one that was interrupted.
    isolation = ["unshare", "--mount", "--propagation", "slave"]
    driver = "overlay" if _can_overlay(_store()) else "vfs"
    store = _store() / driver
    return [*isolation, "buildah", "--root", store / "root", "--runroot", store / "run", "--storage-driver", driver]


def _can_overlay(folder: Path) -> bool:
    """Whether layers can be mounted over one another there; if not, each is a full copy (vfs), which is slow but works.

    Overlays don't stack, so a cache that is itself on one, as in a container, can't hold them.
    """
    folder.mkdir(parents=True, exist_ok=True)
    file_system = run(["stat", "--file-system", "--format=%T", folder]).strip()
    return file_system != "overlayfs" and kernel.has_overlay()
