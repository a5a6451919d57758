from __future__ import annotations

from pathlib import Path

import pytest

from application_sdk.engines.local.errors import RunExistsError, RunNameError, RunNotFoundError
from application_sdk.engines.local.run_store import RunStore, generate_run_name


def test_the_home_is_where_the_environment_says(tmp_path: Path) -> None:
    assert RunStore.from_environment({"APPRUN_HOME": str(tmp_path)}).path == tmp_path
    assert RunStore.from_environment({"XDG_DATA_HOME": str(tmp_path)}).path == tmp_path / "apprun"
    assert RunStore.from_environment({}).path == Path.home() / ".local/share/apprun"


def test_a_run_is_found_by_its_name_once_it_has_a_ledger(tmp_path: Path) -> None:
    home = RunStore(tmp_path)
    assert home.runs() == []
    folder = home.create("orders-1")
    assert home.runs() == []
    folder.ledger.touch()
    assert home.runs() == ["orders-1"]
    assert home.folder("orders-1") == folder


def test_a_mistyped_name_is_answered_with_the_similar_one(tmp_path: Path) -> None:
    home = RunStore(tmp_path)
    home.create("orders-1").ledger.touch()
    with pytest.raises(RunNotFoundError, match=r"no run 'order-1' in .*Did you mean orders-1"):
        home.folder("order-1")


@pytest.mark.parametrize("name", ["../x", "a/b", "", ".", "a\n"])
def test_a_name_reaches_nothing_outside_of_the_home(tmp_path: Path, name: str) -> None:
    with pytest.raises(RunNotFoundError):
        RunStore(tmp_path).folder(name)


def test_a_name_is_taken_once_and_a_folder_without_a_ledger_is_taken_over(tmp_path: Path) -> None:
    home = RunStore(tmp_path)
    home.create("orders-1")
    home.create("orders-1").ledger.touch()
    with pytest.raises(RunExistsError, match="apprun resume orders-1"):
        home.create("orders-1")


@pytest.mark.parametrize("name", ["Orders", "-a", "a_b", "a-", "x" * 64, "a/../b"])
def test_a_name_that_a_cluster_would_refuse_is_refused_here_too(tmp_path: Path, name: str) -> None:
    with pytest.raises(RunNameError, match="lower-case letters"):
        RunStore(tmp_path).create(name)


@pytest.mark.parametrize("app", ["hello-world-app", "Großes App", "7", "x" * 100, "-"])
def test_made_up_names_are_valid_ones(tmp_path: Path, app: str) -> None:
    RunStore(tmp_path).create(generate_run_name(app))
    assert generate_run_name(app) != generate_run_name(app)
