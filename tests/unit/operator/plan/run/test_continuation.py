"""`continue_with`: the run goes on as a new one, which is there before this one says that it has ended."""

from __future__ import annotations

from typing import Any

from tests.support.records import LIMITS, NOW, a_driver, a_run, meta, seen

from application_sdk.wire.fields import ContinuationFields
from apprun_operator.observe.packed_json import Packed
from apprun_operator.observe.pods import Rejection
from apprun_operator.observe.records import RunRecord
from apprun_operator.plan.actions import CreateRun, PatchRun
from apprun_operator.plan.run.continuation import successor
from apprun_operator.plan.run.reconcile import plan

WISH = ContinuationFields(input={"page": 2}, entrypoint="load")
SPEC = {"appRef": {"name": "app"}, "entrypoint": "run", "input": {"page": 1}, "timeoutSeconds": 60, "suspend": False}


def body(run: RunRecord) -> Any:
    return successor(run, Packed.of(WISH)).body


def following(made: Any) -> RunRecord:
    """The run that the API server makes of a body."""
    name = made["metadata"]["name"]
    return a_run(meta=meta(name), spec=made["spec"], correlation_id=made["spec"]["correlationId"])


def test_successor_takes_over_the_spec_but_for_input_and_entry_point() -> None:
    spec = body(a_run(spec=SPEC))["spec"]
    assert spec["input"] == {"page": 2}
    assert spec["entrypoint"] == "load"
    assert (spec["appRef"], spec["timeoutSeconds"]) == ({"name": "app"}, 60)


def test_successor_is_not_owned_by_the_run_before_it() -> None:
    assert "ownerReferences" not in body(a_run(spec=SPEC))["metadata"]


def test_correlation_id_stays_through_the_chain() -> None:
    first = a_run(spec=SPEC)
    second = body(first)
    third = body(following(second))
    assert second["spec"]["correlationId"] == third["spec"]["correlationId"] == first.meta.uid


def test_names_in_a_chain_count_from_the_first_run() -> None:
    second = body(a_run(spec=SPEC))
    third = body(following(second))
    assert second["metadata"]["name"].startswith("run-2-")
    assert third["metadata"]["name"].startswith("run-3-")
    assert third["metadata"]["labels"]["apprun.dev/chain"] == "run"
    assert third["spec"]["continuedFrom"]["name"] == second["metadata"]["name"]


def test_name_of_a_successor_depends_on_the_run_and_not_on_its_name_alone() -> None:
    again = a_run(meta=meta("run", uid="made anew"), spec=SPEC)
    assert body(again)["metadata"]["name"] != body(a_run(spec=SPEC))["metadata"]["name"]
    assert body(again) == body(again)


def test_name_of_a_successor_is_no_longer_than_a_label() -> None:
    long = a_run(meta=meta("x" * 63), spec=SPEC)
    assert len(body(long)["metadata"]["name"]) == 63


def test_successor_is_created_before_the_run_says_that_it_went_on() -> None:
    run = a_run(spec=SPEC)
    create, patch = plan(seen(a_driver(phase="Succeeded", continue_with=WISH), run=run), NOW, LIMITS).first
    assert isinstance(create, CreateRun)
    assert isinstance(patch, PatchRun)
    assert patch.status["continuedAs"] == create.successor.name
    assert (patch.status["phase"], patch.status["conditions"][0]["reason"]) == ("Succeeded", "Continued")
    assert "output" not in patch.status


def test_refused_successor_stalls_the_run_with_the_api_servers_words_until_the_next_try() -> None:
    run = a_run(spec=SPEC)
    name = successor(run, Packed.of(WISH)).successor.name
    rejection = Rejection(name, "Quota", "exceeded quota: runs", NOW, NOW + 8, 4)
    driver = a_driver(phase="Succeeded", continue_with=WISH)
    decided = plan(seen(driver, run=run, rejections={name: rejection}), NOW, LIMITS)
    patch, _ = decided.first
    assert isinstance(patch, PatchRun)
    assert (patch.status["phase"], patch.status["conditions"][0]["reason"]) == ("Stalled", "ContinuationRefused")
    assert "exceeded quota: runs" in patch.status["message"]
    assert decided.wake_at == NOW + 8
    later = plan(seen(driver, run=run, rejections={name: rejection}), NOW + 8, LIMITS)
    assert isinstance(later.first[0], CreateRun)
