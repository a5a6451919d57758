"""Stalled comes with a reason and a remedy, and goes when something proves it over."""

from __future__ import annotations

from typing import Any

from tests.support.records import APP, LIMITS, NOW, RUN, a_driver, a_pod, a_run, a_task, meta, seen

from apprun_operator.observe.apps import AppRecord, InspectionRecord
from apprun_operator.observe.packed_json import Contracts
from apprun_operator.observe.pods import Rejection
from apprun_operator.observe.records import AppSpecRecord
from apprun_operator.plan.actions import CreatePod, DeletePod, PatchRun, PatchTask, Plan
from apprun_operator.plan.code_identity import code_of
from apprun_operator.plan.run.reconcile import plan

PULL = {"phase": "Pending", "running_since": None, "waiting_reason": "ErrImagePull", "waiting_message": "not found"}


def stall(reason: str) -> dict[str, Any]:
    return {"type": "ImportError", "message": "No module named 'nope'", "attempt": 1, "stall": reason}


def decide(*things: Any, **fields: Any) -> Plan:
    return plan(seen(*things, **fields), NOW, LIMITS)


def status_of(decided: Plan) -> dict[str, Any]:
    (patch,) = [action for action in decided.first if isinstance(action, PatchRun)]
    return dict(patch.status)


def test_drivers_stall_becomes_the_runs_condition_and_the_next_attempt_is_set() -> None:
    driver = a_driver(error=stall("LoadFailed"))
    decided = decide(driver, a_pod(driver))
    status = status_of(decided)
    assert (status["phase"], status["message"]) == ("Stalled", "No module named 'nope'")
    assert status["conditions"][2] | {"lastTransitionTime": ""} == {
        "type": "Stalled",
        "status": "True",
        "reason": "LoadFailed",
        "message": "No module named 'nope'",
        "lastTransitionTime": "",
        "observedGeneration": 1,
    }
    (answer,) = [action for action in decided.then if isinstance(action, PatchTask)]
    assert answer.status["attempt"] == 2


def test_code_that_cannot_be_loaded_is_told_with_the_config_map_that_it_should_be_in() -> None:
    driver = a_driver(error=stall("LoadFailed"))
    run = a_run(app={**APP, "source": {"configMap": {"name": "code"}}})
    message = status_of(decide(driver, a_pod(driver), run=run))["message"]
    assert message == "No module named 'nope' (its source is ConfigMap 'code')"
    wrong_input = a_driver(error=stall("InvalidInput"))
    assert "ConfigMap" not in status_of(decide(wrong_input, a_pod(wrong_input), run=run))["message"]


def test_image_that_cannot_be_pulled_stalls_within_seconds_and_names_it() -> None:
    driver = a_driver()
    run = a_run(app={**APP, "image": "nope:1"})
    status = status_of(decide(driver, a_pod(driver, image="nope:1", **PULL), run=run))
    assert status["phase"] == "Stalled"
    assert status["conditions"][0]["reason"] == "ImagePullFailed"
    assert "'nope:1'" in status["message"]


def test_kubelets_changing_words_cost_no_writes() -> None:
    driver = a_driver()
    run = a_run(phase="Stalled", reason="ImagePullFailed", message="image 'runtime:1' can't be pulled", inline_app=None)
    pod = a_pod(driver, **{**PULL, "waiting_reason": "ImagePullBackOff", "waiting_message": "Back-off"})
    assert not decide(driver, pod, run=run).first


def stalled(reason: str = "LoadFailed", **fields: Any) -> Any:
    spec = AppSpecRecord({"entry": "app:App"})
    return a_run(**{"phase": "Stalled", "reason": reason, "message": "no", "inline_app": spec, "app_ref": "", **fields})


def waiting_driver(**fields: Any) -> Any:
    entry = {"attempt": 1, "reason": "LoadFailed", "budget": "None"}
    return a_driver(**{"attempt": 2, "attempts": (entry,), "not_before": NOW + 10, **fields})


def test_stalled_run_waits_for_its_slow_retry() -> None:
    decided = decide(waiting_driver(), run=stalled())
    assert decided == Plan(wake_at=NOW + 10)


def test_slow_retry_keeps_the_condition() -> None:
    decided = decide(waiting_driver(not_before=NOW - 1), run=stalled())
    assert not decided.first
    assert [type(action) for action in decided.then] == [CreatePod]


def test_corrected_spec_is_resolved_anew_and_clears_the_stall() -> None:
    run = stalled(inline_app=AppSpecRecord({"entry": "app:Right"}), meta=meta(RUN, generation=2))
    status = status_of(decide(waiting_driver(), run=run))
    assert (status["phase"], status["app"]["entry"], status["observedGeneration"]) == ("Running", "app:Right", 2)


def test_corrected_app_is_resolved_anew() -> None:
    run = stalled(inline_app=None, app_ref="app", app={**APP, "source": {"configMap": {"name": "x"}}})
    app = AppRecord(meta("app", generation=2), AppSpecRecord({"entry": "app:Right"}))
    status = status_of(decide(waiting_driver(), run=run, app=app))
    assert status["app"]["entry"] == "app:Right"
    assert status["app"]["source"] is None, "a field that is gone must not survive the merge"


