"""Warm pods: how a task executes its calls in pods that stay between them.

`@task(reuse=...)` declares it, each call carries it, and the operator keeps the pods.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, TypedDict, get_args

from application_sdk.wire.fields import (
    MAX_POOL_SECONDS,
    MAX_REPLICAS,
    MAX_WORKER_CONCURRENCY,
    ReplicaFields,
    ReuseFields,
    ReuseMode,
)

DEFAULT_REPLICAS: Final = 8
_MODES: Final = get_args(ReuseMode)
_MAX_CALLS: Final = 2**31 - 1


@dataclass(frozen=True)
class ReusePolicy:
    """Executes the calls of a task in a pool of warm pods, which have imported the app and stay
    between calls.

    Calls with the same image, code, pod fields, secrets and service account share a pool. On a
    laptop and in the test kit the policy changes nothing.

    Args:
        replicas: The maximum number of pods, or `(min, max)`. `min` pods are kept while the App
            exists, even if nothing is called. With a single number `min` is 0.
        idle_ttl: Seconds without any call after which the whole pool shrinks to `min`.
        scaledown_ttl: Seconds for which a single pod may be idle before it is deleted, down to
            `min`.
        concurrency: How many calls a pod executes at a time.
        mode: `"process"` executes each call in a process of its own, forked from one that has
            imported the app, so calls share no globals, no working directory and no temporary
            files. `"actor"` executes all calls of a pod in one process that keeps its globals, such
            as a model in memory.
        max_calls: The number of calls after which a pod is replaced, for code that leaks memory;
            None for no limit.

    Raises:
        ValueError: A value is out of range. The message says what to write instead.
    """

    replicas: int | tuple[int, int] = DEFAULT_REPLICAS
    idle_ttl: float = 60
    scaledown_ttl: float = 60
    concurrency: int = 1
    mode: ReuseMode = "process"
    max_calls: int | None = None

    def __post_init__(self) -> None:
        _check_replicas(self.replicas)
        _check_seconds("idle_ttl", self.idle_ttl)
        _check_seconds("scaledown_ttl", self.scaledown_ttl)
        if not _is_whole(self.concurrency, 1, MAX_WORKER_CONCURRENCY):
            raise ValueError(
                f"concurrency is {self.concurrency!r}; it is how many calls a pod executes at a time: use a whole "
                f"number from 1 to {MAX_WORKER_CONCURRENCY}, and more replicas for more than that"
            )
        mode: object = self.mode
        if mode not in _MODES:
            raise ValueError(
                f'mode is {mode!r}; use "process", where each call has a process of its own, or "actor", where the '
                f"calls of a pod share one"
            )
        if self.max_calls is not None and not _is_whole(self.max_calls, 1, _MAX_CALLS):
            raise ValueError(
                f"max_calls is {self.max_calls!r}; it is after how many calls a pod makes way for a new one: use a "
                f"whole number from 1 up, or None for pods that stay"
            )

    def to_fields(self) -> ReuseFields:
        """The policy as each call carries it."""
        least, most = self.replicas if isinstance(self.replicas, tuple) else (0, self.replicas)
        fields = ReuseFields(
            replicas=ReplicaFields(min=least, max=most),
            idleTtl=self.idle_ttl,
            scaledownTtl=self.scaledown_ttl,
            concurrency=self.concurrency,
            mode=self.mode,
        )
        if self.max_calls is not None:
            fields["maxCalls"] = self.max_calls
        return fields


class ReuseOverride(TypedDict, total=False):
    """`spec.tasks.<name>.reuse` of an App: the fields that it overrides."""

    replicas: ReplicaFields
    idleTtl: float
    scaledownTtl: float
    concurrency: int
    mode: ReuseMode
    maxCalls: int


def overridden(code: ReuseFields | None, override: ReuseOverride) -> ReuseFields:
    """The policy of a task in an App: the fields that the App overrides, and else those of the
    code, or the defaults of `ReusePolicy`."""
    fields = ReusePolicy().to_fields() if code is None else code
    return {**fields, **override}


def _check_replicas(replicas: object) -> None:
    if _is_whole(replicas, 1, MAX_REPLICAS):
        return
    if isinstance(replicas, tuple) and len(replicas) == 2:
        least, most = replicas
        if _is_whole(least, 0, MAX_REPLICAS) and _is_whole(most, 1, MAX_REPLICAS) and least <= most:
            return
    raise ValueError(
        f"replicas is {replicas!r}; use a whole number from 1 to {MAX_REPLICAS} for at most so many pods, or a tuple "
        f"(min, max) such as (1, {DEFAULT_REPLICAS}), with min from 0 up to max"
    )


def _check_seconds(name: str, seconds: object) -> None:
    if isinstance(seconds, bool) or not isinstance(seconds, int | float) or not 0 <= seconds <= MAX_POOL_SECONDS:
        raise ValueError(
            f"{name} is {seconds!r}; use a number of seconds from 0 to {MAX_POOL_SECONDS}, a day, and replicas=(min, "
            f"max) for pods that stay longer"
        )


def _is_whole(value: object, least: int, most: int) -> bool:
    return type(value) is int and least <= value <= most
