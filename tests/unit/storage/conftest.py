"""A run's files in a folder of the test's own."""

from __future__ import annotations

from pathlib import Path

import pytest

from application_sdk.storage.files import FileStorage, Place
from application_sdk.storage.keys import Scope

SCOPE = Scope("ns", "catalog", "uid-1", "chain-1")


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """The folder behind the store."""
    return tmp_path / "store"


@pytest.fixture
def files(root: Path, tmp_path: Path) -> FileStorage:
    """The files of a run, as one of its tasks sees them."""
    return FileStorage(SCOPE, Place(root.as_uri(), str(tmp_path / "scratch")))


@pytest.fixture
def elsewhere(root: Path, tmp_path: Path) -> FileStorage:
    """The same, as the next task sees them on another node."""
    return FileStorage(SCOPE, Place(root.as_uri(), str(tmp_path / "other")))


@pytest.fixture
def work(tmp_path: Path) -> Path:
    """Where the task writes."""
    folder = tmp_path / "work"
    folder.mkdir()
    return folder
