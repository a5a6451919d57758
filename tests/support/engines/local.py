"""The local engine: attempts in this process, or each in one of its own."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from tests.support.dying import in_child, killing
from tests.support.engines.catalog import Program
from tests.support.engines.observed import Attempt, Completion, Failure, Observed, observed
from tests.support.engines.programs import Programs

from application_sdk.engines.local.events import AttemptStarted, Event, Observer, ignore_event
from application_sdk.engines.local.ledger import Ledger
from application_sdk.engines.local.limits import Limits, Requests
from application_sdk.engines.local.run_store import RunStore
from application_sdk.engines.local.runs import (
    ExecutionOptions,
    RunRequest,
    create_run,
    execute,
    in_process_executor,
    process_executor,
)
from application_sdk.engines.local.source import AppSource
from application_sdk.engines.processes.executor_protocol import Executor

LIMITS = Limits(parallelism=8, stop_seconds=5, cancel_seconds=5, overdue_seconds=0.1)
SOURCE = AppSource("tests.support.engines.programs:Programs", str(Path(__file__).resolve().parents[3]))


@dataclass
class Local:
    """Runs in a home of its own. `executor` is shared by all of them, as processes take long to start."""

    name: str
    home: RunStore
    executor: Executor | None = None
    """None for attempts in this process."""
    _count: int = field(default=0, init=False)

    def observe(self, program: Program, *, kill_driver: bool = False) -> Observed:
        self._count += 1
        run = f"r-{self._count}"
        create_run(self.home, run, RunRequest(SOURCE, Programs.definition.name, program.name, program.input))
        if kill_driver:
            # With an executor of its own: what it is made of doesn't outlast a fork.
            in_child(lambda: self._execute(run, killing(after_commits=1), own_executor=True))
        elif program.ends_process and self.executor is None:
            in_child(lambda: self._execute(run))
        else:
            self._execute(run, cancel=program.cancel)
        if kill_driver:
            self._execute(run)
        return self._read(run)

    def _execute(
        self, run: str, observer: Observer = ignore_event, *, cancel: bool = False, own_executor: bool = False
    ) -> None:
        requests = Requests()
        started: list[str] = []

        def observe(notice: Event) -> None:
            if isinstance(notice, AttemptStarted):
                started.append(notice.call.key)
                if cancel and len(started) == 2:
                    self.home.folder(run).cancel_request.touch()
            observer(notice)

        def go_on(executor: Executor) -> None:
            execute(self.home, run, Programs, SOURCE, executor, ExecutionOptions(LIMITS, observe, requests))

        if self.executor is None:
            with in_process_executor(Programs) as executor:
                go_on(executor)
        elif own_executor:
            with process_executor(SOURCE) as executor:
                go_on(executor)
        else:
            go_on(self.executor)

    def _read(self, run: str) -> Observed:
        with Ledger.open(self.home.folder(run).ledger, read_only=True) as ledger:
            record = ledger.run()
            tasks = {one.call.key: one.call.task for one in ledger.calls()}
            return observed(
                record.phase,
                record.output,
                record.error,
                [
                    Completion(done.key, done.task, done.outcome, done.attempts, Failure.of(done.error))
                    for done in ledger.history()
                ],
                [
                    Attempt(tasks[one.key], one.attempt, one.reason or "", one.budget or "")
                    for one in ledger.attempts()
                    if one.reason != "Completed"
                ],
                record.uid,
            )
