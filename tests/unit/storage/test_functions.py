"""The functions of `storage`: in a task they use the run's store, in a test the one that is given."""

from __future__ import annotations

import asyncio
import gc
import hashlib
from pathlib import Path
from typing import Annotated

import pytest
from typing_extensions import override

from application_sdk.app import App, task
from application_sdk.contracts import Input, MaxItems, Output
from application_sdk.storage import (
    ObjectMissingError,
    UnsafeReferenceError,
    create_local_store,
    create_memory_store,
    delete,
    download_file,
    exists,
    list_keys,
    upload_file,
)
from application_sdk.testing import run_app


class Place(Input):
    folder: str


class Found(Output):
    keys: Annotated[list[str], MaxItems(10)] = []
    text: str = ""


class Report(App):
    @task
    async def write(self, input: Place) -> Found:
        source = Path(input.folder) / "report.csv"
        source.write_text("1,2")
        await upload_file("reports/one.csv", source)
        await upload_file("reports/one.txt", source)
        return Found(keys=await list_keys("reports", suffix=".csv"))

    @task
    async def read(self, input: Place) -> Found:
        target = Path(input.folder) / "copy.csv"
        await download_file("reports/one.csv", target)
        return Found(text=target.read_text())

    @override
    async def run(self, input: Place) -> Found:
        written = await self.write(input)
        return Found(keys=written.keys, text=(await self.read(input)).text)


def test_tasks_of_a_run_share_its_store(tmp_path: Path) -> None:
    first, second = (run_app(Report, Place(folder=str(tmp_path))) for _ in range(2))
    assert (first.output.keys, first.output.text) == (["reports/one.csv"], "1,2")
    assert second.output == first.output


@pytest.mark.parametrize("kind", ["memory", "local"])
async def test_a_given_store_is_used_and_no_other(tmp_path: Path, kind: str) -> None:
    store = create_memory_store() if kind == "memory" else create_local_store(tmp_path / "store")
    source, target = tmp_path / "a.bin", tmp_path / "b.bin"
    source.write_bytes(b"content")
    digest = await upload_file("a/b.bin", source, store)
    assert digest == hashlib.sha256(b"content").hexdigest()
    assert await exists("a/b.bin", store)
    assert not await exists("a/b.bin", create_memory_store())
    await download_file("/a/b.bin", target, store)
    assert target.read_bytes() == b"content"
    assert await list_keys(store=store) == ["a/b.bin"]
    assert [await delete("a/b.bin", store), await delete("a/b.bin", store)] == [True, False]
    with pytest.raises(ObjectMissingError, match=r"a/b\.bin"):
        await download_file("a/b.bin", target, store)


async def test_a_memory_store_leaves_nothing_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    source = tmp_path / "a"
    source.touch()
    store = create_memory_store()
    await upload_file("k", source, store)
    assert len(list(tmp_path.iterdir())) == 2
    await asyncio.get_running_loop().shutdown_default_executor()  # its threads may still hold the last call
    del store
    gc.collect()
    assert list(tmp_path.iterdir()) == [source]


async def test_keys_of_the_tiers_are_refused(tmp_path: Path) -> None:
    (tmp_path / "a").touch()
    with pytest.raises(UnsafeReferenceError):
        await upload_file("transient/x", tmp_path / "a", create_memory_store())
