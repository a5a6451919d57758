"""What can go wrong between a disk and a store. Each error names the object, the store, and what to
do.

Whether trying again may help is in the class: those that are no NonRetryableError are tried again.
"""

from __future__ import annotations

from application_sdk.errors import AppError, NonRetryableError


class StorageError(AppError):
    """Base class of all errors of file storage."""


class StoreUnavailableError(StorageError):
    """The store doesn't answer, answers with errors of its own, or is full. Trying again may
    help."""


class StoreNotConfiguredError(StorageError, NonRetryableError):
    """There is no store here, or what says where it is makes no sense."""


class StoreRefusedError(StorageError, NonRetryableError):
    """The store doesn't let us in: credentials that are wrong or may not do this, or a bucket that
    isn't there."""


class ObjectMissingError(StorageError, NonRetryableError):
    """The store has no object of that key. It was deleted, or never there."""


class ObjectChangedError(StorageError, NonRetryableError):
    """An object isn't what its reference says: truncated, altered, or replaced. The message has
    key, expected and found."""


class UnsafeReferenceError(StorageError, NonRetryableError):
    """A reference leads where it may not: out of its prefix, or to a file that belongs to another
    run."""


class UnsafeFileError(StorageError, NonRetryableError):
    """A local file can't be stored as it is: a link out of its directory, a socket, a name that
    can't be kept."""


class FileChangedError(StorageError):
    """A local file was written to while it was uploaded."""


# The App Framework's names for them.
StorageNotFoundError = ObjectMissingError
StoragePermissionError = StoreRefusedError
StorageConfigError = StoreNotConfiguredError
StorageIntegrityError = ObjectChangedError
