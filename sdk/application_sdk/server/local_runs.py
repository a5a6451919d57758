"""Runs on this machine: the local engine, with each run in a thread of the server's process.

They are runs like any other: `apprun runs`, `show` and `resume` know them. One that the server's end interrupts is
gone on with when the server starts again.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

from application_sdk.engines.local.errors import (
    LedgerError,
    LocalEngineError,
    RunBusyError,
    RunExistsError,
    RunInterruptedError,
    RunNameError,
    RunNotFoundError,
)
from application_sdk.engines.local.ledger import Ledger
from application_sdk.engines.local.limits import Limits, Requests
from application_sdk.engines.local.lock import holder
from application_sdk.engines.local.records import TERMINAL_PHASES, RunRecord
from application_sdk.engines.local.run_store import Home, new_run_name
from application_sdk.engines.local.runs import Mode, begin, execute_here
from application_sdk.engines.local.runs import Order as LocalOrder
from application_sdk.engines.processes.source import AppSource
from application_sdk.server.errors import Problem
from application_sdk.server.runs import Ended, Order
from application_sdk.server.schemas import STATUS_OF_PHASE, RunError, RunState, Started

if TYPE_CHECKING:
    from application_sdk.app.base import App

_log = logging.getLogger("apprun.server")

STOP_SECONDS: Final = 15.0


class LocalRuns:
    """The runs of one app in a home."""

    def __init__(self, home: Home, app_class: type[App], source: AppSource, limits: Limits) -> None:
        self._home = home
        self._app_class = app_class
        self._source = source
        self._limits = limits
        self._lock = threading.Lock()
        self._working: dict[str, tuple[threading.Thread, Requests]] = {}

    def start(self, order: Order) -> Started:
        name = order.name or new_run_name(self._app_class.definition.name)
        created = True
        try:
            begin(
                self._home,
                name,
                LocalOrder(self._source, self._app_class.definition.name, order.entrypoint, order.input),
            )
        except RunExistsError as error:
            created = False
            if not self._is_the_run_of(name, order):
                raise Problem("NameTaken", f"run {name!r} was started with another input: use another key") from error
        except RunNameError as error:
            raise Problem("InvalidRequest", str(error)) from error
        except LocalEngineError as error:
            raise Problem("Unavailable", str(error)) from error
        run = self._record(name)
        if run.phase == "Running":
            self._execute(name)
        return Started(workflow_id=name, run_id=run.uid, created=created)

    def look(self, run: str) -> Ended:
        record = self._record(run)
        alive = holder(self._home.folder(run).lock) is not None
        phase = "Interrupted" if record.phase == "Running" and not alive and run not in self._working else record.phase
        error = None
        if record.error is not None:
            error = RunError(type=record.error["type"], message=record.error["message"])
        done, total = self._counts(run)
        state = RunState(
            workflow_id=run,
            run_id=record.uid,
            status=STATUS_OF_PHASE.get(record.phase, "RUNNING"),
            phase=phase,
            message=error.message if error else "",
            entrypoint=record.entrypoint,
            execution_duration_seconds=(record.finished_at or max(time.time(), record.created_at)) - record.created_at,
            tasks_done=done,
            tasks_total=total,
            continued_as=record.continued_as,
            error=error,
        )
        return Ended(state, record.output)

    def stop(self, run: str) -> None:
        if self._record(run).phase in TERMINAL_PHASES:
            return
        self._home.folder(run).request_cancel()
        with self._lock:
            working = self._working.get(run)
        if working is not None and working[1].wake is not None:
            working[1].wake()
        elif holder(self._home.folder(run).lock) is None:
            # Its clean-up belongs to it, so it is gone on with until that is done.
            self._execute(run)

    def check(self) -> None:
        """A laptop can start a run whenever its disk takes one, which is seen then."""

    def go_on(self) -> None:
        """Go on with those runs of the app that an earlier life of the server left, and nobody executes."""
        for name in self._home.runs():
            folder = self._home.folder(name)
            try:
                with Ledger.open(folder.ledger, read_only=True) as ledger:
                    run = ledger.run()
            except LedgerError:
                continue
            if (run.app, run.phase) == (self._app_class.definition.name, "Running") and holder(folder.lock) is None:
                _log.info("going on with run %s", name)
                self._execute(name)

    def close(self) -> None:
        """Stop the runs under way. What they have committed is safe, and `go_on` goes on from there."""
        with self._lock:
            working = list(self._working.values())
        for _, requests in working:
            requests.stop()
        until = time.monotonic() + STOP_SECONDS
        for thread, _ in working:
            thread.join(max(0.0, until - time.monotonic()))

    def _execute(self, run: str) -> None:
        requests = Requests()
        thread = threading.Thread(target=self._live, args=(run, requests), name=f"run {run}", daemon=True)
        with self._lock:
            if run in self._working:
                return
            self._working[run] = (thread, requests)
        thread.start()

    def _live(self, run: str, requests: Requests) -> None:
        try:
            mode = Mode(self._limits, requests=requests)
            ended = execute_here(self._home, run, self._app_class, self._source, mode)
            _log.info("run %s is %s", run, ended.phase)
        except RunInterruptedError as interruption:
            _log.info("%s", interruption)
        except RunBusyError:
            _log.info("run %s is executed by another process", run)
        except LocalEngineError as error:
            _log.error("run %s: %s", run, error)
        finally:
            with self._lock:
                del self._working[run]

    def _is_the_run_of(self, name: str, order: Order) -> bool:
        """Whether the run was started by an order like this one."""
        with self._ledger(name) as ledger:
            run = ledger.run()
            # A run that has begun has its defaults filled in, and a repeated request hasn't.
            given = ledger.given_input()
        return (run.app, run.entrypoint, given) == (self._app_class.definition.name, order.entrypoint, order.input)

    def _record(self, run: str) -> RunRecord:
        with self._ledger(run) as ledger:
            return ledger.run()

    @contextmanager
    def _ledger(self, run: str) -> Iterator[Ledger]:
        try:
            with Ledger.open(self._home.folder(run).ledger, read_only=True) as ledger:
                yield ledger
        except RunNotFoundError as error:
            raise Problem("NotFound", f"there is no run {run!r}") from error
        except LedgerError as error:
            raise Problem("Unavailable", str(error)) from error

    def _counts(self, run: str) -> tuple[int, int]:
        with Ledger.open(self._home.folder(run).ledger, read_only=True) as ledger:
            return len(ledger.committed()), len(ledger.calls())
