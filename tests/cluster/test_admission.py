"""The chart's admission policies and roles, asked of a real API server with real tokens that are bound to pods."""

from __future__ import annotations

import itertools
from functools import partial
from typing import Any

import pytest
from tests.cluster import admission_world as worlds
from tests.cluster.admission_world import KEY, World, expect, owner, task_body
from tests.cluster.apiserver import Answer, Client, kubeconfig

from application_sdk.wire import names
from application_sdk.wire.pod import REFUSED_FINISHED, REFUSED_NOT_CURRENT

pytestmark = pytest.mark.cluster

NAMES = (f"run{number}" for number in itertools.count())
NOT_YOURS = "apprun: not yours to write"
NOT_A_POD = "apprun: not a pod of this namespace"
NOT_THE_DRIVER = "apprun: not the driver of this run"
TASK_PROTECTED = "apprun: a finished task can't be deleted"
TASK_UNTOUCHABLE = "apprun: tasks are written by their run's driver and by the operator only"
LEDGER_PROTECTED = "apprun: the ledger is written by the operator only"
STATUS_PROTECTED = "apprun: the status of apps and runs is written by the operator only"

REPORT: dict[str, Any] = {
    "phase": "Succeeded",
    "output": {"message": "Hello"},
    "error": None,
    "node": "node1",
    "startedAt": "2026-01-01T00:00:00Z",
    "finishedAt": "2026-01-01T00:00:01.5Z",
}


@pytest.fixture
def run() -> str:
    return next(NAMES)


def report(client: Client, world: World, task: str, **status: Any) -> Answer:
    return client.patch(world.status(task), {"status": status})


def refused(answer: Answer, words: str, code: int = 403) -> None:
    assert (answer.code, words in answer.message) == (code, True), f"{answer.code}: {answer.message or 'was allowed'}"


# Reports


def test_the_first_pod_reports_before_an_attempt_is_written(world: World, run: str) -> None:
    task = world.task(run)
    made = expect(report(world.pod_of(task), world, task, **REPORT))
    assert made["status"] == {"attempt": 1} | {key: value for key, value in REPORT.items() if value is not None}


def test_the_pod_of_a_later_attempt_reports(world: World, run: str) -> None:
    task = world.task(run, status={"attempt": 2})
    expect(report(world.pod_of(task, 2), world, task, **REPORT))


def test_any_service_account_of_the_namespace_may_serve_a_task(world: World, run: str) -> None:
    task = world.task(run)
    expect(report(world.pod_of(task, account="custom"), world, task, **REPORT))


def test_the_pod_of_a_driver_reports_on_its_own_task(world: World, run: str) -> None:
    task = world.task(run, driver=True)
    expect(report(world.pod_of(task, account="apprun-driver"), world, task, **REPORT))


def test_a_pod_reports_failure_progress_and_heartbeat(world: World, run: str) -> None:
    task = world.task(run)
    pod = world.pod_of(task)
    expect(report(pod, world, task, progress={"done": 1, "total": 2}, heartbeat={"cursor": [1, None]}))
    error = {"type": "ValueError", "message": "no", "attempt": 1, "retryable": True}
    made = expect(report(pod, world, task, error=error, finishedAt="2026-01-01T00:00:01Z"))
    assert (made["status"]["phase"], made["status"]["error"]) == ("Active", error)


def test_progress_keeps_the_error_of_an_earlier_attempt(world: World, run: str) -> None:
    earlier = {"type": "ValueError", "message": "no", "attempt": 1}
    task = world.task(run, status={"attempt": 2, "error": earlier})
    pod = world.pod_of(task, 2)
    assert expect(report(pod, world, task, progress={"done": 1}))["status"]["error"] == earlier
    assert "error" not in expect(report(pod, world, task, **REPORT))["status"]


@pytest.mark.parametrize("attempt", [{}, {"attempt": 2}, {"attempt": 0}], ids=["none", "later", "earlier"])
def test_an_error_has_to_name_the_attempt_that_it_ended(world: World, run: str, attempt: dict[str, int]) -> None:
    task = world.task(run)
    error = {"type": "ValueError", "message": "no"} | attempt
    refused(report(world.pod_of(task), world, task, error=error), "apprun: an error names the attempt")


