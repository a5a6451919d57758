"""From the beginning of a run to its end on this machine: begin, execute, and what is recorded of its result.

The CLI and `application_sdk.main` call this. Whatever ends a process in between, `execute` goes on from the ledger.
"""

from __future__ import annotations

import contextlib
import re
import time
import uuid
from collections.abc import Iterator
from dataclasses import dataclass, field

from application_sdk.app.base import App
from application_sdk.contracts.codec import decode
from application_sdk.engines.local.engine import LocalEngine
from application_sdk.engines.local.errors import OtherAppError, RunExistsError
from application_sdk.engines.local.events import NotYielding, Observer, ignore_event
from application_sdk.engines.local.fork_server import MODULE as FORKER
from application_sdk.engines.local.inprocess import InProcessExecutor
from application_sdk.engines.local.ledger import Ledger
from application_sdk.engines.local.limits import Limits, Requests
from application_sdk.engines.local.lock import RunLock
from application_sdk.engines.local.records import TERMINAL_PHASES, NewRun, Phase, RunRecord
from application_sdk.engines.local.run_store import RunFolder, RunStore, generate_run_name
from application_sdk.engines.processes.executor import ProcessExecutor
from application_sdk.engines.processes.executor_protocol import Executor
from application_sdk.engines.processes.source import AppSource
from application_sdk.execution.definition import RunInfo
from application_sdk.replay.result import RouteResult
from application_sdk.replay.run import run_route
from application_sdk.replay.yielding import YieldWatch
from application_sdk.wire.digest import JSONObject
from application_sdk.wire.fields import REPLAY_RULES
from application_sdk.wire.names import RUN_NAME_MAX_LENGTH


@dataclass(frozen=True, slots=True)
class ExecutionOptions:
    """How a run is executed. Another mode may be used each time that it is resumed."""

    limits: Limits = field(default_factory=Limits)
    observer: Observer = ignore_event
    requests: Requests = field(default_factory=Requests)


@dataclass(frozen=True, slots=True)
class RunRequest:
    """A run to be begun."""

    source: AppSource
    app: str
    """The app's name."""
    entrypoint: str
    input: JSONObject


def create_run(home: RunStore, name: str, order: RunRequest, predecessor: RunRecord | None = None) -> RunFolder:
    """Create the run; nothing is executed. Raises RunExistsError, RunNameError, or a LedgerError.

    `predecessor` is the run that continues as this one.
    """
    folder = home.create(name)
    with RunLock(name, folder.lock):
        if folder.ledger.exists():
            raise RunExistsError(name)
        uid = uuid.uuid4().hex
        run = NewRun(
            name=name,
            uid=uid,
            app=order.app,
            entry=order.source.entry,
            directory=order.source.directory,
            entrypoint=order.entrypoint,
            input=order.input,
            correlation_id=predecessor.correlation_id if predecessor else uid,
            replay_rules=REPLAY_RULES,
            created_at=time.time(),
            continued_from=predecessor.name if predecessor else None,
        )
        Ledger.create(folder.ledger, run).close()
    return folder


def create_checked_run(
    home: RunStore,
    app_class: type[App],
    source: AppSource,
    given: JSONObject,
    entrypoint: str | None = None,
    name: str | None = None,
) -> str:
    """Create a run on an input that is checked before; its name, made up if none is given. Raises AppNotFoundError,
    ContractValidationError and what `create_run` raises."""
    app = app_class.definition
    chosen = app.entrypoint(entrypoint)
    # Also checked when the route begins. Here it costs no run.
    # The user's own input, which may name a file beside it.
    decode(chosen.input_type, given, paths="keep")
    name = name or generate_run_name(app.name)
    create_run(home, name, RunRequest(source, app.name, chosen.name, given))
    return name


@contextlib.contextmanager
def process_executor(source: AppSource) -> Iterator[Executor]:
    """An executor with a process for each attempt. Opened before the app is loaded here, it loads it meanwhile."""
    with contextlib.closing(ProcessExecutor(source, FORKER)) as executor:
        yield executor


@contextlib.contextmanager
def in_process_executor(app_class: type[App]) -> Iterator[Executor]:
    """An executor that makes the attempts in this process."""
    with contextlib.closing(InProcessExecutor(app_class)) as executor:
        yield executor


