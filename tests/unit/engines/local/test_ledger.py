from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest
from tests.unit.engines.local.builders import call, new_run, success

from application_sdk.engines.local.errors import LedgerCorruptError, LedgerFullError, LedgerNewerError
from application_sdk.engines.local.ledger import Ledger, LedgerSeed
from application_sdk.engines.local.records import AttemptRecord
from application_sdk.engines.local.schema import FORMAT
from application_sdk.execution.engine import Completion
from application_sdk.wire.fields import ErrorFields


@pytest.fixture
def path(tmp_path: Path) -> Path:
    folder = tmp_path / "orders-1"
    folder.mkdir()
    return folder / "ledger.db"


def test_a_new_ledger_holds_its_run_and_nothing_else(path: Path) -> None:
    ledger = Ledger.create(path, new_run())
    run = ledger.run()
    assert (run.name, run.input, run.phase, run.generation) == ("orders-1", {"name": "Ada"}, "Running", 1)
    assert (ledger.calls(), ledger.attempts(), ledger.history()) == ([], [], [])
    ledger.close()


def test_what_was_written_reads_back_equal(path: Path) -> None:
    ledger = Ledger.create(path, new_run())
    first, second = call("fetch", {"ä": "\ud800", "x": 1.5}), call("store", sequence=1)
    ledger.add_calls([first, second], made_after=0, at=1000.5)
    ledger.start_attempts([(first.key, 1)], at=1000.6)
    ended = AttemptRecord(first.key, 1, 1000.6, 1000.9, "ValueError", "App", "bad", 1)
    ledger.end_attempts([ended], [(first.key, 1002.0)])
    ledger.record_heartbeat(first.key, {"done": 3}, None)
    ledger.record_heartbeat(first.key, None, {"page": 7})
    error = ErrorFields(type="ValueError", message="bad", retryable=True)
    failed = Completion(key=second.key, task="store", outcome="Failed", at=1003.5, attempts=2, error=error)
    ledger.commit([success(first, {"\ud800": [1, None]}), failed])
    ledger.close()

    again = Ledger.open(path)
    noted = again.calls()[0]
    assert [record.call for record in again.calls()] == [first, second]
    assert (noted.not_before, noted.progress, noted.heartbeat) == (1002.0, {"done": 3}, {"page": 7})
    assert again.attempts() == [ended]
    assert again.history() == [success(first, {"\ud800": [1, None]}), failed]
    again.close()


def test_a_call_made_again_by_a_later_life_stays_as_it_was_first_made(path: Path) -> None:
    ledger = Ledger.create(path, new_run())
    ledger.add_calls([call("fetch")], made_after=0, at=1000.5)
    ledger.add_calls([call("fetch", sequence=9)], made_after=4, at=2000.0)
    (record,) = ledger.calls()
    assert (record.call.sequence, record.made_after, record.scheduled_at) == (0, 0, 1000.5)
    ledger.close()


def test_a_second_completion_of_a_call_is_refused_and_with_it_its_whole_batch(path: Path) -> None:
    ledger = Ledger.create(path, new_run())
    first, second = call("fetch"), call("store")
    ledger.add_calls([first, second], made_after=0, at=1000.5)
    ledger.commit([success(first, {"n": 1})])
    with pytest.raises(sqlite3.IntegrityError):
        ledger.commit([success(second), success(first, {"n": 2})])
    assert ledger.history() == [success(first, {"n": 1})]
    ledger.close()


@pytest.mark.parametrize("statement", ["UPDATE checkpoint SET payload = '{}'", "DELETE FROM checkpoint"])
def test_a_committed_checkpoint_can_be_neither_changed_nor_deleted(path: Path, statement: str) -> None:
    ledger = Ledger.create(path, new_run())
    ledger.add_calls([call("fetch")], made_after=0, at=1000.5)
    ledger.commit([success(call("fetch"), {"n": 1})])
    with pytest.raises(sqlite3.IntegrityError, match="committed checkpoint"):
        ledger._connection.execute(statement)
    ledger.close()


def test_a_commit_waits_for_the_disk_and_notes_do_not(path: Path) -> None:
    ledger = Ledger.create(path, new_run())
    traced: list[str] = []
    ledger._connection.set_trace_callback(traced.append)
    ledger.add_calls([call("fetch")], made_after=0, at=1000.5)
    ledger.commit([success(call("fetch"))])
    syncs = [line for line in traced if "synchronous" in line]
    assert syncs == ["PRAGMA synchronous = NORMAL", "PRAGMA synchronous = FULL"]
    assert ledger._connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    ledger.close()


