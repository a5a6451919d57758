"""Objects under keys of an app's own, as functions: what programs for the App Framework import from
`storage`.

They use the store of the task that calls them, unless another one is given; in a test that is
`create_memory_store()` or `create_local_store(folder)`. Keys that begin as those of a tier are
refused, as by `self.upload`.
"""

from __future__ import annotations

import asyncio
import json
import posixpath
import tempfile
import weakref
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from pydantic import JsonValue

from application_sdk.contracts.storage import DownloadInput, UploadInput
from application_sdk.storage import current_storage, keys
from application_sdk.storage.errors import ObjectChangedError
from application_sdk.storage.files import FileStorage
from application_sdk.storage.folder import FolderStore
from application_sdk.storage.keys import Scope
from application_sdk.storage.parallel import LARGE_AT_ONCE, SMALL_AT_ONCE, side_by_side
from application_sdk.storage.store import Store
from application_sdk.storage.upload import type_of

_TEMPORARY: Final = "local/tmp/"
_UPLOAD: Final = frozenset({"chunk_size", "compute_hash", "verify", "write_sidecar"})
_DOWNLOAD: Final = frozenset({"compute_hash", "min_chunk_size", "verify", "sidecar_present"})


async def upload_file(
    key: str,
    local_path: str | Path,
    store: Store | None = None,
    *,
    normalize: bool = True,
    retain_local_copy: bool = True,
    **of_the_framework: object,
) -> str:
    """Store a file under a key, in place of what is there. Its SHA-256, in hexadecimal digits.

    `retain_local_copy=False` removes the file once it is stored. `chunk_size`, `compute_hash`,
    `verify` and `write_sidecar` of the App Framework are accepted and have no effect: pieces have
    the store's size, and a digest is always made. Raises StorageError.
    """
    _check_keywords("upload_file", of_the_framework, _UPLOAD)
    given = UploadInput(local_path=str(local_path), storage_path=_key(key, normalize))
    saved = await _files(store).upload(given)
    if not retain_local_copy:
        await asyncio.to_thread(Path(local_path).unlink)
    return saved.ref.sha256 or ""


async def upload_file_from_bytes(
    key: str, content: bytes, store: Store | None = None, *, normalize: bool = True
) -> str:
    """Store bytes under a key. The key as it is in the store. Raises StorageError."""
    wanted = keys.checked_key(_key(key, normalize))
    keys.check_writable(wanted)
    await _files(store).store.put_bytes(wanted, content, type_of(wanted))
    return wanted


async def put_json(key: str, obj: JsonValue, store: Store | None = None, *, normalize: bool = True) -> None:
    """Store a value as JSON under a key. Raises StorageError."""
    await upload_file_from_bytes(key, json.dumps(obj, ensure_ascii=False).encode(), store, normalize=normalize)


async def upload_prefix(
    local_dir: str | Path,
    prefix: str,
    store: Store | None = None,
    *,
    normalize: bool = True,
    retain_local_copy: bool = True,
    max_concurrency: int = SMALL_AT_ONCE,
) -> list[str]:
    """Store all files of a directory below a prefix. Their keys, sorted. Raises StorageError."""
    below, root = _key(prefix, normalize).rstrip("/"), Path(local_dir)
    names = await asyncio.to_thread(_names_in, root)
    wanted = [f"{below}/{name}" for name in names]

    async def send(name: str) -> str:
        return await upload_file(
            f"{below}/{name}", root / name, store, normalize=False, retain_local_copy=retain_local_copy
        )

    await side_by_side(send, names, max(1, min(max_concurrency, SMALL_AT_ONCE)))
    return sorted(wanted)


async def download_file(
    key: str,
    local_path: str | Path,
    store: Store | None = None,
    *,
    normalize: bool = True,
    expected_sha256: str | None = None,
    **of_the_framework: object,
) -> str | None:
    """Put a stored file on this disk. Its SHA-256, in hexadecimal digits.

    Raises StorageNotFoundError when there is none, StorageIntegrityError when it isn't
    `expected_sha256`, and StorageError.
    """
    _check_keywords("download_file", of_the_framework, _DOWNLOAD)
    given = DownloadInput(storage_path=_key(key, normalize), local_path=str(local_path))
    found = (await _files(store).download(given)).ref.sha256
    if expected_sha256 and found != expected_sha256:
        raise ObjectChangedError(f"object {key!r} has the SHA-256 {found}, and {expected_sha256} was expected")
    return found


