"""A name comes again, an identity doesn't: pods, drivers and handlers of whoever had the name before are told apart."""

from __future__ import annotations

import zlib
from dataclasses import replace
from typing import Any

import pytest
from tests.cluster import admission_world as worlds
from tests.cluster.admission_world import RUN_UID, World, expect, owner, task_body
from tests.cluster.apiserver import Answer, Client
from tests.support.bed import Bed
from tests.support.kube import Kube, Object, eventually
from tests.support.runs import APPS, Runs, source

from application_sdk.wire import names
from application_sdk.wire.pod import REFUSED_NOT_CURRENT

EARLIER_UID = "a0000000-0000-4000-8000-000000000000"
REPORT: dict[str, Any] = {"phase": "Succeeded", "output": {"message": "Hello"}}
NOT_THE_DRIVER = "apprun: not the driver of this run"


@pytest.fixture
def run(request: pytest.FixtureRequest) -> str:
    return f"r{zlib.crc32(request.node.name.encode())}"


def report(client: Client, world: World, task: str, **status: Any) -> Answer:
    return client.patch(world.status(task), {"status": status or REPORT})


def refused(answer: Answer, words: str, code: int = 403) -> None:
    assert (answer.code, words in answer.message) == (code, True), f"{answer.code}: {answer.message or 'was allowed'}"


# Whose pod it is


def test_pod_of_an_earlier_run_of_the_name_may_not_report(world: World, run: str) -> None:
    task = world.task(run)
    answer = report(world.pod(names.pod_name(task, 1, EARLIER_UID)), world, task)
    refused(answer, REFUSED_NOT_CURRENT)
    assert f"only pod {world.pod_name(task)} may report" in answer.message
    expect(report(world.pod_of(task), world, task))


def test_pod_named_without_its_run_may_not_report(world: World, run: str) -> None:
    task = world.task(run)
    refused(report(world.pod(f"{task}-1"), world, task), REFUSED_NOT_CURRENT)


def test_nobody_reports_on_a_task_without_an_owner(world: World, run: str) -> None:
    task = world.task(run)
    collector = world.admin.impersonating(worlds.GARBAGE_COLLECTOR)
    expect(collector.patch(world.path("apptasks", task), {"metadata": {"ownerReferences": None}}))
    refused(report(world.pod_of(task), world, task), "this task has no owner any more")


def test_driver_of_an_earlier_run_of_the_name_calls_nothing(world: World, run: str) -> None:
    old = world.pod(names.pod_name(f"{run}-driver", 1, EARLIER_UID), "apprun-driver")
    body = task_body(run, owned=True)
    refused(old.create(world.path("apptasks"), body), NOT_THE_DRIVER)
    # Nor by a pattern, or by nothing, where the digits of a uid should be.
    for uid in ("........", "", "a000"):
        body["metadata"]["ownerReferences"] = [owner(run, uid)]
        assert not old.create(world.path("apptasks"), body).allowed, uid


# Pods that execute more than one call


def test_assigned_pod_reports_and_no_namesake_of_it(world: World, run: str) -> None:
    task, name = world.task(run), f"pool-{run}-1"
    gone, gone_uid = world.pod_with_uid(name)
    expect(world.admin.delete(f"{world.core}/pods/{name}"))
    worlds.eventually(lambda: worlds.gone(world.admin, f"{world.core}/pods/{name}"))
    pod, uid = world.pod_with_uid(name)
    expect(report(world.operator, world, task, pod={"name": name, "uid": gone_uid}))
    refused(report(pod, world, task), f"only pod {name} with uid {gone_uid} may report")
    expect(report(world.operator, world, task, pod={"name": name, "uid": uid}))
    # The token of a pod that is gone is good for a few seconds more.
    assert report(gone, world, task).code in (401, 403)
    refused(report(world.pod_of(task), world, task), REFUSED_NOT_CURRENT)
    expect(report(pod, world, task, **REPORT, reportedAttempt=1))


