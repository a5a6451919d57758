"""References to files, repositories and credentials, and what upload and download take."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import BaseModel, ValidationError

from application_sdk.contracts import (
    DownloadInput,
    DownloadOutput,
    FileReference,
    GitReference,
    StorageTier,
    UploadInput,
    UploadOutput,
)
from application_sdk.contracts.codec import decode, encode
from application_sdk.contracts.types import CredentialRef
from application_sdk.errors import MisuseError


@pytest.mark.parametrize(
    "value",
    [
        FileReference(local_path="/tmp/a", tier=StorageTier.RETAINED, sha256="0" * 64, size_bytes=2**60),
        GitReference(repo_url="https://example.org/a.git", credential=CredentialRef(name="deploy-key")),
        UploadInput(local_path="/tmp/a", storage_subdir="b/c"),
        UploadOutput(ref=FileReference(storage_path="a", is_durable=True), synced=True, reason="uploaded"),
        DownloadInput(ref=FileReference(storage_path="a")),
        DownloadOutput(),
    ],
    ids=lambda value: type(value).__name__,
)
def test_each_survives_a_round_trip(value: BaseModel) -> None:
    assert decode(type(value), encode(value), paths="keep") == value


def test_a_file_is_transient_and_handled_without_being_asked_unless_said_otherwise() -> None:
    reference = FileReference(local_path="/tmp/a")
    assert (reference.tier, reference.auto_materialize, reference.is_durable) == (StorageTier.TRANSIENT, True, False)


def test_references_do_not_change() -> None:
    with pytest.raises(ValidationError, match="frozen"):
        FileReference().local_path = "/tmp/b"  # type: ignore[misc]
    with pytest.raises(ValidationError, match="frozen"):
        GitReference(repo_url="x").branch = "y"  # type: ignore[misc]


def test_a_reference_to_a_directory_counts_its_files(tmp_path: Path) -> None:
    (tmp_path / "deep").mkdir()
    for name in ("a", "b", "deep/c"):
        (tmp_path / name).write_text("x")
    assert FileReference.from_local(tmp_path).file_count == 3


def test_path_is_that_on_this_disk_or_an_error() -> None:
    assert FileReference(local_path="/tmp/a").path == Path("/tmp/a")
    with pytest.raises(MisuseError, match="'k' isn't on this disk"):
        _ = FileReference(storage_path="k", is_durable=True).path


def test_a_reference_to_what_is_not_there_yet_counts_one(tmp_path: Path) -> None:
    reference = FileReference.from_local(tmp_path / "later", tier=StorageTier.PERSISTENT)
    assert reference == FileReference(local_path=str(tmp_path / "later"), tier=StorageTier.PERSISTENT)


@pytest.mark.parametrize("place", ["", "/", "../up", "a/../../b", "a\x00b"])
def test_an_upload_cannot_leave_its_prefix(place: str) -> None:
    with pytest.raises(ValidationError, match="must name a place below its prefix"):
        UploadInput(local_path="/tmp/a", storage_subdir=place)
    with pytest.raises(ValidationError, match="must name a place below its prefix"):
        UploadInput(local_path="/tmp/a", storage_path=place)


def test_a_download_needs_to_know_where_from() -> None:
    with pytest.raises(ValidationError, match="Give storage_path, or a ref that was uploaded"):
        DownloadInput(local_path="/tmp/a", ref=FileReference(local_path="/tmp/b"))