@pytest.mark.parametrize("attempt", [1, 3], ids=["of an earlier one", "of a later one"])
def test_a_log_has_to_be_of_the_attempt_that_writes_it(world: World, run: str, attempt: int) -> None:
    earlier = {"attempt": 1, "tail": "first"}
    task = world.task(run, status={"attempt": 2, "log": earlier})
    pod = world.pod_of(task, 2)
    forged = {"attempt": attempt, "tail": "forged"}
    refused(report(pod, world, task, log=forged), "apprun: a log names the attempt")
    assert expect(report(pod, world, task, progress={"done": 1}))["status"]["log"] == earlier
    own = {"attempt": 2, "tail": "second"}
    error = {"type": "E", "message": "", "attempt": 2}
    assert expect(report(pod, world, task, error=error, log=own))["status"]["log"] == own


def test_a_waiting_task_may_still_be_reported_on(world: World, run: str) -> None:
    task = world.task(run, status={"phase": "Waiting", "message": "no node fits"})
    expect(report(world.pod_of(task), world, task, **REPORT))


def test_a_zombie_of_an_older_attempt_is_refused(world: World, run: str) -> None:
    task = world.task(run)
    zombie = world.pod_of(task)
    expect(report(world.operator, world, task, attempt=2))
    answer = report(zombie, world, task, **REPORT)
    refused(answer, REFUSED_NOT_CURRENT)
    assert f"pod {world.pod_name(task)} asks, and only pod {world.pod_name(task, 2)} may report" in answer.message
    expect(report(world.pod_of(task, 2), world, task, **REPORT))


def test_a_zombie_is_refused_after_its_successor_finished(world: World, run: str) -> None:
    task = world.task(run)
    zombie = world.pod_of(task)
    expect(report(world.operator, world, task, attempt=2))
    expect(report(world.pod_of(task, 2), world, task, **REPORT))
    refused(report(zombie, world, task, **REPORT), REFUSED_NOT_CURRENT)


def test_a_pod_of_another_task_is_refused(world: World, run: str) -> None:
    task, driver = world.task(run), world.task(run, driver=True)
    refused(report(world.pod_of(task), world, driver, **REPORT), REFUSED_NOT_CURRENT)
    refused(report(world.pod_of(driver, account="apprun-driver"), world, task, **REPORT), REFUSED_NOT_CURRENT)


def test_a_pod_with_a_prefix_of_the_name_is_refused(world: World, run: str) -> None:
    task = world.task(run)
    refused(report(world.pod_of(task, 10), world, task, **REPORT), REFUSED_NOT_CURRENT)


def test_a_token_that_belongs_to_no_pod_is_refused(world: World, run: str) -> None:
    task = world.task(run)
    refused(report(world.account("custom"), world, task, **REPORT), NOT_A_POD)


def test_a_pod_of_another_namespace_is_refused_whatever_its_name(world: World, run: str) -> None:
    task = world.task(run)
    elsewhere = worlds.build(world.admin, world.anonymous)
    stranger = elsewhere.pod(world.pod_name(task), "custom")
    subject = {"kind": "ServiceAccount", "name": "custom", "namespace": elsewhere.namespace}
    body = worlds.binding("apprun-task", subject) | {"metadata": {"name": f"stranger-{run}"}}
    expect(world.admin.create(f"{worlds.RBAC}/namespaces/{world.namespace}/rolebindings", body))
    worlds.eventually(lambda: "cannot patch" not in report(stranger, world, task, **REPORT).message)
    refused(report(stranger, world, task, **REPORT), NOT_A_POD)
    expect(world.admin.delete(f"/api/v1/namespaces/{elsewhere.namespace}"))


def test_a_person_is_refused_even_as_cluster_admin(world: World, run: str) -> None:
    refused(report(world.admin, world, world.task(run), **REPORT), NOT_A_POD)


def test_a_deleted_pod_has_lost_its_voice(world: World, run: str) -> None:
    task = world.task(run)
    pod = world.pod_of(task)
    expect(world.admin.delete(f"{world.core}/pods/{world.pod_name(task)}"))
    worlds.eventually(lambda: report(pod, world, task, **REPORT).code == 401)


