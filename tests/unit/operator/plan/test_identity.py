"""Whose a pod is, and as whom it runs: by the uid of the run, not by its name."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from tests.support.records import APP, LIMITS, NOW, a_driver, a_pod, a_run, a_task, meta, seen

from application_sdk.wire import names
from apprun_operator.observe.pods import PodRecord
from apprun_operator.observe.records import AppSpecRecord, TaskRecord
from apprun_operator.plan.actions import CreatePod, DeletePod, PatchRun, PatchTask, Plan
from apprun_operator.plan.call import attempts
from apprun_operator.plan.run.reconcile import plan

LIMITED = replace(LIMITS, own_account=("default", "apprun"))


def decide(*things: TaskRecord | PodRecord, **fields: Any) -> Plan:
    driver = a_driver()
    return plan(seen(driver, a_pod(driver), *things, **fields), NOW, LIMITED)


def deleted(decided: Plan) -> list[str]:
    return [action.pod.name for action in decided.then if isinstance(action, DeletePod)]


def named(task: TaskRecord, name: str, **fields: Any) -> PodRecord:
    return a_pod(task, meta=meta(name, owner_uid=task.meta.uid), **fields)


# Names


def test_namesakes_of_a_run_have_pods_of_other_names() -> None:
    earlier, later = "0a1b2c3d-4e5f-4000-8000-000000000000", "9f8e7d6c-4e5f-4000-8000-000000000000"
    assert names.pod_name("r-driver", 1, earlier) == "r-driver-1-0a1b2c3d"
    assert names.pod_name("r-driver", 1, later) == "r-driver-1-9f8e7d6c"


def test_pod_is_named_after_the_owner_of_its_task() -> None:
    task = a_task(meta=meta(names.task_name("run", "a" * 32), owner_uid="0a1b2c3d-4e5f"))
    (created,) = [action for action in decide(task).then if isinstance(action, CreatePod)]
    assert created.pod.name == f"run-{'a' * 16}-1-0a1b2c3d"


# Strays


def test_pod_of_an_earlier_attempt_is_deleted() -> None:
    task = a_task(attempt=2)
    assert deleted(decide(task, a_pod(task, attempt=1), a_pod(task))) == [a_pod(task, attempt=1).meta.key.name]


def test_pod_that_is_being_deleted_isnt_deleted_again() -> None:
    task = a_task(attempt=2)
    assert deleted(decide(task, a_pod(task, attempt=1, deletion_at=NOW - 900), a_pod(task))) == []


def test_pod_named_by_an_older_version_is_replaced_at_nobodys_charge() -> None:
    task = a_task(attempt=2)
    old = named(task, f"{task.meta.key.name}-2")
    decided = decide(task, old)
    assert deleted(decided) == [old.meta.key.name]
    assert [action.pod.name for action in decided.then if isinstance(action, CreatePod)] == [task.pod_name]
    assert not [action for action in decided.then if isinstance(action, PatchTask)]


@pytest.mark.parametrize("deletion_at", [None, NOW + 900], ids=["running", "terminating"])
def test_pod_of_a_namesake_run_is_left_alone_and_holds_up_nothing(deletion_at: float | None) -> None:
    task = a_task()
    name = names.pod_name(task.meta.key.name, 1, "another-run")
    other = a_pod(task, meta=meta(name, owner_uid="another-task"), deletion_at=deletion_at)
    decided = decide(task, other)
    assert deleted(decided) == []
    assert [action.pod.name for action in decided.then if isinstance(action, CreatePod)] == [task.pod_name]


# Service accounts


@pytest.mark.parametrize("account", ["apprun-driver", "apprun-handler", "apprun"])
@pytest.mark.parametrize("asks", ["task", "app"])
def test_no_task_runs_as_an_account_of_appruns_own(account: str, asks: str) -> None:
    asked = {"serviceAccountName": account}
    task = a_task(pod=asked if asks == "task" else {})
    run = a_run(app={**APP, **(asked if asks == "app" else {})})
    decided = decide(task, run=run)
    (failed,) = [action.status for action in decided.then if isinstance(action, PatchTask)]
    assert failed["phase"] == "Failed"
    assert isinstance(failed["error"], dict)
    assert failed["error"]["type"] == "ServiceAccountNotAllowed"
    assert f"service account {account!r} is AppRun's own" in str(failed["error"]["message"])
    assert not [action for action in decided.then if isinstance(action, CreatePod)]


def test_account_of_another_namespace_only_shares_the_operators_name() -> None:
    task = a_task(pod={"serviceAccountName": "apprun"})
    elsewhere = replace(LIMITS, own_account=("apprun-system", "apprun"))
    assert attempts.decide(seen(task), task, NOW, elsewhere).wants_pod


def test_own_account_of_a_task_is_what_counts() -> None:
    task = a_task(pod={"serviceAccountName": "reader"})
    run = a_run(app={**APP, "serviceAccountName": "apprun-handler"})
    assert attempts.decide(seen(task, run=run), task, NOW, LIMITED).wants_pod


def test_run_of_an_app_with_such_an_account_stalls_before_any_pod() -> None:
    inline = AppSpecRecord({"entry": "app:App", "serviceAccountName": "apprun-handler"})
    run = a_run(app=None, app_ref="", inline_app=inline, phase="Pending", started_at=None)
    decided = plan(seen(run=run), NOW, LIMITED)
    (patch,) = [action for action in decided.first if isinstance(action, PatchRun)]
    assert patch.status["phase"] == "Stalled"
    assert "AppRun's own" in str(patch.status["message"])
    assert not decided.then
