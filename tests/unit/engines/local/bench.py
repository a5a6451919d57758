"""Runs the tests' app on the local engine, in a process that may be killed, and reads the journal of its tasks."""

from __future__ import annotations

import signal
from collections.abc import Callable
from pathlib import Path

from tests.support.dying import in_child, killing

from application_sdk.engines.local.events import Observer, ignore_event
from application_sdk.engines.local.ledger import Ledger
from application_sdk.engines.local.limits import Limits, Requests
from application_sdk.engines.local.records import AttemptRecord, RunRecord
from application_sdk.engines.local.run_store import RunFolder, RunStore
from application_sdk.engines.local.runs import (
    ExecutionOptions,
    RunRequest,
    create_run,
    execute,
    in_process_executor,
    process_executor,
)
from application_sdk.engines.local.source import find_source

LIMITS = Limits(parallelism=4, stop_seconds=5, cancel_seconds=5, overdue_seconds=0.1)


class Bench:
    """One home, one app, one journal."""

    def __init__(self, path: Path, app: Path, *, in_process: bool = False) -> None:
        self.home = RunStore(path / "home")
        self.journal = path / "journal"
        self.in_process = in_process
        self.source = find_source(f"{app}:Orders", path)
        self.app_class = self.source.load()
        self.requests = Requests()
        self.limits = LIMITS

    def begin(self, entrypoint: str = "run", name: str = "orders-1", count: int = 3) -> RunFolder:
        given = {"journal": str(self.journal), "count": count}
        return create_run(self.home, name, RunRequest(self.source, self.app_class.definition.name, entrypoint, given))

    def execute(self, name: str = "orders-1", observer: Observer = ignore_event) -> RunRecord:
        executor = in_process_executor(self.app_class) if self.in_process else process_executor(self.source)
        with executor as opened:
            mode = ExecutionOptions(self.limits, observer, self.requests)
            return execute(self.home, name, self.app_class, self.source, opened, mode)

    def run(self, entrypoint: str = "run", observer: Observer = ignore_event) -> RunRecord:
        self.begin(entrypoint)
        return self.execute(observer=observer)

    def execute_until_killed(self, after_commits: int) -> bool:
        """Execute in a child process that is killed right after so many commits. False when it came to its end."""
        return self.in_child(lambda: self.execute(observer=killing(after_commits))) == -signal.SIGKILL

    def in_child(self, body: Callable[[], object]) -> int:
        """Run `body` in a child process, to be killed in there. Returns its exit code."""
        return in_child(body)

    def lines(self) -> list[str]:
        """What the tasks have written into the journal."""
        return self.journal.read_text().splitlines() if self.journal.exists() else []

    def attempts(self, name: str = "orders-1") -> list[AttemptRecord]:
        with self.ledger(name) as ledger:
            return ledger.attempts()

    def ledger(self, name: str = "orders-1") -> Ledger:
        return Ledger.open(self.home.folder(name).ledger, read_only=True)