def test_report_of_the_attempt_before_is_refused(world: World, run: str) -> None:
    task = world.task(run)
    pod, uid = world.pod_with_uid(f"pool-{run}-1")
    for attempt in (1, 2):
        expect(report(world.operator, world, task, attempt=attempt, pod={"name": f"pool-{run}-1", "uid": uid}))
    for late in (REPORT, {**REPORT, "reportedAttempt": 1}, {**REPORT, "phase": "Saving", "reportedAttempt": 1}):
        refused(report(pod, world, task, **late), "was assigned attempt 2 of this call")
    expect(report(pod, world, task, **REPORT, reportedAttempt=2))


def test_driver_parks_for_its_own_attempt_alone(world: World, run: str) -> None:
    task = world.task(run, driver=True)
    driver = world.pod_of(task)
    refused(
        report(driver, world, task, parked={"attempt": 2, "ledgerLength": 0, "openCalls": 0}), "only a driver parks"
    )
    expect(report(driver, world, task, parked={"attempt": 1, "ledgerLength": 0, "openCalls": 0}))
    call = world.task(f"{run}-call")
    refused(
        report(world.pod_of(call), world, call, parked={"attempt": 1, "ledgerLength": 0, "openCalls": 0}),
        "only a driver parks",
    )


def test_late_report_after_a_reassignment_is_refused(world: World, run: str) -> None:
    task = world.task(run)
    first, first_uid = world.pod_with_uid(f"pool-{run}-1")
    second, second_uid = world.pod_with_uid(f"pool-{run}-2")
    expect(report(world.operator, world, task, attempt=1, pod={"name": f"pool-{run}-1", "uid": first_uid}))
    expect(report(first, world, task, progress={"done": 1}))
    expect(report(world.operator, world, task, attempt=2, pod={"name": f"pool-{run}-2", "uid": second_uid}))
    refused(report(first, world, task), REFUSED_NOT_CURRENT)
    expect(report(second, world, task, **REPORT, reportedAttempt=2))


@pytest.mark.parametrize("change", [None, {"name": "mine", "uid": "u"}], ids=["removes it", "names itself"])
def test_pod_doesnt_assign_calls(world: World, run: str, change: Any) -> None:
    task = world.task(run)
    pod, uid = world.pod_with_uid(f"pool-{run}-1")
    expect(report(world.operator, world, task, pod={"name": f"pool-{run}-1", "uid": uid}))
    refused(report(pod, world, task, pod=change), "apprun: not yours to write")


# Names of attempts' pods

POD: Object = {
    "serviceAccountName": "custom",
    "schedulingGates": [{"name": "apprun.dev/test"}],
    "containers": [{"name": "main", "image": "none"}],
}


@pytest.mark.parametrize("part", ["driver", "0123456789abcdef", "inspect-01234567"])
def test_name_of_an_attempts_pod_cant_be_taken(world: World, run: str, part: str) -> None:
    body = {"metadata": {"name": f"{run}-{part}-1-0a1b2c3d"}, "spec": POD}
    refused(world.admin.create(f"{world.core}/pods", body), "apprun: not a name for a pod of yours")
    expect(world.operator_as_admin().create(f"{world.core}/pods", body))


ORDINARY = [
    "web-7d4b9c8f6d-x2x7p", "db-0", "nightly-28401230-x7x2p", "index-3-x7x2p", "spark-0123456789abcdef-driver",
    "spark-driver-1", "spark-driver-svc-0a1b2c3d", "run-driver-1-0a1b2c3", "run-driver-1-0a1b2c3d4",
    "run-driver-1-x7x2p4q9", "a-0123456789abcdef-1", "argo-steps-0123456789", "driver-1-0a1b2c3d",
]  # fmt: skip


@pytest.mark.parametrize("name", ORDINARY)
def test_other_names_are_anybodys(world: World, name: str) -> None:
    body = {"metadata": {"name": name}, "spec": POD}
    expect(world.admin.create(f"{world.core}/pods?dryRun=All", body))


