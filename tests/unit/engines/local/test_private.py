"""What is kept on a machine of runs is for its owner alone, however it came there."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from tests.unit.cli.conftest import ORDERS

from application_sdk import cli
from application_sdk.engines.local.run_store import RunStore
from application_sdk.storage.folder import FolderStore


@contextmanager
def umask(mask: int) -> Iterator[None]:
    before = os.umask(mask)
    try:
        yield
    finally:
        os.umask(before)


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("APPRUN_HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)
    return tmp_path / "home"


def open_to_others(folder: Path) -> dict[str, str]:
    """What somebody else might read, with its mode."""
    found = {str(path.relative_to(folder)): path.lstat().st_mode for path in (folder, *folder.rglob("*"))}
    return {name: stat.filemode(mode) for name, mode in found.items() if mode & 0o077}


def run_an_app(tmp_path: Path, name: str) -> None:
    given = f'{{"journal": "{tmp_path / "journal"}"}}'
    assert cli.run(("run", str(ORDERS), "--name", name, "-i", given)) == 0


@pytest.mark.slow
@pytest.mark.parametrize("mask", [0o000, 0o022, 0o077], ids=oct)
def test_run_leaves_nothing_that_others_may_read(tmp_path: Path, home: Path, mask: int) -> None:
    with umask(mask):
        run_an_app(tmp_path, "o1")
    made = {path.name for path in (home / "runs" / "o1").iterdir()}
    assert {"ledger.db", "lock", "logs"} <= made
    assert any((home / "runs" / "o1" / "logs").iterdir())
    assert open_to_others(home) == {}


@pytest.mark.slow
@pytest.mark.parametrize("verb", [("show", "o1"), ("list",)], ids=" ".join)
def test_open_home_of_an_earlier_version_is_closed(tmp_path: Path, home: Path, verb: tuple[str, ...]) -> None:
    run_an_app(tmp_path, "o1")
    (home / "state.db").touch()
    for path in (home, *home.rglob("*")):
        path.chmod(0o777 if path.is_dir() else 0o644)
    assert cli.run(verb) == 0
    assert open_to_others(home) == {}


def test_folder_with_other_things_in_it_keeps_its_mode(tmp_path: Path) -> None:
    shared = tmp_path / "shared"
    shared.mkdir(mode=0o755)
    (shared / "somebody-elses").touch(0o644)
    RunStore(shared).create("o1")
    assert RunStore(shared).runs() == []
    assert set(open_to_others(shared)) == {".", "somebody-elses"}


def test_cancel_request_is_for_its_owner_alone(tmp_path: Path) -> None:
    with umask(0):
        RunStore(tmp_path).create("o1").request_cancel()
    assert open_to_others(tmp_path / "runs") == {}


async def test_files_of_runs_are_for_their_owner_alone(tmp_path: Path) -> None:
    with umask(0):
        folder = RunStore(tmp_path).create("o1")
        await FolderStore(folder.files).put_bytes("a/b", b"x", "")
    assert open_to_others(folder.files) == {}


async def test_shared_store_goes_by_the_umask(tmp_path: Path) -> None:
    (tmp_path / "shared").mkdir(mode=0o755)
    with umask(0o022):
        await FolderStore(tmp_path / "shared").put_bytes("a/b", b"x", "")
    assert stat.S_IMODE((tmp_path / "shared" / "a").stat().st_mode) == 0o755
    assert stat.S_IMODE((tmp_path / "shared" / "a" / "b").stat().st_mode) == 0o644


def test_links_in_a_home_are_left_alone(tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.touch(0o644)
    home = RunStore(tmp_path / "home")
    home.create("o1")
    (home.path / "runs" / "link").symlink_to(outside)
    (home.path / "runs").chmod(0o755)
    home.runs()
    assert stat.S_IMODE(outside.stat().st_mode) == 0o644
