"""What `App.upload` and `App.download` take and return. Apps fill these in, the storage layer carries them out."""

from __future__ import annotations

from pathlib import PurePosixPath
from typing import Self

from pydantic import ValidationInfo, field_validator, model_validator

from application_sdk.contracts.base import Input, Output
from application_sdk.contracts.paths import admitted_request
from application_sdk.contracts.types import FileReference, StorageTier

__all__ = ["DownloadInput", "DownloadOutput", "UploadInput", "UploadOutput"]


class UploadInput(Input):
    """What to upload, from `local_path` or from where `ref` is stored, and where to."""

    local_path: str = ""
    """File or directory on this pod's disk."""
    ref: FileReference | None = None
    """A stored file to copy from, where there is no `local_path`."""
    storage_path: str | None = None
    """Key of the file, or prefix of the directory, in the store. None lets the tier decide."""
    storage_subdir: str | None = None
    """Directory below the tier's prefix. Means nothing beside `storage_path`."""
    tier: StorageTier = StorageTier.RETAINED
    skip_if_exists: bool = False
    """Leave out files whose content is in the store already."""
    raise_on_empty: bool = False
    """Fail when there was no file to upload."""

    @field_validator("local_path")
    @classmethod
    def _is_of_this_disk(cls, path: str, info: ValidationInfo) -> str:
        return admitted_request(path, info)

    @field_validator("storage_path", "storage_subdir")
    @classmethod
    def _stays_below_its_prefix(cls, path: str | None) -> str | None:
        if path is not None:
            _require_plain_key(path)
        return path


class UploadOutput(Output):
    """What was uploaded."""

    ref: FileReference = FileReference()
    """Durable: any pod can fetch it."""
    synced: bool = False
    """Whether any bytes were sent; False when everything was there already."""
    reason: str = ""
    """What happened, for people: `uploaded`, `skipped:hash_match`, `empty`."""


class DownloadInput(Input):
    """What to download, from `storage_path` or from where `ref` is stored, and where to."""

    storage_path: str = ""
    """Key of a file or prefix of a directory. Wins over `ref`."""
    local_path: str | None = None
    """File or directory to write. None makes a temporary one."""
    ref: FileReference | None = None
    skip_if_exists: bool = False
    """Leave out files that are on the disk already with the same content."""

    @field_validator("local_path")
    @classmethod
    def _is_of_this_disk(cls, path: str | None, info: ValidationInfo) -> str | None:
        return admitted_request(path, info)

    @model_validator(mode="after")
    def _has_a_source(self) -> Self:
        if not self.storage_path and (self.ref is None or not self.ref.storage_path):
            raise ValueError("Give storage_path, or a ref that was uploaded (one with a storage_path)")
        return self


class DownloadOutput(Output):
    """What was downloaded."""

    ref: FileReference = FileReference()
    """Has a `local_path` on this pod."""
    synced: bool = False
    """Whether any bytes were fetched."""
    reason: str = ""
    """What happened, for people."""


def _require_plain_key(path: str) -> None:
    parts = PurePosixPath(path.strip("/")).parts
    if not parts or ".." in parts or "\x00" in path:
        raise ValueError(f"{path!r} must name a place below its prefix: not empty, without '..' or NUL")
