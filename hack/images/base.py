"""The Debian with Python that our images start from, made from Debian's own packages by debootstrap.

With Docker, the Dockerfile's default base comes from a registry; this one takes its place where there is none.
"""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

from hack.cluster import progress
from hack.cluster.binaries import content_key
from hack.cluster.layout import cache_root
from hack.cluster.shell import run
from hack.images.buildah import buildah, has_image, trust_options

SUITE = "bookworm"
PACKAGES = ("python3", "python3-venv")
# No running program needs these; they are half of a minimal Debian.
_DROPPED = (
    "usr/share/doc",
    "usr/share/info",
    "usr/share/locale",
    "usr/share/man",
    "var/cache/apt",
    "var/lib/apt/lists",
    "var/log",
)
# Docker's official images set the same, so that the Dockerfile meets the same Python on both.
_ENVIRONMENT = ("PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "LANG=C.UTF-8")


def base_name() -> str:
    """The image's name; its tag stands for the recipe."""
    recipe = (SUITE, *PACKAGES, *_DROPPED, *_ENVIRONMENT)
    return f"localhost/debian-python:{content_key((), recipe)}"


def ensure_base() -> str:
    """Makes the image unless our store has it; returns its name."""
    name = base_name()
    if not has_image(name):
        with progress.step("make the Debian base image (once; 1 to 2 min)"):
            root = cache_root() / "debootstrap"
            _remove(root)
            _bootstrap(root)
            _commit(root, name)
            _remove(root)
    return name


def _bootstrap(root: Path) -> None:
    # In mount namespaces of its own: debootstrap mounts /proc, and leaves it mounted when it is interrupted.
    root.parent.mkdir(parents=True, exist_ok=True)
    isolation = ["unshare", "--mount", "--propagation", "slave"]
    options = ["--variant=minbase", f"--include={','.join(PACKAGES)}"]
    run([*isolation, "debootstrap", *options, SUITE, root], log=root.with_name("debootstrap.log"))
    for path in _DROPPED:
        shutil.rmtree(root / path, ignore_errors=True)
    for path in ("var/cache/apt/archives/partial", "var/lib/apt/lists/partial", "var/log"):
        (root / path).mkdir(parents=True, exist_ok=True)


def _commit(root: Path, name: str) -> None:
    container = buildah("from", "scratch")
    try:
        buildah("add", "--quiet", container, root, "/")
        buildah("config", *(f"--env={variable}" for variable in _ENVIRONMENT), "--cmd=python3", container)
        buildah("commit", "--quiet", *trust_options(), container, name)
    finally:
        buildah("rm", container)


def _remove(root: Path) -> None:
    # rm rather than rmtree: --one-file-system never follows a mount that an interrupted debootstrap might have left.
    subprocess.run(["rm", "--recursive", "--force", "--one-file-system", str(root)], check=True)
