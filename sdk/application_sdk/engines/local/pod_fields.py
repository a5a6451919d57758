"""What a task says of its pod, on a machine that has no pods: environment variables count, and the
rest is told as without effect.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from application_sdk.execution.definition import TaskDefinition
from application_sdk.wire.pod_fields import PodFields

EFFECTIVE: Final = frozenset({"env", "secrets"})
"""Fields with a meaning on this machine. Secrets are read from the local store in any case."""


def variables(pod: PodFields, environment: Mapping[str, str]) -> dict[str, str]:
    """The variables that an attempt gets beside those of `environment`, which win.

    A variable whose value is in a Secret or ConfigMap comes from `environment` alone.
    """
    return {
        variable["name"]: variable["value"]
        for variable in pod.get("env", [])
        if "value" in variable and variable["name"] not in environment
    }


def without_effect(tasks: Mapping[str, TaskDefinition], *, in_process: bool) -> str:
    """One line about the fields that count on a cluster only; empty if no task has any.

    Args:
        tasks: The app's tasks by name.
        in_process: Whether attempts run in the process of the engine, so that even variables have no
            effect: all tasks would get them.
    """
    effective = EFFECTIVE - {"env"} if in_process else EFFECTIVE
    ignored = {name: sorted(set(task.settings.pod) - effective) for name, task in sorted(tasks.items())}
    listed = "; ".join(f"{name}: {', '.join(fields)}" for name, fields in ignored.items() if fields)
    return f"without effect on this machine: {listed}" if listed else ""
