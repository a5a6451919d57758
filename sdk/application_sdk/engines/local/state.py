"""What the apps of this machine keep beyond their runs: JSON objects by app and key, in a SQLite file beside the runs.

An attempt reads it by itself and tells its engine what it wants saved. The engine keeps that together with the
attempt's completion, though the two are in different files: it notes the writes here, commits the completion in the
run's ledger, and then does what it has noted. The ledger decides: whoever finds the notes of a process that was killed
in between looks into it, and does them or drops them.
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


class _Note(NamedTuple):
    """What an attempt wants saved once its completion is committed."""

    ledger: str
    call: str
    attempt: int
    app: str
    writes: list[StateWrite]


class SavedState:
    """The state of one app, for an attempt to read. Implements `attempt.state.KeptState`."""

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
        with _opened(self._path) as connection:
            return _values_of(connection, self._app)


class StateStore:
    """Keeps what the attempts of one run want saved. From `note` to `settle` no other run of this machine does."""

    def __init__(self, path: Path, app: str, ledger: Path) -> None:
        self._path = path
        self._app = app
        self._ledger = str(ledger)
        self._lock = -1

    def recover(self) -> None:
        """Do or drop what processes that were killed have noted."""
        if self._path.exists():
            self._hold()
            self._release()

    def note(self, call: str, attempt: int, writes: Sequence[StateWrite]) -> ErrorFields | None:
        """Note what an attempt that succeeded wants saved; or say why it has failed after all, and note nothing."""
        self._hold()
        with _opened(self._path) as connection:
            values, noted = _values_of(connection, self._app), _notes(connection)
            for earlier in noted:
                if earlier.app == self._app:
                    values = rules.applied(earlier.writes, values)
            refusal = _refusal(writes, values)
            if refusal is None:
                connection.execute(
                    "INSERT OR REPLACE INTO noted VALUES (?, ?, ?, ?, ?)",
                    (self._ledger, call, attempt, self._app, json.dumps(list(writes))),
                )
        if refusal is not None and not noted:
            self._release()
        return refusal

    def settle(self, committed: Collection[str]) -> None:
        """Do what is noted for these calls, whose completions are in the ledger by now, and drop what isn't in it."""
        if self._lock < 0:
            return
        try:
            with _opened(self._path) as connection:
                for note in _notes(connection):
                    _settle(connection, note, committed=note.call in committed or _is_committed(note))
        finally:
            self._release()

    def _hold(self) -> None:
        if self._lock >= 0:
            return
        ensure_folder(self._path.parent)
        self._lock = open_private(self._path.with_suffix(".lock"), os.O_RDWR)
        # Waits for milliseconds: its holder does nothing in between but commit.
        fcntl.flock(self._lock, fcntl.LOCK_EX)
        with _opened(self._path) as connection:
            for note in _notes(connection):
                _settle(connection, note, committed=_is_committed(note))

    def _release(self) -> None:
        if self._lock >= 0:
            os.close(self._lock)
            self._lock = -1


def _refusal(writes: Sequence[StateWrite], values: dict[str, JSON]) -> ErrorFields | None:
    """Why these writes can't be kept beside what there is."""
    lost = rules.conflicts(writes, values)
    if lost:
        return ErrorFields(type=rules.CONFLICT, message=rules.told(lost), retryable=True)
    excess = rules.excess(rules.applied(writes, values))
    return ErrorFields(type=rules.TOO_LARGE, message=excess, retryable=False) if excess else None


def _is_committed(note: _Note) -> bool:
    """Whether the run that has left this note has the completion in its ledger, or set aside in it."""
    try:
        with Ledger.open(Path(note.ledger), read_only=True) as ledger:
            done = [*ledger.history(), *ledger.detached()]
    except (LedgerError, OSError):
        return False
    return any((each.key, each.attempts, each.outcome) == (note.call, note.attempt, "Succeeded") for each in done)


def _settle(connection: sqlite3.Connection, note: _Note, *, committed: bool) -> None:
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


def _notes(connection: sqlite3.Connection) -> list[_Note]:
    rows = connection.execute("SELECT ledger, call, attempt, app, writes FROM noted ORDER BY rowid").fetchall()
    return [_Note(ledger, call, attempt, app, json.loads(writes)) for ledger, call, attempt, app, writes in rows]


@contextmanager
def _opened(path: Path) -> Iterator[sqlite3.Connection]:
    """One transaction. Each has a connection: a process may be forked or killed at any time, and state is rare."""
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
