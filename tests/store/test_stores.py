"""The same behaviour in a folder and in a real S3."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from tests.store.conftest import Opener

from application_sdk.contracts import DownloadInput, FileReference, StorageTier, UploadInput
from application_sdk.storage import FileStorage, ObjectChangedError, ObjectMissingError
from application_sdk.storage.files import Place
from application_sdk.storage.store import CHUNK_BYTES, UNKNOWN_SIZE

LARGE = 3 * CHUNK_BYTES + 12345
NAMES = ("a.txt", "deep/er/b c.csv", "ü#?%20*+&.txt", "~t'(1)", "a=b;c@d", "empty")


@pytest.fixture(params=["folder", "s3"])
def node1(request: pytest.FixtureRequest, tmp_path: Path, opened: Opener) -> FileStorage:
    """A run's files, seen from one node."""
    from tests.store.conftest import SCOPE

    if request.param == "s3":
        return opened("node1")
    return FileStorage(SCOPE, Place((tmp_path / "store").as_uri(), str(tmp_path / "node1")))


@pytest.fixture
def node2(node1: FileStorage, tmp_path: Path) -> FileStorage:
    """The same from another."""
    return FileStorage(node1.scope, Place("file:///nowhere", str(tmp_path / "node2")), store=node1.store)


async def chunks(*pieces: bytes) -> AsyncIterator[bytes]:
    for piece in pieces:
        yield piece


@pytest.mark.parametrize("size", [0, 1, CHUNK_BYTES, LARGE])
async def test_file_is_elsewhere_what_it_was_here(
    node1: FileStorage, node2: FileStorage, tmp_path: Path, size: int
) -> None:
    content = os.urandom(size)
    (tmp_path / "data.csv").write_bytes(content)
    ref = await node1.keep(FileReference.from_local(tmp_path / "data.csv"))
    info = await node1.store.head(ref.storage_path or "")
    assert info is not None
    assert (info.size, info.content_type) in ((size, "text/csv"), (size, None))
    there = await node2.fetch(ref)
    assert Path(there.local_path or "").read_bytes() == content


async def test_directory_is_elsewhere_what_it_was_here(node1: FileStorage, node2: FileStorage, tmp_path: Path) -> None:
    work = tmp_path / "work"
    for name in NAMES:
        (work / name).parent.mkdir(parents=True, exist_ok=True)
        (work / name).write_text("" if name == "empty" else name)
    ref = await node1.keep(FileReference.from_local(work))
    there = Path((await node2.fetch(ref)).local_path or "")
    assert {str(place.relative_to(there)) for place in there.rglob("*") if place.is_file()} == set(NAMES)
    out = await node1.upload(UploadInput(local_path=str(work), storage_path="named/here"))
    again = await node2.download(DownloadInput(ref=out.ref, local_path=str(tmp_path / "again")))
    assert again.ref.sha256 == ref.sha256


async def test_changed_content_type_is_told(node1: FileStorage, tmp_path: Path) -> None:
    if not node1.store.keeps_content_type:
        pytest.skip("a folder keeps no content types")
    (tmp_path / "a.csv").write_text("x")
    ref = await node1.keep(FileReference.from_local(tmp_path / "a.csv"))
    await node1.store.put_bytes(ref.storage_path or "", b"x", "application/x-evil")
    with pytest.raises(ObjectChangedError, match="content type text/csv expected, application/x-evil found"):
        await node1.fetch(ref)


@pytest.mark.parametrize("content", [b"hell", b"hellO", b"hello!"])
async def test_damaged_object_is_an_error_that_names_it(node1: FileStorage, tmp_path: Path, content: bytes) -> None:
    (tmp_path / "a").write_text("hello")
    ref = await node1.keep(FileReference.from_local(tmp_path / "a"))
    await node1.store.put_bytes(ref.storage_path or "", content, ref.content_type or "")
    with pytest.raises(ObjectChangedError, match=ref.storage_path):
        await node1.fetch(ref)


async def test_missing_object_is_an_error_that_names_it(node1: FileStorage, tmp_path: Path) -> None:
    (tmp_path / "a").write_text("hello")
    ref = await node1.keep(FileReference.from_local(tmp_path / "a"))
    await node1.store.delete([ref.storage_path or ""])
    for action in (node1.fetch(ref), node1.read(ref), node1.read(ref, 0, 3)):
        with pytest.raises(ObjectMissingError, match=ref.storage_path):
            await action


async def test_ranges(node1: FileStorage) -> None:
    await node1.store.put_bytes("k", b"0123456789", "text/plain")
    assert await node1.store.get("k", 2, 3) == b"234"
    assert await node1.store.get("k", 8, 100) == b"89"
    assert await node1.store.get("k", 10, 5) == b""
    assert await node1.store.get("k", 50, 5) == b""


async def test_object_of_unknown_size(node1: FileStorage) -> None:
    pieces = [os.urandom(CHUNK_BYTES // 3) for _ in range(5)]
    await node1.store.put("k", chunks(*pieces), UNKNOWN_SIZE, "text/plain")
    assert b"".join([chunk async for chunk in node1.stream("k")]) == b"".join(pieces)


async def test_failed_put_leaves_what_was_there(node1: FileStorage) -> None:
    async def broken() -> AsyncIterator[bytes]:
        yield b"x" * CHUNK_BYTES
        raise ZeroDivisionError

    await node1.store.put_bytes("k", b"before", "text/plain")
    with pytest.raises(ZeroDivisionError):
        await node1.store.put("k", broken(), LARGE, "text/plain")
    assert await node1.read("k") == b"before"


async def test_list_is_of_whole_folders_only(node1: FileStorage) -> None:
    for key in ("a/1", "a/b/2", "ab/3"):
        await node1.store.put_bytes(key, b"x", "text/plain")
    assert sorted([info.key async for info in node1.list("a")]) == ["a/1", "a/b/2"]
    assert sorted([info.key async for info in node1.list()]) == ["a/1", "a/b/2", "ab/3"]


async def test_clean_up(node1: FileStorage, tmp_path: Path) -> None:
    refs = []
    for name in ("kept", "gone"):
        (tmp_path / name).write_text(name)
        refs.append(await node1.keep(FileReference.from_local(tmp_path / name)))
    moved = await node1.upload(UploadInput(ref=refs[1], tier=StorageTier.RETAINED))
    cleared = await node1.clear_run([refs[0].storage_path or ""])
    assert (cleared.objects, cleared.size) == (1, 4)
    assert {info.key async for info in node1.list()} == {refs[0].storage_path, moved.ref.storage_path}
