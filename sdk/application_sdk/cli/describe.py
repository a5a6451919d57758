"""Runs as JSON and as words: the one place that says what `-o json` of `run`, `runs` and `show` looks like."""

from __future__ import annotations

from typing import TypedDict

from application_sdk.cli.output import timestamp
from application_sdk.engines.local.records import AttemptRecord, CallRecord, CommittedCall, RunRecord
from application_sdk.wire.digest import JSON, JSONObject
from application_sdk.wire.fields import ErrorFields, ProgressFields


class RunJSON(TypedDict, total=False):
    """A run. Names are as in an AppRun's status."""

    run: str
    phase: str
    app: str
    entry: str
    directory: str
    entrypoint: str
    input: JSONObject
    output: JSON
    error: ErrorFields | None
    createdAt: str | None
    finishedAt: str | None
    correlationId: str
    continuedFrom: str | None
    continuedAs: str | None


class AttemptJSON(TypedDict):
    attempt: int
    reason: str | None
    budget: str | None
    message: str
    exitCode: int | None
    startedAt: str | None
    finishedAt: str | None


class CallJSON(TypedDict, total=False):
    """A call of the route. `outcome` is null while it is under way."""

    key: str
    task: str
    role: str
    input: JSONObject
    line: str
    outcome: str | None
    sequence: int | None
    output: JSON
    error: JSON
    committedAt: str | None
    scheduledAt: str | None
    progress: ProgressFields | None
    attempts: list[AttemptJSON]


class RunDetailsJSON(RunJSON, total=False):
    calls: list[CallJSON]


def phase_of(run: RunRecord, *, alive: bool) -> str:
    """A run's phase for people. `alive` says whether some process executes it."""
    return "Interrupted" if run.phase == "Running" and not alive else run.phase


def run_as_json(run: RunRecord, *, alive: bool) -> RunJSON:
    """A run without its calls."""
    return RunJSON(
        run=run.name,
        phase=phase_of(run, alive=alive),
        app=run.app,
        entry=run.entry,
        directory=run.directory,
        entrypoint=run.entrypoint,
        input=run.input,
        output=run.output,
        error=run.error,
        createdAt=timestamp(run.created_at),
        finishedAt=timestamp(run.finished_at),
        correlationId=run.correlation_id,
        continuedFrom=run.continued_from,
        continuedAs=run.continued_as,
    )


def call_as_json(record: CallRecord, done: CommittedCall | None, attempts: list[AttemptRecord]) -> CallJSON:
    """One call with its attempts."""
    succeeded = done is not None and done.outcome == "Succeeded"
    return CallJSON(
        key=record.call.key,
        task=record.call.task,
        role=record.call.role,
        input=record.call.input,
        line=record.call.line,
        outcome=done.outcome if done else None,
        sequence=done.sequence if done else None,
        output=done.payload if done and succeeded else None,
        error=done.payload if done and not succeeded else None,
        committedAt=timestamp(done.at) if done else None,
        scheduledAt=timestamp(record.scheduled_at),
        progress=record.progress,
        attempts=[
            AttemptJSON(
                attempt=attempt.attempt,
                reason=attempt.reason,
                budget=attempt.budget,
                message=attempt.message,
                exitCode=attempt.exit_code,
                startedAt=timestamp(attempt.started_at),
                finishedAt=timestamp(attempt.finished_at),
            )
            for attempt in attempts
        ],
    )
