"""What the CRDs themselves refuse, default and show, asked of a real API server."""

from __future__ import annotations

import itertools
from typing import Any

import pytest
from tests.cluster.admission_world import API, KEY, World, expect, task_body
from tests.cluster.apiserver import Answer

pytestmark = pytest.mark.cluster

NAMES = (f"schema{number}" for number in itertools.count())
FROZEN = "a run's spec is immutable except suspend, cancel, cancelGraceSeconds, parallelism and retention"


@pytest.fixture
def name() -> str:
    return next(NAMES)


def app_run(name: str, **spec: Any) -> dict[str, Any]:
    """A run that an operator, if there is one, leaves alone."""
    body = {"app": {"entry": "app:Hello"}, "suspend": True} | spec
    return {
        "apiVersion": API,
        "kind": "AppRun",
        "metadata": {"name": name},
        "spec": {key: value for key, value in body.items() if value is not None},
    }


def create_run(world: World, name: str, **spec: Any) -> Answer:
    return world.admin.create(world.path("appruns"), app_run(name, **spec))


def change(world: World, name: str, **spec: Any) -> Answer:
    return world.admin.patch(world.path("appruns", name), {"spec": spec})


def commit(world: World, name: str, **status: Any) -> Answer:
    return world.operator.patch(world.path("appruns", name, "status"), {"status": status})


def refused(answer: Answer, *words: str) -> None:
    assert answer.code == 422, f"{answer.code}: {answer.message or 'was allowed'}"
    for word in words:
        assert word in answer.message


def checkpoint(sequence: int) -> dict[str, Any]:
    return {
        "sequence": sequence,
        "key": f"{sequence:032x}",
        "task": "greet",
        "outcome": "Succeeded",
        "attempts": 1,
        "digest": "0" * 32,
        "at": "2026-01-01T00:00:00.000001Z",
    }


# Runs and apps: what people write


@pytest.mark.parametrize("spec", [{"app": None}, {"appRef": {"name": "hello"}}], ids=["neither", "both"])
def test_a_run_has_either_an_app_or_a_reference_to_one(world: World, name: str, spec: dict[str, Any]) -> None:
    refused(create_run(world, name, **spec), "give exactly one of appRef", "spec")


def test_the_name_of_a_run_fits_a_label(world: World) -> None:
    expect(create_run(world, "a" * 63))
    refused(create_run(world, "a" * 64), "63 characters at most")


@pytest.mark.parametrize(
    "entry", ["app", "app.Hello", ":Hello", "app:", "app:Hello()", "app:1", "my-app:Hello", "app/x:H"]
)
def test_an_entry_is_a_module_and_a_class(world: World, name: str, entry: str) -> None:
    refused(create_run(world, name, app={"entry": entry}), "spec.app.entry")


def test_an_entry_may_be_deep_in_a_package(world: World, name: str) -> None:
    expect(create_run(world, name, app={"entry": "acme.apps.hello_2:_Hello"}))


