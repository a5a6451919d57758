"""Driver tasks, `@task(runs_in="driver")`: what they may ask for, and what they are given where they ask for nothing.

Loaded only where a task runs in the driver. `app.task` checks declarations, the engine what an App sets at deployment.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import replace
from typing import Final, cast, get_args

from application_sdk.errors import AppDefinitionError
from application_sdk.execution.definition import DAY_SECONDS, TaskDefinition, TaskSettings
from application_sdk.execution.retry import RetryPolicy
from application_sdk.wire.fields import MAX_DRIVER_TASK_SECONDS, RunsIn

DEFAULT_TIMEOUT_SECONDS: Final = 10.0
_WATCHED: Final = ("heartbeat_timeout_seconds", "auto_heartbeat_seconds", "max_no_progress_seconds")
_POD: Final = {
    "cpu": "cpu",
    "memory": "memory",
    "image": "image",
    "nodeSelector": "node_selector",
    "tolerations": "tolerations",
    "serviceAccountName": "service_account",
    "env": "env",
    "envFrom": "env_from",
    "labels": "labels",
    "annotations": "annotations",
    "imagePullSecrets": "image_pull_secrets",
    "requests": "cpu, memory, resources",
    "resources": "resources",
    "gpu": "gpu",
    "shm": "shm",
    "volumes": "volumes",
    "affinity": "affinity",
    "topologySpreadConstraints": "topology_spread",
    "runtimeClassName": "runtime_class",
    "priorityClassName": "priority_class",
    "schedulerName": "scheduler_name",
    "hostAliases": "host_aliases",
    "dnsConfig": "dns_config",
    "terminationGracePeriodSeconds": "termination_grace_seconds",
    "runAsUser": "run_as_user",
    "fsGroup": "fs_group",
    "spot": "spot",
    "queue": "queue",
}


def driver_settings(settings: TaskSettings, given: Mapping[str, object], title: str) -> TaskSettings:
    """`settings` for a task that runs in the driver: its short time limit by default, and nothing that watches a long
    attempt. `given` are the keywords that somebody has written. Raises AppDefinitionError."""
    watched = [name for name in _WATCHED if given.get(name) is not None]
    if given.get("progress_watchdog", "off") != "off":
        watched.append("progress_watchdog")
    if watched:
        raise AppDefinitionError(
            f'{title}: {", ".join(watched)} and runs_in="driver" exclude one another: a driver task takes at most '
            f"{MAX_DRIVER_TASK_SECONDS} s, so timeout_seconds is all that watches it. Leave them out"
        )
    untold = "timeout_seconds" not in given and settings.timeout_seconds == DAY_SECONDS
    quiet = replace(
        settings,
        runs_in="driver",
        reuse=None,
        timeout_seconds=DEFAULT_TIMEOUT_SECONDS if untold else settings.timeout_seconds,
        heartbeat_timeout_seconds=None,
        auto_heartbeat_seconds=None,
        max_no_progress_seconds=None,
        progress_watchdog="off",
    )
    check_driver_settings(quiet, title)
    return quiet


def check_driver_settings(settings: TaskSettings, title: str) -> None:
    """Raise AppDefinitionError, which says by `title` whose settings can't be had in a driver."""
    shapes = [keyword for field, keyword in _POD.items() if field in settings.pod]
    # guard: driver-task-no-pod-fields - a driver task would silently run without what it asks for
    if shapes:
        raise AppDefinitionError(
            f'{title}: {", ".join(shapes)} shape the pod of a task, and with runs_in="driver" it has none: leave them '
            f'out, or leave out runs_in="driver"'
        )
    longest = longest_seconds(settings)
    # guard: driver-task-minute - what isn't recorded is executed again, so it has to be short
    if longest is None or longest > MAX_DRIVER_TASK_SECONDS:
        total = "take any time" if longest is None else f"take more than {MAX_DRIVER_TASK_SECONDS} s in all"
        raise AppDefinitionError(
            f'{title}: with runs_in="driver" a call may take {MAX_DRIVER_TASK_SECONDS} s, all attempts and the waits '
            f"between them included, and {settings.retry.max_attempts} attempts with timeout_seconds="
            f"{_shown(settings.timeout_seconds)} may {total}. Lower timeout_seconds or retry_max_attempts, set "
            f'schedule_to_close_seconds={MAX_DRIVER_TASK_SECONDS}, or leave out runs_in="driver"'
        )


