"""A directory as a list of files: what is stored under its digest, so that its names, sizes and
contents can't change.

Each file is an object of its own, under its own digest: one that two directories share is stored
once. Empty directories, permissions and times aren't kept.
"""

from __future__ import annotations

import json
import os
import stat
from pathlib import Path, PurePosixPath
from typing import Final, NamedTuple

from application_sdk.storage.errors import ObjectChangedError, UnsafeFileError, UnsafeReferenceError
from application_sdk.storage.transfer import Digest
from application_sdk.wire.digest import JSON, canonical_json

CONTENT_TYPE: Final = "application/vnd.apprun.directory+json"
VERSION: Final = 1
MAX_NAME_BYTES: Final = 255


class Entry(NamedTuple):
    """One file of a directory."""

    path: str
    """Relative to the directory, with '/' between its parts."""
    digest: Digest


def local_files(root: Path) -> list[tuple[str, Path]]:
    """The files below a directory as (relative path, path), by alphabet. Raises UnsafeFileError."""
    found: list[tuple[str, Path]] = []
    top = root.resolve()

    def fail(error: OSError) -> None:
        raise UnsafeFileError(f"{error.filename} can't be read: {error.strerror}") from error

    for folder, folders, files in os.walk(root, onerror=fail):
        for name in (*folders, *files):
            place = Path(folder, name)
            mode = place.lstat().st_mode
            if stat.S_ISLNK(mode):
                _check_link(place, top)
            elif not (stat.S_ISREG(mode) or stat.S_ISDIR(mode)):
                raise UnsafeFileError(f"{place} is neither a file nor a directory, so it can't be stored: remove it")
            if name in files:
                relative = place.relative_to(root).as_posix()
                found.append((checked_path(relative, UnsafeFileError), place))
    return sorted(found)


def _check_link(place: Path, top: Path) -> None:
    target = place.resolve()
    if not target.is_relative_to(top):
        raise UnsafeFileError(
            f"{place} is a link to {target}, outside of the directory {top}: copy into it what belongs to it"
        )
    if not target.is_file():
        what = "a directory" if target.is_dir() else "nothing"
        raise UnsafeFileError(f"{place} is a link to {what}: only links to files inside the directory can be stored")


def checked_path(path: str, error: type[UnsafeFileError | UnsafeReferenceError] = UnsafeReferenceError) -> str:
    """A relative path of a file in a directory, as it is. Raises `error` for one that could lead
    out of it."""
    parts = path.split("/")
    plain = all(part not in ("", ".", "..") and len(part.encode("utf-8", "surrogateescape")) <= MAX_NAME_BYTES
                for part in parts)  # fmt: skip
    if not plain or "\x00" in path or "\\" in path or PurePosixPath(path).is_absolute():
        raise error(
            f"{path[:200]!r} is no path of a file inside a directory: '..', '\\', empty parts and so on lead out"
        )
    try:
        path.encode("utf-8")
    except UnicodeEncodeError:
        raise error(f"the name {path!r} isn't UTF-8, so it can't be kept: rename the file") from None
    return path


def checked_name(name: str) -> str:
    """A file's own name. Raises UnsafeReferenceError."""
    if "/" in name:
        raise UnsafeReferenceError(f"{name[:200]!r} is no name of a file: it has a '/' in it")
    return checked_path(name)


def write_listing(entries: list[Entry]) -> bytes:
    """The stored form of a directory: the same files give the same bytes."""
    files: list[JSON] = [
        {"path": entry.path, "sha256": entry.digest.sha256, "size": entry.digest.size} for entry in sorted(entries)
    ]
    return canonical_json({"version": VERSION, "files": files})


def read_listing(content: bytes, key: str) -> list[Entry]:
    """The files of a stored directory. Raises ObjectChangedError, UnsafeReferenceError."""
    try:
        listing = json.loads(content)
        if listing["version"] != VERSION:
            raise ObjectChangedError(f"directory {key!r} has format {listing['version']!r}, this SDK reads {VERSION}")
        entries = [Entry(str(f["path"]), Digest(str(f["sha256"]), int(f["size"]))) for f in listing["files"]]
    except (ValueError, KeyError, TypeError) as error:
        raise ObjectChangedError(f"object {key!r} is no list of a directory's files: {error!r}") from error
    for entry in entries:
        checked_path(entry.path)
        if len(entry.digest.sha256) != 64 or not set(entry.digest.sha256) <= set("0123456789abcdef"):
            raise UnsafeReferenceError(f"{entry.path!r} in directory {key!r} has no SHA-256")
    return entries
