"""What somebody plants in a shared folder of files is never followed, read or waited for."""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import suppress
from pathlib import Path

import pytest

from application_sdk.storage.errors import ObjectMissingError, StorageError, UnsafeReferenceError
from application_sdk.storage.folder import FolderStore

KEY = "transient/ns/chain/object"
PLACES = ("transient", "transient/ns", "transient/ns/chain", KEY)


@pytest.fixture
def shared(tmp_path: Path) -> Path:
    return tmp_path / "shared"


@pytest.fixture
def store(shared: Path) -> FolderStore:
    return FolderStore(shared)


@pytest.fixture
def outside(tmp_path: Path) -> Path:
    """What belongs to whoever follows a link: laid out so that each planted link leads to a file."""
    folder = tmp_path / "outside"
    for place in ("object", "chain/object", "ns/chain/object"):
        (folder / place).parent.mkdir(parents=True, exist_ok=True)
        (folder / place).write_bytes(b"private")
    return folder


def plant(shared: Path, place: str, outside: Path) -> None:
    """A link in this place: to a folder, or, in the last one, to a file."""
    link = shared / place
    link.parent.mkdir(parents=True, exist_ok=True)
    target = {"transient": outside, "transient/ns": outside, "transient/ns/chain": outside}.get(place)
    below = KEY.removeprefix(place).strip("/")
    folder = {"ns/chain/object": outside, "chain/object": outside, "object": outside}.get(below)
    link.symlink_to(folder or target or outside / "object")


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


async def in_pieces(*pieces: bytes) -> AsyncIterator[bytes]:
    for piece in pieces:
        yield piece


READS: dict[str, Callable[[FolderStore], Awaitable[object]]] = {
    "get": lambda store: store.get(KEY, 0, 100),
    "head": lambda store: store.head(KEY),
    "copy from it": lambda store: store.copy(KEY, "mine"),
}
WRITES: dict[str, Callable[[FolderStore], Awaitable[object]]] = {
    "put": lambda store: store.put(KEY, in_pieces(b"ours", b"too"), 7, ""),
    "put_bytes": lambda store: store.put_bytes(KEY, b"ours", ""),
    "copy to it": lambda store: store.copy("mine", KEY),
    "delete": lambda store: store.delete([KEY]),
    "clear": lambda store: store.clear("transient/ns/", ()),
}


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("read", READS)
async def test_planted_link_is_not_read_through(
    store: FolderStore, shared: Path, outside: Path, read: str, place: str
) -> None:
    plant(shared, place, outside)
    with pytest.raises(UnsafeReferenceError, match="is a link"):
        await READS[read](store)


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("write", WRITES)
async def test_planted_link_is_not_written_through(
    store: FolderStore, shared: Path, outside: Path, write: str, place: str
) -> None:
    await store.put_bytes("mine", b"ours", "")
    plant(shared, place, outside)
    before = contents(outside)
    with suppress(StorageError):
        await WRITES[write](store)
    assert contents(outside) == before


@pytest.mark.parametrize("place", PLACES)
async def test_planted_link_is_not_listed_through(store: FolderStore, shared: Path, outside: Path, place: str) -> None:
    plant(shared, place, outside)
    assert [info.key async for info in store.list("")] == []
    if place in ("transient", "transient/ns"):
        with pytest.raises(UnsafeReferenceError, match="is a link"):
            [info async for info in store.list("transient/ns/")]


async def test_write_takes_the_place_of_a_link(store: FolderStore, shared: Path, outside: Path) -> None:
    plant(shared, KEY, outside)
    await store.put_bytes(KEY, b"ours", "")
    assert not (shared / KEY).is_symlink()
    assert await store.get(KEY, 0, 9) == b"ours"


async def test_clear_removes_a_link_and_leaves_its_target(store: FolderStore, shared: Path, outside: Path) -> None:
    plant(shared, KEY, outside)
    (shared / "transient/ns/chain/folder").symlink_to(outside)
    await store.clear("transient/ns/", ())
    assert not os.path.lexists(shared / "transient/ns")
    assert len(contents(outside)) == 3


async def test_write_leaves_the_other_name_of_a_hard_link(store: FolderStore, shared: Path, outside: Path) -> None:
    (shared / KEY).parent.mkdir(parents=True)
    (shared / KEY).hardlink_to(outside / "object")
    await store.put_bytes(KEY, b"ours", "")
    assert (outside / "object").read_bytes() == b"private"


async def test_the_root_itself_may_be_a_link(tmp_path: Path, outside: Path) -> None:
    (tmp_path / "chosen").symlink_to(outside)
    store = FolderStore(tmp_path / "chosen")
    assert await store.get("object", 0, 9) == b"private"
    await store.put_bytes("a/b", b"x", "")
    assert {info.key async for info in store.list("")} == {"object", "chain/object", "ns/chain/object", "a/b"}


@pytest.mark.parametrize("read", READS)
async def test_fifo_is_neither_read_nor_waited_for(store: FolderStore, shared: Path, read: str) -> None:
    (shared / KEY).parent.mkdir(parents=True)
    os.mkfifo(shared / KEY)
    with pytest.raises(UnsafeReferenceError, match="a FIFO"):
        await asyncio.wait_for(READS[read](store), 10)  # type: ignore[arg-type]
    assert [info async for info in store.list("")] == []


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() != 0, reason="only root may make devices")
async def test_device_is_not_read(store: FolderStore, shared: Path) -> None:
    (shared / KEY).parent.mkdir(parents=True)
    os.mknod(shared / KEY, 0o666 | 0o020000, os.makedev(1, 5))
    with pytest.raises(UnsafeReferenceError, match="a device"):
        await store.get(KEY, 0, 9)


@pytest.mark.parametrize("key", ["../outside/object", "a/../../outside/object", "."])
async def test_key_that_leads_out_is_refused(store: FolderStore, outside: Path, key: str) -> None:
    with pytest.raises(UnsafeReferenceError):
        await store.get(key, 0, 9)
    with pytest.raises(UnsafeReferenceError):
        await store.put_bytes(key, b"x", "")


async def test_folder_that_becomes_a_link_meanwhile_is_not_entered(
    store: FolderStore, shared: Path, outside: Path
) -> None:
    await store.put_bytes("a/b/object", b"ours", "")
    before, stop = contents(outside), threading.Event()
    folder, aside = shared / "a" / "b", shared / "aside"

    def exchange() -> None:
        # A write may have made the folder meanwhile: then that step waits for another turn.
        steps = (lambda: folder.rename(aside), lambda: folder.symlink_to(outside), folder.unlink,
                 lambda: aside.rename(folder))  # fmt: skip
        while not stop.is_set():
            for step in steps:
                with suppress(OSError):
                    step()

    attacker = threading.Thread(target=exchange)
    attacker.start()
    found: list[bytes] = []
    try:
        for _ in range(150):
            with suppress(StorageError):
                found.append(await store.get("a/b/object", 0, 9))
            with suppress(StorageError):
                await store.put_bytes("a/b/new", b"x", "")
            with suppress(StorageError):
                await store.delete(["a/b/new"])
    finally:
        stop.set()
        attacker.join()
    assert set(found) <= {b"ours"}
    assert contents(outside) == before


async def test_missing_objects_stay_missing(store: FolderStore) -> None:
    assert await store.head(KEY) is None
    with pytest.raises(ObjectMissingError):
        await store.get(KEY, 0, 1)
    await store.delete([KEY])
    assert (await store.clear("transient/", ())).objects == 0
