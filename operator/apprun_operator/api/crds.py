"""The six CustomResourceDefinitions: names, printer columns and envelope around the models'
schemas. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

from pydantic import JsonValue

from application_sdk.wire import names
from apprun_operator.api.app import App
from apprun_operator.api.appledger import AppLedger
from apprun_operator.api.apprun import AppRun
from apprun_operator.api.appstate import AppState
from apprun_operator.api.apptask import AppTask
from apprun_operator.api.appworker import AppWorker
from apprun_operator.api.schema import Schema, structural
from apprun_operator.api.shapes import Shape

CATEGORY: Final = "apprun-all"
"""`kubectl get apprun-all` lists everything. Not `apprun`: kubectl would take the kind's name for
the category. Not `all`: `kubectl delete all --all` must not end runs."""


@dataclass(frozen=True)
class Column:
    """A column of `kubectl get`. Those with a priority show with `-o wide` only."""

    name: str
    path: str
    description: str
    type: Literal["string", "integer", "boolean", "date"] = "string"
    priority: int = 0


@dataclass(frozen=True)
class Kind:
    """One kind of the group."""

    model: type[Shape]
    plural: str
    short_names: tuple[str, ...]
    columns: tuple[Column, ...]
    has_status: bool = True

    @property
    def name(self) -> str:
        """The kind as manifests write it."""
        return self.model.__name__


AGE: Final = Column("Age", ".metadata.creationTimestamp", "Time since it was created.", type="date")

READY: Final = '.status.conditions[?(@.type=="Ready")].status'
READY_MESSAGE: Final = '.status.conditions[?(@.type=="Ready")].message'
READY_REASON: Final = '.status.conditions[?(@.type=="Ready")].reason'

KINDS: Final = (
    Kind(
        App,
        names.APPS,
        (),
        (
            Column("Entry", ".spec.entry", "Class that is run."),
            Column("Version", ".status.contracts.version", "The app's own version."),
            Column("Ready", READY, "Whether it can be run, and answers if it has a handler."),
            Column("Reason", READY_REASON, "Why, in a word."),
            Column("Image", ".spec.image", "Image; empty for the operator's runtime image.", priority=1),
            Column("Source", ".spec.source.configMap.name", "ConfigMap with the code.", priority=1),
            Column("SDK", ".status.contracts.sdkVersion", "Version of the SDK in the image.", priority=1),
            AGE,
            Column("Message", READY_MESSAGE, "The reason in a sentence.", priority=1),
        ),
    ),
    Kind(
        AppRun,
        names.APP_RUNS,
        ("ar",),
        (
            Column("App", ".status.app.name", "App that is run."),
            Column("Phase", ".status.phase", "Where the run stands."),
            Column("Reason", READY_REASON, "Why, in a word: what it waits for, or how it ended."),
            Column("Done", ".status.tasks.succeeded", "Task calls that are committed.", type="integer"),
            Column("Tasks", ".status.tasks.total", "Task calls so far.", type="integer"),
            Column("Failed", ".status.tasks.failed", "Task calls that failed.", type="integer", priority=1),
            Column("Active", ".status.tasks.active", "Task calls that are open.", type="integer", priority=1),
            Column("Waiting", ".status.tasks.waiting", "Task calls that can't start.", type="integer", priority=1),
            Column(
                "Queued", ".status.tasks.queued", "Task calls that wait for their turn.", type="integer", priority=1
            ),
            AGE,
            Column("Message", ".status.message", "The reason in a sentence.", priority=1),
        ),
    ),
    Kind(
        AppTask,
        names.APP_TASKS,
        ("at",),
        (
            Column("Run", ".spec.run", "Run that made the call."),
            Column("Task", ".spec.task", "Task that is called."),
            Column("Role", ".spec.role", "driver, task, timer, inspect; local for a driver task.", priority=1),
            Column("Phase", ".status.phase", "How the call goes."),
            Column("Outcome", ".spec.outcome.phase", "How a driver task ended, whose phase stays as it was created."),
            Column("Attempt", ".status.attempt", "Current attempt; empty for the first.", type="integer"),
            Column("Error", ".status.error.type", "How the latest attempt failed, if one did and none has succeeded."),
            Column("Progress", ".status.progress.message", "What the task says that it does."),
            Column("Done", ".status.progress.done", "Units done, if the task counts them.", type="integer", priority=1),
            Column("Total", ".status.progress.total", "Units in all.", type="integer", priority=1),
            Column("Node", ".status.node", "Node of the current attempt."),
            Column("Pod", ".status.pod.name", "Warm pod that the current attempt is assigned to.", priority=1),
            AGE,
            Column("Message", ".status.message", "What it waits for, or why attempts ended.", priority=1),
        ),
    ),
    Kind(
        AppLedger,
        names.APP_LEDGERS,
        ("al",),
        (
            Column("Run", ".spec.run", "Run whose checkpoints these are."),
            Column("Page", ".spec.number", "Number of the page.", type="integer"),
            AGE,
        ),
        has_status=False,
    ),
    Kind(
        AppState,
        names.APP_STATES,
        ("as",),
        (
            Column("Saved", ".spec.savedAt", "When a task last saved something."),
            Column("Run", ".spec.run", "Run that did."),
            AGE,
        ),
        has_status=False,
    ),
    Kind(
        AppWorker,
        names.APP_WORKERS,
        ("aw",),
        (
            Column("App", ".spec.app", "App that owns the pool; the run, where the app is written in it."),
            Column("Pool", ".spec.pool", "Pool of the pod, which has the same name as this object."),
            Column("Call", ".status.calls[0].appTask", "AppTask of the oldest call that it was given."),
            Column("Draining", ".status.drain", "Whether it is given no further call.", type="boolean"),
            AGE,
        ),
    ),
)

API_VERSION_FIELD: Final[Schema] = {
    "description": f"Version of this schema: `{names.API_VERSION}`.",
    "type": "string",
}


def definition(kind: Kind) -> Schema:
    """The CustomResourceDefinition of `kind`, ready for YAML."""
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{kind.plural}.{names.GROUP}", "labels": {"app.kubernetes.io/part-of": "apprun"}},
        "spec": {
            "group": names.GROUP,
            "scope": "Namespaced",
            "names": {
                "kind": kind.name,
                "listKind": f"{kind.name}List",
                "plural": kind.plural,
                "singular": kind.name.lower(),
                **({"shortNames": list[JsonValue](kind.short_names)} if kind.short_names else {}),
                "categories": [CATEGORY],
            },
            "versions": [
                {
                    "name": names.VERSION,
                    "served": True,
                    "storage": True,
                    **({"subresources": {"status": {}}} if kind.has_status else {}),
                    "additionalPrinterColumns": [_column(column) for column in kind.columns],
                    "schema": {"openAPIV3Schema": _root(kind)},
                }
            ],
        },
    }


def _root(kind: Kind) -> Schema:
    schema = structural(kind.model)
    properties = schema["properties"]
    assert isinstance(properties, dict)
    schema["properties"] = {
        "apiVersion": API_VERSION_FIELD,
        "kind": {"description": f"`{kind.name}`.", "type": "string"},
        "metadata": {"type": "object"},
        **properties,
    }
    return schema


def _column(column: Column) -> Schema:
    made: Schema = {
        "name": column.name,
        "type": column.type,
        "jsonPath": column.path,
        "description": column.description,
    }
    if column.priority:
        made["priority"] = column.priority
    return made
