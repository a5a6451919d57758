"""Creates runs on this machine, executes them, and records their results.

The CLI, the server and `application_sdk.development` call this. Whatever ends the process in
between, `execute` resumes from the ledger.
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
from application_sdk.engines.local.fork_server import MODULE as FORK_SERVER
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
    """How a run is executed. The options may differ each time that it is resumed."""

    limits: Limits = field(default_factory=Limits)
    observer: Observer = ignore_event
    requests: Requests = field(default_factory=Requests)


@dataclass(frozen=True, slots=True)
class RunRequest:
    """A run to create."""

    source: AppSource
    app: str
    """The app's name."""
    entrypoint: str
    input: JSONObject


def create_run(store: RunStore, name: str, request: RunRequest, predecessor: RunRecord | None = None) -> RunFolder:
    """Create the run; nothing is executed. Raises RunExistsError, RunNameError, or a LedgerError.

    `predecessor` is the run that continues as this one.
    """
    folder = store.create(name)
    with RunLock(name, folder.lock):
        if folder.ledger.exists():
            raise RunExistsError(name)
        uid = uuid.uuid4().hex
        run = NewRun(
            name=name,
            uid=uid,
            app=request.app,
            entry=request.source.entry,
            directory=request.source.directory,
            entrypoint=request.entrypoint,
            input=request.input,
            correlation_id=predecessor.correlation_id if predecessor else uid,
            replay_rules=REPLAY_RULES,
            created_at=time.time(),
            continued_from=predecessor.name if predecessor else None,
        )
        Ledger.create(folder.ledger, run).close()
    return folder


def create_checked_run(
    store: RunStore,
    app_class: type[App],
    source: AppSource,
    payload: JSONObject,
    entrypoint: str | None = None,
    name: str | None = None,
) -> str:
    """Create a run on an input that is checked before; its name, made up if none is given. Raises
    AppNotFoundError, ContractValidationError and what `create_run` raises."""
    app = app_class.definition
    route = app.entrypoint(entrypoint)
    # Also checked when the route begins. Here it costs no run.
    # The user's own input, which may name a file beside it.
    decode(route.input_type, payload, paths="keep")
    name = name or generate_run_name(app.name)
    create_run(store, name, RunRequest(source, app.name, route.name, payload))
    return name


@contextlib.contextmanager
def process_executor(source: AppSource) -> Iterator[Executor]:
    """An executor with a process for each attempt. Opened before the app is loaded here, it loads
    it meanwhile."""
    with contextlib.closing(ProcessExecutor(source, FORK_SERVER)) as executor:
        yield executor


@contextlib.contextmanager
def in_process_executor(app_class: type[App]) -> Iterator[Executor]:
    """An executor that makes the attempts in this process."""
    with contextlib.closing(InProcessExecutor(app_class)) as executor:
        yield executor


def execute(
    store: RunStore,
    name: str,
    app_class: type[App],
    source: AppSource,
    executor: Executor,
    options: ExecutionOptions | None = None,
) -> RunRecord:
    """Execute a run from where it stands, and those that it continues as; the last one as it stands
    then.

    `source` is where `app_class` was loaded from. A run that is over is returned as it is. Raises
    RunBusyError, RunInterruptedError, OtherAppError or a LedgerError.
    """
    execution = _Execution(store, app_class, source, executor, options or ExecutionOptions())
    run = execution.execute(store.folder(name))
    while run.continued_as is not None:
        run = execution.execute(store.folder(run.continued_as))
    return run


def execute_in_process(
    store: RunStore, name: str, app_class: type[App], source: AppSource, options: ExecutionOptions
) -> RunRecord:
    """Execute a run as `execute` does, with all attempts in this process."""
    with in_process_executor(app_class) as executor:
        return execute(store, name, app_class, source, executor, options)


def cancel_without_cleanup(folder: RunFolder) -> RunRecord:
    """End a run as cancelled without its app. Raises RunBusyError when somebody executes it."""
    with RunLock(folder.run, folder.lock), Ledger.open(folder.ledger) as ledger:
        if ledger.run().phase not in TERMINAL_PHASES:
            ledger.finish("Cancelled", at=time.time())
        return ledger.run()


@dataclass(frozen=True, slots=True)
class _Execution:
    """What the runs of one call of `execute` have in common."""

    store: RunStore
    app_class: type[App]
    source: AppSource
    executor: Executor
    options: ExecutionOptions

    def execute(self, folder: RunFolder) -> RunRecord:
        with RunLock(folder.run, folder.lock), Ledger.open(folder.ledger) as ledger:
            run = ledger.run()
            if run.phase in TERMINAL_PHASES:
                return run
            name = self.app_class.definition.name
            if run.app != name:
                raise OtherAppError(run.name, run.app, self.source.entry, name)
            _record(self.store, ledger, run, self._route(folder, ledger, run), self.source)
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
        requests = self.options.requests
        requests.cancelled = folder.cancel_request.exists
        requests.wake = self.executor.wake
        engine = LocalEngine(
            folder,
            ledger,
            self.executor,
            info,
            limits=self.options.limits,
            requests=requests,
            observer=self.options.observer,
        )
        watch = YieldWatch(lambda message: self.options.observer(NotYielding(message)) if message else None)
        watch.start()
        try:
            return run_route(self.app_class, run.entrypoint, run.input, engine, info, watch)
        finally:
            watch.stop()
            engine.close()
            requests.wake = None


def _record(store: RunStore, ledger: Ledger, run: RunRecord, result: RouteResult, source: AppSource) -> None:
    now = time.time()
    if result.outcome == "Continued":
        # The successor is created before this run points to it. After a crash in between, the
        # resumed route continues once more, and finds the successor that is its own.
        successor = _successor_name(run.name)
        request = RunRequest(source, run.app, result.entrypoint, result.input or {})
        try:
            create_run(store, successor, request, run)
        except RunExistsError:
            if not _continues(store.folder(successor), run):
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