def test_the_same_report_again_is_accepted_and_another_is_not(world: World, run: str) -> None:
    task = world.task(run)
    pod = world.pod_of(task)
    first = expect(report(pod, world, task, **REPORT))
    again = expect(report(pod, world, task, **REPORT))
    assert again["metadata"]["resourceVersion"] == first["metadata"]["resourceVersion"]
    refused(report(pod, world, task, **REPORT | {"output": {"message": "Bye"}}), REFUSED_FINISHED)
    refused(report(pod, world, task, progress={"done": 2}), REFUSED_FINISHED)
    refused(report(pod, world, task, output=None), REFUSED_FINISHED)


@pytest.mark.parametrize("phase", ["Failed", "Cancelled"])
def test_a_report_on_a_task_that_the_operator_ended_is_refused(world: World, run: str, phase: str) -> None:
    task = world.task(run, status={"phase": phase})
    pod = world.pod_of(task)
    refused(report(pod, world, task, **REPORT), REFUSED_FINISHED, 422)
    refused(report(pod, world, task, error={"type": "E", "message": "late"}), REFUSED_FINISHED)


@pytest.mark.parametrize(
    "change",
    [
        {"phase": "Failed"},
        {"phase": "Cancelled"},
        {"phase": "Waiting"},
        {"attempt": 2},
        {"attempts": [{"attempt": 1, "reason": "Mine", "budget": "None"}]},
        {"notBefore": "2026-01-01T00:00:00Z"},
        {"message": "mine"},
        {"phase": "Succeeded", "output": 1, "attempt": 2},
    ],
    ids=str,
)
def test_a_pod_writes_nothing_that_is_the_operators(world: World, run: str, change: dict[str, Any]) -> None:
    task = world.task(run)
    refused(report(world.pod_of(task), world, task, **change), NOT_YOURS)


def test_a_pod_cannot_remove_what_the_operator_wrote(world: World, run: str) -> None:
    history = [{"attempt": 1, "reason": "NodeLost", "budget": "Disruption"}]
    task = world.task(run, status={"attempt": 2, "attempts": history, "message": "again"})
    pod = world.pod_of(task, 2)
    refused(report(pod, world, task, attempts=None), NOT_YOURS)
    refused(report(pod, world, task, message=None), NOT_YOURS)
    refused(pod.patch(world.status(task), {"status": None}), "attempt numbers only grow", 422)


def test_a_status_write_changes_neither_spec_nor_metadata(world: World, run: str) -> None:
    task = world.task(run)
    before = expect(world.admin.get(world.path("apptasks", task)))
    change = {"spec": {"task": "other"}, "metadata": {"labels": {"a": "b"}, "finalizers": ["apprun.dev/hang"]}}
    after = expect(world.pod_of(task).patch(world.status(task), {"status": {"node": "node1"}, **change}))
    assert after["spec"] == before["spec"]
    assert after["metadata"].keys() & {"labels", "finalizers"} == set()


def test_the_operator_starts_another_attempt_and_ends_tasks(world: World, run: str) -> None:
    task = world.task(run)
    history = [{"attempt": 1, "reason": "OOMKilled", "budget": "App", "exitCode": 137}]
    later = {"attempt": 2, "attempts": history, "notBefore": "2026-01-01T00:00:00Z", "error": None}
    expect(report(world.operator, world, task, **later))
    expect(report(world.operator, world, task, phase="Failed", error={"type": "OOMKilled", "message": "out of memory"}))


def test_not_even_the_operator_changes_the_end_of_a_task(world: World, run: str) -> None:
    task = world.task(run)
    expect(report(world.pod_of(task), world, task, **REPORT))
    expect(report(world.operator, world, task, message="committed"))
    refused(report(world.operator, world, task, phase="Failed"), REFUSED_FINISHED, 422)
    refused(report(world.operator, world, task, phase="Active"), REFUSED_FINISHED, 422)
    refused(report(world.operator, world, task, output={"message": "Bye"}), REFUSED_FINISHED)
    refused(report(world.operator, world, task, output=None), REFUSED_FINISHED)
    refused(report(world.operator, world, task, error={"type": "E", "message": "no"}), REFUSED_FINISHED)