def execute(
    home: RunStore,
    name: str,
    app_class: type[App],
    source: AppSource,
    executor: Executor,
    mode: ExecutionOptions | None = None,
) -> RunRecord:
    """Execute a run from where it stands, and those that it continues as; the last one as it stands then.

    `source` is where `app_class` was loaded from. A run that is over is returned as it is.
    Raises RunBusyError, RunInterruptedError, OtherAppError or a LedgerError.
    """
    life = _Life(home, app_class, source, executor, mode or ExecutionOptions())
    run = life.execute(home.folder(name))
    while run.continued_as is not None:
        run = life.execute(home.folder(run.continued_as))
    return run


def execute_in_process(
    home: RunStore, name: str, app_class: type[App], source: AppSource, mode: ExecutionOptions
) -> RunRecord:
    """The same with all attempts in this process."""
    with in_process_executor(app_class) as executor:
        return execute(home, name, app_class, source, executor, mode)


def cancel_without_cleanup(folder: RunFolder) -> RunRecord:
    """End a run as cancelled without its app. Raises RunBusyError when somebody executes it."""
    with RunLock(folder.run, folder.lock), Ledger.open(folder.ledger) as ledger:
        if ledger.run().phase not in TERMINAL_PHASES:
            ledger.finish("Cancelled", at=time.time())
        return ledger.run()


@dataclass(frozen=True, slots=True)
class _Life:
    """What the runs of one call of `execute` have in common."""

    home: RunStore
    app_class: type[App]
    source: AppSource
    executor: Executor
    mode: ExecutionOptions

    def execute(self, folder: RunFolder) -> RunRecord:
        with RunLock(folder.run, folder.lock), Ledger.open(folder.ledger) as ledger:
            run = ledger.run()
            if run.phase in TERMINAL_PHASES:
                return run
            name = self.app_class.definition.name
            if run.app != name:
                raise OtherAppError(run.name, run.app, self.source.entry, name)
            _record(self.home, ledger, run, self._route(folder, ledger, run), self.source)
            return ledger.run()

    def _route(self, folder: RunFolder, ledger: Ledger, run: RunRecord) -> RouteResult:
        info = RunInfo(
            run_id=run.name,
            uid=run.uid,
            started_at=run.created_at,
            correlation_id=run.correlation_id,
            replay_rules=run.replay_rules,
            own_disk=True,
        )
        requests = self.mode.requests
        requests.cancelled = folder.cancel_request.exists
        requests.wake = self.executor.wake
        engine = LocalEngine(
            folder,
            ledger,
            self.executor,
            info,
            limits=self.mode.limits,
            requests=requests,
            observer=self.mode.observer,
        )
        watch = YieldWatch(lambda message: self.mode.observer(NotYielding(message)) if message else None)
        watch.start()
        try:
            return run_route(self.app_class, run.entrypoint, run.input, engine, info, watch)
        finally:
            watch.stop()
            engine.close()
            requests.wake = None


def _record(home: RunStore, ledger: Ledger, run: RunRecord, result: RouteResult, source: AppSource) -> None:
    now = time.time()
    if result.outcome == "Continued":
        # The successor is there before this run points to it. A crash in between: the route continues once more when
        # it is resumed, and finds it.
        successor = _successor_name(run.name)
        order = RunRequest(source, run.app, result.entrypoint, result.input or {})
        try:
            create_run(home, successor, order, run)
        except RunExistsError:
            if not _continues(home.folder(successor), run):
                raise
        ledger.finish("Succeeded", at=now, continued_as=successor)
        return
    phase: Phase = result.outcome
    ledger.finish(phase, at=None if phase == "Stalled" else now, output=result.output, error=result.error)


def _continues(folder: RunFolder, run: RunRecord) -> bool:
    with Ledger.open(folder.ledger, read_only=True) as ledger:
        found = ledger.run()
    return found.continued_from == run.name and found.correlation_id == run.correlation_id


def _successor_name(name: str) -> str:
    """`orders-k4x9qw` continues as `orders-k4x9qw-c2`, and that as `orders-k4x9qw-c3`."""
    found = re.fullmatch(r"(.*)-c(\d+)", name)
    base, number = (found[1], int(found[2]) + 1) if found else (name, 2)
    suffix = f"-c{number}"
    return f"{base[: RUN_NAME_MAX_LENGTH - len(suffix)]}{suffix}"
