"""The state of this machine's apps beyond their runs: JSON objects by app and key, in a SQLite file
beside the runs.

An attempt reads the file itself and sends its engine what it wants saved. The engine saves that
together with the attempt's completion, though the two are in different files: it stages the writes
here, commits the completion in the run's ledger, and then applies what it has staged. The ledger
decides: whoever finds staged writes of a process that was killed in between applies them if the
ledger has the completion, and drops them otherwise.
"""

from __future__ import annotations

import asyncio
import fcntl
import json
import os
import sqlite3
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final, NamedTuple, cast

from application_sdk.engines.local import schema
from application_sdk.engines.local.errors import LedgerError
from application_sdk.engines.local.ledger import Ledger
from application_sdk.engines.local.private import ensure_folder, open_private
from application_sdk.wire import state as rules
from application_sdk.wire.digest import JSON, JSONObject, canonical_json
from application_sdk.wire.fields import ErrorFields, StateWrite

_TABLES: Final = (
    "CREATE TABLE IF NOT EXISTS state (key TEXT PRIMARY KEY, value BLOB NOT NULL)",
    "CREATE TABLE IF NOT EXISTS noted (ledger TEXT NOT NULL, call TEXT NOT NULL, attempt INTEGER NOT NULL,"
    " app TEXT NOT NULL, writes TEXT NOT NULL, PRIMARY KEY (ledger, call, attempt))",
)


class _StagedWrites(NamedTuple):
    """Writes of an attempt that count once its completion is committed."""

    ledger: str
    call: str
    attempt: int
    app: str
    writes: list[StateWrite]


class SavedState:
    """The state of one app, for an attempt to read. Implements `attempt.state.SavedState`."""

    def __init__(self, path: Path, app: str) -> None:
        self._path = path
        self._app = app

    async def load(self, key: str) -> JSONObject | None:
        """What was saved last under that key, or None."""
        return cast("JSONObject | None", (await asyncio.to_thread(self._values)).get(key))

    async def list_keys(self, prefix: str = "") -> list[str]:
        """The keys that begin with a prefix, by alphabet."""
        return sorted(key for key in await asyncio.to_thread(self._values) if key.startswith(prefix))

    def _values(self) -> dict[str, JSON]:
        if not self._path.exists():
            return {}
        with _transaction(self._path) as connection:
            return _values_of(connection, self._app)


class StateStore:
    """Keeps what the attempts of one run want saved. From `stage` to `apply` no other run of this
    machine does."""

    def __init__(self, path: Path, app: str, ledger: Path) -> None:
        self._path = path
        self._app = app
        self._ledger = str(ledger)
        self._lock = -1

    def recover(self) -> None:
        """Apply or drop what processes that were killed have staged."""
        if self._path.exists():
            self._acquire()
            self._release()

    def stage(self, call: str, attempt: int, writes: Sequence[StateWrite]) -> ErrorFields | None:
        """Stage the writes of an attempt that succeeded; or return why it fails after all, and
        stage nothing."""
        self._acquire()
        with _transaction(self._path) as connection:
            values, staged = _values_of(connection, self._app), _staged_writes(connection)
            for earlier in staged:
                if earlier.app == self._app:
                    values = rules.applied(earlier.writes, values)
            refusal = _refusal(writes, values)
            if refusal is None:
                connection.execute(
                    "INSERT OR REPLACE INTO noted VALUES (?, ?, ?, ?, ?)",
                    (self._ledger, call, attempt, self._app, json.dumps(list(writes))),
                )
        if refusal is not None and not staged:
            self._release()
        return refusal

    def apply(self, committed: Collection[str]) -> None:
        """Apply the staged writes of these committed calls, and drop those whose completions aren't
        in the ledger."""
        if self._lock < 0:
            return
        try:
            with _transaction(self._path) as connection:
                for note in _staged_writes(connection):
                    _apply(connection, note, committed=note.call in committed or _is_committed(note))
        finally:
            self._release()

    def _acquire(self) -> None:
        if self._lock >= 0:
            return
        ensure_folder(self._path.parent)
        self._lock = open_private(self._path.with_suffix(".lock"), os.O_RDWR)
        # Waits for milliseconds: the lock's holder only commits in between.
        fcntl.flock(self._lock, fcntl.LOCK_EX)
        with _transaction(self._path) as connection:
            for note in _staged_writes(connection):
                _apply(connection, note, committed=_is_committed(note))

    def _release(self) -> None:
        if self._lock >= 0:
            os.close(self._lock)
            self._lock = -1


def _refusal(writes: Sequence[StateWrite], values: dict[str, JSON]) -> ErrorFields | None:
    """Why these writes can't be saved beside the current state."""
    lost = rules.conflicts(writes, values)
    if lost:
        return ErrorFields(type=rules.CONFLICT, message=rules.conflict_message(lost), retryable=True)
    excess = rules.excess(rules.applied(writes, values))
    return ErrorFields(type=rules.TOO_LARGE, message=excess, retryable=False) if excess else None


def _is_committed(note: _StagedWrites) -> bool:
    """Whether the run that has left this note has the completion in its ledger, or set aside in
    it."""
    try:
        with Ledger.open(Path(note.ledger), read_only=True) as ledger:
            done = [*ledger.history(), *ledger.detached()]
    except (LedgerError, OSError):
        return False
    return any(
        (completion.key, completion.attempts, completion.outcome) == (note.call, note.attempt, "Succeeded")
        for completion in done
    )


def _apply(connection: sqlite3.Connection, note: _StagedWrites, *, committed: bool) -> None:
    for write in note.writes if committed else ():
        key = f"{note.app}/{write['key']}"
        if "value" in write:
            connection.execute("INSERT OR REPLACE INTO state VALUES (?, ?)", (key, canonical_json(write["value"])))
        else:
            connection.execute("DELETE FROM state WHERE key = ?", (key,))
    connection.execute(
        "DELETE FROM noted WHERE ledger = ? AND call = ? AND attempt = ?", (note.ledger, note.call, note.attempt)
    )


def _values_of(connection: sqlite3.Connection, app: str) -> dict[str, JSON]:
    rows = connection.execute("SELECT key, value FROM state ORDER BY key").fetchall()
    return {key.partition("/")[2]: json.loads(value) for key, value in rows if key.startswith(f"{app}/")}


def _staged_writes(connection: sqlite3.Connection) -> list[_StagedWrites]:
    rows = connection.execute("SELECT ledger, call, attempt, app, writes FROM noted ORDER BY rowid").fetchall()
    return [
        _StagedWrites(ledger, call, attempt, app, json.loads(writes)) for ledger, call, attempt, app, writes in rows
    ]


@contextmanager
def _transaction(path: Path) -> Iterator[sqlite3.Connection]:
    """One transaction. Each has a connection: a process may be forked or killed at any time, and
    state is rare."""
    with schema.translated(path):
        connection = schema.connect(path)
        try:
            connection.execute("BEGIN IMMEDIATE")
            for statement in _TABLES:
                connection.execute(statement)
            yield connection
            connection.execute("COMMIT")
        finally:
            connection.close()
