"""The runs of this machine: ledgers in files, read through the port. Reads only; `running` executes."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final, cast

from application_sdk.cli.sources.protocol import LogLine, LogQuery, Note, wanted
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

_LOOK_SECONDS: Final = 0.5


class ThisMachine:
    """Implements `port.Place` over the folder that holds all runs."""

    def __init__(self, home: RunStore) -> None:
        self._home = home

    @property
    def title(self) -> str:
        return "this machine"

    @property
    def here(self) -> bool:
        return True

    def names(self) -> list[str]:
        return self._home.runs()

    def runs(self, app: str | None, note: Note) -> list[Run]:
        found: list[Run] = []
        for name in self._home.runs():
            folder = self._home.folder(name)
            try:
                with Ledger.open(folder.ledger, read_only=True) as ledger:
                    run = ledger.run()
                    calls, done, failed = ledger.counts()
            except LedgerError as error:
                # One damaged run mustn't hide the others.
                note(f"left out: {error}")
                continue
            if app is None or run.app == app:
                found.append(run_of(run, alive=holder(folder.lock) is not None, counts=(calls, done, failed)))
        return found

    def details(self, run: str) -> RunDetails:
        folder = self._home.folder(run)
        with Ledger.open(folder.ledger, read_only=True) as ledger:
            record, calls, committed, attempts = ledger.run(), ledger.calls(), ledger.committed(), ledger.attempts()
        alive = holder(folder.lock) is not None
        made = calls_of(calls, committed, attempts, alive=alive)
        done = sum(1 for call in made if call.state == "Succeeded")
        failed = sum(1 for call in made if call.state == "Failed")
        cancelled = next((entry.at for entry in committed if entry.key == CANCEL_KEY), None)
        return RunDetails(run_of(record, alive=alive, counts=(len(made), done, failed)), made, cancelled_at=cancelled)

    def changes(self, run: str) -> Iterator[RunDetails]:
        while True:
            details = self.details(run)
            yield details
            if details.run.finished or details.run.phase in ("Interrupted", "Stalled"):
                return
            time.sleep(_LOOK_SECONDS)

    def logs(self, query: LogQuery, note: Note) -> Iterator[LogLine]:
        folder = self._home.folder(query.run)
        read: dict[tuple[str, int], int] = {}
        while True:
            with Ledger.open(folder.ledger, read_only=True) as ledger:
                tasks = {record.call.key: record.call.task for record in ledger.calls()}
                attempts = ledger.attempts()
                over = ledger.run().phase != "Running" or holder(folder.lock) is None
            for one in attempts:
                if query.attempt not in (0, one.attempt) or not wanted(query.task, tasks[one.key], one.key):
                    continue
                place = (one.key, one.attempt)
                for text in _new_lines(folder.log(tasks[one.key], one.key, one.attempt), read, place):
                    yield LogLine(tasks[one.key], one.key, one.attempt, text)
            if over or not query.follow:
                if not any(read.values()):
                    note("nothing was printed; with --in-process it goes to the terminal")
                return
            time.sleep(_LOOK_SECONDS)

    def export(self, run: str) -> ExportedRun:
        with Ledger.open(self._home.folder(run).ledger, read_only=True) as ledger:
            return export_run(ledger)


def run_of(run: RunRecord, *, alive: bool, counts: tuple[int, int, int] | None = None) -> Run:
    """A ledger's run. `alive` says whether some process executes it; `counts` are calls, done, failed."""
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
    """A ledger's calls, in the order in which they were made."""
    done = {entry.key: entry for entry in committed}
    tries: dict[str, list[AttemptRecord]] = {}
    for attempt in attempts:
        tries.setdefault(attempt.key, []).append(attempt)
    return tuple(
        _call(record, place, done.get(record.call.key), tries.get(record.call.key, []), alive=alive)
        for place, record in enumerate(calls)
    )


def _call(
    record: CallRecord, place: int, done: CommittedCall | None, tries: Sequence[AttemptRecord], *, alive: bool
) -> Call:
    call, last = record.call, tries[-1] if tries else None
    succeeded = done is not None and done.outcome == "Succeeded"
    due = None if call.seconds is None else record.scheduled_at + call.seconds
    return Call(
        key=call.key,
        task=call.task,
        role=call.role,
        state=_state(record, done, last, alive=alive),
        input=call.input,
        line=call.line,
        made=place,
        sequence=done.sequence if done else None,
        output=done.payload if done is not None and succeeded else None,
        error=cast("ErrorFields | None", done.payload) if done is not None and not succeeded else None,
        called_at=record.scheduled_at,
        started_at=last.started_at if last else None,
        committed_at=done.at if done else None,
        due_at=None if done else record.not_before or due,
        attempt=last.attempt if last else 0,
        progress=record.progress,
        attempts=tuple(_attempt(one) for one in tries),
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


def _attempt(one: AttemptRecord) -> Attempt:
    return Attempt(
        number=one.attempt,
        reason=one.reason,
        budget=one.budget,
        message=one.message,
        exit_code=one.exit_code,
        started_at=one.started_at,
        finished_at=one.finished_at,
        surroundings="this machine",
    )


def _reason(run: RunRecord) -> str:
    error = cast("Mapping[str, str] | None", run.error)
    if error is None:
        return ""
    return error.get("stall") or error["type"]


def _new_lines(path: Path, read: dict[tuple[str, int], int], place: tuple[str, int]) -> Iterator[str]:
    """Whole lines of a log since last time; a last line without an end counts once nothing more comes."""
    try:
        with path.open("rb") as file:
            file.seek(read.get(place, 0))
            content = file.read()
    except OSError:
        return
    read[place] = read.get(place, 0) + len(content)
    yield from content.decode("utf-8", "replace").splitlines()
