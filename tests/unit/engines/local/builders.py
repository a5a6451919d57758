"""Values for the tests of the local engine."""

from __future__ import annotations

from application_sdk.engines.local.records import NewRun
from application_sdk.execution.engine import Completion, ScheduledCall
from application_sdk.wire.digest import JSON, JSONObject, digest
from application_sdk.wire.fields import Identity, Policy, RetryFields


def new_run(name: str = "orders-1") -> NewRun:
    return NewRun(
        name=name,
        uid="uid-1",
        app="orders",
        entry="/apps/app.py:Orders",
        directory="/apps",
        entrypoint="run",
        input={"name": "Ada"},
        correlation_id="uid-1",
        replay_rules=1,
        created_at=1000.0,
    )


def call(name: str, input: JSONObject | None = None, sequence: int = 0, **policy: object) -> ScheduledCall:
    retry = RetryFields(maxAttempts=3, initialIntervalSeconds=0, maxIntervalSeconds=0, backoffCoefficient=2)
    return ScheduledCall(
        key=digest(name),
        role="task",
        task=name,
        entrypoint="run",
        sequence=sequence,
        input=input or {},
        identity=Identity(inputDigest=digest(input or {}), lineage="", occurrence=0),
        policy=Policy(**{"retry": retry, **policy}),  # type: ignore[typeddict-item]
        pod={},
        line="app.py:7",
    )


def success(made: ScheduledCall, output: JSON = None, at: float = 1001.0) -> Completion:
    return Completion(key=made.key, task=made.task, outcome="Succeeded", at=at, output=output or {})
