"""Between the ledger's tables and its records: one function per table and direction. `ledger` alone
calls them."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable
from typing import Final, cast

from application_sdk.engines.local.records import (
    AttemptRecord,
    Budget,
    CallRecord,
    CommittedCall,
    NewRun,
    Phase,
    RunRecord,
)
from application_sdk.execution.engine import Completion, ScheduledCall
from application_sdk.wire.digest import JSON, JSONObject, canonical_json, digest
from application_sdk.wire.fields import ErrorFields, Identity, Outcome, Policy, ProgressFields, Role
from application_sdk.wire.pod_fields import PodFields

CHECKPOINTS: Final = "SELECT * FROM checkpoint ORDER BY sequence"
DETACHED: Final = "SELECT * FROM spare ORDER BY sequence"


def insert_run(connection: sqlite3.Connection, run: NewRun) -> None:
    values: dict[str, object] = {
        "only_one": 1,
        "name": run.name,
        "uid": run.uid,
        "generation": run.generation,
        "app": run.app,
        "entry": run.entry,
        "directory": run.directory,
        "entrypoint": run.entrypoint,
        "input": _text(run.input),
        "correlation_id": run.correlation_id,
        "replay_rules": run.replay_rules,
        "continued_from": run.continued_from,
        "created_at": run.created_at,
        "phase": "Running",
    }
    placeholders = ", ".join("?" * len(values))
    connection.execute(f"INSERT INTO run ({', '.join(values)}) VALUES ({placeholders})", list(values.values()))


def read_input(row: sqlite3.Row) -> JSONObject:
    return cast("JSONObject", json_value(row["input"]))


def read_run(row: sqlite3.Row) -> RunRecord:
    return RunRecord(
        name=row["name"],
        uid=row["uid"],
        generation=row["generation"],
        app=row["app"],
        entry=row["entry"],
        directory=row["directory"],
        entrypoint=row["entrypoint"],
        input=read_input(row),
        correlation_id=row["correlation_id"],
        replay_rules=row["replay_rules"],
        continued_from=row["continued_from"],
        created_at=row["created_at"],
        phase=cast("Phase", row["phase"]),
        finished_at=row["finished_at"],
        output=json_value(row["output"]),
        error=cast("ErrorFields | None", json_value(row["error"])),
        continued_as=row["continued_as"],
    )


def insert_calls(connection: sqlite3.Connection, records: Iterable[CallRecord]) -> None:
    """Calls that are there already keep their place and what happened to them."""
    connection.executemany(
        "INSERT INTO call (key, role, task, entrypoint, sequence, input, identity, policy, pod, line, seconds,"
        " made_after, scheduled_at, not_before, progress, heartbeat)"
        " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (key) DO UPDATE SET"
        " input = excluded.input, policy = excluded.policy, pod = excluded.pod, line = excluded.line",
        [
            (
                record.call.key,
                record.call.role,
                record.call.task,
                record.call.entrypoint,
                record.call.sequence,
                _text(record.call.input),
                text_or_null(record.call.identity),
                text_or_null(record.call.policy),
                text_or_null(record.call.pod),
                record.call.line,
                record.call.seconds,
                record.made_after,
                record.scheduled_at,
                record.not_before,
                text_or_null(record.progress),
                text_or_null(record.heartbeat),
            )
            for record in records
        ],
    )


def read_call(row: sqlite3.Row) -> CallRecord:
    return CallRecord(
        call=ScheduledCall(
            key=row["key"],
            role=cast("Role", row["role"]),
            task=row["task"],
            entrypoint=row["entrypoint"],
            sequence=row["sequence"],
            input=cast("JSONObject", json_value(row["input"])),
            identity=cast("Identity", json_value(row["identity"])),
            policy=cast("Policy", json_value(row["policy"])),
            pod=cast("PodFields", json_value(row["pod"])),
            line=row["line"],
            seconds=row["seconds"],
        ),
        made_after=row["made_after"],
        scheduled_at=row["scheduled_at"],
        not_before=row["not_before"],
        progress=cast("ProgressFields | None", json_value(row["progress"])),
        heartbeat=cast("JSONObject | None", json_value(row["heartbeat"])),
    )


def read_attempt(row: sqlite3.Row) -> AttemptRecord:
    return AttemptRecord(
        key=row["key"],
        attempt=row["attempt"],
        started_at=row["started_at"],
        finished_at=row["finished_at"],
        reason=row["reason"],
        budget=cast("Budget | None", row["budget"]),
        message=row["message"] or "",
        exit_code=row["exit_code"],
    )


def insert_attempts(connection: sqlite3.Connection, attempts: Iterable[AttemptRecord]) -> None:
    connection.executemany(
        "INSERT INTO attempt (key, attempt, started_at, finished_at, reason, budget, message, exit_code)"
        " VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
        [
            (
                attempt.key,
                attempt.attempt,
                attempt.started_at,
                attempt.finished_at,
                attempt.reason,
                attempt.budget,
                attempt.message,
                attempt.exit_code,
            )
            for attempt in attempts
        ],
    )


def update_attempts(connection: sqlite3.Connection, ended: Iterable[AttemptRecord]) -> None:
    connection.executemany(
        "UPDATE attempt SET finished_at = ?, reason = ?, budget = ?, message = ?, exit_code = ?"
        " WHERE key = ? AND attempt = ?",
        [
            (
                attempt.finished_at,
                attempt.reason,
                attempt.budget,
                attempt.message,
                attempt.exit_code,
                attempt.key,
                attempt.attempt,
            )
            for attempt in ended
        ],
    )


def insert_checkpoints(connection: sqlite3.Connection, first: int, completions: Iterable[Completion]) -> None:
    _insert_completions(connection, "checkpoint", first, completions)


def insert_detached(connection: sqlite3.Connection, first: int, completions: Iterable[Completion]) -> None:
    _insert_completions(connection, "spare", first, completions)


def _insert_completions(
    connection: sqlite3.Connection, table: str, first: int, completions: Iterable[Completion]
) -> None:
    rows: list[tuple[object, ...]] = []
    for sequence, completion in enumerate(completions, first):
        payload = completion.output if completion.outcome == "Succeeded" else cast("JSON", completion.error)
        rows.append(
            (
                sequence,
                completion.key,
                completion.task,
                completion.outcome,
                completion.attempts,
                digest(payload),
                completion.at,
                _text(payload),
            )
        )
    connection.executemany(
        f"INSERT INTO {table} (sequence, key, task, outcome, attempts, digest, at, payload)"
        " VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
        rows,
    )


def read_completion(row: sqlite3.Row) -> Completion:
    payload = json_value(row["payload"])
    succeeded = row["outcome"] == "Succeeded"
    return Completion(
        key=row["key"],
        task=row["task"],
        outcome=cast("Outcome", row["outcome"]),
        at=row["at"],
        attempts=row["attempts"],
        output=payload if succeeded else None,
        error=None if succeeded else cast("ErrorFields | None", payload),
    )


def read_committed(row: sqlite3.Row) -> CommittedCall:
    return CommittedCall(
        sequence=row["sequence"],
        key=row["key"],
        task=row["task"],
        outcome=cast("Outcome", row["outcome"]),
        attempts=row["attempts"],
        at=row["at"],
        payload=json_value(row["payload"]),
    )


def text_or_null(value: object) -> str | None:
    """Canonical JSON of the value, None for None."""
    return None if value is None else _text(cast("JSON", value))


def json_value(text: str | None) -> JSON:
    """The value that `text_or_null` was given."""
    return None if text is None else cast("JSON", json.loads(text))


def _text(value: JSON) -> str:
    try:
        return canonical_json(value).decode("utf-8")
    except UnicodeDecodeError:
        # Lone surrogates are legal in JSON and not in UTF-8: escaped, they come through.
        return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False)
