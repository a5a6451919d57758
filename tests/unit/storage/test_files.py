"""A file goes into the store and comes out of it on another disk: the same, or an error that names it."""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from application_sdk.contracts import DownloadInput, FileReference, StorageTier, UploadInput
from application_sdk.errors import MisuseError
from application_sdk.execution.error_info import is_retryable
from application_sdk.storage import (
    FileChangedError,
    FileStorage,
    ObjectChangedError,
    ObjectMissingError,
    StoreNotConfiguredError,
    UnsafeFileError,
    UnsafeReferenceError,
)
from application_sdk.storage.files import Place
from application_sdk.storage.folder import FolderStore
from application_sdk.storage.keys import Scope
from application_sdk.storage.store import CHUNK_BYTES
from application_sdk.storage.transfer import digest_file, upload_file

LARGE = 2 * CHUNK_BYTES + 12345


def write(folder: Path, name: str, content: bytes | str) -> FileReference:
    place = folder / name
    place.write_bytes(content.encode() if isinstance(content, str) else content)
    return FileReference.from_local(place)


def objects(root: Path) -> dict[str, int]:
    return {str(place.relative_to(root)): place.stat().st_mtime_ns for place in root.rglob("*") if place.is_file()}


def stored(root: Path, ref: FileReference) -> Path:
    return root / (ref.storage_path or "")


@pytest.mark.parametrize("size", [0, 1, CHUNK_BYTES, CHUNK_BYTES + 1, LARGE])
async def test_file_is_elsewhere_what_it_was_here(
    files: FileStorage, elsewhere: FileStorage, work: Path, size: int
) -> None:
    content = os.urandom(size)
    ref = await files.keep(write(work, "data.bin", content))
    assert ref.local_path is None
    assert (ref.size_bytes, ref.file_count, ref.is_durable) == (size, 1, True)
    there = await elsewhere.fetch(ref)
    assert Path(there.local_path or "").read_bytes() == content
    assert Path(there.local_path or "").name == "data.bin"


async def test_key_is_the_digest_so_a_retry_writes_nothing(files: FileStorage, root: Path, work: Path) -> None:
    first = await files.keep(write(work, "a.csv", b"x" * LARGE))
    before = objects(root)
    (work / "again").mkdir()
    again = await files.keep(write(work / "again", "a.csv", b"x" * LARGE))
    assert again == first
    assert objects(root) == before


async def test_fetched_file_cannot_be_written_to(files: FileStorage, work: Path) -> None:
    there = await files.fetch(await files.keep(write(work, "a", "x")))
    assert not Path(there.local_path or "").stat().st_mode & 0o222


@pytest.mark.parametrize("size", [10, LARGE])
@pytest.mark.parametrize("damage", ["truncated", "altered", "longer"])
async def test_damaged_object_is_a_permanent_error_that_names_it(
    files: FileStorage, elsewhere: FileStorage, root: Path, work: Path, size: int, damage: str
) -> None:
    ref = await files.keep(write(work, "a", b"x" * size))
    content = {"truncated": b"x" * (size - 1), "altered": b"x" * (size - 1) + b"y", "longer": b"x" * (size + 1)}[damage]
    stored(root, ref).write_bytes(content)
    with pytest.raises(ObjectChangedError) as caught:
        await elsewhere.fetch(ref)
    assert (ref.storage_path or "") in str(caught.value)
    assert not is_retryable(caught.value)


async def test_damaged_download_leaves_nothing_on_the_disk(
    files: FileStorage, elsewhere: FileStorage, root: Path, work: Path, tmp_path: Path
) -> None:
    ref = await files.keep(write(work, "a", b"x" * LARGE))
    stored(root, ref).write_bytes(b"y" * LARGE)
    with pytest.raises(ObjectChangedError):
        await elsewhere.fetch(ref)
    assert not [place for place in (tmp_path / "other").rglob("*") if place.is_file()]


async def test_missing_object_is_a_permanent_error_that_names_it(files: FileStorage, root: Path, work: Path) -> None:
    ref = await files.keep(write(work, "a", "x"))
    stored(root, ref).unlink()
    with pytest.raises(ObjectMissingError, match=ref.storage_path) as caught:
        await files.fetch(ref)
    assert not is_retryable(caught.value)