@pytest.mark.parametrize(
    ("spec", "field"),
    [
        ({"parallelism": 0}, "spec.parallelism"),
        ({"parallelism": 10_001}, "spec.parallelism"),
        ({"timeoutSeconds": 0}, "spec.timeoutSeconds"),
        ({"entrypoint": "a b"}, "spec.entrypoint"),
        ({"input": [1]}, "spec.input"),
        ({"retention": {"ttlSecondsAfterFinished": -1}}, "spec.retention.ttlSecondsAfterFinished"),
        ({"app": {"entry": "app:Hello", "image": "two words"}}, "spec.app.image"),
        ({"app": {"entry": "app:Hello", "pod": {"cpu": "much"}}}, "spec.app.pod.cpu"),
        ({"app": {"entry": "app:Hello", "source": {"configMap": {}}}}, "spec.app.source.configMap.name"),
        ({"app": {"entry": "app:Hello", "imagePullPolicy": "Often"}}, "spec.app.imagePullPolicy"),
        ({"app": {}}, "spec.app.entry"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_wrong_field_is_named(world: World, name: str, spec: dict[str, Any], field: str) -> None:
    refused(create_run(world, name, **spec), field)


def test_strict_validation_names_an_unknown_field(world: World, name: str) -> None:
    path = world.path("appruns") + "?fieldValidation=Strict"
    answer = world.admin.create(path, app_run(name, paralelism=3))
    assert (answer.code, 'unknown field "spec.paralelism"' in answer.message) == (400, True)


def test_quantities_may_be_numbers(world: World, name: str) -> None:
    expect(create_run(world, name, app={"entry": "app:Hello", "pod": {"cpu": 2, "memory": "1.5Gi"}}))


def test_an_input_is_kept_as_it_was_given(world: World, name: str) -> None:
    given = {"name": "World", "nothing": None, "deep": {"list": [1, {"a": None}]}, "number": 1.5}
    assert expect(create_run(world, name, input=given))["spec"]["input"] == given


def test_nobody_has_seen_a_new_run(world: World, name: str) -> None:
    made = expect(world.admin.create(world.path("appruns"), app_run(name)))
    assert made["status"] == {"observedGeneration": -1}


# Runs: what may change


@pytest.mark.parametrize(
    "spec",
    [
        {"input": {"name": "Other"}},
        {"input": None},
        {"entrypoint": "other"},
        {"timeoutSeconds": 5},
        {"app": {"image": "other"}},
        {"app": None, "appRef": {"name": "other"}},
    ],
    ids=str,
)
def test_what_a_run_does_is_frozen(world: World, name: str, spec: dict[str, Any]) -> None:
    expect(create_run(world, name, input={"name": "World"}))
    refused(change(world, name, **spec), FROZEN, "spec")


def test_a_run_may_be_steered(world: World, name: str) -> None:
    expect(create_run(world, name))
    expect(change(world, name, parallelism=3, retention={"ttlSecondsAfterFinished": 60}, suspend=True))
    expect(change(world, name, parallelism=None, retention=None, cancel=True))


def test_a_stalled_run_without_a_commit_may_be_corrected(world: World, name: str) -> None:
    # A run that an operator, if there is one, calls stalled as well.
    expect(create_run(world, name, app=None, appRef={"name": "nowhere"}, suspend=None))
    expect(commit(world, name, phase="Stalled", observedGeneration=1))
    expect(change(world, name, input={"name": "Right"}, appRef={"name": "nowhere-else"}))


def test_a_cancellation_is_not_taken_back(world: World, name: str) -> None:
    expect(create_run(world, name, cancel=True))
    refused(change(world, name, cancel=False), "can't be taken back", "spec.cancel")
    refused(change(world, name, cancel=None), "can't be taken back")


@pytest.mark.parametrize("ledger", [{"checkpoints": [checkpoint(0)]}, {"ledgerPages": 1}], ids=["tail", "page"])
def test_a_stalled_run_with_a_commit_is_frozen(world: World, name: str, ledger: dict[str, Any]) -> None:
    expect(create_run(world, name))
    expect(commit(world, name, phase="Stalled", **ledger))
    refused(change(world, name, input={"name": "Other"}), FROZEN)


# Runs: the ledger


def test_the_ledger_grows_and_moves_to_pages(world: World, name: str) -> None:
    expect(create_run(world, name))
    expect(commit(world, name, phase="Running", checkpoints=[checkpoint(n) for n in range(256)]))
    expect(commit(world, name, ledgerPages=1, checkpoints=[checkpoint(n) for n in range(128, 257)]))


@pytest.mark.parametrize(
    "status",
    [
        {"checkpoints": [checkpoint(0)]},
        {"checkpoints": []},
        {"checkpoints": None},
        {"ledgerPages": 0, "checkpoints": [checkpoint(n) for n in range(2)]},
    ],
    ids=["fewer", "empty", "removed", "page lost"],
)
def test_the_ledger_never_gets_shorter(world: World, name: str, status: dict[str, Any]) -> None:
    expect(create_run(world, name))
    expect(commit(world, name, ledgerPages=1, checkpoints=[checkpoint(n) for n in range(128, 130)]))
    refused(commit(world, name, **status), "the ledger never gets shorter")


@pytest.mark.parametrize("sequences", [[1], [0, 2], [0, 0], [128]], ids=str)
def test_the_ledger_has_no_gaps(world: World, name: str, sequences: list[int]) -> None:
    expect(create_run(world, name))
    refused(commit(world, name, checkpoints=[checkpoint(n) for n in sequences]), "without a gap")


@pytest.mark.parametrize("phase", ["Succeeded", "Failed", "Cancelled"])
def test_a_finished_run_stays_finished(world: World, name: str, phase: str) -> None:
    expect(create_run(world, name))
    expect(commit(world, name, phase=phase))
    refused(commit(world, name, phase="Running"), "a finished run keeps its phase")
    refused(commit(world, name, phase=None), "a finished run keeps its phase")
    expect(commit(world, name, message="kept"))


# Tasks and pages


def test_a_new_task_is_active_without_a_write(world: World, name: str) -> None:
    expect(world.operator.create(world.path("apptasks"), task_body(name)))
    for found in (
        expect(world.admin.get(world.path("apptasks", f"{name}-{KEY[:16]}"))),
        next(
            task for task in expect(world.admin.get(world.path("apptasks")))["items"] if task["spec"].get("run") == name
        ),
    ):
        assert found["status"] == {"phase": "Active", "attempt": 1}


@pytest.mark.parametrize(
    ("spec", "words"),
    [
        ({"role": "timer"}, "a timer needs seconds"),
        ({"role": "waiter"}, "spec.role"),
        ({"key": "0123456789ABCDEF" * 2}, "spec.key"),
        ({"key": KEY[:16]}, "spec.key"),
        ({"policy": {"timeoutSeconds": 1}}, "spec.policy.retry"),
    ],
    ids=["timer", "role", "key", "short key", "policy"],
)
def test_a_malformed_call_is_refused(world: World, name: str, spec: dict[str, Any], words: str) -> None:
    refused(world.operator.create(world.path("apptasks"), task_body(name, **spec)), words)


@pytest.mark.parametrize(
    "output", [[1, None, {"a": None}], {"a": None, "b": {"c": None}}, "text", 1.5, True, {}], ids=str
)
def test_an_output_is_kept_as_it_was_reported(world: World, name: str, output: Any) -> None:
    # A merge patch would drop each null inside of the output, and merge an object with the one before.
    operations = [{"op": "add", "path": "/status/output", "value": output}]
    stored = expect(world.operator.json_patch(world.status(world.task(name)), operations))
    assert stored["status"]["output"] == output


@pytest.mark.parametrize(
    ("number", "first", "count", "words"),
    [(1, 0, 128, "page n holds"), (0, 0, 127, "spec.checkpoints"), (0, 1, 128, "page n holds")],
)
def test_a_page_is_whole(world: World, name: str, number: int, first: int, count: int, words: str) -> None:
    checkpoints = [checkpoint(n) for n in range(first, first + count)]
    page = {
        "apiVersion": API,
        "kind": "AppLedger",
        "metadata": {"name": f"{name}-{number}"},
        "spec": {"run": name, "number": number, "checkpoints": checkpoints},
    }
    refused(world.operator.create(world.path("appledgers"), page), words)


def test_a_page_is_named_by_run_and_number(world: World, name: str) -> None:
    page = {
        "apiVersion": API,
        "kind": "AppLedger",
        "metadata": {"name": f"{name}-1"},
        "spec": {"run": name, "number": 0, "checkpoints": [checkpoint(n) for n in range(128)]},
    }
    refused(world.operator.create(world.path("appledgers"), page), "a page is named <run>-<number>")