def test_controllers_make_their_pods_as_ever(world: World) -> None:
    body = {"metadata": {"generateName": "web-7d4b9c8f6d-"}, "spec": POD}
    expect(world.admin.create(f"{world.core}/pods?dryRun=All", body))


# Service accounts

OWN_ACCOUNTS = ["apprun-driver", "apprun-handler"]


@pytest.mark.parametrize("account", OWN_ACCOUNTS)
def test_no_task_runs_as_an_account_of_appruns_own(world: World, run: str, account: str) -> None:
    words = "tasks don't run as apprun-driver or apprun-handler"
    asked = {"entry": "app:Hello", "serviceAccountName": account}
    kinds = {"apps": asked, "appruns": {"app": asked, "suspend": True}}
    for resource, kind in (("apps", "App"), ("appruns", "AppRun")):
        body = {"apiVersion": worlds.API, "kind": kind, "metadata": {"name": run}, "spec": kinds[resource]}
        refused(world.admin.create(world.path(resource), body), words, 422)
    driver = world.pod(names.pod_name(f"{run}-driver", 1, RUN_UID), "apprun-driver")
    call = task_body(run, owned=True, pod={"serviceAccountName": account})
    refused(driver.create(world.path("apptasks"), call), words, 422)


def test_no_task_runs_as_the_operator(world: World, run: str) -> None:
    namespace, account = world.account_name
    driver = names.pod_name(f"{run}-driver", 1, RUN_UID)
    groups = world.admin.impersonating(f"system:serviceaccount:{namespace}:apprun-driver", "system:masters")
    extra = ("Impersonate-Extra-authentication.kubernetes.io%2Fpod-name", driver)
    as_driver = replace(groups, headers=(*groups.headers, extra))
    path = f"/apis/{worlds.API}/namespaces/{namespace}/apptasks?dryRun=All"
    call = task_body(run, owned=True, pod={"serviceAccountName": account})
    refused(as_driver.create(path, call), f"apprun: not a task's service account: {account} belongs to AppRun itself")
    expect(as_driver.create(path, task_body(run, owned=True, pod={"serviceAccountName": "own"})))


# Whole runs


def test_run_made_again_gets_its_own_result_only(bed: Bed, runs: Runs, kube: Kube) -> None:
    """Its namesake's pod ignores SIGTERM and goes on reporting; its namesake's driver is held, as on a lost node."""
    runs.upload("late")
    runs.app("late", "app:Late", serviceAccountName="probe")
    runs.until_inspected("late")
    runs.start("again", "late")

    def at_work() -> Object | None:
        return next((task for task in runs.tasks("again") if "progress" in task.get("status", {})), None)

    before = eventually("the first run's task is at work", at_work, 120)
    old_pods = {pod["metadata"]["name"] for pod in runs.pods("again")}
    driver = runs.driver_pod("again")
    held = kube.merge(f"{runs.core}/pods/{driver}", {"metadata": {"finalizers": ["apprun.dev/test"]}})
    admin = Client.from_kubeconfig(bed.kubeconfig)
    bound = {"apiVersion": "v1", "kind": "Pod", "name": driver, "uid": held["metadata"]["uid"]}
    token = worlds.token(admin, runs.namespace, "apprun-driver", bound)
    kube.delete(f"{runs.api}/appruns/again")
    runs.upload("late", (APPS / "late.py").read_text().replace('CODE = "old"', 'CODE = "new"'))
    runs.start("again", "late")

    def called_again() -> Object | None:
        return next(
            (task for task in runs.tasks("again") if task["metadata"]["uid"] != before["metadata"]["uid"]), None
        )

    after = eventually("the second run calls its task", called_again, 120)
    assert after["metadata"]["name"] == before["metadata"]["name"]
    second_uid = runs.get("again")["metadata"]["uid"]
    as_old_driver = Client.without_credentials(bed.kubeconfig).with_token(token)
    forged = task_body("again", key="f" * 32)
    forged["metadata"] |= {"name": f"again-{'f' * 16}", "ownerReferences": [owner("again", second_uid)]}
    refused(as_old_driver.create(f"{runs.api}/apptasks", forged), NOT_THE_DRIVER)
    try:
        status = runs.until_phase("again", "Succeeded", "Failed", seconds=180)
        told = eventually("the old pod says what it was told", lambda: kube.find(f"{runs.core}/configmaps/told"), 60)
    finally:
        kube.merge(f"{runs.core}/pods/{driver}", {"metadata": {"finalizers": None}})
    assert (status["phase"], status["output"]) == ("Succeeded", {"code": "new"})
    assert told["data"]["code"] == "403"
    assert f"{REFUSED_NOT_CURRENT}: pod " in told["data"]["message"]
    assert [(entry["task"], entry["attempts"]) for entry in runs.checkpoints("again")] == [("work", 1)]
    assert not old_pods & {names.pod_name(after["metadata"]["name"], 1, second_uid), runs.driver_pod("again")}