async def test_damaged_object_is_put_right_by_storing_the_original_again(
    files: FileStorage, root: Path, work: Path
) -> None:
    ref = await files.keep(write(work, "a", "hello"))
    stored(root, ref).write_text("hel")
    await files.keep(write(work, "a", "hello"))
    assert stored(root, ref).read_text() == "hello"


async def test_file_that_grows_while_it_is_uploaded_is_not_stored(files: FileStorage, root: Path, work: Path) -> None:
    for size in (10, LARGE):
        place = work / "a"
        place.write_bytes(b"x" * size)
        digest = await digest_file(place, lambda sign: None)
        place.write_bytes(b"x" * (size + 1))
        with pytest.raises(FileChangedError):
            await upload_file(files.store, "k", place, digest, "a/b", lambda sign: None)
    assert not objects(root)


async def test_file_that_is_not_there_is_told(files: FileStorage, work: Path) -> None:
    with pytest.raises(UnsafeFileError, match="no file or directory of that name"):
        await files.keep(FileReference(local_path=str(work / "gone")))


@pytest.mark.parametrize("name", ["../../evil", "a/b", "..", "x\x00"])
async def test_name_that_leads_out_of_the_scratch_folder_is_refused(files: FileStorage, work: Path, name: str) -> None:
    ref = (await files.keep(write(work, "a", "x"))).model_copy(update={"name": name})
    with pytest.raises(UnsafeReferenceError):
        await files.fetch(ref)


async def test_references_out_of_the_store_are_refused(files: FileStorage, root: Path) -> None:
    root.mkdir()
    (root.parent / "outside").write_text("x")
    for key in ("../outside", "/etc/passwd/../shadow", "retained/../../outside"):
        with pytest.raises(UnsafeReferenceError):
            await files.fetch(FileReference(storage_path=key, is_durable=True))


async def test_private_file_of_another_run_is_not_given(files: FileStorage, root: Path, work: Path) -> None:
    theirs = FileStorage(Scope("ns", "catalog", "uid-9", "chain-9"), Place(root.as_uri(), str(work / "s")))
    ref = await theirs.keep(write(work, "a", "x"))
    with pytest.raises(UnsafeReferenceError, match="transient file of another run"):
        await files.fetch(ref)
    with pytest.raises(UnsafeReferenceError):
        await files.read(ref)
    assert [info.key async for info in files.list()] == []


async def test_retained_file_is_handed_from_run_to_run(files: FileStorage, root: Path, work: Path) -> None:
    theirs = FileStorage(Scope("ns", "catalog", "uid-9", "chain-9"), Place(root.as_uri(), str(work / "s")))
    ref = await theirs.keep(write(work, "a", "x").model_copy(update={"tier": StorageTier.RETAINED}))
    assert Path((await files.fetch(ref)).local_path or "").read_text() == "x"


async def test_clean_up_leaves_what_is_kept_and_what_isnt_transient(
    files: FileStorage, elsewhere: FileStorage, root: Path, work: Path
) -> None:
    (work / "d").mkdir()
    (work / "d" / "inner").write_text("inner")
    gone = await files.keep(write(work, "gone", "gone"))
    kept = await files.keep(write(work, "kept", "kept"))
    folder = await files.keep(FileReference.from_local(work / "d"))
    retained = await files.keep(write(work, "r", "r").model_copy(update={"tier": StorageTier.RETAINED}))
    partial = stored(root, gone).with_name(".partial-of-a-killed-process")
    partial.write_text("half")
    cleared = await files.clear_run([kept.storage_path or "", folder.storage_path or "", "retained/x"])
    assert (cleared.objects, partial.exists()) == (1, False)
    for ref in (kept, folder, retained):
        await elsewhere.fetch(ref)
    with pytest.raises(ObjectMissingError):
        await elsewhere.fetch(gone)


async def test_clean_up_of_all_leaves_no_folder_behind(files: FileStorage, root: Path, work: Path) -> None:
    await files.keep(write(work, "a", "a"))
    await files.clear_run([])
    assert not list(root.rglob("*"))
    assert (await files.clear_run([])).objects == 0


# What apps ask for


