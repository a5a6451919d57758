"""What pytest's workers make once for all of them."""

from __future__ import annotations

import threading
import time
from pathlib import Path

import pytest
from tests.support import workers


def test_first_worker_makes_it_while_the_others_wait(tmp_path: Path) -> None:
    begun, told = threading.Event(), []

    def make() -> str:
        begun.set()
        time.sleep(0.05)
        told.append("made")
        return "it"

    def second() -> None:
        begun.wait()
        told.append(workers.once(tmp_path, "thing", make))

    other = threading.Thread(target=second)
    other.start()
    assert workers.once(tmp_path, "thing", make) == "it"
    other.join()
    assert told == ["made", None]


def test_next_worker_tries_what_the_first_could_not_make(tmp_path: Path) -> None:
    def fail() -> str:
        raise RuntimeError("no room")

    with pytest.raises(RuntimeError):
        workers.once(tmp_path, "trouble", fail)
    assert workers.once(tmp_path, "trouble", lambda: "it") == "it"


@pytest.mark.parametrize(("worker", "name"), [(None, "test"), ("gw0", "test"), ("gw2", "test2")])
def test_workers_have_names_of_their_own(monkeypatch: pytest.MonkeyPatch, worker: str | None, name: str) -> None:
    monkeypatch.delenv("PYTEST_XDIST_WORKER", raising=False)
    if worker:
        monkeypatch.setenv("PYTEST_XDIST_WORKER", worker)
    assert workers.own_name("test") == name
