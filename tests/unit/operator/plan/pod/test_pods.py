"""The pod of an attempt, as data."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest
from tests.support.records import APP, LIMITS, RUN, a_driver, a_run, a_task

from application_sdk.wire import names
from apprun_operator.plan.limits import Limits
from apprun_operator.plan.pod import pods


def body(task: Any = None, run: Any = None) -> dict[str, Any]:
    return dict(pods.pod(run or a_run(), task or a_task("a", input={"x": 1}), LIMITS).body)


def call(made: dict[str, Any]) -> dict[str, Any]:
    parsed: dict[str, Any] = json.loads(made["metadata"]["annotations"][names.CALL_ANNOTATION])
    return parsed


def container(made: dict[str, Any]) -> dict[str, Any]:
    (only,) = made["spec"]["containers"]
    return dict(only)


def test_pod_carries_its_whole_call() -> None:
    task = a_task("a", input={"x": 1}, attempt=3, heartbeat={"done": 7})
    told = call(body(task))
    assert (told["input"], told["attempt"], told["heartbeat"]) == ({"x": 1}, 3, {"done": 7})
    assert told["idempotencyKey"] == f"uid-{RUN}/{task.key}"
    assert told["appTask"] == task.meta.key.name


def test_idempotency_key_is_the_same_for_every_attempt() -> None:
    first, third = (call(body(a_task("a", attempt=n)))["idempotencyKey"] for n in (1, 3))
    assert first == third


def test_driver_gets_the_runs_present_input_and_its_replay_rules() -> None:
    run = a_run(input={"corrected": True}, entrypoint="nightly", replay_rules=1)
    told = call(body(a_driver(input={"old": True}), run))
    assert (told["input"], told["entrypoint"], told["replayRules"]) == ({"corrected": True}, "nightly", 1)


def test_pod_meets_pod_security_restricted() -> None:
    made = body()
    assert made["spec"]["securityContext"]["runAsNonRoot"] is True
    assert made["spec"]["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert container(made)["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "capabilities": {"drop": ["ALL"]},
        "readOnlyRootFilesystem": True,
    }


def test_nothing_is_mounted_but_the_token_the_call_and_a_tmp() -> None:
    made = body()
    assert made["spec"]["automountServiceAccountToken"] is False
    assert [mount["mountPath"] for mount in container(made)["volumeMounts"]] == [names.POD_DIRECTORY, "/tmp"]


def test_source_is_mounted_where_the_pod_looks_for_it() -> None:
    made = body(run=a_run(app={**APP, "source": {"configMap": {"name": "code"}}}))
    assert container(made)["volumeMounts"][-1]["mountPath"] == names.SOURCE_DIRECTORY
    assert made["spec"]["volumes"][-1]["configMap"]["name"] == "code"


def test_missing_source_does_not_keep_the_pod_from_starting() -> None:
    made = body(run=a_run(app={**APP, "source": {"configMap": {"name": "code"}}}))
    assert made["spec"]["volumes"][-1]["configMap"]["optional"] is True


def test_pod_stays_on_a_lost_node_only_for_the_grace() -> None:
    tolerations = {t["key"]: t["tolerationSeconds"] for t in body()["spec"]["tolerations"]}
    assert tolerations == {"node.kubernetes.io/not-ready": 60, "node.kubernetes.io/unreachable": 60}


def test_pod_that_tolerates_everything_leaves_a_lost_node_all_the_same() -> None:
    """Kubernetes goes by the first toleration that fits a taint; one without a limit would keep the pod for ever."""
    everything = {"operator": "Exists"}
    tolerations = body(a_task("a", pod={"tolerations": [everything]}))["spec"]["tolerations"]
    assert [t.get("tolerationSeconds") for t in tolerations] == [60, 60, None]
    assert tolerations[-1] == everything


def test_pod_belongs_to_its_apptask_and_blocks_nobody() -> None:
    task = a_task("a")
    (owner,) = body(task)["metadata"]["ownerReferences"]
    assert (owner["uid"], owner["blockOwnerDeletion"]) == (task.meta.uid, False)
    assert "finalizers" not in body(task)["metadata"]


@pytest.mark.parametrize(
    ("task", "app", "account"),
    [
        (a_task("a"), {}, "apprun-task"),
        (a_task("a"), {"serviceAccountName": "reader"}, "reader"),
        (a_task("a", pod={"serviceAccountName": "own"}), {"serviceAccountName": "reader"}, "own"),
        (a_driver(), {"serviceAccountName": "reader"}, "apprun-driver"),
    ],
)
def test_service_account(task: Any, app: dict[str, Any], account: str) -> None:
    assert body(task, a_run(app={**APP, **app}))["spec"]["serviceAccountName"] == account


def test_tasks_own_resources_win_field_by_field() -> None:
    run = a_run(app={**APP, "pod": {"cpu": 1, "memory": "1Gi"}})
    made = body(a_task("a", pod={"memory": "2Gi"}), run)
    assert container(made)["resources"] == {
        "requests": {"cpu": 1, "memory": "2Gi"},
        "limits": {"cpu": 1, "memory": "2Gi"},
    }


def test_deadline_is_only_a_backstop_of_the_tasks_own() -> None:
    made = body(a_task("a", policy={"timeoutSeconds": 10.5, "retry": {}}))
    assert made["spec"]["activeDeadlineSeconds"] == 310
    assert "activeDeadlineSeconds" not in body()["spec"]


@pytest.mark.parametrize("name", ["extract", "a b", "-x-", "ä" * 90, "ns:task"])
def test_labels_are_valid_whatever_the_tasks_name(name: str) -> None:
    value = body(a_task("a", task=name))["metadata"]["labels"][names.TASK_LABEL]
    assert len(value) <= 63
    assert value == value.strip("-._")


def test_drivers_sets_iterate_alike_in_each_replay() -> None:
    assert {"name": "PYTHONHASHSEED", "value": "0"} in container(body(a_driver()))["env"]


def test_same_task_gives_the_same_bytes() -> None:
    assert json.dumps(body()) == json.dumps(body())


def test_priority_class_of_the_app_is_that_of_its_pods() -> None:
    run = a_run(app={**APP, "pod": {"priorityClassName": "batch"}})
    assert body(run=run)["spec"]["priorityClassName"] == "batch"
    assert "priorityClassName" not in body()["spec"]


def test_correlation_id_of_the_run_is_that_of_its_tasks() -> None:
    assert call(body(run=a_run(correlation_id="order-7")))["correlationId"] == "order-7"
    assert call(body())["correlationId"] == f"uid-{RUN}"


def test_pods_log_as_the_operator_is_told_to() -> None:
    def format_of(limits: Limits) -> list[object]:
        spec: Any = pods.pod(a_run(), a_task(), limits).body["spec"]
        return [env.get("value") for env in spec["containers"][0]["env"] if env["name"] == "APPRUN_LOG_FORMAT"]

    assert format_of(LIMITS) == []
    assert format_of(replace(LIMITS, log_format="text")) == ["text"]