async def test_upload_under_a_key_of_the_apps_own(files: FileStorage, root: Path, work: Path) -> None:
    write(work, "a.csv", "1,2")
    out = await files.upload(UploadInput(local_path=str(work / "a.csv"), storage_path="reports/today.csv"))
    assert (root / "reports/today.csv").read_text() == "1,2"
    assert (out.ref.storage_path, out.ref.content_type, out.synced) == ("reports/today.csv", "text/csv", True)


async def test_upload_of_a_directory_under_a_prefix_comes_back(
    files: FileStorage, elsewhere: FileStorage, root: Path, work: Path
) -> None:
    (work / "sub").mkdir()
    write(work, "sub/a", "A")
    write(work, "b", "B")
    out = await files.upload(UploadInput(local_path=str(work), storage_path="reports/all"))
    assert set(objects(root)) == {"reports/all/b", "reports/all/sub/a"}
    there = Path((await elsewhere.fetch(out.ref)).local_path or "")
    assert ((there / "sub/a").read_text(), (there / "b").read_text()) == ("A", "B")
    (root / "reports/all/extra").write_text("later")
    with pytest.raises(ObjectChangedError, match="reports/all"):
        await FileStorage(files.scope, Place(root.as_uri(), str(work / "s"))).fetch(out.ref)


async def test_upload_skips_what_is_there_with_the_same_content(files: FileStorage, root: Path, work: Path) -> None:
    given = UploadInput(local_path=str(work / "a"), storage_path="k", skip_if_exists=True)
    for content, sent in (("one", True), ("one", False), ("two", True)):
        write(work, "a", content)
        assert (await files.upload(given)).synced is sent
        assert (root / "k").read_text() == content


async def test_upload_of_a_stored_file_to_another_tier_is_a_copy(files: FileStorage, root: Path, work: Path) -> None:
    (work / "a").write_text("x")
    ref = await files.keep(FileReference.from_local(work))
    out = await files.upload(UploadInput(ref=ref, tier=StorageTier.PERSISTENT))
    await files.clear_run([])
    assert (out.ref.storage_path or "").startswith("persistent/ns/catalog/")
    there = await files.fetch(out.ref)
    assert (Path(there.local_path or "") / "a").read_text() == "x"


async def test_empty_upload_can_be_an_error(files: FileStorage, work: Path) -> None:
    with pytest.raises(UnsafeFileError, match="raise_on_empty"):
        await files.upload(UploadInput(local_path=str(work), raise_on_empty=True))
    assert (await files.upload(UploadInput(local_path=str(work)))).reason == "empty"


async def test_upload_of_nothing_is_misuse(files: FileStorage) -> None:
    with pytest.raises(MisuseError, match="local_path"):
        await files.upload(UploadInput())


async def test_download_by_key_to_a_chosen_place(files: FileStorage, root: Path, work: Path) -> None:
    (root / "in/deep").mkdir(parents=True)
    (root / "in/a.txt").write_text("A")
    (root / "in/deep/b.txt").write_text("B")
    one = await files.download(DownloadInput(storage_path="in/a.txt", local_path=str(work / "x" / "a")))
    assert (work / "x" / "a").read_text() == "A"
    assert one.ref.local_path == str(work / "x" / "a")
    await files.download(DownloadInput(storage_path="in", local_path=str(work / "all")))
    assert (work / "all" / "deep" / "b.txt").read_text() == "B"
    with pytest.raises(ObjectMissingError, match="nowhere"):
        await files.download(DownloadInput(storage_path="nowhere"))


async def test_download_skips_what_is_on_the_disk(files: FileStorage, work: Path) -> None:
    ref = await files.keep(write(work, "a", "x"))
    given = DownloadInput(ref=ref, local_path=str(work / "a"), skip_if_exists=True)
    assert (await files.download(given)).reason == "skipped:hash_match"
    (work / "a").write_text("other")
    assert (await files.download(given)).synced
    assert (work / "a").read_text() == "x"


async def test_range_of_a_file(files: FileStorage, work: Path) -> None:
    ref = await files.keep(write(work, "a", "0123456789"))
    assert await files.read(ref, 2, 3) == b"234"
    assert await files.read(ref, 8) == b"89"
    assert await files.read(ref, 50, 3) == await files.read(ref, 50) == b""
    with pytest.raises(MisuseError):
        await files.read(ref, -1)


