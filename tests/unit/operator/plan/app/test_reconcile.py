"""What an App with a handler needs, and what its status says meanwhile."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, cast

from tests.support.records import LIMITS, NOW, meta

from apprun_operator.observe.apps import AppRecord, HandlerDeployment
from apprun_operator.observe.records import AppSpecRecord, Condition
from apprun_operator.observe.times import rfc3339
from apprun_operator.plan.actions import ApplyHandler, PatchApp, RemoveHandler
from apprun_operator.plan.app.reconcile import LOOK_LATER, LOOK_SOON, plan_app

TEMPLATE = {
    "entry": "app:Shop",
    "source": {"configMap": {"name": "code"}},
    "secrets": [{"name": "db"}],
    "pod": {"nodeSelector": {"disk": "ssd"}},
}
UP = HandlerDeployment(generation=1, at=NOW - 1, replicas=1, ready=1, current=True)
STARTING = replace(UP, ready=0)


def an_app(**fields: Any) -> AppRecord:
    return AppRecord(**{"meta": meta("shop"), "spec": AppSpecRecord(TEMPLATE), "handler": {}, **fields})


def ready(reason: str, *, status: str = "False", message: str = "", since: float = NOW - 5) -> Condition:
    return Condition("Ready", status, reason, message, rfc3339(since))


def said(app: AppRecord, served: HandlerDeployment | None) -> dict[str, tuple[str, str]]:
    (patch,) = plan_app(app, served, NOW, LIMITS).actions
    assert isinstance(patch, PatchApp)
    listed = cast("list[dict[str, str]]", patch.status["conditions"])
    return {one["type"]: (one["status"], one["reason"]) for one in listed}


def applied(app: AppRecord) -> ApplyHandler:
    (action,) = plan_app(app, None, NOW, LIMITS).actions
    assert isinstance(action, ApplyHandler)
    return action


def test_an_app_without_a_handler_needs_nothing() -> None:
    assert plan_app(an_app(handler=None), None, NOW, LIMITS).actions == ()


def test_a_handler_has_the_apps_code_and_secrets_and_an_account_of_its_own() -> None:
    pod = cast("Any", applied(an_app()).deployment)["spec"]["template"]["spec"]
    mounts = {mount["mountPath"] for mount in pod["containers"][0]["volumeMounts"]}
    assert {"/apprun/source", "/apprun/secrets/db"} <= mounts
    assert pod["serviceAccountName"] == "apprun-handler"
    assert pod["containers"][0]["image"] == LIMITS.runtime_image
    assert pod["nodeSelector"] == {"disk": "ssd"}


def test_pods_of_a_handler_arent_taken_for_pods_of_tasks() -> None:
    labels = cast("Any", applied(an_app()).deployment)["spec"]["template"]["metadata"]["labels"]
    assert "app.kubernetes.io/managed-by" not in labels


def test_what_serves_an_app_goes_with_it() -> None:
    owner = cast("Any", applied(an_app()).service)["metadata"]["ownerReferences"][0]
    assert (owner["kind"], owner["uid"], owner["blockOwnerDeletion"]) == ("App", "uid-shop", False)


def test_a_changed_app_is_applied_anew() -> None:
    app = an_app(meta=meta("shop", generation=2))
    assert isinstance(plan_app(app, UP, NOW, LIMITS).actions[0], ApplyHandler)


def test_a_handler_that_answers_is_said_to_be_ready_and_is_looked_at_now_and_then() -> None:
    decided = plan_app(an_app(), UP, NOW, LIMITS)
    assert said(an_app(), UP)["Ready"] == ("True", "HandlerReady")
    assert decided.wake_at == UP.at + LOOK_LATER
    assert isinstance(plan_app(an_app(), UP, UP.at + LOOK_LATER, LIMITS).actions[0], ApplyHandler)


def test_a_handler_that_starts_is_in_progress_and_looked_at_soon() -> None:
    assert said(an_app(), STARTING) == {
        "Ready": ("False", "HandlerStarting"),
        "Reconciling": ("True", "HandlerStarting"),
        "Stalled": ("False", "HandlerStarting"),
    }
    assert plan_app(an_app(), STARTING, NOW, LIMITS).wake_at == STARTING.at + LOOK_SOON


def test_a_handler_that_doesnt_start_says_where_to_look() -> None:
    app = an_app(conditions=(ready("HandlerStarting", since=NOW - 31),), observed_generation=1)
    (patch,) = plan_app(app, STARTING, NOW, LIMITS).actions
    assert isinstance(patch, PatchApp)
    assert "kubectl logs -n default deployment/shop-handler" in str(patch.status)
    slow = replace(app, conditions=(ready("HandlerSlow", since=NOW - 1),))
    assert said(slow, STARTING)["Ready"] == ("False", "HandlerSlow")


def test_a_roll_out_under_way_isnt_ready() -> None:
    assert said(an_app(), replace(UP, current=False))["Ready"] == ("False", "HandlerStarting")


def test_a_refusal_of_the_api_server_is_told_in_its_words() -> None:
    refused = replace(STARTING, problem="exceeded quota: pods")
    assert said(an_app(), refused)["Stalled"] == ("True", "HandlerRefused")


def test_what_an_earlier_app_left_behind_is_waited_for_and_no_persons_business() -> None:
    waiting = replace(STARTING, waits="Service shop-handler of an earlier App of this name is being removed")
    (patch,) = plan_app(an_app(), waiting, NOW, LIMITS).actions
    assert isinstance(patch, PatchApp)
    assert waiting.waits in str(patch.status["conditions"])
    assert said(an_app(), waiting)["Stalled"] == ("False", "HandlerStarting")
    assert plan_app(an_app(), waiting, NOW, LIMITS).wake_at == waiting.at + LOOK_SOON


def test_a_status_that_says_so_already_isnt_written_again() -> None:
    facts = {"service": "shop-handler", "replicas": 1, "ready": 1}
    condition = ready("HandlerReady", status="True", message="served by Service shop-handler")
    others = (replace(condition, type=kind, status="False") for kind in ("Reconciling", "Stalled"))
    app = an_app(conditions=(condition, *others), observed_generation=1, handler_status=facts)
    assert plan_app(app, UP, NOW, LIMITS).actions == ()


def test_a_handler_that_is_not_wanted_any_more_is_removed_and_forgotten() -> None:
    remove, patch = plan_app(an_app(handler=None, handler_status={"service": "shop-handler"}), UP, NOW, LIMITS).actions
    assert remove == RemoveHandler(an_app().meta.key, "uid-shop", "shop-handler")
    assert isinstance(patch, PatchApp)
    assert patch.status["handler"] is None


def test_a_name_that_is_too_long_for_a_service_is_said_to_be() -> None:
    app = an_app(meta=meta("s" * 60))
    assert said(app, None)["Stalled"] == ("True", "NameTooLong")
