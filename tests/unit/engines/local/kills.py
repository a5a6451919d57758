"""Has a process killed before a statement of its databases: before the first, the second, and so on."""

from __future__ import annotations

import os
import signal
import sqlite3
from collections.abc import Callable
from pathlib import Path

from tests.unit.engines.local.bench import Bench

from application_sdk.engines.local import schema


def counting(path: Path) -> Callable[[], None]:
    """A body for `sabotaged`: count statements in a file, a byte for each."""

    def count() -> None:
        with path.open("ab") as file:
            file.write(b".")

    return count


def killing(after: int) -> Callable[[], None]:
    left = after

    def kill() -> None:
        nonlocal left
        left -= 1
        if left < 0:
            os.kill(os.getpid(), signal.SIGKILL)

    return kill


def sabotaged(body: Callable[[], object], before_each_statement: Callable[[], None]) -> Callable[[], object]:
    """`body`, with something that happens before every SQL statement. For a child process: it is never undone."""

    def run() -> object:
        connect = schema.connect

        def traced(path: Path, mode: str = "rwc") -> sqlite3.Connection:
            connection = connect(path, mode)
            connection.set_trace_callback(lambda statement: before_each_statement())
            return connection

        schema.connect = traced
        return body()

    return run


def statements_of(bench: Bench, body: Callable[[], object]) -> int:
    counter = bench.journal.with_name("counter")
    assert bench.in_child(sabotaged(body, counting(counter))) == 0
    return counter.stat().st_size
