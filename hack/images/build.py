"""Builds a Dockerfile without Docker, and keeps the result as an archive under a hash of its inputs."""

from __future__ import annotations

import configparser
import hashlib
import io
import os
import re
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path

from hack.cluster import preflight, progress
from hack.cluster.binaries import build_lock, content_key
from hack.cluster.errors import ClusterError
from hack.cluster.layout import REPOSITORY, cache_root
from hack.images.base import base_name, ensure_base
from hack.images.buildah import buildah, trust_options

_KEPT_ARCHIVES = 3
_UNTRACKED = ("__pycache__", ".pyc", ".egg-info")
_COPY = re.compile(r"^\s*(?:COPY|ADD)\s+(?P<words>.*)$", re.IGNORECASE)
_PIP_SETTING = re.compile(r"PIP_(?P<key>INDEX_URL|EXTRA_INDEX_URL|TRUSTED_HOST|PROXY)")


def build_image(target: str, tag: str, context: Path = REPOSITORY, base: Path | None = None) -> Path:
    """Builds one target of the context's Dockerfile as ``tag``, unless nothing changed since; returns the archive.

    The Dockerfile's argument BASE is the image in the archive ``base``, a Debian with Python if there is none.
    """
    dockerfile = context / "Dockerfile"
    if not dockerfile.exists():
        raise ClusterError(f"there is no {dockerfile}", "name the folder that has one: --context DIR")
    start = f"docker-archive:{base}" if base else base_name()
    archive = _folder(tag) / f"{input_key(context, target, start)}.tar"
    if not archive.exists():
        preflight.check_images()
        with build_lock():
            if base is None:
                ensure_base()
            with progress.step(f"build {tag}"):
                _build(context, target, tag, start, archive)
    os.utime(archive)
    _drop_old_archives(archive.parent)
    return archive


def archive_of(tag: str) -> Path:
    """The newest archive that ``build_image`` made for a name; raises ClusterError when there is none."""
    archives = sorted(_folder(tag).glob("*.tar"), key=lambda file: file.stat().st_mtime)
    if not archives:
        raise ClusterError(
            f"{tag} is neither a file nor an image that was built here",
            f"build it: cluster build-image --target TARGET --tag {tag}",
        )
    return archives[-1]


def input_key(context: Path, target: str, base: str) -> str:
    """A hash over all that the built image depends on: the Dockerfile, the files that it copies, the base."""
    dockerfile = (context / "Dockerfile").read_text()
    words = [target, base, dockerfile]
    for file in copied_files(context, dockerfile):
        digest = hashlib.sha256(file.read_bytes()).hexdigest()
        words.append(f"{file.relative_to(context)} {file.stat().st_mode & 0o111:o} {digest}")
    return content_key((), words)


def copied_files(context: Path, dockerfile: str) -> Iterator[Path]:
    """Every file of the context that a COPY or ADD of the Dockerfile brings in, in a fixed order."""
    files: set[Path] = set()
    for pattern in copy_sources(dockerfile):
        for source in (
            context.glob(pattern.removeprefix("./").rstrip("/")) if pattern not in (".", "./") else (context,)
        ):
            files.update(path for path in ([source] if source.is_file() else source.rglob("*")) if path.is_file())
    return iter(
        sorted(file for file in files if not any(mark in str(file.relative_to(context)) for mark in _UNTRACKED))
    )


def copy_sources(dockerfile: str) -> list[str]:
    """What the COPY and ADD lines take from the context; copies from other stages and images are left out."""
    sources = []
    for line in dockerfile.replace("\\\n", " ").splitlines():
        match = _COPY.match(line)
        if match is None:
            continue
        words = match["words"].split()
        options = [word for word in words if word.startswith("--")]
        if not any(option.startswith("--from=") for option in options):
            sources += [word for word in words if word not in options][:-1]
    return sources


def pip_config(existing: str, environment: Mapping[str, str]) -> str:
    """A pip.conf for the build: the machine's own, and what its environment says about the package index.

    It is mounted for the build, not copied: a package index is a matter of the machine that builds, never of the image.
    """
    settings = {
        match["key"].lower().replace("_", "-"): value
        for name, value in sorted(environment.items())
        if (match := _PIP_SETTING.fullmatch(name)) and value
    }
    if not settings:
        return existing
    parser = configparser.RawConfigParser()
    parser.read_string(existing)
    parser.read_dict({"global": settings})
    written = io.StringIO()
    parser.write(written)
    return written.getvalue()


def _build(context: Path, target: str, tag: str, base: str, archive: Path) -> None:
    archive.parent.mkdir(parents=True, exist_ok=True)
    log = archive.with_suffix(".log")
    with tempfile.TemporaryDirectory() as scratch:
        mounts = _mounts(Path(scratch))
        buildah(
            "build",
            *("--quiet", "--layers", "--jobs=2", "--network=host", *trust_options(), *mounts),
            *(f"--build-arg=BASE={base}", f"--target={target}", f"--tag={tag}", context),
            log=log,
        )
    partial = archive.with_suffix(".partial")
    partial.unlink(missing_ok=True)
    buildah("push", "--quiet", *trust_options(), tag, f"docker-archive:{partial}:{tag}")
    partial.rename(archive)


def _mounts(scratch: Path) -> list[str]:
    """What the build needs of this machine to reach its package index: pip's settings and trusted certificates."""
    mounts = []
    system = Path("/etc/pip.conf")
    config = pip_config(system.read_text() if system.exists() else "", os.environ)
    if config:
        (scratch / "pip.conf").write_text(config)
        mounts.append(f"--volume={scratch / 'pip.conf'}:/etc/pip.conf:ro")
    if Path("/etc/ssl/certs/ca-certificates.crt").exists():
        mounts.append("--volume=/etc/ssl/certs:/etc/ssl/certs:ro")
    return mounts


def _folder(tag: str) -> Path:
    return cache_root() / "images" / re.sub(r"[^A-Za-z0-9.-]+", "_", tag)


def _drop_old_archives(folder: Path) -> None:
    newest_first = sorted(folder.glob("*.tar"), key=lambda file: file.stat().st_mtime, reverse=True)
    for archive in newest_first[_KEPT_ARCHIVES:]:
        archive.unlink()
        archive.with_suffix(".log").unlink(missing_ok=True)
