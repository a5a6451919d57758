"""What users and pods write is kept as text, and only as much of it as the SDK lets them write."""

from __future__ import annotations

from typing import Any

import pytest

from application_sdk.wire.fields import MAX_HEARTBEAT_BYTES, MAX_PAYLOAD_BYTES
from apprun_operator.observe import parse
from apprun_operator.observe.fields import Unreadable
from apprun_operator.observe.packed_json import Packed
from apprun_operator.plan.conditions import unreadable

META = {
    "name": "run-0123456789abcdef",
    "namespace": "default",
    "uid": "u",
    "resourceVersion": "7",
    "creationTimestamp": "2026-07-01T10:00:00Z",
}
LONG = {"a": "x" * 2 * MAX_PAYLOAD_BYTES}


def a_task(role: str = "task", spec: dict[str, Any] | None = None, **status: Any) -> dict[str, Any]:
    of = {"app": "shop"} if role == "inspect" else {"run": "run"}
    base = {"role": role, "key": "0" * 32, "task": "work", **of}
    return {"metadata": META, "spec": {**base, **(spec or {})}, "status": status}


@pytest.mark.parametrize("value", [None, 1, "\ud800", {"é": ["日本", 1e300, True, None]}, [], {"": {}}])
def test_what_is_packed_comes_out_as_it_was(value: Any) -> None:
    assert Packed.of(value).decode() == value


def test_packed_json_is_no_longer_than_json() -> None:
    assert len(Packed.of({"a": [{}] * 1000}).data) == 1000 * 3 + 7


def test_a_run_with_too_long_an_input_is_told_so() -> None:
    run = parse.run({"metadata": META, "spec": {"app": {"entry": "a:B"}, "input": LONG}})
    assert run.problem == f"spec.input has {2 * MAX_PAYLOAD_BYTES + 8} bytes of JSON, the limit is 245760"
    said = unreadable(run, 0.0)
    assert said is not None
    assert "spec.input" in str(said)
    assert len(run.input.data) < 10


@pytest.mark.parametrize(
    ("field", "item"),
    [
        ("spec.input", a_task(spec={"input": LONG})),
        ("status.heartbeat", a_task(heartbeat={"a": "x" * 2 * MAX_HEARTBEAT_BYTES})),
        ("status.output", a_task("driver", phase="Succeeded", output=LONG)),
        ("status.continueWith", a_task("driver", phase="Succeeded", continueWith={"input": LONG, "entrypoint": "run"})),
        ("status.state", a_task(phase="Saving", state=[{"key": "k", "value": LONG}])),
    ],
)
def test_a_call_with_too_long_a_value_can_not_be_read(field: str, item: dict[str, Any]) -> None:
    with pytest.raises(Unreadable, match=f"^{field} has"):
        parse.task(item)


def test_an_inspection_with_too_long_a_report_has_none() -> None:
    assert parse.task(a_task("inspect", phase="Succeeded", output=LONG)).output is None


def test_values_of_the_largest_size_are_kept() -> None:
    largest = {"a": "x" * (MAX_PAYLOAD_BYTES - 8)}
    beat = {"a": "x" * (MAX_HEARTBEAT_BYTES - 8)}
    task = parse.task(a_task("driver", spec={"input": largest}, phase="Succeeded", output=largest, heartbeat=beat))
    assert task.heartbeat is not None
    assert (task.input.decode(), task.heartbeat.decode()) == (largest, beat)
