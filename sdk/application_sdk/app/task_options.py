"""From the keywords of `@task` and `.options()` to `TaskSettings`, with checks of each of them."""

from __future__ import annotations

import logging
import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final, Literal, TypeAlias, TypedDict, cast

from application_sdk.errors import AppDefinitionError
from application_sdk.execution.definition import TaskSettings, Watchdog
from application_sdk.execution.retry import RetryPolicy
from application_sdk.wire.fields import MAX_SECONDS, RunsIn

if TYPE_CHECKING:
    from application_sdk.app.pod_amounts import Amount, ResourceAmount
    from application_sdk.app.pod_options import ConfigMapKey, ConfigMapSource, SecretKey, SecretSource
    from application_sdk.execution.reuse import ReusePolicy
    from application_sdk.wire.digest import JSONObject
    from application_sdk.wire.pod_fields import Affinity, DnsConfig, HostAlias, PodFields, Volume

Seconds: TypeAlias = float | None

_log = logging.getLogger("apprun.app")


class TaskOptions(TypedDict, total=False):
    """The keywords of `@task` that a single call may change with `.options()`. `task` documents them."""

    timeout_seconds: Seconds
    heartbeat_timeout_seconds: Seconds
    auto_heartbeat_seconds: Seconds
    schedule_to_close_seconds: Seconds
    max_no_progress_seconds: Seconds
    progress_watchdog: Watchdog
    retry_policy: RetryPolicy | None
    retry_max_attempts: int
    retry_initial_interval_seconds: float
    retry_max_interval_seconds: float
    pool: str | None
    cpu: Amount
    memory: Amount
    image: str
    node_selector: Mapping[str, str]
    tolerations: list[JSONObject]
    service_account: str
    secrets: list[str]
    env: Mapping[str, str | SecretKey | ConfigMapKey]
    env_from: Sequence[SecretSource | ConfigMapSource]
    labels: Mapping[str, str]
    annotations: Mapping[str, str]
    image_pull_secrets: Sequence[str]
    resources: Mapping[str, ResourceAmount]
    gpu: int
    shm: str
    volumes: Mapping[str, Volume]
    affinity: Affinity
    topology_spread: Sequence[JSONObject]
    runtime_class: str
    priority_class: str
    scheduler_name: str
    host_aliases: Sequence[HostAlias]
    dns_config: DnsConfig
    termination_grace_seconds: int
    run_as_user: int
    fs_group: int
    spot: bool
    queue: str


class TaskKeywords(TaskOptions, total=False):
    """The keywords of `@task` beside name and description. Limits hold for all calls of the task in a run."""

    runs_in: RunsIn
    reuse: ReusePolicy | None
    limit: int | None
    rate: str | None


def task_settings(options: TaskKeywords, title: str) -> TaskSettings:
    """The settings that the keywords of a `@task` ask for. `title` says in errors whose keywords they are.

    Raises:
        AppDefinitionError: A keyword is unknown, has a value that makes no sense, or excludes another one.
    """
    keywords: dict[str, Any] = dict(options)
    limits: dict[str, Any] = {name: keywords.pop(name) for name in ("limit", "rate") if name in keywords}
    runs_in, reuse = keywords.pop("runs_in", "pod"), keywords.pop("reuse", None)
    settings = apply_options(TaskSettings(), cast("TaskOptions", keywords), title)
    if reuse is not None:
        from application_sdk.app.warm_tasks import warm_settings

        settings = warm_settings(settings, reuse, runs_in, title)
    if runs_in != "pod":
        settings = _in_driver(settings, runs_in, keywords, title)
    if limits:
        from application_sdk.replay.limiter import with_limits

        settings = with_limits(settings, limits, title)
    return settings


_LIMITS: Final = (
    "timeout_seconds",
    "heartbeat_timeout_seconds",
    "auto_heartbeat_seconds",
    "schedule_to_close_seconds",
    "max_no_progress_seconds",
)
_POD: Final[
    Mapping[str, Literal["cpu", "memory", "image", "nodeSelector", "tolerations", "serviceAccountName", "secrets"]]
] = {
    "cpu": "cpu",
    "memory": "memory",
    "image": "image",
    "node_selector": "nodeSelector",
    "tolerations": "tolerations",
    "service_account": "serviceAccountName",
    "secrets": "secrets",
}

POD_OPTIONS: Final = frozenset(
    {
        "env",
        "env_from",
        "labels",
        "annotations",
        "image_pull_secrets",
        "volumes",
        "affinity",
        "topology_spread",
        "runtime_class",
        "priority_class",
        "scheduler_name",
        "host_aliases",
        "dns_config",
        "termination_grace_seconds",
        "run_as_user",
        "fs_group",
        "spot",
        "queue",
    }
)
"""Keywords of pods that `app.pod_options` checks and converts."""
AMOUNTS: Final = frozenset({"resources", "gpu", "shm"})
"""The same of `app.pod_amounts`, which also reads `cpu` and `memory` that are pairs."""
_CHECKED_TOGETHER: Final = frozenset(
    {"secrets", "service_account", "heartbeat_timeout_seconds", "auto_heartbeat_seconds"}
)
_POOLS: Final = " Each task has a pod of its own, whose place cpu, memory, node_selector and tolerations say."