def test_attempt_numbers_never_go_back(world: World, run: str) -> None:
    task = world.task(run, status={"attempt": 3})
    refused(report(world.operator, world, task, attempt=2), "attempt numbers only grow", 422)
    refused(report(world.operator, world, task, attempt=None), "attempt numbers only grow", 422)


# Calls


def driver_of(world: World, run: str, number: int = 1) -> Client:
    return world.pod(names.pod_name(f"{run}-driver", number, worlds.RUN_UID), "apprun-driver")


@pytest.mark.parametrize("number", [1, 12])
def test_a_driver_calls_the_tasks_of_its_run(world: World, run: str, number: int) -> None:
    made = expect(driver_of(world, run, number).create(world.path("apptasks"), task_body(run, owned=True)))
    assert made["status"] == {"phase": "Active", "attempt": 1}


def test_a_driver_starts_timers(world: World, run: str) -> None:
    body = task_body(run, owned=True, role="timer", task="sleep", seconds=1.5)
    expect(driver_of(world, run).create(world.path("apptasks"), body))


def test_a_driver_cannot_call_tasks_of_another_run(world: World, run: str) -> None:
    other = next(NAMES)
    answer = driver_of(world, run).create(world.path("apptasks"), task_body(other, owned=True))
    refused(answer, NOT_THE_DRIVER)
    assert f"tasks of run {other} are created by its own driver" in answer.message


ALMOST = ["driver-0-{0}", "driver-1x-{0}", "driver-01-{0}", "driver-1-driver-1-{0}", "1-{0}", "driver-{0}", "driver-1",
          "driver-1-{0}0", "driver-1-0{0}", "driver-1-00000000"]  # fmt: skip


@pytest.mark.parametrize("suffix", ALMOST)
def test_a_pod_that_is_named_almost_like_the_driver_is_refused(world: World, run: str, suffix: str) -> None:
    client = world.pod(f"{run}-{suffix.format(names.incarnation(worlds.RUN_UID))}", "apprun-driver")
    refused(client.create(world.path("apptasks"), task_body(run, owned=True)), NOT_THE_DRIVER)


def test_the_driver_of_a_run_with_a_longer_name_is_refused(world: World, run: str) -> None:
    longer = driver_of(world, f"{run}-driver-1")
    refused(longer.create(world.path("apptasks"), task_body(run, owned=True)), NOT_THE_DRIVER)
    expect(longer.create(world.path("apptasks"), task_body(f"{run}-driver-1", owned=True)))


def test_a_task_pod_may_not_even_try_to_call_tasks(world: World, run: str) -> None:
    task = world.task(run)
    answer = world.pod_of(task).create(world.path("apptasks"), task_body(run, owned=True))
    refused(answer, "cannot create resource")


def test_another_service_account_is_no_driver(world: World, run: str) -> None:
    subject = {"kind": "ServiceAccount", "name": "custom", "namespace": world.namespace}
    body = worlds.binding("apprun-driver", subject) | {"metadata": {"name": f"imposter-{run}"}}
    expect(world.admin.create(f"{worlds.RBAC}/namespaces/{world.namespace}/rolebindings", body))
    imposter = world.pod(names.pod_name(f"{run}-driver", 1, worlds.RUN_UID), "custom")
    call = task_body(run, owned=True)
    worlds.eventually(lambda: "cannot create" not in imposter.create(world.path("apptasks"), call).message)
    refused(imposter.create(world.path("apptasks"), call), NOT_THE_DRIVER)
    expect(world.admin.delete(f"{worlds.RBAC}/namespaces/{world.namespace}/rolebindings/imposter-{run}"))


def test_the_drivers_service_account_without_its_pod_is_refused(world: World, run: str) -> None:
    answer = world.account("apprun-driver").create(world.path("apptasks"), task_body(run, owned=True))
    refused(answer, NOT_THE_DRIVER)


def test_nobody_calls_tasks_by_hand(world: World, run: str) -> None:
    refused(world.admin.create(world.path("apptasks"), task_body(run, owned=True)), NOT_THE_DRIVER)


