"""The state store of this machine: JSON objects by key, in one SQLite file beside the runs.

Tasks use it through `self.context`, from as many processes as there are attempts.
"""

from __future__ import annotations

import asyncio
import json
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import cast

from application_sdk.engines.local.schema import translated
from application_sdk.infrastructure import InfrastructureContext, get_infrastructure, set_infrastructure
from application_sdk.wire.digest import JSONObject, canonical_json

_BUSY_SECONDS = 30


class LocalStateStore:
    """Implements `infrastructure.StateStore`. The file is made when it is first needed."""

    def __init__(self, path: Path) -> None:
        self._path = path

    async def save(self, key: str, value: JSONObject) -> None:
        """Keep a value under a key; it is on the disk on return."""
        await asyncio.to_thread(self._save, key, value)

    async def load(self, key: str) -> JSONObject | None:
        """What was saved last under that key, or None."""
        return await asyncio.to_thread(self._load, key)

    async def delete(self, key: str) -> bool:
        """Forget what was saved under that key. False if there was nothing."""
        return await asyncio.to_thread(self._delete, key)

    async def list_keys(self, prefix: str = "") -> list[str]:
        """The keys that begin with a prefix, by alphabet."""
        return await asyncio.to_thread(self._list_keys, prefix)

    def _save(self, key: str, value: JSONObject) -> None:
        with self._open() as connection:
            connection.execute(
                "INSERT INTO state VALUES (?, ?) ON CONFLICT (key) DO UPDATE SET value = excluded.value",
                (key, canonical_json(value)),
            )

    def _load(self, key: str) -> JSONObject | None:
        with self._open() as connection:
            row = connection.execute("SELECT value FROM state WHERE key = ?", (key,)).fetchone()
        return cast("JSONObject", json.loads(row[0])) if row else None

    def _delete(self, key: str) -> bool:
        with self._open() as connection:
            return connection.execute("DELETE FROM state WHERE key = ?", (key,)).rowcount > 0

    def _list_keys(self, prefix: str) -> list[str]:
        with self._open() as connection:
            rows = connection.execute("SELECT key FROM state ORDER BY key").fetchall()
        return [key for (key,) in rows if key.startswith(prefix)]

    @contextmanager
    def _open(self) -> Iterator[sqlite3.Connection]:
        # A connection for each use: a process may be forked or killed at any time, and state is rarely used.
        self._path.parent.mkdir(parents=True, exist_ok=True)
        with translated(self._path):
            connection = sqlite3.connect(self._path, timeout=_BUSY_SECONDS)
            try:
                with connection:
                    connection.execute("CREATE TABLE IF NOT EXISTS state (key TEXT PRIMARY KEY, value BLOB NOT NULL)")
                    yield connection
            finally:
                connection.close()


def provide_state(path: Path) -> InfrastructureContext:
    """Have tasks of this process keep their state there, unless a store of the app's own is set. Returns what was set
    before, for `set_infrastructure`."""
    before = get_infrastructure()
    if before.state_store is None:
        set_infrastructure(replace(before, state_store=LocalStateStore(path)))
    return before
