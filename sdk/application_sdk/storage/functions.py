"""Objects under keys of an app's own, as functions: what programs for the App Framework import from `storage`.

They use the store of the task that calls them, unless another one is given; in a test that is `create_memory_store()`
or `create_local_store(folder)`. Keys that begin as those of a tier are refused, as by `self.upload`.
"""

from __future__ import annotations

import tempfile
import weakref
from pathlib import Path

from application_sdk.contracts.storage import DownloadInput, UploadInput
from application_sdk.storage import slot
from application_sdk.storage.files import FileStorage
from application_sdk.storage.folder import FolderStore
from application_sdk.storage.keys import Scope, checked_key
from application_sdk.storage.store import Store


async def upload_file(key: str, local_path: str | Path, store: Store | None = None) -> str:
    """Store a file under a key, in place of what is there. Its SHA-256, in hexadecimal digits. Raises StorageError."""
    saved = await _files(store).upload(UploadInput(local_path=str(local_path), storage_path=key))
    return saved.ref.sha256 or ""


async def download_file(key: str, local_path: str | Path, store: Store | None = None) -> str | None:
    """Put a stored file on this disk. Its SHA-256, in hexadecimal digits. Raises StorageError."""
    fetched = await _files(store).download(DownloadInput(storage_path=key, local_path=str(local_path)))
    return fetched.ref.sha256


async def exists(key: str, store: Store | None = None) -> bool:
    """Whether something is stored under a key. Raises StorageError."""
    return await _files(store).store.head(checked_key(key)) is not None


async def delete(key: str, store: Store | None = None) -> bool:
    """Delete what is stored under a key. False if there was nothing. Raises StorageError."""
    there = await exists(key, store)
    await _files(store).delete(key)
    return there


async def list_keys(prefix: str = "", suffix: str = "", store: Store | None = None) -> list[str]:
    """The keys below a prefix, sorted; with a suffix those that end so. Raises StorageError."""
    return sorted([info.key async for info in _files(store).list(prefix) if info.key.endswith(suffix)])


def create_local_store(root_path: str | Path) -> Store:
    """A store in a folder."""
    return FolderStore(Path(root_path))


def create_memory_store() -> Store:
    """A store for a test. What is in it goes with it."""
    folder = tempfile.TemporaryDirectory(prefix="apprun-store-")
    store = FolderStore(Path(folder.name))
    weakref.finalize(store, folder.cleanup)
    return store


def _files(store: Store | None) -> FileStorage:
    return slot.files() if store is None else FileStorage(Scope("", "", "", ""), store=store)