def test_a_driver_cannot_make_drivers(world: World, run: str) -> None:
    answer = driver_of(world, run).create(world.path("apptasks"), task_body(run, driver=True, owned=True))
    refused(answer, "apprun: only the operator starts drivers and inspections")


def references(run: str) -> dict[str, list[dict[str, Any]]]:
    own = owner(run)
    return {
        "none": [],
        "another run": [owner("other")],
        "two": [own, owner("other") | {"controller": False}],
        "another kind": [own | {"kind": "App"}],
        "another group": [own | {"apiVersion": "batch/v1"}],
    }


@pytest.mark.parametrize("which", references(""))
def test_a_called_task_belongs_to_its_run(world: World, run: str, which: str) -> None:
    body = task_body(run)
    body["metadata"]["ownerReferences"] = references(run)[which]
    refused(driver_of(world, run).create(world.path("apptasks"), body), "apprun: not owned by its run")


def test_a_called_task_has_no_finalizers(world: World, run: str) -> None:
    body = task_body(run, owned=True)
    body["metadata"]["finalizers"] = ["apprun.dev/hang"]
    refused(driver_of(world, run).create(world.path("apptasks"), body), "apprun: a task has no finalizers")


@pytest.mark.parametrize("name", ["{run}-fedcba9876543210", "{run}-driver", "other-" + KEY[:16], "{run}-" + KEY])
def test_the_name_of_a_task_says_its_run_and_key(world: World, run: str, name: str) -> None:
    body = task_body(run, owned=True)
    body["metadata"]["name"] = name.format(run=run)
    refused(driver_of(world, run).create(world.path("apptasks"), body), "an AppTask is named <run>-", 422)


def test_a_driver_cannot_create_a_task_with_a_result(world: World, run: str) -> None:
    body = task_body(run, owned=True) | {"status": {"phase": "Succeeded", "output": 1}}
    made = expect(driver_of(world, run).create(world.path("apptasks"), body))
    assert made["status"] == {"phase": "Active", "attempt": 1}


# Protection


@pytest.mark.parametrize("phase", ["Succeeded", "Failed", "Cancelled"])
def test_a_finished_task_is_not_deleted_by_hand(world: World, run: str, phase: str) -> None:
    task = world.task(run, status={"phase": phase})
    refused(world.admin.delete(world.path("apptasks", task)), TASK_PROTECTED)


def test_a_finished_task_that_its_run_left_behind_may_be_deleted(world: World, run: str) -> None:
    task = world.task(run, status={"phase": "Succeeded"})
    orphaned = {"metadata": {"ownerReferences": None}}
    refused(world.admin.patch(world.path("apptasks", task), orphaned), TASK_UNTOUCHABLE)
    expect(world.admin.impersonating(worlds.GARBAGE_COLLECTOR).patch(world.path("apptasks", task), orphaned))
    expect(world.admin.delete(world.path("apptasks", task)))


def test_deletecollection_spares_finished_tasks(world: World, run: str) -> None:
    task = world.task(run, status={"phase": "Succeeded"})
    refused(world.admin.delete(world.path("apptasks") + f"?fieldSelector=metadata.name%3D{task}"), TASK_PROTECTED)
    expect(world.admin.get(world.path("apptasks", task)))


@pytest.mark.parametrize("user", [worlds.GARBAGE_COLLECTOR, worlds.NAMESPACE_CONTROLLER])
def test_the_clusters_own_clean_up_deletes_finished_tasks(world: World, run: str, user: str) -> None:
    task = world.task(run, status={"phase": "Succeeded"})
    expect(world.admin.impersonating(user).delete(world.path("apptasks", task)))


@pytest.mark.skipif(kubeconfig() is not None, reason="a bare API server collects no garbage")
def test_finished_tasks_and_pages_go_with_their_run(world: World, run: str) -> None:
    spec = {"app": {"entry": "app:Hello"}, "suspend": True}
    body = {"apiVersion": worlds.API, "kind": "AppRun", "metadata": {"name": run}, "spec": spec}
    owned = owner(run) | {"uid": expect(world.admin.create(world.path("appruns"), body))["metadata"]["uid"]}
    task, page = task_body(run), page_body(run)
    for made in (task, page):
        made["metadata"]["ownerReferences"] = [owned]
    expect(world.operator.create(world.path("apptasks"), task))
    expect(world.operator.create(world.path("appledgers"), page))
    expect(report(world.operator, world, task["metadata"]["name"], phase="Cancelled"))
    expect(world.admin.delete(world.path("appruns", run)))
    for resource, made in (("apptasks", task), ("appledgers", page)):
        path = world.path(resource, made["metadata"]["name"])
        worlds.eventually(partial(worlds.gone, world.admin, path), seconds=60)