def test_a_payload_that_was_altered_is_reported_by_its_checkpoint(path: Path) -> None:
    ledger = Ledger.create(path, new_run())
    ledger.add_calls([call("fetch")], made_after=0, at=1000.5)
    ledger.commit([success(call("fetch"), {"n": 1})])
    ledger._connection.execute("DROP TRIGGER checkpoints_are_final")
    ledger._connection.execute("""UPDATE checkpoint SET payload = '{"n":2}'""")
    with pytest.raises(LedgerCorruptError, match=r"checkpoint 0 \(fetch\) isn't what was committed"):
        ledger.history()
    ledger.close()


def test_a_missing_checkpoint_is_reported_by_its_number(path: Path) -> None:
    ledger = Ledger.create(path, new_run())
    ledger.add_calls([call("a"), call("b")], made_after=0, at=1000.5)
    ledger.commit([success(call("a")), success(call("b"))])
    ledger._connection.execute("DROP TRIGGER checkpoints_stay")
    ledger._connection.execute("DELETE FROM checkpoint WHERE sequence = 0")
    with pytest.raises(LedgerCorruptError, match="checkpoint 0 is missing"):
        ledger.history()
    ledger.close()


@pytest.mark.parametrize("content", [b"not a database, but long enough to be taken for one" * 40, b""])
def test_a_file_that_is_no_ledger_is_refused_and_left_alone(path: Path, content: bytes) -> None:
    path.write_bytes(content)
    with pytest.raises(LedgerCorruptError, match="this ledger can't be read"):
        Ledger.open(path)
    assert path.read_bytes() == content


def test_a_ledger_with_a_damaged_page_is_refused(path: Path) -> None:
    ledger = Ledger.create(path, new_run())
    made = [call(f"task{number}", {"text": "x" * 2000}, number) for number in range(40)]
    ledger.add_calls(made, made_after=0, at=1000.5)
    ledger.close()
    content = bytearray(path.read_bytes())
    content[8192:12288] = b"\xff" * 4096
    path.write_bytes(bytes(content))
    with pytest.raises(LedgerCorruptError):
        Ledger.open(path)


def test_another_programs_database_is_no_ledger(path: Path) -> None:
    with sqlite3.connect(path) as connection:
        connection.execute("CREATE TABLE songs (title)")
    connection.close()
    with pytest.raises(LedgerCorruptError, match="it isn't an apprun ledger"):
        Ledger.open(path)


def test_a_ledger_of_a_newer_release_is_refused_with_the_remedy(path: Path) -> None:
    Ledger.create(path, new_run()).close()
    with sqlite3.connect(path) as connection:
        connection.execute(f"PRAGMA user_version = {FORMAT + 1}")
    connection.close()
    with pytest.raises(LedgerNewerError, match=r"has format 2, .* up to 1.*`pip install` its wheel or clone"):
        Ledger.open(path)


def test_a_full_disk_leaves_what_was_committed_and_says_how_to_go_on(path: Path) -> None:
    ledger = Ledger.create(path, new_run())
    ledger.add_calls([call("a"), call("b")], made_after=0, at=1000.5)
    ledger.commit([success(call("a"))])
    (pages,) = ledger._connection.execute("PRAGMA page_count").fetchone()
    ledger._connection.execute(f"PRAGMA max_page_count = {pages}")
    with pytest.raises(LedgerFullError, match=r"no space left on the disk.*apprun resume orders-1"):
        ledger.commit([success(call("b"), {"text": "x" * 100_000})])
    assert ledger.history() == [success(call("a"))]
    ledger.close()


def test_a_draft_that_a_crash_left_behind_is_replaced(path: Path) -> None:
    path.with_suffix(".new").write_bytes(b"half a ledger")
    Ledger.create(path, new_run()).close()
    assert [file.name for file in path.parent.iterdir()] == ["ledger.db"]


def test_what_is_inherited_is_there_from_the_start(path: Path) -> None:
    source = Ledger.create(path, new_run())
    source.add_calls([call("a")], made_after=0, at=1000.5)
    source.commit([success(call("a"))])
    target = path.parent.parent / "orders-2"
    target.mkdir()
    copy = Ledger.create(
        target / "ledger.db", new_run("orders-2"), LedgerSeed(source.calls(), source.history(), [success(call("b"))])
    )
    assert copy.history() == source.history()
    assert copy.detached() == [success(call("b"))]
    source.close()
    copy.close()
