"""The ledger's file format: its tables and version, and the checks for damaged files and those of
other programs.

A released version is never changed in place: `FORMAT` grows, and `open_ledger` learns to bring an
older file up.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from application_sdk.engines.local.errors import (
    LedgerCorruptError,
    LedgerFullError,
    LedgerNewerError,
    LedgerUnavailableError,
)
from application_sdk.engines.local.private import ensure_file

FORMAT: Final = 1
APPLICATION_ID: Final = 0x41705275
"""Stands in the file's header ("ApRu"), so that another program's database isn't taken for a
ledger."""

_BUSY_SECONDS: Final = 10
_NOTHING_CHANGED: Final = "Nothing was changed: free some space, then try again"

_TABLES: Final = """
CREATE TABLE run (
  only_one INTEGER PRIMARY KEY CHECK (only_one = 1),
  name TEXT NOT NULL, uid TEXT NOT NULL, generation INTEGER NOT NULL,
  app TEXT NOT NULL, entry TEXT NOT NULL, directory TEXT NOT NULL, entrypoint TEXT NOT NULL, input TEXT NOT NULL,
  correlation_id TEXT NOT NULL, replay_rules INTEGER NOT NULL,
  continued_from TEXT, continued_as TEXT,
  created_at REAL NOT NULL, finished_at REAL,
  phase TEXT NOT NULL, output TEXT, error TEXT
) STRICT;
CREATE TABLE call (
  key TEXT PRIMARY KEY, role TEXT NOT NULL, task TEXT NOT NULL, entrypoint TEXT NOT NULL, sequence INTEGER NOT NULL,
  input TEXT NOT NULL, identity TEXT NOT NULL, policy TEXT NOT NULL, pod TEXT NOT NULL, line TEXT NOT NULL,
  seconds REAL, made_after INTEGER NOT NULL, scheduled_at REAL NOT NULL,
  not_before REAL, progress TEXT, heartbeat TEXT
) STRICT;
CREATE TABLE attempt (
  key TEXT NOT NULL REFERENCES call, attempt INTEGER NOT NULL, started_at REAL NOT NULL, finished_at REAL,
  reason TEXT, budget TEXT, message TEXT, exit_code INTEGER,
  PRIMARY KEY (key, attempt)
) STRICT, WITHOUT ROWID;
CREATE TABLE checkpoint (
  sequence INTEGER PRIMARY KEY, key TEXT NOT NULL UNIQUE, task TEXT NOT NULL, outcome TEXT NOT NULL,
  attempts INTEGER NOT NULL, digest TEXT NOT NULL, at REAL NOT NULL, payload TEXT NOT NULL
) STRICT;
CREATE TABLE spare (
  sequence INTEGER PRIMARY KEY, key TEXT NOT NULL UNIQUE, task TEXT NOT NULL, outcome TEXT NOT NULL,
  attempts INTEGER NOT NULL, digest TEXT NOT NULL, at REAL NOT NULL, payload TEXT NOT NULL
) STRICT;
CREATE TRIGGER checkpoints_are_final BEFORE UPDATE ON checkpoint
BEGIN SELECT RAISE(ABORT, 'a committed checkpoint never changes'); END;
CREATE TRIGGER checkpoints_stay BEFORE DELETE ON checkpoint
BEGIN SELECT RAISE(ABORT, 'a committed checkpoint is never deleted'); END;
"""


def create_ledger(path: Path) -> sqlite3.Connection:
    """An empty ledger in a transaction that the caller commits; readable by others only after
    `publish`."""
    with translated(path):
        connection = connect(path)
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("BEGIN IMMEDIATE")
        connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
        connection.execute(f"PRAGMA user_version = {FORMAT}")
        for statement in _statements():
            connection.execute(statement)
        return connection


def publish(connection: sqlite3.Connection, draft: Path, path: Path) -> None:
    """Give a complete new ledger its name. A crash before this leaves a draft, which the next
    attempt replaces."""
    connection.close()
    draft.rename(path)
    # The folder of the run is new as well, mostly.
    for folder_path in (path.parent, path.parent.parent):
        folder = os.open(folder_path, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)


def open_ledger(path: Path, *, read_only: bool) -> sqlite3.Connection:
    """The ledger at `path`. Raises LedgerCorruptError or LedgerNewerError before anything is
    changed."""
    with translated(path):
        connection = connect(path, "ro" if read_only else "rw")
        try:
            _check_format(connection, path)
            if not read_only:
                connection.execute("PRAGMA journal_mode = WAL")
        except BaseException:
            connection.close()
            raise
        return connection


def _check_format(connection: sqlite3.Connection, path: Path) -> None:
    (application,) = connection.execute("PRAGMA application_id").fetchone()
    if application != APPLICATION_ID:
        raise LedgerCorruptError(path, "it isn't an apprun ledger")
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    if version > FORMAT:
        raise LedgerNewerError(path, version, FORMAT)
    (check,) = connection.execute("PRAGMA quick_check(1)").fetchone()
    if check != "ok":
        raise LedgerCorruptError(path, str(check))


def connect(path: Path, mode: str = "rwc") -> sqlite3.Connection:
    """Open a database, whatever is in it."""
    if mode == "rwc":
        ensure_file(path)
    connection = sqlite3.connect(f"{path.absolute().as_uri()}?mode={mode}", uri=True, timeout=_BUSY_SECONDS)
    # Transactions begin and end where the code says so, not where the driver guesses.
    connection.isolation_level = None
    connection.execute("PRAGMA foreign_keys = ON")
    return connection


def _statements() -> Iterator[str]:
    statement = ""
    for line in _TABLES.strip().splitlines():
        statement += line + "\n"
        if sqlite3.complete_statement(statement):
            yield statement
            statement = ""


@contextmanager
def translated(path: Path, when_full: str = _NOTHING_CHANGED) -> Iterator[None]:
    """Translate SQLite's errors by their codes. `when_full` is the advice for a full disk."""
    try:
        yield
    except sqlite3.DatabaseError as error:
        name = getattr(error, "sqlite_errorname", "")
        if name == "SQLITE_FULL":
            raise LedgerFullError(path, when_full) from error
        if name in ("SQLITE_NOTADB", "SQLITE_CORRUPT") or name.startswith("SQLITE_CORRUPT_"):
            raise LedgerCorruptError(path, str(error)) from error
        if name.startswith("SQLITE_BUSY"):
            raise LedgerUnavailableError(path, "another process uses this ledger; try again in a moment") from error
        if name.startswith(("SQLITE_IOERR", "SQLITE_CANTOPEN", "SQLITE_READONLY", "SQLITE_PERM")):
            raise LedgerUnavailableError(
                path, f"{error} ({name}). Check the disk and the folder's permissions"
            ) from error
        raise
