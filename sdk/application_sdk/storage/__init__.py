"""Files by reference: what a task returns as a FileReference is stored, and is there when the next task starts.

Tasks use it through `self.context.storage`, `self.upload` and `self.download`; the errors are here to be caught. Loaded
only where a file is moved: tasks without files never pay for it.
"""

from __future__ import annotations

from application_sdk.storage.errors import (
    FileChangedError,
    ObjectChangedError,
    ObjectMissingError,
    StorageError,
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
    download_file,
    exists,
    list_keys,
    upload_file,
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
    "StorageError",
    "StoreNotConfiguredError",
    "StoreRefusedError",
    "StoreUnavailableError",
    "UnsafeFileError",
    "UnsafeReferenceError",
    "create_local_store",
    "create_memory_store",
    "delete",
    "download_file",
    "exists",
    "list_keys",
    "upload_file",
]
