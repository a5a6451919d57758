"""Secrets from files: how a pod gets Kubernetes Secrets, which it may not read from the API.

A Secret that an app declares is mounted as a folder of its name with a file for each of its keys.
The kubelet replaces them all at once when the Secret changes, so each call reads them anew, all of
one version. A laptop may keep a folder of the same kind, or plain files.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from application_sdk.infrastructure.stores import SecretNotFoundError, UnreadableSecretError
from application_sdk.wire.names import SECRETS_DIRECTORY, SECRETS_VARIABLE

_NAME: Final = re.compile(r"[A-Za-z0-9](?:[-._A-Za-z0-9]*[A-Za-z0-9])?")
_KEY: Final = re.compile(r"(?!\.\.)[-._A-Za-z0-9]+")
_CURRENT: Final = "..data"
"""The link to the version that holds: the kubelet turns it to the next version's folder in one
step."""
_TRIES: Final = 3


class MountedSecretStore:
    """Secrets in a folder: `payments/token` is the key `token` of the Secret `payments`.

    `payments` alone is the value of its only key or, of several, all of them as a JSON object,
    which is what credentials are read from. A plain file is a secret too. Values are given as they
    are, with a newline at their end if they have one.
    """

    def __init__(self, directory: str | Path = SECRETS_DIRECTORY) -> None:
        self._directory = Path(directory)

    async def get(self, name: str) -> str:
        value = self._read(name)
        if value is None:
            available = ", ".join(self._names()) or "none"
            raise SecretNotFoundError(f"there is no secret {name!r} in {self._directory}, which has: {available}")
        return value

    async def get_optional(self, name: str) -> str | None:
        return self._read(name)

    async def get_bulk(self, names: list[str]) -> dict[str, str]:
        values = {name: self._read(name) for name in names}
        return {name: value for name, value in values.items() if value is not None}

    async def list_names(self) -> list[str]:
        """Names of the Secrets, without their keys."""
        return self._names()

    def _names(self) -> list[str]:
        try:
            return sorted(place.name for place in self._directory.iterdir() if _NAME.fullmatch(place.name))
        except (FileNotFoundError, NotADirectoryError):
            return []

    def _read(self, name: str) -> str | None:
        # A name is never a path: what doesn't look like one of a Secret isn't looked for.
        secret, slash, key = name.partition("/")
        if not _NAME.fullmatch(secret) or (slash and not _KEY.fullmatch(key)):
            return None
        place = self._directory / secret
        for tries_left in reversed(range(_TRIES)):
            try:
                return _file(place, name) if place.is_file() and not slash else _keys(place, key, name)
            except NotADirectoryError:
                return None
            except FileNotFoundError:
                # The kubelet removed this version between two of our steps: there is a newer one.
                if not place.exists() or not tries_left:
                    return None
        return None


def _keys(place: Path, key: str, name: str) -> str | None:
    current = place / _CURRENT
    version = current.resolve(strict=True) if current.is_symlink() else place
    if key:
        return _file(version / key, name) if (version / key).is_file() else None
    files = sorted(path for path in version.iterdir() if _KEY.fullmatch(path.name) and path.is_file())
    values = {path.name: _file(path, name) for path in files}
    if len(values) == 1:
        return next(iter(values.values()))
    return json.dumps(values) if values else None


def _file(path: Path, name: str) -> str:
    try:
        return path.read_bytes().decode("utf-8")
    except UnicodeDecodeError:
        # Not chained: the original holds the bytes.
        raise UnreadableSecretError(f"secret {name!r} is no text: {path} isn't UTF-8. Store it as base64") from None
    except PermissionError as error:
        raise UnreadableSecretError(
            f"secret {name!r} may not be read: {path} belongs to another user. Set `defaultMode` of the volume, or "
            "`fsGroup` of the pod"
        ) from error


def mounted_secrets(environment: Mapping[str, str]) -> MountedSecretStore | None:
    """The store of this process' surroundings, or None where no folder is mounted and none is
    named."""
    chosen = environment.get(SECRETS_VARIABLE)
    if chosen:
        return MountedSecretStore(Path(chosen).expanduser())
    return MountedSecretStore() if os.path.isdir(SECRETS_DIRECTORY) else None  # noqa: PTH112 - no Path for a mere look
