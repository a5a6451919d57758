"""What the pods of a call are asked to be: the fields of App and task, laid over one another.

For a task `App.spec.pod`, then `@task`, then `App.spec.tasks.<name>`; for a driver `App.spec.pod`,
then `App.spec.driver`. The later layer wins: maps and what has a name are merged by key, everything
else is replaced whole.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final, cast

from application_sdk.wire.digest import JSON, JSONObject
from application_sdk.wire.pod_rules import QUEUE_LABEL
from apprun_operator.observe.records import TaskRecord
from apprun_operator.plan.pod import amounts

MERGED_MAPS: Final = frozenset({"labels", "annotations", *amounts.MAPS})
KEYED_LISTS: Final = {"env": "name", "volumes": "mountPath"}
"""Lists whose entries have a key, by the name of the key's field."""
FOR_TASKS: Final = frozenset({"shm", "volumes", "spot", "queue"})
"""Fields of `App.spec.pod` that only pods of tasks have."""
DECLARED: Final = "secrets"
"""The field that has to be checked before a pod is made, against what the App declares."""
NO_POD_FIELDS: Final = frozenset({"runsIn", "reuse"})
"""Fields of `App.spec.tasks.<name>` that say where a task is executed, not in which pod."""


def of_task(app: JSONObject, task: TaskRecord) -> JSONObject:
    """What the pods of `task`, of any role, are asked to be; `app` is the run's, as resolved."""
    if task.role == "driver":
        return merged([of_app(app), _object(app.get("driver"))])
    if task.role != "task":
        return of_app(app)
    override = {field: value for field, value in _override(app, task).items() if field not in NO_POD_FIELDS}
    return merged([_object(app.get("pod")), cast("JSONObject", task.pod), override])


def own_secrets(app: JSONObject, task: TaskRecord) -> list[str] | None:
    """The secrets that the task's pods are given; None for all that the App declares."""
    names = {**cast("JSONObject", task.pod), **_override(app, task)}.get(DECLARED)
    return [str(name) for name in names] if isinstance(names, list) else None


def with_own_secrets(app: JSONObject) -> frozenset[str]:
    """The tasks that the App gives secrets of their own."""
    return frozenset(
        name
        for name, override in _object(app.get("tasks")).items()
        if isinstance(override, dict) and DECLARED in override
    )


def _override(app: JSONObject, task: TaskRecord) -> JSONObject:
    return _object(_object(app.get("tasks")).get(task.task)) if task.role == "task" else {}


def with_inherited_labels(
    fields: JSONObject, labels: Mapping[str, str], prefixes: tuple[str, ...], *, for_task: bool
) -> JSONObject:
    """`fields` with those of a run's labels that begin with one of `prefixes`, under its own.

    Only pods of tasks get the label of a queue: a driver would hold the quota that its tasks need.
    """
    inherited: JSONObject = {
        key: value for key, value in labels.items() if key.startswith(prefixes) and (for_task or key != QUEUE_LABEL)
    }
    return {**fields, "labels": {**inherited, **_object(fields.get("labels"))}} if inherited else fields


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
