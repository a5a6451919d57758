"""One run's ledger in SQLite: what was called, attempted and committed.

The engine writes it, from one thread of the one process that holds the run's lock; the CLI reads it at any time.
It decides nothing: no retries, no order. A commit returns when it is on the disk.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

from application_sdk.engines.local import sql_mapping
from application_sdk.engines.local.errors import LedgerCorruptError, LedgerUnavailableError
from application_sdk.engines.local.records import AttemptRecord, CallRecord, CommittedCall, NewRun, Phase, RunRecord
from application_sdk.engines.local.schema import create_ledger, open_ledger, publish, translated
from application_sdk.execution.engine import Completion, ScheduledCall
from application_sdk.wire.digest import JSON, JSONObject, digest
from application_sdk.wire.fields import ErrorFields, ProgressFields


@dataclass(frozen=True, slots=True)
class Inheritance:
    """What a new ledger takes over from the one in whose place it is put."""

    calls: Sequence[CallRecord] = ()
    """Of `completions`, one for each."""
    completions: Sequence[Completion] = ()
    """Committed from the start, in this order."""
    spares: Sequence[Completion] = ()
    """To be committed once the route makes their calls."""
    attempts: Sequence[AttemptRecord] = ()
    pending: Sequence[CallRecord] = ()
    """Calls that aren't completed."""


