"""Calls that their route no longer waits for: the driver names them, the operator ends them."""

from __future__ import annotations

from tests.support.records import LIMITS, NOW, a_driver, a_pod, a_run, a_task, seen

from apprun_operator.observe import parse
from apprun_operator.plan.actions import CreatePod, PatchTask, Plan
from apprun_operator.plan.run.reconcile import plan

SLOW, NEXT = a_task("a"), a_task("b", sequence=1)
DRIVER = a_driver(abandoned=frozenset({SLOW.key}))


def ended(decided: Plan) -> dict[str, PatchTask]:
    return {one.task.name: one for one in decided.then if isinstance(one, PatchTask)}


def started(decided: Plan) -> list[str]:
    return [one.pod.name for one in decided.then if isinstance(one, CreatePod)]


def test_an_abandoned_call_ends_and_its_place_is_free_at_once() -> None:
    decided = plan(seen(DRIVER, a_pod(DRIVER), SLOW, a_pod(SLOW), NEXT, run=a_run(parallelism=1)), NOW, LIMITS)
    status = ended(decided)[SLOW.meta.key.name].status
    assert (status["phase"], status["error"]["type"]) == ("Cancelled", "Cancelled")  # type: ignore[index, call-overload]
    (attempt,) = status["attempts"]  # type: ignore[misc, union-attr]
    assert (attempt["reason"], attempt["budget"]) == ("Abandoned", "None")  # type: ignore[index, call-overload]
    assert started(decided) == [NEXT.pod_name]


def test_the_write_has_the_version_that_it_rests_on() -> None:
    decided = plan(seen(DRIVER, a_pod(DRIVER), SLOW, a_pod(SLOW)), NOW, LIMITS)
    assert ended(decided)[SLOW.meta.key.name].version == SLOW.meta.version


def test_one_that_never_began_gets_no_pod() -> None:
    decided = plan(seen(DRIVER, a_pod(DRIVER), SLOW), NOW, LIMITS)
    assert SLOW.meta.key.name in ended(decided)
    assert started(decided) == []


def test_a_result_that_was_quicker_stays() -> None:
    done = a_task("a", phase="Succeeded", finished_at=NOW - 1, digest="0" * 32)
    assert ended(plan(seen(DRIVER, a_pod(DRIVER), done), NOW, LIMITS)) == {}


def test_what_a_driver_names_is_read_from_its_status() -> None:
    def read(role: str, abandoned: object) -> frozenset[str]:
        metadata = {
            "name": "run-driver",
            "uid": "u",
            "resourceVersion": "1",
            "creationTimestamp": "2026-01-01T00:00:00Z",
        }
        spec = {"run": "run", "role": role, "key": "driver", "task": "run"}
        return parse.task({"metadata": metadata, "spec": spec, "status": {"abandoned": abandoned}}).abandoned

    assert read("driver", ["a", 1, "b"]) == {"a", "b"}
    assert read("driver", "a") == frozenset()
    assert read("task", ["a"]) == frozenset()
