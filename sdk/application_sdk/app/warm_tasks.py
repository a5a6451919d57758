"""Tasks in warm pods, `@task(reuse=...)`: checks their declarations, and applies what an App
overrides at deployment.

Imported only if a task has a `ReusePolicy`, or an App gives it one.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING

from application_sdk.errors import AppDefinitionError
from application_sdk.execution.reuse import ReusePolicy, overridden

if TYPE_CHECKING:
    from application_sdk.execution.definition import TaskDefinition, TaskSettings
    from application_sdk.execution.reuse import ReuseOverride


def warm_settings(settings: TaskSettings, reuse: object, runs_in: object, title: str) -> TaskSettings:
    """The settings of a task with `reuse`.

    Raises AppDefinitionError, whose message begins with `title`.
    """
    if not isinstance(reuse, ReusePolicy):
        raise AppDefinitionError(
            f"{title}: reuse={reuse!r} must be a ReusePolicy: write reuse=ReusePolicy(replicas=8), with `from "
            f"application_sdk.app import ReusePolicy`"
        )
    if runs_in == "driver":
        raise AppDefinitionError(
            f'{title}: reuse and runs_in="driver" exclude one another: a driver task has no pod that could be used '
            f"again. Leave out one of them"
        )
    return replace(settings, reuse=reuse.to_fields())


def deployed_reuse(
    definitions: Mapping[str, TaskDefinition], overrides: Mapping[str, ReuseOverride]
) -> dict[str, TaskDefinition]:
    """The definitions of the tasks whose warm pods an App overrides.

    Args:
        definitions: The definitions in the code, by the task's name.
        overrides: `spec.tasks.<name>.reuse` of the App, by the task's name. All are names of tasks.

    Raises:
        AppDefinitionError: The fields contradict one another.
    """
    changed: dict[str, TaskDefinition] = {}
    for name, fields in overrides.items():
        title, definition = f"spec.tasks.{name} of the App", definitions[name]
        settings = definition.settings
        reuse = overridden(settings.reuse, fields)
        replicas = reuse["replicas"]
        if replicas["min"] > replicas["max"]:
            raise AppDefinitionError(
                f"{title}: reuse.replicas has a min of {replicas['min']} and a max of {replicas['max']}. Raise max, or "
                f"lower min"
            )
        changed[name] = replace(definition, settings=replace(settings, runs_in="pod", reuse=reuse))
    return changed
