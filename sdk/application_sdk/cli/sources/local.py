"""The runs of this machine, read from their ledgers. Reads only; `commands.local_run` executes."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final, cast

from application_sdk.cli.sources.protocol import LogLine, LogQuery, Note, is_selected
from application_sdk.cli.sources.records import Attempt, Call, Phase, Run, RunDetails, State
from application_sdk.engines.local.errors import LedgerError
from application_sdk.engines.local.exporting import export_run
from application_sdk.engines.local.ledger import Ledger
from application_sdk.engines.local.lock import holder
from application_sdk.engines.local.records import AttemptRecord, CallRecord, CommittedCall, RunRecord
from application_sdk.engines.local.run_store import RunStore
from application_sdk.execution.engine import CANCEL_KEY
from application_sdk.replay.identity import consumed

if TYPE_CHECKING:
    from application_sdk.replay.history import ExportedRun
    from application_sdk.wire.fields import ErrorFields

_POLL_SECONDS: Final = 0.5


class LocalSource:
    """Implements `RunSource` for the folder that holds the runs of this machine."""

    def __init__(self, home: RunStore) -> None:
        self._home = home

    @property
    def title(self) -> str:
        return "this machine"

    @property
    def is_local(self) -> bool:
        return True

    def names(self) -> list[str]:
        return self._home.runs()

    def runs(self, app: str | None, note: Note) -> list[Run]:
        runs: list[Run] = []
        for name in self._home.runs():
            folder = self._home.folder(name)
            try:
                with Ledger.open(folder.ledger, read_only=True) as ledger:
                    run = ledger.run()
                    calls, done, failed = ledger.counts()
            except LedgerError as error:
                # A damaged run mustn't hide the others.
                note(f"left out: {error}")
                continue
            if app is None or run.app == app:
                runs.append(run_of(run, alive=holder(folder.lock) is not None, counts=(calls, done, failed)))
        return runs

    def details(self, run: str) -> RunDetails:
        folder = self._home.folder(run)
        with Ledger.open(folder.ledger, read_only=True) as ledger:
            record, calls, committed, attempts = ledger.run(), ledger.calls(), ledger.committed(), ledger.attempts()
        alive = holder(folder.lock) is not None
        views = calls_of(calls, committed, attempts, alive=alive)
        done = sum(1 for call in views if call.state == "Succeeded")
        failed = sum(1 for call in views if call.state == "Failed")
        cancelled = next((entry.at for entry in committed if entry.key == CANCEL_KEY), None)
        return RunDetails(run_of(record, alive=alive, counts=(len(views), done, failed)), views, cancelled_at=cancelled)

    def changes(self, run: str) -> Iterator[RunDetails]:
        while True:
            details = self.details(run)
            yield details
            if details.run.finished or details.run.phase in ("Interrupted", "Stalled"):
                return
            time.sleep(_POLL_SECONDS)

    def logs(self, query: LogQuery, note: Note) -> Iterator[LogLine]:
        folder = self._home.folder(query.run)
        offsets: dict[tuple[str, int], int] = {}
        while True:
            with Ledger.open(folder.ledger, read_only=True) as ledger:
                tasks = {record.call.key: record.call.task for record in ledger.calls()}
                attempts = ledger.attempts()
                over = ledger.run().phase != "Running" or holder(folder.lock) is None
            for attempt in attempts:
                if query.attempt not in (0, attempt.attempt) or not is_selected(
                    query.task, tasks[attempt.key], attempt.key
                ):
                    continue
                log = (attempt.key, attempt.attempt)
                for text in _new_lines(folder.log(tasks[attempt.key], attempt.key, attempt.attempt), offsets, log):
                    yield LogLine(tasks[attempt.key], attempt.key, attempt.attempt, text)
            if over or not query.follow:
                if not any(offsets.values()):
                    note("nothing was printed; with --in-process it goes to the terminal")
                return
            time.sleep(_POLL_SECONDS)

    def export(self, run: str) -> ExportedRun:
        with Ledger.open(self._home.folder(run).ledger, read_only=True) as ledger:
            return export_run(ledger)


def run_of(run: RunRecord, *, alive: bool, counts: tuple[int, int, int] | None = None) -> Run:
    """The run of a ledger. `alive`: a process executes it. `counts`: calls, completed calls, failed calls."""
    phase: Phase = "Interrupted" if run.phase == "Running" and not alive else run.phase
    return Run(
        name=run.name,
        phase=phase,
        app=run.app,
        entry=run.entry,
        directory=run.directory,
        entrypoint=run.entrypoint,
        input=run.input,
        output=run.output,
        error=run.error,
        reason=_reason(run),
        created_at=run.created_at,
        started_at=run.created_at,
        finished_at=run.finished_at,
        correlation_id=run.correlation_id,
        continued_from=run.continued_from,
        continued_as=run.continued_as,
        calls=counts[0] if counts else None,
        done=counts[1] if counts else None,
        failed=counts[2] if counts else None,
    )


def calls_of(
    calls: Sequence[CallRecord], committed: Sequence[CommittedCall], attempts: Sequence[AttemptRecord], *, alive: bool
) -> tuple[Call, ...]:
    """The calls of a ledger in the order in which the route made them."""
    done = {entry.key: entry for entry in committed}
    attempts_by_key: dict[str, list[AttemptRecord]] = {}
    for attempt in attempts:
        attempts_by_key.setdefault(attempt.key, []).append(attempt)
    return tuple(
        _call(record, position, done.get(record.call.key), attempts_by_key.get(record.call.key, []), alive=alive)
        for position, record in enumerate(calls)
    )


def _call(
    record: CallRecord, position: int, done: CommittedCall | None, attempts: Sequence[AttemptRecord], *, alive: bool
) -> Call:
    call, last = record.call, attempts[-1] if attempts else None
    succeeded = done is not None and done.outcome == "Succeeded"
    due = None if call.seconds is None else record.scheduled_at + call.seconds
    return Call(
        key=call.key,
        task=call.task,
        role=call.role,
        state=_state(record, done, last, alive=alive),
        input=call.input,
        line=call.line,
        position=position,
        sequence=done.sequence if done else None,
        output=done.payload if done is not None and succeeded else None,
        error=cast("ErrorFields | None", done.payload) if done is not None and not succeeded else None,
        called_at=record.scheduled_at,
        started_at=last.started_at if last else None,
        committed_at=done.at if done else None,
        due_at=None if done else record.not_before or due,
        attempt=last.attempt if last else 0,
        progress=record.progress,
        attempts=tuple(_attempt(attempt) for attempt in attempts),
        consumed=consumed(call.task, call.identity["inputDigest"]),
        lineage=call.identity["lineage"],
    )


def _state(record: CallRecord, done: CommittedCall | None, last: AttemptRecord | None, *, alive: bool) -> State:
    if done is not None:
        return done.outcome
    if record.call.role == "timer":
        return "Sleeping"
    if last is None:
        return "Queued"
    if last.reason is None:
        return "Running" if alive else "Queued"
    return "Retrying"


def _attempt(record: AttemptRecord) -> Attempt:
    return Attempt(
        number=record.attempt,
        reason=record.reason,
        budget=record.budget,
        message=record.message,
        exit_code=record.exit_code,
        started_at=record.started_at,
        finished_at=record.finished_at,
        environment="this machine",
    )


def _reason(run: RunRecord) -> str:
    error = cast("Mapping[str, str] | None", run.error)
    if error is None:
        return ""
    return error.get("stall") or error["type"]


def _new_lines(path: Path, offsets: dict[tuple[str, int], int], log: tuple[str, int]) -> Iterator[str]:
    """Yields the lines written to a log since its offset, and advances the offset."""
    try:
        with path.open("rb") as file:
            file.seek(offsets.get(log, 0))
            content = file.read()
    except OSError:
        return
    offsets[log] = offsets.get(log, 0) + len(content)
    yield from content.decode("utf-8", "replace").splitlines()
