"""Files by reference: what a task returns as a FileReference is stored, and is there when the next
task starts.

Tasks use it through `self.context.storage`, `self.upload` and `self.download`; the errors are here
to be caught. Loaded only where a file is moved: tasks without files never pay for it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from application_sdk.storage.errors import (
    FileChangedError,
    ObjectChangedError,
    ObjectMissingError,
    StorageConfigError,
    StorageError,
    StorageIntegrityError,
    StorageNotFoundError,
    StoragePermissionError,
    StoreNotConfiguredError,
    StoreRefusedError,
    StoreUnavailableError,
    UnsafeFileError,
    UnsafeReferenceError,
)
from application_sdk.storage.files import FileStorage
from application_sdk.storage.functions import (
    create_local_store,
    create_memory_store,
    delete,
    delete_prefix,
    download_file,
    download_prefix,
    exists,
    list_data_keys,
    list_keys,
    normalize_key,
    put_json,
    upload_file,
    upload_file_from_bytes,
    upload_prefix,
)
from application_sdk.storage.store import ObjectInfo
from application_sdk.storage.writing import FileWriter

__all__ = [
    "FileChangedError",
    "FileStorage",
    "FileWriter",
    "ObjectChangedError",
    "ObjectInfo",
    "ObjectMissingError",
    "StorageConfigError",
    "StorageError",
    "StorageIntegrityError",
    "StorageNotFoundError",
    "StoragePermissionError",
    "StoreNotConfiguredError",
    "StoreRefusedError",
    "StoreUnavailableError",
    "UnsafeFileError",
    "UnsafeReferenceError",
    "create_local_store",
    "create_memory_store",
    "delete",
    "delete_prefix",
    "download_file",
    "download_prefix",
    "exists",
    "list_data_keys",
    "list_keys",
    "normalize_key",
    "put_json",
    "upload_file",
    "upload_file_from_bytes",
    "upload_prefix",
]


if not TYPE_CHECKING:

    def __getattr__(name):
        from application_sdk.lazy_attributes import load

        return load(__name__, name, {})
