"""A task stores what it has written, and never what was mounted into its pod."""

from __future__ import annotations

from pathlib import Path

import pytest

from application_sdk.contracts import FileReference, UploadInput
from application_sdk.storage import FileStorage, UnsafeFileError


@pytest.fixture
def secret(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    place = tmp_path / "secrets" / "login" / "password"
    place.parent.mkdir(parents=True)
    place.write_text("open sesame")
    monkeypatch.setenv("APPRUN_SECRETS_DIR", str(tmp_path / "secrets"))
    return place


async def test_a_mounted_secret_is_not_stored(files: FileStorage, root: Path, secret: Path) -> None:
    with pytest.raises(UnsafeFileError, match="the pod's own, such as its secrets"):
        await files.store_all(FileReference(local_path=str(secret)))
    with pytest.raises(UnsafeFileError):
        await files.upload(UploadInput(local_path=str(secret), storage_path="public/x"))
    assert [place for place in root.rglob("*") if place.is_file()] == []


async def test_neither_a_link_nor_a_folder_leads_to_it(files: FileStorage, work: Path, secret: Path) -> None:
    link = work / "report.csv"
    link.symlink_to(secret)
    for place in (link, secret.parent, secret.parents[2]):
        with pytest.raises(UnsafeFileError):
            await files.keep(FileReference(local_path=str(place)))


@pytest.mark.parametrize("place", ["/proc/self/environ", "/proc/self/task", "/"])
async def test_the_environment_of_a_process_is_not_stored(files: FileStorage, place: str) -> None:
    with pytest.raises(UnsafeFileError, match="isn't stored"):
        await files.keep(FileReference(local_path=place))
