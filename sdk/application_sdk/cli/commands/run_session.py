"""Executes a run for a command: loads the app, shows progress, stops on Ctrl-C, and returns an exit code."""

from __future__ import annotations

import contextlib
import signal
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from types import FrameType

from application_sdk.app.base import App
from application_sdk.cli import exit_codes
from application_sdk.cli.output import Format, app_output, echo, live_console, notify, write_result, write_value
from application_sdk.cli.sources.local import run_of
from application_sdk.cli.views.json_output import run_as_json
from application_sdk.cli.views.progress import Display, Lines, Silent, Table
from application_sdk.engines.local.errors import RunInterruptedError
from application_sdk.engines.local.ledger import Ledger
from application_sdk.engines.local.limits import Limits, Requests
from application_sdk.engines.local.pod_fields import without_effect
from application_sdk.engines.local.records import RunRecord
from application_sdk.engines.local.render import duration
from application_sdk.engines.local.run_store import RunStore
from application_sdk.engines.local.runs import ExecutionOptions, execute, in_process_executor, process_executor
from application_sdk.engines.processes.executor_protocol import Executor
from application_sdk.engines.processes.source import AppSource


@dataclass(frozen=True, slots=True)
class Execution:
    """How a command wants a run executed."""

    home: RunStore
    source: AppSource
    limits: Limits
    format: Format
    in_process: bool = False

    def of(self, name_of: Callable[[type[App]], str]) -> int:
        """Load the app, execute the run that `name_of` names (and has begun, perhaps), until its end or Ctrl-C. Say how
        it ended. Returns the exit code."""
        with app_output(), self._loaded() as (app_class, executor):
            run = self._execute(name_of(app_class), app_class, executor)
        if run.phase != "Running" or self.format.for_programs:
            report(run, self.format)
        return exit_codes.of_phase(run.phase)

    @contextlib.contextmanager
    def _loaded(self) -> Iterator[tuple[type[App], Executor]]:
        if self.in_process:
            app_class = self.source.load()
            with in_process_executor(app_class) as executor:
                yield app_class, executor
            return
        # The process of the forks imports the app while this one does.
        with process_executor(self.source) as executor:
            yield self.source.load(), executor

    def _execute(self, name: str, app_class: type[App], executor: Executor) -> RunRecord:
        requests = Requests()
        title = f"{name}  {app_class.definition.entry}"
        ignored = without_effect(app_class.definition.tasks, in_process=self.in_process)
        if ignored and not self.format.for_programs:
            notify(ignored, "dim")
        try:
            with _stopping(requests), _display(title, self.format) as display:
                mode = ExecutionOptions(self.limits, display.notice, requests)
                return execute(self.home, name, app_class, self.source, executor, mode)
        except RunInterruptedError as interruption:
            notify(str(interruption), "yellow")
            with Ledger.open(self.home.folder(interruption.run).ledger, read_only=True) as ledger:
                return ledger.run()


def report(run: RunRecord, format: Format) -> None:
    """Say how a run has ended: its output on standard output, all else on standard error."""
    if format.for_programs:
        write_result(run_as_json(run_of(run, alive=False)), format)
        return
    if format is Format.NAME:
        echo(run.name)
        return
    spent = f" after {duration(run.finished_at - run.created_at)}" if run.finished_at else ""
    if run.phase == "Succeeded":
        notify(f"{run.name} succeeded{spent}", "green")
        write_value(run.output)
        return
    notify(f"{run.name} {_PHASES[run.phase]}{spent}", "red")
    if run.error is not None:
        if run.error.get("traceback") and run.phase != "Stalled":
            notify(run.error["traceback"].rstrip())
        else:
            notify(f"{run.error['type']}: {run.error['message']}")
            if run.error.get("traceback"):
                notify(run.error["traceback"].rstrip())
    hint = _HINTS.get(run.phase)
    if hint:
        notify(hint.format(run=run.name), "dim")


_PHASES = {"Failed": "failed", "Cancelled": "was cancelled", "Stalled": "is stalled", "Running": "is not over"}
_HINTS = {
    "Failed": "See `apprun show {run}` and `apprun logs {run}`; try what failed again with `apprun retry {run}`",
    "Stalled": "Correct what it says, then go on with `apprun resume {run}`",
}


def _display(title: str, format: Format) -> Display:
    if format.for_programs:
        return Silent()
    console = live_console()
    return Table(console, title) if console.is_terminal else Lines()


@contextlib.contextmanager
def _stopping(requests: Requests) -> Iterator[None]:
    """The first SIGINT or SIGTERM stops the engine, which takes a few seconds; the second ends the process at once."""
    signals = (signal.SIGINT, signal.SIGTERM)
    before = [signal.getsignal(number) for number in signals]

    def restore() -> None:
        for number, handler in zip(signals, before, strict=True):
            signal.signal(number, handler)

    def stop(number: int, frame: FrameType | None) -> None:
        restore()
        notify("stopping; once more ends it at once", "yellow")
        requests.stop()

    for number in signals:
        signal.signal(number, stop)
    try:
        yield
    finally:
        restore()