async def download_prefix(
    prefix: str,
    local_dir: str | Path,
    store: Store | None = None,
    *,
    suffix: str = "",
    normalize: bool = True,
    strip_prefix: bool = False,
    max_concurrency: int = LARGE_AT_ONCE,
) -> list[str]:
    """Put all files below a prefix, or those that end with a suffix, into a directory: under their
    whole keys or, with `strip_prefix`, under what follows the prefix. Their paths, sorted. Raises
    StorageError."""
    below, root = _key(prefix, normalize).strip("/"), Path(local_dir)
    found = await list_keys(below, store, suffix=suffix, normalize=False)
    places = {key: root / (key[len(below) :].lstrip("/") if strip_prefix else key) for key in found}

    async def take(key: str) -> str | None:
        return await download_file(key, places[key], store, normalize=False)

    await side_by_side(take, found, max(1, min(max_concurrency, LARGE_AT_ONCE)))
    return sorted(map(str, places.values()))


async def exists(key: str, store: Store | None = None, *, normalize: bool = True) -> bool:
    """Whether something is stored under a key. Raises StorageError."""
    return await _files(store).store.head(keys.checked_key(_key(key, normalize))) is not None


async def delete(key: str, store: Store | None = None, *, normalize: bool = True) -> bool:
    """Delete what is stored under a key. False if there was nothing. Raises StorageError."""
    wanted = _key(key, normalize)
    there = await exists(wanted, store, normalize=False)
    await _files(store).delete(wanted)
    return there


async def delete_prefix(prefix: str, store: Store | None = None, *, normalize: bool = True) -> int:
    """Delete all that is stored below a prefix. How many objects that were. Raises StorageError,
    also for no prefix, which would be the whole store."""
    below = keys.checked_key(_key(prefix, normalize), "prefix")
    keys.check_writable(below)
    found = await list_keys(below, store, normalize=False)
    await _files(store).store.delete(found)
    return len(found)


async def list_keys(
    prefix: str = "", store: Store | None = None, *, suffix: str = "", normalize: bool = True
) -> list[str]:
    """The keys below a prefix, sorted; with a suffix those that end so. Raises StorageError."""
    listed = _files(store).list(_key(prefix, normalize))
    return sorted([info.key async for info in listed if info.key.endswith(suffix)])


list_data_keys = list_keys
"""In the App Framework: without the files beside the data that hold digests. There are none
here."""


def normalize_key(key: str) -> str:
    """A key as stores have it: without slashes around it, and without the folder for temporary
    files (`./local/tmp/`) that programs for the App Framework begin paths with."""
    plain = posixpath.normpath(key.replace("\\", "/")).strip("/") if key.strip("/.") else ""
    return f"{plain}/".removeprefix(_TEMPORARY).strip("/")


def create_local_store(root_path: str | Path) -> Store:
    """A store in a folder."""
    return FolderStore(Path(root_path))


def create_memory_store() -> Store:
    """A store for a test. What is in it goes with it."""
    folder = tempfile.TemporaryDirectory(prefix="apprun-store-")
    store = FolderStore(Path(folder.name))
    weakref.finalize(store, folder.cleanup)
    return store


def _key(key: str, normalize: bool) -> str:
    # A key that leads out of its prefix stays as it is, to be refused.
    return normalize_key(key) if normalize and ".." not in key.split("/") else key


def _names_in(root: Path) -> list[str]:
    return sorted(place.relative_to(root).as_posix() for place in root.rglob("*") if place.is_file())


def _check_keywords(function: str, given: Mapping[str, object], known: frozenset[str]) -> None:
    unknown = sorted(given.keys() - known)
    if unknown:
        raise TypeError(f"{function}() got an unexpected keyword argument {unknown[0]!r}")


def _files(store: Store | None) -> FileStorage:
    return current_storage.files() if store is None else FileStorage(Scope("", "", "", ""), store=store)