def test_the_policy_lets_the_operator_delete_finished_tasks(world: World, run: str) -> None:
    task = world.task(run, status={"phase": "Succeeded"})
    expect(world.operator_as_admin().delete(world.path("apptasks", task)))


def test_an_unfinished_task_may_be_deleted_by_hand(world: World, run: str) -> None:
    expect(world.admin.delete(world.path("apptasks", world.task(run))))


@pytest.mark.parametrize(
    "change",
    [
        {"ownerReferences": [owner("other")]},
        {"finalizers": ["apprun.dev/hang"]},
        {"labels": {"apprun.dev/run": "other"}},
        {"annotations": {"a": "b"}},
    ],
    ids=lambda change: next(iter(change)),
)
def test_the_metadata_of_a_task_is_left_alone(world: World, run: str, change: dict[str, Any]) -> None:
    task = world.task(run)
    refused(world.admin.patch(world.path("apptasks", task), {"metadata": change}), TASK_UNTOUCHABLE)


def test_the_spec_of_a_task_never_changes(world: World, run: str) -> None:
    task = world.task(run)
    change = {"spec": {"input": {"name": "Other"}}}
    refused(world.operator_as_admin().patch(world.path("apptasks", task), change), "its spec is immutable", 422)


def test_an_update_that_changes_nothing_passes(world: World, run: str) -> None:
    task = world.task(run, status={"phase": "Succeeded"})
    stored = expect(world.admin.get(world.path("apptasks", task)))
    expect(world.admin.send("PUT", world.path("apptasks", task), stored))


def page_body(run: str, number: int = 0) -> dict[str, Any]:
    checkpoints = [
        {
            "sequence": number * 128 + place,
            "key": f"{place:032x}",
            "task": "greet",
            "outcome": "Succeeded",
            "attempts": 1,
            "digest": "0" * 32,
            "at": "2026-01-01T00:00:00Z",
        }
        for place in range(128)
    ]
    return {
        "apiVersion": worlds.API,
        "kind": "AppLedger",
        "metadata": {"name": f"{run}-{number}"},
        "spec": {"run": run, "number": number, "checkpoints": checkpoints},
    }


def test_only_the_operator_writes_pages(world: World, run: str) -> None:
    refused(world.admin.create(world.path("appledgers"), page_body(run)), LEDGER_PROTECTED)
    expect(world.operator.create(world.path("appledgers"), page_body(run)))


def test_a_page_is_neither_changed_nor_deleted_by_hand(world: World, run: str) -> None:
    expect(world.operator.create(world.path("appledgers"), page_body(run)))
    path = world.path("appledgers", f"{run}-0")
    refused(world.admin.delete(path), LEDGER_PROTECTED)
    refused(world.admin.patch(path, {"metadata": {"ownerReferences": [owner("other")]}}), LEDGER_PROTECTED)
    refused(world.operator_as_admin().patch(path, {"spec": {"number": 1}}), "never changes", 422)
    expect(world.admin.impersonating(worlds.GARBAGE_COLLECTOR).delete(path))


def test_only_the_operator_writes_the_status_of_runs_and_apps(world: World, run: str) -> None:
    spec = {"entry": "app:Hello"}
    for resource, kind, body in (("apps", "App", spec), ("appruns", "AppRun", {"app": spec, "suspend": True})):
        made = {"apiVersion": worlds.API, "kind": kind, "metadata": {"name": run}, "spec": body}
        expect(world.admin.create(world.path(resource), made))
        change = {"status": {"conditions": []}}
        refused(world.admin.patch(world.path(resource, run, "status"), change), STATUS_PROTECTED)
        expect(world.operator_as_admin().patch(world.path(resource, run, "status"), change))


# Imports, and the operator's mark