class Ledger:
    """An open ledger. Times are seconds since the epoch, given by the caller."""

    def __init__(self, path: Path, connection: sqlite3.Connection) -> None:
        self.path = path
        go_on = f"free some space, then go on with `apprun resume {path.parent.name}`"
        self._when_full = f"All that was committed before is safe: {go_on}"
        self._connection = connection
        self._full_sync: bool | None = None
        self._length: int | None = None

    @classmethod
    def create(cls, path: Path, run: NewRun, inheritance: Inheritance | None = None) -> Self:
        """A new ledger with its run, complete or not there at all. One that has the name already is replaced."""
        draft = path.with_suffix(".new")
        draft.unlink(missing_ok=True)
        connection = create_ledger(draft)
        with translated(path), closing(connection):
            sql_mapping.insert_run(connection, run)
            if inheritance is not None:
                sql_mapping.insert_calls(connection, [*inheritance.calls, *inheritance.pending])
                sql_mapping.insert_attempts(connection, inheritance.attempts)
                sql_mapping.insert_checkpoints(connection, 0, inheritance.completions)
                sql_mapping.insert_spares(connection, 0, inheritance.spares)
            connection.execute("COMMIT")
            publish(connection, draft, path)
        return cls.open(path)

    @classmethod
    def open(cls, path: Path, *, read_only: bool = False) -> Self:
        """An existing ledger. Raises LedgerCorruptError or LedgerNewerError before anything is changed."""
        return cls(path, open_ledger(path, read_only=read_only))

    def close(self) -> None:
        self._connection.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    # Reading

    def run(self) -> RunRecord:
        """The run as it stands."""
        found = self._all("SELECT * FROM run")
        if not found:
            raise LedgerCorruptError(self.path, "it has no run in it")
        return sql_mapping.read_run(found[0])

    def given_input(self) -> JSONObject:
        """The input that the run was created with, before its defaults were filled in."""
        if not self._all("SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = 'given_input'"):
            return self.run().input
        (row,) = self._all("SELECT input FROM given_input")
        return sql_mapping.read_input(row)

    def calls(self) -> list[CallRecord]:
        """All calls, in the order in which the route made them."""
        return [
            sql_mapping.read_call(row) for row in self._all("SELECT * FROM call ORDER BY sequence, scheduled_at, key")
        ]

    def attempts(self) -> list[AttemptRecord]:
        """All attempts, oldest first."""
        return [
            sql_mapping.read_attempt(row)
            for row in self._all("SELECT * FROM attempt ORDER BY started_at, key, attempt")
        ]

    def history(self) -> list[Completion]:
        """The committed completions, in order. Raises LedgerCorruptError when one isn't what was committed."""
        return [self._checked(row, place) for place, row in enumerate(self._all(sql_mapping.CHECKPOINTS))]

    def committed(self) -> list[CommittedCall]:
        """The checkpoints, in order, for people."""
        return [sql_mapping.read_committed(row) for row in self._all(sql_mapping.CHECKPOINTS)]

    def counts(self) -> tuple[int, int, int]:
        """How many calls the route has made, how many of them are committed as succeeded, and as failed."""
        (row,) = self._all(
            "SELECT (SELECT count(*) FROM call), (SELECT count(*) FROM checkpoint c JOIN call USING (key)"
            " WHERE c.outcome = 'Succeeded'), (SELECT count(*) FROM checkpoint WHERE outcome = 'Failed')"
        )
        return row[0], row[1], row[2]

    def spares(self) -> list[Completion]:
        """Completions that a retry has set aside, in their order."""
        return [self._checked(row, place) for place, row in enumerate(self._all(sql_mapping.SPARES))]

    # Writing. What only saves work is written without waiting for the disk; the next commit makes it durable too.

    def begin(self, input: JSONObject) -> None:
        """Put the run's input with its defaults filled in in place of the one that was given, which `given_input` still
        returns. On return it is on the disk."""
        with self._transaction(full_sync=True) as connection:
            # A table of its own, since files that an earlier version has created have a column for one input alone.
            connection.execute("CREATE TABLE IF NOT EXISTS given_input (input TEXT NOT NULL) STRICT")
            connection.execute(
                "INSERT INTO given_input SELECT input FROM run WHERE NOT EXISTS (SELECT 1 FROM given_input)"
            )
            connection.execute("UPDATE run SET input = ?", (sql_mapping.text_or_null(input),))

    def add_calls(self, calls: Iterable[ScheduledCall], *, made_after: int, at: float) -> None:
        """Note calls of the route; of one that an earlier life made, what today's code says of it.

        `flush` or the next write takes them along.
        """
        with translated(self.path, self._when_full):
            if not self._connection.in_transaction:
                self._synchronize(full=False)
                self._connection.execute("BEGIN IMMEDIATE")
            sql_mapping.insert_calls(self._connection, [CallRecord(call, made_after, at) for call in calls])

    def flush(self) -> None:
        """Have what `add_calls` noted outlive this process."""
        if self._connection.in_transaction:
            with translated(self.path, self._when_full):
                self._connection.execute("COMMIT")

    def start_attempts(self, attempts: Iterable[tuple[str, int]], *, at: float) -> None:
        """Note (key, attempt) before the attempt starts, so that no number is ever used twice."""
        with self._transaction(full_sync=False) as connection:
            sql_mapping.insert_attempts(connection, [AttemptRecord(key, attempt, at) for key, attempt in attempts])

    def end_attempts(self, ended: Iterable[AttemptRecord], not_before: Iterable[tuple[str, float]] = ()) -> None:
        """Note attempts that ended, and (key, time) before which the next one mustn't start."""
        with self._transaction(full_sync=True) as connection:
            sql_mapping.update_attempts(connection, ended)
            connection.executemany(
                "UPDATE call SET not_before = ? WHERE key = ?", [(time, key) for key, time in not_before]
            )

    def note_signs(self, key: str, progress: ProgressFields | None, heartbeat: JSONObject | None) -> None:
        """Keep the latest progress or heartbeat details of a call."""
        with self._transaction(full_sync=False) as connection:
            connection.execute(
                "UPDATE call SET progress = coalesce(?, progress), heartbeat = coalesce(?, heartbeat) WHERE key = ?",
                (sql_mapping.text_or_null(progress), sql_mapping.text_or_null(heartbeat), key),
            )

    def commit(self, completions: Sequence[Completion], ended: Iterable[AttemptRecord] = ()) -> None:
        """Append completions to the ledger: all of them or, when this raises, none. On return they are on the disk."""
        with self._transaction(full_sync=True) as connection:
            if self._length is None:
                (self._length,) = connection.execute("SELECT count(*) FROM checkpoint").fetchone()
            sql_mapping.update_attempts(connection, ended)
            sql_mapping.insert_checkpoints(connection, self._length, completions)
        self._length += len(completions)

    def set_aside(self, completions: Sequence[Completion]) -> None:
        """Keep completions that came too late for their route. They aren't part of the run; a retry may use them."""
        with self._transaction(full_sync=True) as connection:
            (count,) = connection.execute("SELECT count(*) FROM spare").fetchone()
            sql_mapping.insert_spares(connection, count, completions)

    def finish(
        self,
        phase: Phase,
        *,
        at: float | None,
        output: JSON = None,
        error: ErrorFields | None = None,
        continued_as: str | None = None,
    ) -> None:
        """Set the run's phase and result. `at` is None unless the phase is terminal."""
        with self._transaction(full_sync=True) as connection:
            connection.execute(
                "UPDATE run SET phase = ?, finished_at = ?, output = ?, error = ?, continued_as = ?",
                (phase, at, sql_mapping.text_or_null(output), sql_mapping.text_or_null(error), continued_as),
            )

    def prepare_to_be_replaced(self) -> None:
        """Bring all of the ledger into its one file. Raises LedgerUnavailableError when somebody reads it just now."""
        with translated(self.path, self._when_full):
            # A log that stayed beside the new file would be taken for the new file's.
            (mode,) = self._connection.execute("PRAGMA journal_mode = DELETE").fetchone()
        if mode != "delete":
            raise LedgerUnavailableError(self.path, "another process reads this ledger; try again in a moment")

    @contextmanager
    def _transaction(self, *, full_sync: bool) -> Iterator[sqlite3.Connection]:
        connection = self._connection
        with translated(self.path, self._when_full):
            if connection.in_transaction and full_sync:
                # How much a transaction waits for is settled when it begins.
                connection.execute("COMMIT")
            if not connection.in_transaction:
                self._synchronize(full=full_sync)
                connection.execute("BEGIN IMMEDIATE")
            try:
                yield connection
                connection.execute("COMMIT")
            except BaseException:
                # SQLite has rolled back by itself after some errors, a full disk among them.
                if connection.in_transaction:
                    connection.execute("ROLLBACK")
                raise

    def _synchronize(self, *, full: bool) -> None:
        """In WAL mode, NORMAL leaves the log unsynced: `kill -9` loses nothing, a power cut only what is younger than
        the last FULL commit, which syncs all of the log."""
        if full is not self._full_sync:
            self._connection.execute(f"PRAGMA synchronous = {'FULL' if full else 'NORMAL'}")
            self._full_sync = full

    def _all(self, query: str) -> list[sqlite3.Row]:
        with translated(self.path, self._when_full):
            cursor = self._connection.cursor()
            cursor.row_factory = sqlite3.Row
            return cursor.execute(query).fetchall()

    def _checked(self, row: sqlite3.Row, place: int) -> Completion:
        if row["sequence"] != place:
            raise LedgerCorruptError(self.path, f"checkpoint {place} is missing")
        if digest(sql_mapping.json_value(row["payload"])) != row["digest"]:
            raise LedgerCorruptError(self.path, f"checkpoint {place} ({row['task']}) isn't what was committed")
        return sql_mapping.read_completion(row)
