"""Parses `AppTask.spec.reuse` into numbers that a plan can rely on, whatever was written."""

from __future__ import annotations

from typing import Final

from application_sdk.wire.fields import (
    MAX_POOL_SECONDS,
    MAX_REPLICAS,
    MAX_WORKER_CONCURRENCY,
    ReplicaFields,
    ReuseFields,
)
from apprun_operator.observe.fields import Raw, number, object_

DEFAULT_TTL: Final = 60.0


def reuse(spec: Raw) -> ReuseFields | None:
    """The call's `ReusePolicy`; None for a call that has a pod of its own."""
    if spec.get("reuse") is None:
        return None
    policy = object_(spec, "reuse")
    replicas = object_(policy, "replicas", {})
    most = _whole(replicas, "max", 1, MAX_REPLICAS)
    fields = ReuseFields(
        replicas=ReplicaFields(min=min(_whole(replicas, "min", 0, MAX_REPLICAS), most), max=most),
        idleTtl=_seconds(policy, "idleTtl"),
        scaledownTtl=_seconds(policy, "scaledownTtl"),
        concurrency=_whole(policy, "concurrency", 1, MAX_WORKER_CONCURRENCY),
        mode="actor" if policy.get("mode") == "actor" else "process",
    )
    calls = number(policy, "maxCalls")
    if calls is not None:
        fields["maxCalls"] = max(int(calls), 1)
    return fields


def _whole(raw: Raw, name: str, least: int, most: int) -> int:
    value = number(raw, name)
    return least if value is None else int(min(max(value, least), most))


def _seconds(raw: Raw, name: str) -> float:
    value = number(raw, name)
    return DEFAULT_TTL if value is None else float(min(max(value, 0), MAX_POOL_SECONDS))
