"""Every dictionary that `wire.fields` and `wire.pod_fields` type is what the CRDs accept: the same names and types, and
the same ones required."""

from __future__ import annotations

import types
from typing import Any, Literal, NotRequired, Union, get_args, get_origin, get_type_hints, is_typeddict

import pytest

from application_sdk.wire import fields, names, pod_fields
from apprun_operator.api.crds import KINDS, definition

PRESERVE = "x-kubernetes-preserve-unknown-fields"

PLACES: dict[str, tuple[str, ...]] = {
    "TaskSpec": ("AppTask.spec",),
    "RetryFields": ("AppTask.spec.policy.retry",),
    "Policy": ("AppTask.spec.policy",),
    "PodFields": ("AppTask.spec.pod",),
    "EnvVariable": ("AppTask.spec.pod.env[]", "App.spec.pod.env[]"),
    "EnvSource": ("AppTask.spec.pod.env[].valueFrom",),
    "KeyReference": (
        "AppTask.spec.pod.env[].valueFrom.secretKeyRef",
        "AppTask.spec.pod.env[].valueFrom.configMapKeyRef",
    ),
    "EnvFrom": ("AppTask.spec.pod.envFrom[]", "App.spec.pod.envFrom[]"),
    "EnvReference": ("AppTask.spec.pod.envFrom[].secretRef", "AppTask.spec.pod.envFrom[].configMapRef"),
    "MountedVolume": ("AppTask.spec.pod.volumes[]", "App.spec.pod.volumes[]"),
    "ClaimSource": ("AppTask.spec.pod.volumes[].persistentVolumeClaim",),
    "EphemeralSource": ("AppTask.spec.pod.volumes[].ephemeral",),
    "ConfigMapVolume": ("AppTask.spec.pod.volumes[].configMap",),
    "SecretVolume": ("AppTask.spec.pod.volumes[].secret",),
    "KeyToPath": ("AppTask.spec.pod.volumes[].secret.items[]", "AppTask.spec.pod.volumes[].configMap.items[]"),
    "ProjectedVolume": ("AppTask.spec.pod.volumes[].projected",),
    "EmptyDir": ("AppTask.spec.pod.volumes[].emptyDir",),
    "Affinity": ("AppTask.spec.pod.affinity", "App.spec.pod.affinity"),
    "HostAlias": ("AppTask.spec.pod.hostAliases[]",),
    "DnsConfig": ("AppTask.spec.pod.dnsConfig",),
    "DnsOption": ("AppTask.spec.pod.dnsConfig.options[]",),
    "ObjectReference": ("AppTask.spec.pod.imagePullSecrets[]",),
    "Identity": ("AppTask.spec.identity",),
    "CallOutcome": ("AppTask.spec.outcome",),
    "TaskStatus": ("AppTask.status",),
    "StateWrite": ("AppTask.status.state[]",),
    "BegunWith": ("AppTask.status.begunWith",),
    "ParkedFields": ("AppTask.status.parked",),
    "ContinuationFields": ("AppTask.status.continueWith",),
    "ErrorFields": ("AppTask.status.error", "AppTask.spec.outcome.error", "AppRun.status.error"),
    "AttemptFields": ("AppTask.status.attempts[]", "AppTask.spec.outcome.attempts[]"),
    "LogFields": ("AppTask.status.log", "AppTask.spec.outcome.log"),
    "ReuseFields": ("AppTask.spec.reuse",),
    "ReplicaFields": ("AppTask.spec.reuse.replicas",),
    "PodReference": ("AppTask.status.pod", "AppWorker.status.pod"),
    "WorkerSpec": ("AppWorker.spec",),
    "WorkerStatus": ("AppWorker.status",),
    "WorkerCall": ("AppWorker.status.calls[]",),
    "ProgressFields": ("AppTask.status.progress",),
    "ContractFields": ("App.status.contracts.entrypoints[]", "App.status.contracts.tasks[]"),
    "Checkpoint": ("AppRun.status.checkpoints[]", "AppLedger.spec.checkpoints[]"),
}
"""Where each dictionary lies in the API."""

ELSEWHERE = {
    "AppSchemas": "an object that isn't looked into, App.status.contracts.schemas",
    "ContractSchemas": "a part of AppSchemas",
    "Volume": "the part of MountedVolume that `@task` takes",
    "Findings": "the output of an inspection; App.status.contracts is made of it",
    "Call": "an annotation of pods, and what an inbox holds, where it isn't looked into",
    "Report": "a patch of AppTask.status; see test_a_report_is_a_part_of_the_status",
}


BASES = {"MountedVolume": "Volume"}
"""Dictionaries that add to another one, all of whose fields may be left out."""


def typed_dictionaries() -> dict[str, type]:
    shapes = {**vars(fields), **vars(pod_fields)}
    return {name: value for name, value in shapes.items() if is_typeddict(value)}


