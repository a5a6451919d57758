"""What the pods of a call are asked to be: the fields of App and task, laid over one another.

For a task `App.spec.pod`, then `@task`, then `App.spec.tasks.<name>`; for a driver `App.spec.pod`,
then `App.spec.driver`. The later layer wins: maps and what has a name are merged by key, everything
else is replaced whole.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, cast

from application_sdk.wire.digest import JSON, JSONObject
from apprun_operator.observe.records import TaskRecord
from apprun_operator.plan.pod import amounts

MERGED_MAPS: Final = frozenset({"labels", "annotations", *amounts.MAPS})
KEYED_LISTS: Final = {"env": "name", "volumes": "mountPath"}
"""Lists whose entries have a key, by the name of the key's field."""
FOR_TASKS: Final = frozenset({"shm", "volumes", "spot", "queue"})
"""Fields of `App.spec.pod` that only pods of tasks have."""
NO_POD_FIELDS: Final = frozenset({"runsIn", "reuse"})
"""Fields of `App.spec.tasks.<name>` that say where a task is executed, not in which pod."""


def of_task(app: JSONObject, task: TaskRecord) -> JSONObject:
    """What the pods of `task`, of any role, are asked to be; `app` is the run's, as resolved."""
    if task.role == "driver":
        return merged([of_app(app), _object(app.get("driver"))])
    if task.role != "task":
        return of_app(app)
    override = {
        field: value
        for field, value in _object(_object(app.get("tasks")).get(task.task)).items()
        if field not in NO_POD_FIELDS
    }
    return merged([_object(app.get("pod")), cast("JSONObject", task.pod), override])


def of_app(app: JSONObject) -> JSONObject:
    """What pods of an app are asked to be that execute none of its tasks.

    GPUs, volumes and places in a queue are for tasks: a driver would hold them while it waits.
    """
    fields = {field: value for field, value in _object(app.get("pod")).items() if field not in FOR_TASKS}
    return amounts.core_only(fields)


def merged(layers: Sequence[JSONObject]) -> JSONObject:
    """One set of fields; later layers win."""
    fields: JSONObject = {}
    for layer in layers:
        fields = amounts.without(fields, layer)
        for field, value in layer.items():
            fields[field] = _joined(field, fields.get(field), value)
    return fields


def _joined(field: str, below: JSON, above: JSON) -> JSON:
    if field in MERGED_MAPS and isinstance(below, dict) and isinstance(above, dict):
        return {**below, **above}
    if field in KEYED_LISTS and isinstance(below, list) and isinstance(above, list):
        key = KEYED_LISTS[field]
        entries = {str(_object(entry).get(key)): entry for entry in [*below, *above]}
        return list(entries.values())
    return above


def _object(value: JSON) -> JSONObject:
    return value if isinstance(value, dict) else {}
