"""What is written is what is read, and never more than the ring holds."""

from __future__ import annotations

import os
from pathlib import Path

from tests.support.recorder.journal import Journal, Moment, prune, read


def test_states_are_read_as_they_were_written(tmp_path: Path) -> None:
    journal = Journal(tmp_path)
    states = [{"a": {"n": 1}, "b": {"n": 1}}, {"a": {"n": 2}, "b": {"n": 1}}, {"b": {"n": 1}}, {"b": {"n": 1}}]
    for at, state in enumerate(states):
        journal.write(at, state)
    journal.note(9, "a node was killed")
    journal.close()
    moments = list(read(tmp_path))
    assert [moment.state for moment in moments] == [*states, states[-1]]
    assert moments[-1] == Moment(9, states[-1], ("a node was killed",))


def test_only_what_changed_is_written(tmp_path: Path) -> None:
    journal = Journal(tmp_path)
    for at in range(100):
        journal.write(at, {"large": {"text": "x" * 10_000}, "small": {"at": at}})
    journal.close()
    assert sum(path.stat().st_size for path in tmp_path.iterdir()) < 16_000


def test_files_are_a_ring_each_of_which_can_be_read_alone(tmp_path: Path) -> None:
    journal = Journal(tmp_path, file_bytes=1_000, files=3)
    for at in range(200):
        journal.write(at, {"stays": {"n": 0}, "grows": {"n": at, "text": "x" * 100}})
    journal.close()
    files = sorted(tmp_path.iterdir())
    assert len(files) == 3
    assert sum(file.stat().st_size for file in files) < 6_000
    for file in files:
        assert all(moment.state["stays"] == {"n": 0} for moment in read(file))
    assert list(read(tmp_path))[-1].state["grows"]["n"] == 199


def test_line_that_was_cut_off_is_left_out(tmp_path: Path) -> None:
    (tmp_path / "0000.jsonl").write_text('{"at": 1, "set": {"a": {}}}\n{"at": 2, "se')
    assert list(read(tmp_path)) == [Moment(1, {"a": {}})]


def test_only_the_newest_recordings_are_kept(tmp_path: Path) -> None:
    for number in range(5):
        folder = tmp_path / f"r{number}"
        folder.mkdir()
        os.utime(folder, (number, number))
    prune(tmp_path, keep=2)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["r3", "r4"]
