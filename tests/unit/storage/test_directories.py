"""Directories: what of them is stored, and what isn't let in or out."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest

from application_sdk.contracts import FileReference
from application_sdk.storage import FileStorage, ObjectChangedError, UnsafeFileError, UnsafeReferenceError
from application_sdk.storage.directory import CONTENT_TYPE, Entry, read_listing, write_listing
from application_sdk.storage.transfer import Digest
from application_sdk.storage.upload import sha256_of

NAMES = ("a.txt", "deep/er/b c.csv", "ü#?%20*.txt", "deep/same.txt", ".hidden", "empty")


def fill(folder: Path) -> dict[str, str]:
    for name in NAMES:
        place = folder / name
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text("" if name == "empty" else "same" if "a.txt" in name or "same" in name else name)
    return content(folder)


def content(folder: Path) -> dict[str, str]:
    return {str(place.relative_to(folder)): place.read_text() for place in folder.rglob("*") if place.is_file()}


async def test_directory_is_elsewhere_what_it_was_here(files: FileStorage, elsewhere: FileStorage, work: Path) -> None:
    given = fill(work)
    ref = await files.keep(FileReference.from_local(work))
    assert (ref.file_count, ref.size_bytes) == (len(given), sum(len(text.encode()) for text in given.values()))
    there = await elsewhere.fetch(ref)
    assert content(Path(there.local_path or "")) == given
    assert Path(there.local_path or "").name == work.name


async def test_equal_files_are_stored_once(files: FileStorage, root: Path, work: Path) -> None:
    fill(work)
    await files.keep(FileReference.from_local(work))
    objects = [place for place in root.rglob("*") if place.is_file()]
    assert len(objects) == len(set(content(work).values())) + 1


async def test_equal_directories_have_one_digest_wherever_they_lie(files: FileStorage, tmp_path: Path) -> None:
    refs = []
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        fill(tmp_path / name)
        refs.append(await files.keep(FileReference.from_local(tmp_path / name)))
    assert refs[0].sha256 == refs[1].sha256
    assert refs[0].storage_path == refs[1].storage_path


async def test_empty_directory_is_a_directory(files: FileStorage, elsewhere: FileStorage, work: Path) -> None:
    there = await elsewhere.fetch(await files.keep(FileReference.from_local(work)))
    assert Path(there.local_path or "").is_dir()
    assert there.file_count == 0


async def test_link_out_of_the_directory_is_refused(files: FileStorage, work: Path, tmp_path: Path, root: Path) -> None:
    (tmp_path / "secret").write_text("not yours")
    (work / "link").symlink_to(tmp_path / "secret")
    with pytest.raises(UnsafeFileError, match=r"link is a link to .*secret, outside of the directory"):
        await files.keep(FileReference.from_local(work))
    assert not root.exists()


async def test_link_to_a_directory_outside_is_refused(files: FileStorage, work: Path) -> None:
    (work / "etc").symlink_to("/etc")
    with pytest.raises(UnsafeFileError, match="outside of the directory"):
        await files.keep(FileReference.from_local(work))


@pytest.mark.parametrize("target", [".", "gone"])
async def test_link_to_no_file_is_refused(files: FileStorage, work: Path, target: str) -> None:
    (work / "loop").symlink_to(target)
    with pytest.raises(UnsafeFileError, match="only links to files inside"):
        await files.keep(FileReference.from_local(work))


async def test_link_to_a_file_inside_is_that_file(files: FileStorage, elsewhere: FileStorage, work: Path) -> None:
    (work / "real").write_text("x")
    (work / "alias").symlink_to("real")
    there = await elsewhere.fetch(await files.keep(FileReference.from_local(work)))
    assert content(Path(there.local_path or "")) == {"real": "x", "alias": "x"}


async def test_what_is_no_file_is_refused(files: FileStorage, work: Path) -> None:
    os.mkfifo(work / "pipe")
    with pytest.raises(UnsafeFileError, match="neither a file nor a directory"):
        await files.keep(FileReference.from_local(work))


async def test_socket_is_refused(files: FileStorage, work: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(work)
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind("s")
        with pytest.raises(UnsafeFileError, match="neither a file nor a directory"):
            await files.keep(FileReference.from_local(work))


async def test_name_that_is_no_text_is_refused(files: FileStorage, work: Path) -> None:
    Path(os.fsdecode(os.fsencode(work) + b"/\xff")).write_text("x")
    with pytest.raises(UnsafeFileError, match="isn't UTF-8"):
        await files.keep(FileReference.from_local(work))


@pytest.mark.parametrize("path", ["../up", "a/../../b", "/etc/passwd", "a//b", "a\\b", "", ".", "a\x00", "x" * 256])
def test_list_of_files_that_leads_out_of_the_directory_is_refused(path: str) -> None:
    listing = write_listing([Entry(path, Digest("0" * 64, 1))])
    with pytest.raises(UnsafeReferenceError):
        read_listing(listing, "key")


@pytest.mark.parametrize(
    "text", [b"", b"[]", b"{}", b'{"version":1}', b'{"version":1,"files":[{"path":"a"}]}', b'{"version":9,"files":[]}']
)
def test_what_is_no_list_of_files_is_told_as_such(text: bytes) -> None:
    with pytest.raises(ObjectChangedError, match="'key'"):
        read_listing(text, "key")


async def test_forged_list_in_the_store_writes_nothing_outside(files: FileStorage, root: Path, tmp_path: Path) -> None:
    listing = write_listing([Entry("../../../victim", Digest(sha256_of(b"x"), 1))])
    key = f"retained/ns/uid-1/{sha256_of(listing)}"
    (root / key).parent.mkdir(parents=True)
    (root / key).write_bytes(listing)
    ref = FileReference(storage_path=key, is_durable=True, content_type=CONTENT_TYPE, name="d")
    with pytest.raises(UnsafeReferenceError):
        await files.fetch(ref)
    assert not list(tmp_path.rglob("victim"))


async def test_altered_file_of_a_directory_is_named(
    files: FileStorage, elsewhere: FileStorage, root: Path, work: Path
) -> None:
    (work / "a").write_text("aaaa")
    ref = await files.keep(FileReference.from_local(work))
    victim = next(place for place in root.rglob(sha256_of(b"aaaa")))
    victim.write_text("bbbb")
    with pytest.raises(ObjectChangedError, match=sha256_of(b"aaaa")):
        await elsewhere.fetch(ref)
