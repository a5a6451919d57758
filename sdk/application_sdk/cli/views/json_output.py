"""Defines the JSON of `-o json` for runs and their calls.

Runs of this machine and of a cluster have the same fields; a field that one of them lacks is empty.
"""

from __future__ import annotations

from typing import TypedDict

from application_sdk.cli.output import timestamp
from application_sdk.cli.sources.records import Attempt, Call, DeployedApp, Pool, Run, RunDetails
from application_sdk.wire.digest import JSON, JSONObject
from application_sdk.wire.fields import ErrorFields, ProgressFields


class RunJSON(TypedDict, total=False):
    """A run. Names are as in an AppRun's status."""

    run: str
    phase: str
    reason: str
    message: str
    app: str
    entry: str
    directory: str
    context: str
    namespace: str
    entrypoint: str
    input: JSONObject | None
    output: JSON
    error: ErrorFields | None
    createdAt: str | None
    startedAt: str | None
    finishedAt: str | None
    correlationId: str
    continuedFrom: str | None
    continuedAs: str | None
    tasks: dict[str, int | None]


class AttemptJSON(TypedDict):
    attempt: int
    reason: str | None
    budget: str | None
    message: str
    exitCode: int | None
    node: str
    startedAt: str | None
    finishedAt: str | None


class CallJSON(TypedDict, total=False):
    """A call of the route. `outcome` is null while it is under way; `state` says more."""

    key: str
    task: str
    role: str
    input: JSONObject
    line: str
    state: str
    message: str
    outcome: str | None
    sequence: int | None
    output: JSON
    error: ErrorFields | None
    attempt: int
    node: str
    pod: str
    scheduledAt: str | None
    startedAt: str | None
    committedAt: str | None
    progress: ProgressFields | None
    attempts: list[AttemptJSON]


class PoolJSON(TypedDict):
    """A pool of warm pods. Names are as in an App's status."""

    name: str
    tasks: list[str]
    size: int
    busy: int
    idle: int
    draining: int
    renewed: int


class RunDetailsJSON(RunJSON, total=False):
    calls: list[CallJSON]
    pools: list[PoolJSON]


class AppJSON(TypedDict):
    """An App of a cluster. `ready` is null while no operator has said it."""

    app: str
    entry: str
    image: str
    ready: bool | None
    reason: str
    message: str
    pools: list[PoolJSON]


def run_as_json(run: Run) -> RunJSON:
    """A run without its calls."""
    return RunJSON(
        run=run.name,
        phase=run.phase,
        reason=run.reason,
        message=run.message,
        app=run.app,
        entry=run.entry,
        directory=run.directory,
        context=run.context,
        namespace=run.namespace,
        entrypoint=run.entrypoint,
        input=run.input,
        output=run.output,
        error=run.error,
        createdAt=timestamp(run.created_at),
        startedAt=timestamp(run.started_at),
        finishedAt=timestamp(run.finished_at),
        correlationId=run.correlation_id,
        continuedFrom=run.continued_from,
        continuedAs=run.continued_as,
        tasks={"total": run.calls, "succeeded": run.done, "failed": run.failed},
    )


def details_as_json(details: RunDetails) -> RunDetailsJSON:
    """A run with its calls."""
    return RunDetailsJSON(
        **run_as_json(details.run),
        calls=[call_as_json(call) for call in details.calls],
        pools=[_pool(pool) for pool in details.pools],
    )


def app_as_json(app: DeployedApp) -> AppJSON:
    """An App with its pools."""
    return AppJSON(
        app=app.name,
        entry=app.entry,
        image=app.image,
        ready=app.is_ready,
        reason=app.reason,
        message=app.message,
        pools=[_pool(pool) for pool in app.pools],
    )


def call_as_json(call: Call) -> CallJSON:
    """One call with its attempts."""
    return CallJSON(
        key=call.key,
        task=call.task,
        role=call.role,
        input=call.input,
        line=call.line,
        state=call.state,
        message=call.message,
        outcome=call.state if call.state in ("Succeeded", "Failed", "Cancelled") else None,
        sequence=call.sequence,
        output=call.output,
        error=call.error,
        attempt=call.attempt,
        node=call.node,
        pod=call.pod,
        scheduledAt=timestamp(call.called_at),
        startedAt=timestamp(call.started_at),
        committedAt=timestamp(call.committed_at),
        progress=call.progress,
        attempts=[_attempt(attempt) for attempt in call.attempts],
    )


def _attempt(attempt: Attempt) -> AttemptJSON:
    return AttemptJSON(
        attempt=attempt.number,
        reason=attempt.reason,
        budget=attempt.budget,
        message=attempt.message,
        exitCode=attempt.exit_code,
        node=attempt.node,
        startedAt=timestamp(attempt.started_at),
        finishedAt=timestamp(attempt.finished_at),
    )


def _pool(pool: Pool) -> PoolJSON:
    return PoolJSON(
        name=pool.name,
        tasks=list(pool.tasks),
        size=pool.size,
        busy=pool.busy,
        idle=pool.idle,
        draining=pool.draining,
        renewed=pool.renewed,
    )
