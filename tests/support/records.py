"""Builders of records for the planner's tests: each argument that isn't given has a harmless default."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from application_sdk.wire import names
from application_sdk.wire.fields import Checkpoint
from apprun_operator.observe.observed import Observed
from apprun_operator.observe.packed_json import Packed
from apprun_operator.observe.pods import PodRecord
from apprun_operator.observe.records import Condition, Key, Meta, RunRecord, TaskRecord
from apprun_operator.observe.times import rfc3339
from apprun_operator.plan.conditions import TRUTH, TYPES
from apprun_operator.plan.limits import Limits

NOW = 1_800_000_000.0
LIMITS = Limits(runtime_image="runtime:1", node_lost_grace=60, parallelism=50, disruption_budget=20)
RUN = "run"
APP = {"entry": "app:App", "name": "App", "image": "runtime:1", "serviceAccountName": "apprun-task", "generation": 1}


PACKED = ("input", "spec", "output", "continue_with", "heartbeat", "saves")
"""Fields that records keep as text: here they are given as values."""


def packed(fields: dict[str, Any]) -> dict[str, Any]:
    return {
        name: Packed.of(value) if name in PACKED and value is not None and not isinstance(value, Packed) else value
        for name, value in fields.items()
    }


def meta(name: str, **fields: Any) -> Meta:
    defaults: dict[str, Any] = {"uid": f"uid-{name}", "version": 10, "created": NOW - 60, "generation": 1}
    return Meta(Key("default", name), **{**defaults, **fields})


def a_run(**fields: Any) -> RunRecord:
    """A run that began a minute ago and says so."""
    phase = fields.get("phase", "Running")
    reason = fields.pop("reason", phase)
    message = fields.get("message", "")
    defaults: dict[str, Any] = {
        "meta": meta(RUN),
        "phase": "Running",
        "app": APP,
        "inline_app": None,
        "app_ref": "app",
        "started_at": NOW - 60,
        "observed_generation": 1,
        "replay_rules": 1,
        "conditions": tuple(
            Condition(kind, truth, reason, message, rfc3339(NOW - 60))
            for kind, truth in zip(TYPES, TRUTH[phase], strict=True)
        ),
    }
    merged = {**defaults, **packed(fields)}
    return RunRecord(**{"began_as": merged["meta"].uid, **merged})


def a_task(key: str = "a", **fields: Any) -> TaskRecord:
    """An open call whose key starts with the given letters."""
    key = key.ljust(names.KEY_LENGTH, "0")
    defaults: dict[str, Any] = {
        "meta": meta(names.task_name(RUN, key), owner_uid=f"uid-{RUN}"),
        "run": RUN,
        "role": "task",
        "key": key,
        "task": "work",
        "seen_at": NOW - 60,
    }
    return TaskRecord(**{**defaults, **packed(fields)})


def a_driver(**fields: Any) -> TaskRecord:
    name = names.driver_task_name(RUN)
    """A driver that has said that it is at work."""
    role: dict[str, Any] = {"role": "driver", "key": "driver", "started_at": NOW - 30}
    return a_task(**{"meta": meta(name, owner_uid=f"uid-{RUN}"), **role, **fields})


def a_pod(task: TaskRecord, **fields: Any) -> PodRecord:
    """The running pod of the task's current attempt."""
    attempt = fields.pop("attempt", task.attempt)
    defaults: dict[str, Any] = {
        "meta": meta(names.pod_name(task.meta.key.name, attempt, task.meta.owner_uid), owner_uid=task.meta.uid),
        "run": task.run,
        "task": task.meta.key.name,
        "attempt": attempt,
        "image": "runtime:1",
        "phase": "Running",
        "node": "node1",
        "running_since": NOW - 30,
    }
    fields.setdefault("asked_image", fields.get("image", defaults["image"]))
    return PodRecord(**{**defaults, **fields})


def seen(*things: TaskRecord | PodRecord, run: RunRecord | None = None, **fields: Any) -> Observed:
    """What the plan observes: a run, its open calls and pods."""
    run = run or a_run()
    defaults: dict[str, Any] = {
        "run": run,
        "app": None,
        "tasks": {t.meta.key.name: t for t in things if isinstance(t, TaskRecord)},
        "pods": {p.meta.key.name: p for p in things if isinstance(p, PodRecord)},
        "committed_keys": {entry["key"] for entry in run.checkpoints},
        "namespace_ready": True,
    }
    return Observed(**{**defaults, **fields})


def a_checkpoint(sequence: int, **fields: Any) -> Checkpoint:
    entry: dict[str, Any] = {
        "sequence": sequence,
        "key": f"{sequence:032x}",
        "task": "work",
        "outcome": "Succeeded",
        "attempts": 1,
        "digest": "0" * 32,
        "at": rfc3339(NOW - 10),
    }
    return Checkpoint(**{**entry, **fields})


def older(record: RunRecord, seconds: float) -> RunRecord:
    """The same run, created and started that much earlier."""
    return replace(
        record,
        meta=replace(record.meta, created=record.meta.created - seconds),
        started_at=None if record.started_at is None else record.started_at - seconds,
    )