def marked(run: str, **annotations: str) -> dict[str, Any]:
    """A run that waits, with such annotations."""
    return {
        "apiVersion": worlds.API,
        "kind": "AppRun",
        "metadata": {"name": run, "annotations": {f"apprun.dev/{name}": text for name, text in annotations.items()}},
        "spec": {"app": {"entry": "app:Hello"}, "suspend": True},
    }


def restored(body: dict[str, Any], run_uid: str = worlds.RUN_UID) -> dict[str, Any]:
    """The same as an import creates it."""
    metadata = body["metadata"] | {"annotations": {"apprun.dev/restored-from": "before"}}
    return body | {"metadata": metadata | {"ownerReferences": [owner(body["spec"]["run"], run_uid)]}}


def run_under_import(world: World, run: str) -> str:
    """Uid of a run that an import has just created. What is imported for it stays: its owner is there."""
    made = expect(world.admin.create(world.path("appruns"), marked(run, **{"restored-from": "before"})))
    uid: str = made["metadata"]["uid"]
    return uid


def editor(world: World) -> Client:
    """Who may write everything, as far as RBAC goes, but has no verb `restore`."""
    name = "everything-but-restore"
    rules = [
        {
            "apiGroups": ["apprun.dev"],
            "resources": ["*"],
            "verbs": ["get", "list", "create", "patch", "update", "delete"],
        },
        {"apiGroups": [""], "resources": ["pods"], "verbs": ["create"]},
    ]
    role = {"metadata": {"name": name}, "rules": rules}
    world.admin.create(f"{worlds.RBAC}/namespaces/{world.namespace}/roles", role)
    subject = {"kind": "ServiceAccount", "name": "custom", "namespace": world.namespace}
    reference = {"apiGroup": worlds.GROUP, "kind": "Role", "name": name}
    bound = {"metadata": {"name": name}, "roleRef": reference, "subjects": [subject]}
    world.admin.create(f"{worlds.RBAC}/namespaces/{world.namespace}/rolebindings", bound)
    return world.account("custom")


def test_an_import_creates_tasks_and_writes_each_status_once(world: World, run: str) -> None:
    uid = run_under_import(world, run)
    for driver in (False, True):
        body = restored(task_body(run, driver=driver), uid)
        name = body["metadata"]["name"]
        expect(world.admin.create(world.path("apptasks"), body))
        past = {"phase": "Succeeded", "attempt": 3, "output": {"n": None}, "restoredAt": "2026-01-01T00:00:00Z"}
        operations = [{"op": "add", "path": "/status", "value": past}]
        made = expect(world.admin.json_patch(world.status(name), operations))
        assert made["status"] == past
        refused(report(world.admin, world, name, output={"n": 1}), NOT_A_POD)


def test_an_open_task_that_was_imported_is_its_pods_again(world: World, run: str) -> None:
    uid = run_under_import(world, run)
    body = restored(task_body(run), uid)
    name = expect(world.admin.create(world.path("apptasks"), body))["metadata"]["name"]
    expect(report(world.admin, world, name, attempt=2, restoredAt="2026-01-01T00:00:00Z"))
    refused(report(world.admin, world, name, phase="Succeeded", output={}), NOT_A_POD)
    pod = world.pod(names.pod_name(name, 2, uid))
    refused(report(pod, world, name, **REPORT, restoredAt=None), NOT_YOURS)
    expect(report(pod, world, name, **REPORT))


def test_an_import_writes_pages_of_its_run_only(world: World, run: str) -> None:
    expect(world.admin.create(world.path("appledgers"), restored(page_body(run))))
    foreign = restored(page_body(run, 1))
    foreign["metadata"]["ownerReferences"] = [owner("other")]
    refused(world.admin.create(world.path("appledgers"), foreign), LEDGER_PROTECTED)


def test_without_the_verb_restore_an_annotation_opens_nothing(world: World, run: str) -> None:
    client = editor(world)
    task = restored(task_body(run))
    worlds.eventually(lambda: "cannot create" not in client.create(world.path("apptasks"), task).message)
    refused(client.create(world.path("apptasks"), task), NOT_THE_DRIVER)
    refused(client.create(world.path("appledgers"), restored(page_body(run))), LEDGER_PROTECTED)
    expect(client.create(world.path("appruns"), marked(run, **{"restored-from": "before"})))
    past = {"status": {"restoredFrom": {"uid": "before"}, "phase": "Succeeded"}}
    refused(client.patch(world.path("appruns", run, "status"), past), STATUS_PROTECTED)


