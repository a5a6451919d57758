"""Registers the secrets that are mounted into this pod with the leak check, before any of the app's
code runs.

An app may read the files itself, without `get_secret`, and code that was tricked into reading one
must not reveal it.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final

from application_sdk.execution.secret_leaks import register_source
from application_sdk.wire.names import SECRETS_DIRECTORY, SECRETS_VARIABLE, STORE_DIRECTORY

MAX_FILES: Final = 256
"""In all. Kubernetes mounts a file for each key of a Secret, and a Secret has few keys."""
MAX_BYTES: Final = 64 * 1024
"""Of one file. A larger one is known once `get_secret` has given it."""
MAX_BYTES_IN_ALL: Final = 1024 * 1024
TOKEN: Final = "the pod's own token"


def register_mounted_secrets(directory: Path, environment: Mapping[str, str]) -> None:
    """Have the leak check and the masks of this process know the token in `directory`, and all
    files of the mounts."""
    mounts = (environment.get(SECRETS_VARIABLE) or SECRETS_DIRECTORY, STORE_DIRECTORY)

    def secrets() -> Iterator[tuple[str, str]]:
        token = _text(directory / "token")
        if token is not None:
            yield TOKEN, token
        budget = MAX_BYTES_IN_ALL
        for number, (name, path) in enumerate(file for mount in mounts for file in _files(Path(mount))):
            if number == MAX_FILES or budget < 0:
                return
            text = _text(path)
            if text is not None:
                budget -= len(text)
                yield name, text

    register_source(secrets)


def _files(mount: Path) -> Iterator[tuple[str, Path]]:
    """The files of a mount and of its folders. The kubelet's own, such as `..data`, are seen
    through its links."""
    for entry in _entries(mount):
        if entry.is_file():
            yield entry.name, Path(entry.path)
        elif entry.is_dir():
            yield from (
                (f"{entry.name}/{key.name}", Path(key.path)) for key in _entries(Path(entry.path)) if key.is_file()
            )


def _entries(folder: Path) -> Iterator[os.DirEntry[str]]:
    try:
        with os.scandir(folder) as entries:
            for _, entry in zip(range(MAX_FILES), entries, strict=False):
                if not entry.name.startswith(".."):
                    yield entry
    except OSError:
        return


def _text(path: Path) -> str | None:
    """What a file holds; None where it can't be read, isn't text or is too large to be looked for
    everywhere."""
    try:
        with path.open("rb") as file:
            content = file.read(MAX_BYTES + 1)
        return content.decode("utf-8") if len(content) <= MAX_BYTES else None
    except (OSError, UnicodeDecodeError):
        return None
