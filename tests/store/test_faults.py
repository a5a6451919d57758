"""A real S3 behind a line that fails: what passes by itself passes, what doesn't is told."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest
from tests.store.conftest import Opener
from tests.support.faulty import FaultyProxy
from tests.support.s3 import ACCESS_KEY, SECRET_KEY, S3Server

from application_sdk.contracts import FileReference
from application_sdk.execution.error_info import is_retryable
from application_sdk.storage import (
    StoreNotConfiguredError,
    StoreRefusedError,
    StoreUnavailableError,
    transfer,
)
from application_sdk.storage.remote import RemoteStore
from application_sdk.storage.store import CHUNK_BYTES


def large(tmp_path: Path, chunks: int = 4) -> FileReference:
    place = tmp_path / "large"
    with place.open("wb") as file:
        for _ in range(chunks):
            file.write(os.urandom(CHUNK_BYTES))
    return FileReference.from_local(place)


async def test_refusals_with_503_pass(opened: Opener, proxy: FaultyProxy, tmp_path: Path) -> None:
    files = opened(endpoint=proxy.endpoint)
    proxy.set(refusals=3)
    ref = await files.keep(large(tmp_path))
    proxy.set(refusals=3)
    await files.fetch(ref)
    assert proxy.refused == 6


async def test_cut_connections_pass(opened: Opener, proxy: FaultyProxy, tmp_path: Path) -> None:
    files = opened(endpoint=proxy.endpoint)
    proxy.set(cuts=3, cut_after=CHUNK_BYTES // 2)
    ref = await files.keep(large(tmp_path))
    assert proxy.cut > 0
    assert (await files.fetch(ref)).sha256 == ref.sha256


async def test_slow_line_is_waited_for_and_counts_as_progress(
    opened: Opener, proxy: FaultyProxy, tmp_path: Path
) -> None:
    files = opened(endpoint=proxy.endpoint)
    signs: list[float] = []
    files._tick = lambda sign: signs.append(time.monotonic())
    proxy.set(bytes_per_second=8 * 1024 * 1024)
    ref = await files.keep(large(tmp_path))
    await files.fetch(ref)
    assert len(signs) >= 8


async def test_store_that_is_gone_for_a_while_is_waited_for(
    opened: Opener, s3: S3Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("application_sdk.storage.remote._RETRIES", 1)
    monkeypatch.setattr(transfer, "_FIRST_PAUSE", 0.2)
    files = opened()
    s3.stop()
    said: list[str] = []

    def tick(sign: str) -> None:
        said.append(sign)
        if "unavailable" in sign and len(said) == 2:
            s3.start()

    files._tick = tick
    ref = await files.keep(large(tmp_path, 1))
    assert said[0] == "another try of a store that is unavailable"
    assert (await files.fetch(ref)).sha256 == ref.sha256


async def test_a_store_that_stays_away_is_a_retryable_error(
    opened: Opener, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("application_sdk.storage.remote._RETRIES", 0)
    monkeypatch.setattr(transfer, "_FIRST_PAUSE", 1000.0)
    with pytest.raises(StoreUnavailableError, match="s3://files/") as caught:
        await opened(endpoint="http://127.0.0.1:1").keep(large(tmp_path, 1))
    assert is_retryable(caught.value)


@pytest.mark.parametrize("wrong", [{"secret_access_key": "wrong-secret-b81"}, {"access_key_id": "wrong-key-c94"}])
async def test_wrong_credentials_are_permanent_without_a_secret(
    opened: Opener, tmp_path: Path, wrong: dict[str, str]
) -> None:
    with pytest.raises(StoreRefusedError, match="Check the keys in the Secret") as caught:
        await opened(**wrong).keep(large(tmp_path, 1))
    assert not is_retryable(caught.value)
    told = f"{caught.value} {caught.value.__cause__} {caught.value.__context__ and ''}"
    for value in (*wrong.values(), ACCESS_KEY, SECRET_KEY):
        assert value not in told


async def test_missing_bucket_is_permanent_and_named(opened: Opener, tmp_path: Path) -> None:
    with pytest.raises(StoreRefusedError, match=r"s3://no-such-bucket/.* isn't there"):
        await opened(bucket="no-such-bucket").keep(large(tmp_path, 1))


async def test_full_store_is_told_as_full(
    opened: Opener, proxy: FaultyProxy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("application_sdk.storage.remote._RETRIES", 1)
    monkeypatch.setattr(transfer, "_FIRST_PAUSE", 1000.0)
    files = opened(endpoint=proxy.endpoint)
    proxy.set(refusals=1000, refusal=b"507 Insufficient Storage")
    with pytest.raises(StoreUnavailableError, match="is full"):
        await files.keep(large(tmp_path, 1))


def test_unknown_option_is_named_and_no_value_told() -> None:
    with pytest.raises(StoreNotConfiguredError, match="nonsense") as caught:
        RemoteStore.open("s3://b", {"nonsense": "hush", "secret_access_key": "hush"})
    assert "hush" not in str(caught.value)


UPLOADER = textwrap.dedent(
    """
    import asyncio, sys
    from application_sdk.contracts import FileReference
    from application_sdk.storage.files import FileStorage, Place
    from application_sdk.storage.keys import Scope
    from application_sdk.storage.remote import RemoteStore

    path, url, endpoint, key, secret = sys.argv[1:]
    options = dict(endpoint=endpoint, region="us-east-1", access_key_id=key, secret_access_key=secret)
    store = RemoteStore.open(url, options)
    files = FileStorage(Scope("ns", "catalog", "uid-1", "chain-1"), store=store,
                        tick=lambda sign: print(sign, flush=True))
    ref = asyncio.run(files.keep(FileReference.from_local(path)))
    print(ref.storage_path, flush=True)
    asyncio.run(files.fetch(ref))
    files.close()
    print(next(line.split()[1] for line in open("/proc/self/status") if line.startswith("VmHWM")), flush=True)
    """
)


def upload(tmp_path: Path, s3: S3Server, prefix: str, endpoint: str) -> subprocess.Popen[str]:
    arguments = [str(tmp_path / "large"), f"s3://files/{prefix}", endpoint, ACCESS_KEY, SECRET_KEY]
    return subprocess.Popen([sys.executable, "-c", UPLOADER, *arguments], stdout=subprocess.PIPE, text=True)


def test_a_killed_upload_leaves_no_object(s3: S3Server, proxy: FaultyProxy, prefix: str, tmp_path: Path) -> None:
    large(tmp_path, 6)
    proxy.set(bytes_per_second=8 * 1024 * 1024)
    first = upload(tmp_path, s3, prefix, proxy.endpoint)
    assert first.stdout is not None
    while "sent" not in first.stdout.readline():
        pass
    first.send_signal(signal.SIGKILL)
    first.communicate()
    assert s3.objects(prefix) == {}
    second = upload(tmp_path, s3, prefix, s3.endpoint)
    told, _ = second.communicate(timeout=120)
    ((key, size),) = s3.objects(prefix).items()
    assert size == 6 * CHUNK_BYTES
    assert key.removeprefix(f"{prefix}/") in told.splitlines()


def test_memory_does_not_grow_with_the_file(s3: S3Server, prefix: str, tmp_path: Path) -> None:
    peaks = []
    for chunks in (4, 32):
        large(tmp_path, chunks)
        process = upload(tmp_path, s3, f"{prefix}-{chunks}", s3.endpoint)
        told, _ = process.communicate(timeout=120)
        assert process.returncode == 0
        peaks.append(int(told.splitlines()[-1]) // 1024)
    assert peaks[1] < peaks[0] + 48, f"peaks in MiB: {peaks}"