def test_unchanged_app_clears_nothing() -> None:
    run = stalled(inline_app=None, app_ref="app", app={**APP, "name": "app"})
    app = AppRecord(meta("app", generation=1), AppSpecRecord({"entry": "app:App"}))
    assert not decide(waiting_driver(), run=run, app=app).first


def refusing_app() -> AppRecord:
    """Corrected, inspected, and its entry point wants a field that the run doesn't give."""
    spec = AppSpecRecord({"entry": "app:Right"})
    code = code_of(AppRecord(meta("app", generation=2), spec), LIMITS)
    wants = {"type": "object", "properties": {"rows": {"type": "integer"}}, "required": ["rows"]}
    contracts = {
        "code": code,
        "defaultEntrypoint": "run",
        "entrypoints": [{"name": "run"}],
        "schemas": {"entrypoints": {"run": {"input": wants}}},
    }
    inspection = InspectionRecord(code, NOW - 1, "Published")
    return AppRecord(meta("app", generation=2), spec, contracts=Contracts.of(contracts), inspection=inspection)


def test_corrected_app_that_refuses_the_input_is_what_the_run_is_told_then() -> None:
    """Its inspection may be done before the run is looked at again: the old reason must not stay."""
    run = stalled(inline_app=None, app_ref="app", input={})
    status = status_of(decide(waiting_driver(), run=run, app=refusing_app()))
    assert (status["conditions"][0]["reason"], "app" in status) == ("InvalidInput", False)
    assert "spec.input.rows is missing" in status["message"]


def test_run_that_works_after_all_goes_on_with_the_code_that_it_has() -> None:
    driver = waiting_driver()
    things = (driver, a_pod(driver, running_since=NOW - 1), a_task("a", phase="Succeeded"))
    run = stalled(inline_app=None, app_ref="app", input={})
    status = status_of(decide(*things, run=run, app=refusing_app()))
    assert (status["phase"], "app" in status) == ("Running", False)


def test_corrected_image_replaces_the_pod_that_waits_for_the_wrong_one() -> None:
    driver = a_driver()
    pod = a_pod(driver, image="nope:1", **PULL)
    decided = decide(driver, pod)
    assert not [a for a in decided.then if isinstance(a, PatchTask) and a.status.get("phase") == "Failed"]
    (answer,) = [action for action in decided.then if isinstance(action, PatchTask)]
    assert answer.status["attempts"][0]["reason"] == "Corrected"
    after = a_driver(attempt=2, attempts=tuple(answer.status["attempts"]))
    assert [type(action) for action in decide(after, pod).then] == [DeletePod, CreatePod]


def test_commit_proves_that_the_driver_is_over_it() -> None:
    driver = waiting_driver()
    decided = decide(driver, a_pod(driver, running_since=NOW - 1), a_task("a", phase="Succeeded"), run=stalled())
    assert status_of(decided)["phase"] == "Running"


def test_driver_that_lives_a_while_is_over_it() -> None:
    driver = waiting_driver()
    young = decide(driver, a_pod(driver, running_since=NOW - 1), run=stalled())
    assert not young.first
    assert young.wake_at == NOW + 9
    assert status_of(decide(driver, a_pod(driver, running_since=NOW - 10), run=stalled()))["phase"] == "Running"


def test_driver_that_got_its_image_is_over_it_at_once() -> None:
    driver = a_driver()
    decided = decide(driver, a_pod(driver, running_since=NOW), run=stalled("ImagePullFailed"))
    assert status_of(decided)["phase"] == "Running"


def test_refused_driver_pod_stalls_in_the_api_servers_words() -> None:
    driver = a_driver()
    rejection = Rejection(driver.pod_name, "Forbidden", 'violates PodSecurity "restricted:latest"', NOW, NOW + 1)
    status = status_of(decide(driver, rejections={driver.pod_name: rejection}))
    assert (status["phase"], status["message"]) == ("Stalled", 'violates PodSecurity "restricted:latest"')


def test_driver_without_a_place_is_told_in_the_schedulers_words_but_not_stalled() -> None:
    driver = a_driver()
    status = status_of(decide(driver, a_pod(driver, phase="Pending", running_since=None, unschedulable="0/2 nodes")))
    assert status["phase"] == "Running"
    assert "0/2 nodes" in status["message"]


def test_quota_does_not_stall() -> None:
    driver = a_driver()
    rejection = Rejection(driver.pod_name, "Quota", "exceeded quota: small", NOW - 9, NOW + 1)
    status = status_of(decide(driver, rejections={driver.pod_name: rejection}))
    assert (status["phase"], status["message"]) == ("Running", "exceeded quota: small")


def test_pod_whose_image_a_webhook_rewrote_is_no_pod_of_another_app() -> None:
    driver = a_driver()
    young = meta(driver.pod_name, created=NOW - 6, owner_uid=driver.meta.uid)
    pod = a_pod(driver, meta=young, image="mirror/runtime:1", asked_image="runtime:1", **PULL)
    decided = decide(driver, pod, run=stalled("ImagePullFailed"))
    assert not [action for action in decided.then if isinstance(action, PatchTask)]