async def test_stream_gives_all_bytes_and_ends_in_an_error_when_they_were_altered(
    files: FileStorage, root: Path, work: Path
) -> None:
    content = os.urandom(LARGE)
    ref = await files.keep(write(work, "a", content))
    assert b"".join([chunk async for chunk in files.stream(ref)]) == content
    assert b"".join([chunk async for chunk in files.stream(ref, LARGE - 5)]) == content[-5:]
    stored(root, ref).write_bytes(content[:-1] + b"?")
    with pytest.raises(ObjectChangedError):
        _ = [chunk async for chunk in files.stream(ref)]


async def test_writer_writes_without_a_copy_on_the_disk(files: FileStorage, root: Path) -> None:
    async with files.open_writer("rows.ndjson") as out:
        for number in range(3000):
            await out.write(b"%d\n" % number * 200)
        assert not (root / "rows.ndjson").exists()
    assert out.ref.size_bytes == (root / "rows.ndjson").stat().st_size
    fetched = await files.fetch(out.ref)
    assert Path(fetched.local_path or "").read_bytes().startswith(b"0\n0\n")


@pytest.mark.parametrize("pieces", [0, 1, 5000])
async def test_writer_that_fails_leaves_nothing(files: FileStorage, root: Path, pieces: int) -> None:
    async def fail() -> None:
        async with files.open_writer("rows") as out:
            for _ in range(pieces):
                await out.write(b"x" * 1000)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await fail()
    assert not [place for place in root.rglob("*") if place.is_file()]


async def test_list_and_delete(files: FileStorage) -> None:
    for name in ("a/1", "a/2", "b"):
        async with files.open_writer(name) as out:
            await out.write(name.encode())
    assert sorted([info.key async for info in files.list("a")]) == ["a/1", "a/2"]
    await files.delete("a/1")
    await files.delete("a/1")
    assert sorted([info.key async for info in files.list()]) == ["a/2", "b"]
    with pytest.raises(UnsafeReferenceError):
        await files.delete("retained/ns/uid-1/x")


# Surroundings


async def test_without_a_store_it_is_said_how_to_name_one(monkeypatch: pytest.MonkeyPatch, work: Path) -> None:
    monkeypatch.delenv("APPRUN_STORE_URL", raising=False)
    with pytest.raises(StoreNotConfiguredError, match=r"set spec\.storage of the App"):
        await FileStorage(Scope("ns", "a", "u", "c")).keep(write(work, "a", "x"))


async def test_each_piece_counts_as_progress(root: Path, work: Path) -> None:
    signs: list[str] = []
    files = FileStorage(Scope("ns", "a", "u", "c"), Place(root.as_uri(), str(work / "s")), signs.append)
    ref = await files.keep(write(work, "a", b"x" * (5 * CHUNK_BYTES)))
    sent = len([sign for sign in signs if "sent" in sign])
    assert sent == 5
    signs.clear()
    await files.fetch(ref)
    assert len(signs) == 5


async def test_cancelled_upload_leaves_no_object(files: FileStorage, root: Path, work: Path) -> None:
    ref = write(work, "a", b"x" * (4 * CHUNK_BYTES))
    arrived = asyncio.Event()
    files._tick = lambda sign: arrived.set() if "sent" in sign else None
    storing = asyncio.create_task(files.keep(ref))
    await arrived.wait()
    storing.cancel()
    with pytest.raises(asyncio.CancelledError):
        await storing
    assert not objects(root)


class SlowFolder(FolderStore):
    """Takes until `go_on` to open a file."""

    def __init__(self, root: Path) -> None:
        super().__init__(root)
        self.opened, self.go_on = threading.Event(), threading.Event()

    @contextmanager
    def _partial(self, key: str) -> Iterator[int]:
        with super()._partial(key) as descriptor:
            self.opened.set()
            self.go_on.wait(10)
            yield descriptor


async def test_cancelled_write_waits_for_its_thread(root: Path) -> None:
    async def nothing() -> AsyncIterator[bytes]:
        return
        yield b""

    store = SlowFolder(root)
    writing = asyncio.ensure_future(store.put("transient/a", nothing(), 0, ""))
    await asyncio.to_thread(store.opened.wait, 10)
    writing.cancel()
    asyncio.get_running_loop().call_later(0.05, store.go_on.set)
    with pytest.raises(asyncio.CancelledError):
        await writing
    assert not [place for place in root.rglob("*") if place.is_file()]