def apply_options(settings: TaskSettings, options: TaskOptions, title: str) -> TaskSettings:
    """`settings` with `options` over them. `title` says in errors whose options they are.

    Raises:
        AppDefinitionError: An option is unknown, has a value that makes no sense, or excludes another one.
    """
    keywords: dict[str, Any] = dict(options)
    unknown = sorted(keywords.keys() - TaskOptions.__annotations__.keys())
    if unknown:
        known = ", ".join(sorted(TaskOptions.__annotations__))
        raise AppDefinitionError(f"{title}: there is no keyword {', '.join(unknown)}. There are: {known}")
    if keywords.get("pool") is not None:
        _log.warning("%s: pool=%r has no effect.%s", title, keywords["pool"], _POOLS)
    changes: dict[str, Any] = {name: keywords[name] for name in _LIMITS if name in keywords}
    for name, value in changes.items():
        changes[name] = _limit(name, value, title)
    watchdog = keywords.get("progress_watchdog", settings.progress_watchdog)
    if watchdog not in ("off", "warn", "enforce"):
        raise AppDefinitionError(f'{title}: progress_watchdog={watchdog!r} must be "off", "warn" or "enforce"')
    pod: PodFields = {**settings.pod}
    for name, field in _POD.items():
        if name in keywords:
            pod[field] = dict(keywords[name]) if name == "node_selector" else keywords[name]
    pairs = any(isinstance(keywords.get(name), tuple) for name in ("cpu", "memory"))
    if pairs or keywords.keys() & AMOUNTS or "requests" in pod:
        from application_sdk.app.pod_amounts import with_amounts

        pod = with_amounts(pod, keywords, title)
    if keywords.keys() & POD_OPTIONS:  # Most tasks name none of them, and their pods don't load this.
        from application_sdk.app.pod_options import with_pod_options

        pod = with_pod_options(pod, keywords, title)
    changed = replace(
        settings, progress_watchdog=watchdog, retry=_retry(settings.retry, keywords, title), pod=pod, **changes
    )
    if keywords.keys() & _CHECKED_TOGETHER:  # Most tasks name none of them, and their pods don't load this.
        from application_sdk.app.setting_checks import check_settings

        check_settings(changed, title)
    if changed.runs_in == "driver":
        return _in_driver(changed, "driver", keywords, title)
    return changed


def _limit(name: str, value: object, title: str) -> float | None:
    """A number of seconds that every engine can keep; None for no limit, which infinity says as well."""
    if value is None or value == math.inf:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or not value > 0:
        raise AppDefinitionError(f"{title}: {name}={value!r} must be a number of seconds above 0, or None for no limit")
    if value > MAX_SECONDS:
        raise AppDefinitionError(
            f"{title}: {name}={value!r} is more than a century, {MAX_SECONDS} s. Give less, or None for no limit"
        )
    return value


def _retry(retry: RetryPolicy, keywords: Mapping[str, Any], title: str) -> RetryPolicy:
    policy = keywords.get("retry_policy")
    if policy is not None:
        if not isinstance(policy, RetryPolicy):
            raise AppDefinitionError(f"{title}: retry_policy is a {type(policy).__name__}, not a RetryPolicy")
        return policy
    try:
        if "retry_max_attempts" in keywords:
            retry = retry.with_max_attempts(keywords["retry_max_attempts"])
        if "retry_max_interval_seconds" in keywords:
            interval = timedelta(seconds=min(keywords["retry_max_interval_seconds"], MAX_SECONDS))
            retry = replace(retry, max_interval=interval, initial_interval=min(retry.initial_interval, interval))
        if "retry_initial_interval_seconds" in keywords:
            interval = timedelta(seconds=keywords["retry_initial_interval_seconds"])
            if interval > retry.max_interval and "retry_max_interval_seconds" in keywords:
                raise ValueError("retry_initial_interval_seconds is more than retry_max_interval_seconds")
            retry = replace(retry, initial_interval=interval, max_interval=max(retry.max_interval, interval))
    except (TypeError, ValueError, OverflowError) as error:
        raise AppDefinitionError(f"{title}: {error}") from error
    return retry


def _in_driver(settings: TaskSettings, runs_in: object, keywords: Mapping[str, object], title: str) -> TaskSettings:
    if runs_in != "driver":
        raise AppDefinitionError(f'{title}: runs_in={runs_in!r} must be "pod" or "driver"')
    from application_sdk.app.driver_tasks import driver_settings

    return driver_settings(settings, keywords, title)