def test_a_run_status_is_imported_once(world: World, run: str) -> None:
    path, other = world.path("appruns", run, "status"), next(NAMES)
    past = {"status": {"restoredFrom": {"uid": "before"}, "phase": "Failed", "finishedAt": "2026-01-01T00:00:00Z"}}
    expect(world.admin.create(world.path("appruns"), marked(run, **{"restored-from": "before"})))
    refused(world.admin.patch(path, {"status": {"phase": "Failed"}}), STATUS_PROTECTED)
    refused(world.admin.patch(path, {"status": {"restoredFrom": {"uid": "else"}}}), STATUS_PROTECTED)
    expect(world.admin.patch(path, past))
    refused(world.admin.patch(path, {"status": {"message": "again"}}), STATUS_PROTECTED)
    began = {"status": {"app": {"name": "Hello", "entry": "app:Hello"}, "phase": "Running"}}
    expect(world.admin.create(world.path("appruns"), marked(other, **{"restored-from": "before"})))
    expect(world.operator_as_admin().patch(world.path("appruns", other, "status"), began))
    refused(world.admin.patch(world.path("appruns", other, "status"), past), STATUS_PROTECTED)


def test_the_operator_changes_nothing_of_a_run_but_its_mark(world: World, run: str) -> None:
    made = expect(world.admin.create(world.path("appruns"), marked(run, team="a")))
    path, mark = world.path("appruns", run), "apprun.dev/began-as"
    for change in (
        {"spec": {"suspend": False}},
        {"metadata": {"labels": {"a": "b"}}},
        {"metadata": {"finalizers": ["apprun.dev/hold"]}},
        {"metadata": {"annotations": {"apprun.dev/team": "b"}}},
        {"metadata": {"annotations": {"apprun.dev/team": None}}},
        {"metadata": {"annotations": {mark: "another"}}},
    ):
        refused(world.operator.patch(path, change), "apprun: the operator writes nothing of a run but its status")
    expect(world.operator.patch(path, {"metadata": {"annotations": {mark: made["metadata"]["uid"]}}}))


# Roles


def test_a_task_pod_reads_nothing(world: World, run: str) -> None:
    task = world.task(run)
    pod = world.pod_of(task)
    for path in (
        world.path("apptasks", task),
        world.path("apptasks"),
        world.path("appruns"),
        world.path("appledgers"),
        world.path("apps"),
        f"{world.core}/pods",
        f"{world.core}/secrets",
        f"{world.core}/configmaps",
        "/api/v1/nodes",
    ):
        refused(pod.get(path), "cannot")


def test_a_driver_reads_tasks_one_run_one_page_and_nothing_else(world: World, run: str) -> None:
    driver = driver_of(world, run)
    expect(driver.get(world.path("apptasks", world.task(run))))
    expect(driver.get(world.path("apptasks")))
    for resource in ("appruns", "appledgers"):
        assert driver.get(world.path(resource, run)).code == 404, "one that it may read, if there were one"
        refused(driver.get(world.path(resource)), "cannot list")
    for path in (
        world.path("apps"),
        f"{world.core}/pods",
        f"{world.core}/secrets",
        f"{world.core}/configmaps",
        f"/apis/{worlds.API}/apptasks",
    ):
        refused(driver.get(path), "cannot")


def test_the_operator_reads_no_secrets_and_grants_no_other_role(world: World) -> None:
    for path in (f"{world.core}/secrets", f"{world.core}/configmaps", "/api/v1/secrets", "/api/v1/nodes"):
        refused(world.operator.get(path), "cannot")
    subject = {"kind": "ServiceAccount", "name": "custom", "namespace": world.namespace}
    body = worlds.binding("cluster-admin", subject)
    answer = world.operator.create(f"{worlds.RBAC}/namespaces/{world.namespace}/rolebindings", body)
    refused(answer, "is attempting to grant RBAC permissions not currently held")