# What serves an app


def test_handler_leaves_what_others_have_made_alone(runs: Runs, kube: Kube) -> None:
    apps = f"/apis/apps/v1/namespaces/{runs.namespace}/deployments"
    services = f"{runs.core}/services"
    labels = {"app": "shop"}
    template = {"metadata": {"labels": labels}, "spec": {"containers": [{"name": "main", "image": "none"}]}}
    deployment = {"replicas": 0, "selector": {"matchLabels": labels}, "template": template}
    kube.create(apps, {"metadata": {"name": "payments-handler"}, "spec": deployment})
    kube.create(services, {"metadata": {"name": "payments-handler"},
                           "spec": {"selector": labels, "ports": [{"port": 80}]}})  # fmt: skip

    def theirs() -> list[Object]:
        items = [kube.get(f"{path}/payments-handler") for path in (apps, services)]
        return [{"metadata": _lasting(item["metadata"]), "spec": item["spec"]} for item in items]

    before = theirs()
    runs.upload("served")
    runs.app("payments", "app:Served", source=source("served"), handler={})
    ready = until_ready(runs, "payments", "HandlerRefused")
    assert "'payments-handler' of namespace" in ready["message"]
    assert "was not made for this App" in ready["message"]
    assert theirs() == before
    kube.merge(f"{runs.api}/apps/payments", {"spec": {"handler": None}})
    eventually("the status is without a handler", lambda: _unserved(runs, "payments"), 60)
    assert theirs() == before

    # Once they are out of the way, the App gets its own, and takes those with it.
    kube.delete(f"{apps}/payments-handler")
    kube.delete(f"{services}/payments-handler")
    kube.merge(f"{runs.api}/apps/payments", {"spec": {"handler": {}}})
    until_ready(runs, "payments", "HandlerReady")
    kube.merge(f"{runs.api}/apps/payments", {"spec": {"handler": None}})
    for path in (apps, services):
        eventually(
            "the App's own are gone", lambda path=path: kube.find(f"{path}/payments-handler") is None or None, 60
        )


def until_ready(runs: Runs, app: str, reason: str) -> Object:
    def reached() -> Object | None:
        status = runs.kube.get(f"{runs.api}/apps/{app}").get("status", {})
        return next((c for c in status.get("conditions", []) if (c["type"], c["reason"]) == ("Ready", reason)), None)

    return eventually(f"App {app} is {reason}", reached, 120)


def _lasting(metadata: Object) -> Object:
    return {name: metadata.get(name) for name in ("uid", "labels", "ownerReferences", "deletionTimestamp")}


def _unserved(runs: Runs, app: str) -> bool | None:
    return "handler" not in runs.kube.get(f"{runs.api}/apps/{app}")["status"] or None