def schema_at(place: str) -> dict[str, Any]:
    kind, *path = place.replace("[]", ".[]").split(".")
    crd: Any = next(definition(known) for known in KINDS if known.name == kind)
    node = crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
    for step in path:
        node = node["items"] if step == "[]" else node["properties"][step]
    return dict(node)


def type_of(hint: Any) -> Any:
    """What a type hint of `wire` asks of a schema, in the vocabulary of `type_in`."""
    if get_origin(hint) is NotRequired:
        return type_of(get_args(hint)[0])
    if get_origin(hint) in (Union, types.UnionType):
        return type_of(next(choice for choice in get_args(hint) if choice is not type(None)))
    if hint is AnyValue:
        return "any"
    if hint is AnyObject:
        return "free object"
    if get_origin(hint) is Literal:
        return set(get_args(hint))
    if get_origin(hint) is list:
        return ("list", type_of(get_args(hint)[0]))
    if is_typeddict(hint):
        return hint.__name__
    if get_origin(hint) is dict:
        return ("map", type_of(get_args(hint)[1]))
    return {str: "string", int: "integer", float: "number", bool: "boolean"}[hint]


def type_in(schema: dict[str, Any], expected: Any) -> Any:
    if "enum" in schema:
        return set(schema["enum"])
    if schema.get(PRESERVE):
        if expected in ELSEWHERE:
            return expected
        return "free object" if schema.get("type") == "object" else "any"
    if schema["type"] == "array":
        return ("list", type_in(schema["items"], expected[1] if isinstance(expected, tuple) else None))
    if "additionalProperties" in schema:
        return ("map", type_in(schema["additionalProperties"], None))
    if schema["type"] == "object":
        # Objects are compared where PLACES has them, or are free to the wire (a toleration is Kubernetes' own).
        return expected
    return schema["type"]


class AnyValue:
    """Stands for `JSON`, whose own definition is recursive text."""


class AnyObject:
    """Stands for `JSONObject`."""


LOCAL_NAMES = {"JSON": AnyValue, "JSONObject": AnyObject, "PodFields": pod_fields.PodFields}


def hints(name: str) -> dict[str, Any]:
    shape = typed_dictionaries()[name]
    return get_type_hints(shape, localns=LOCAL_NAMES, include_extras=True)


def required(name: str) -> set[str]:
    # `__required_keys__` can't tell, because annotations are text in that module.
    shape: Any = typed_dictionaries()[name]
    own = hints(name).keys() - (hints(BASES[name]).keys() if name in BASES else set())
    return {field for field in own if shape.__total__ and get_origin(hints(name)[field]) is not NotRequired}


CASES = [(name, place) for name, places in PLACES.items() for place in places]


def test_each_dictionary_has_a_place() -> None:
    assert typed_dictionaries().keys() == PLACES.keys() | ELSEWHERE.keys()


@pytest.mark.parametrize(("name", "place"), CASES)
def test_a_dictionary_and_its_schema_have_the_same_fields(name: str, place: str) -> None:
    assert hints(name).keys() == schema_at(place)["properties"].keys()


@pytest.mark.parametrize(("name", "place"), CASES)
def test_a_dictionary_and_its_schema_require_the_same_fields(name: str, place: str) -> None:
    assert required(name) == set(schema_at(place).get("required", ()))


@pytest.mark.parametrize(("name", "place"), CASES)
def test_a_dictionary_and_its_schema_have_the_same_types(name: str, place: str) -> None:
    properties = schema_at(place)["properties"]
    expected = {field: type_of(hint) for field, hint in hints(name).items()}
    assert {field: type_in(properties[field], kind) for field, kind in expected.items()} == expected


def test_a_report_is_a_part_of_the_status() -> None:
    assert hints("Report").keys() < hints("TaskStatus").keys()


def test_the_kinds_have_the_names_of_the_wire() -> None:
    assert {(kind.name, kind.plural) for kind in KINDS} == {
        (names.APP_KIND, names.APPS),
        (names.APP_RUN_KIND, names.APP_RUNS),
        (names.APP_TASK_KIND, names.APP_TASKS),
        (names.APP_LEDGER_KIND, names.APP_LEDGERS),
        (names.APP_STATE_KIND, names.APP_STATES),
        (names.APP_WORKER_KIND, names.APP_WORKERS),
    }


def test_a_run_has_the_phases_of_the_wire() -> None:
    assert schema_at("AppRun.status.phase")["enum"] == list(get_args(fields.RunPhase))


def test_a_page_has_the_size_of_the_wire() -> None:
    page = schema_at("AppLedger.spec.checkpoints")
    assert (page["minItems"], page["maxItems"]) == (fields.PAGE_SIZE, fields.PAGE_SIZE)
    assert schema_at("AppRun.status.checkpoints")["maxItems"] > 2 * fields.TAIL_LIMIT