def longest_seconds(settings: TaskSettings) -> float | None:
    """The longest that a call may take, or a number above the limit; None when it may take any time."""
    limits = [
        seconds for seconds in (settings.schedule_to_close_seconds, _all_attempts(settings)) if seconds is not None
    ]
    return min(limits, default=None)


def _all_attempts(settings: TaskSettings) -> float | None:
    if settings.timeout_seconds is None:
        return None
    total = settings.timeout_seconds * settings.retry.max_attempts
    waits = _waits(settings.retry)
    return total if total > MAX_DRIVER_TASK_SECONDS else total + waits


def _waits(retry: RetryPolicy) -> float:
    """All waits between attempts, at their longest, or a number above the limit."""
    total, wait, longest = 0.0, retry.initial_interval.total_seconds(), retry.max_interval.total_seconds()
    for _ in range(retry.max_attempts - 1):
        if wait == 0 or total > MAX_DRIVER_TASK_SECONDS:
            break
        total += min(wait, longest)
        wait = min(wait * retry.backoff_coefficient, longest)
    return total


def _shown(seconds: float | None) -> str:
    return "None" if seconds is None else f"{seconds:g}"


def driver_secrets(cls: type, faults: list[str]) -> frozenset[str]:
    """The names in `cls.driver_secrets`."""
    given: object = getattr(cls, "driver_secrets", ())
    names = list(given) if isinstance(given, tuple | list | set | frozenset) else [None]
    if not all(isinstance(name, str) and name for name in names):
        faults.append(f'driver_secrets is {given!r}: use the names of secrets, such as ("openai",)')
        return frozenset()
    return frozenset(cast("list[str]", names))


def check_secrets(definition: TaskDefinition, listed: Collection[str]) -> str:
    """What is wrong with the secrets that a driver task asks for; empty when the app lists them for its driver."""
    missing = sorted(set(definition.settings.pod.get("secrets") or ()) - set(listed))
    if not missing:
        return ""
    given = ", ".join(sorted(listed)) or "none"
    return (
        f"task {definition.name!r} ({definition.line}) runs in the driver and asks for the secrets "
        f"{', '.join(missing)}; the app lists {given} for it. A driver is given no secrets but those: add them to "
        f"driver_secrets of the class (and set driver: true in spec.secrets of the App), or leave out "
        f'runs_in="driver"'
    )


def deployed(definitions: Mapping[str, TaskDefinition], runs_in: Mapping[str, object], listed: Collection[str]
             ) -> dict[str, TaskDefinition]:  # fmt: skip
    """The definitions of the tasks that run elsewhere than their code says, as an App's `spec.tasks` wants it.

    All names in `runs_in` are those of tasks. Raises AppDefinitionError when one of them can't.
    """
    changed: dict[str, TaskDefinition] = {}
    for name, wanted in runs_in.items():
        title, definition = f"spec.tasks.{name} of the App", definitions[name]
        if wanted not in get_args(RunsIn):
            raise AppDefinitionError(f'{title}: runsIn is {wanted!r}: use "pod" or "driver"')
        if definition.settings.runs_in == wanted and definition.settings.reuse is None:
            continue
        if wanted == "pod":
            changed[name] = replace(definition, settings=replace(definition.settings, runs_in="pod", reuse=None))
            continue
        moved = replace(definition, settings=driver_settings(definition.settings, {}, f"{title} ({definition.line})"))
        problem = check_secrets(moved, listed)
        if problem:
            raise AppDefinitionError(f"{title}: {problem}")
        changed[name] = moved
    return changed
