"""Secrets of an app as volumes of its task pods, and what is said of those that are missing."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from tests.support.records import APP, LIMITS, NOW, a_driver, a_pod, a_run, a_task, meta
from tests.support.records import seen as looks

from apprun_operator.observe.observed import Observed
from apprun_operator.observe.pods import PodEvent, PodRecord
from apprun_operator.observe.records import TaskRecord
from apprun_operator.plan.actions import FetchPodEvent, PatchTask
from apprun_operator.plan.pod import pods, secrets
from apprun_operator.plan.run.reconcile import plan

DECLARED: dict[str, Any] = {
    **APP,
    "secrets": [{"name": "payments"}, {"name": "db", "secret": {"name": "prod-db"}, "keys": ["password"]}],
}


def watched(*things: TaskRecord | PodRecord) -> Observed:
    """A run of an app with secrets, its driver at work."""
    return looks(a_driver(), a_pod(a_driver()), *things, run=a_run(app=DECLARED))


def spec(task: TaskRecord, app: dict[str, Any] = DECLARED) -> dict[str, Any]:
    made: dict[str, Any] = pods.pod(a_run(app=app), task, LIMITS).body["spec"]  # type: ignore[assignment]
    return made


def secret_mounts(made: dict[str, Any]) -> list[str]:
    mounts = made["containers"][0]["volumeMounts"]
    return [mount["mountPath"] for mount in mounts if mount["mountPath"].startswith("/apprun/secrets")]


def test_task_pod_gets_each_declared_secret_as_a_folder_of_its_name() -> None:
    made = spec(a_task("a"))
    assert secret_mounts(made) == ["/apprun/secrets/payments", "/apprun/secrets/db"]
    sources = [volume["secret"] for volume in made["volumes"] if "secret" in volume]
    assert sources == [
        {"secretName": "payments", "defaultMode": 0o444},
        {"secretName": "prod-db", "defaultMode": 0o444, "items": [{"key": "password", "path": "password"}]},
    ]


def test_driver_gets_no_secret() -> None:
    assert secret_mounts(spec(a_driver())) == []


@pytest.mark.parametrize(("asked", "given"), [(["db"], ["/apprun/secrets/db"]), ([], [])])
def test_task_that_asks_for_some_gets_no_other(asked: list[str], given: list[str]) -> None:
    assert secret_mounts(spec(a_task("a", pod={"secrets": asked}))) == given


def test_csi_volume_is_mounted_read_only_where_a_secret_would_be() -> None:
    csi = {"driver": "secrets-store.csi.k8s.io", "volumeAttributes": {"secretProviderClass": "vault"}}
    made = spec(a_task("a"), {**APP, "secrets": [{"name": "vault", "csi": csi}]})
    assert secret_mounts(made) == ["/apprun/secrets/vault"]
    assert made["volumes"][-1]["csi"] == {**csi, "readOnly": True}


def test_optional_secret_does_not_hold_up_the_pod() -> None:
    made = spec(a_task("a"), {**APP, "secrets": [{"name": "extra", "optional": True}]})
    assert made["volumes"][-1]["secret"]["optional"] is True


def test_task_that_asks_for_an_undeclared_secret_fails_before_it_has_a_pod() -> None:
    task = a_task("a", pod={"secrets": ["db", "slack"]})
    decided = plan(watched(task), NOW, LIMITS)
    (patch,) = [action for action in decided.then if isinstance(action, PatchTask)]
    assert patch.status["phase"] == "Failed"
    error: Any = patch.status["error"]
    assert error["type"] == "SecretNotDeclared"
    assert "slack" in error["message"]
    assert "spec.secrets" in error["message"]


def waiting(task: TaskRecord, **fields: Any) -> PodRecord:
    pod = a_pod(task, phase="Pending", running_since=None, waiting_reason="ContainerCreating", mounts=True)
    return replace(pod, meta=meta(pod.meta.key.name, owner_uid=task.meta.uid, created=NOW - 10), **fields)


def test_kubelet_is_asked_about_a_pod_with_volumes_that_does_not_start() -> None:
    task = a_task("a")
    seen = watched(task, waiting(task))
    asked = [action for action in plan(seen, NOW, LIMITS).first if isinstance(action, FetchPodEvent)]
    assert [action.pod for action in asked] == [task.pod_name]


def test_a_fresh_pod_is_left_alone_first() -> None:
    task = a_task("a")
    pod = replace(waiting(task), meta=meta("p", owner_uid=task.meta.uid, created=NOW - 1))
    pod = replace(pod, meta=replace(pod.meta, key=waiting(task).meta.key))
    seen = watched(task, pod)
    decided = plan(seen, NOW, LIMITS)
    assert not [action for action in decided.first if isinstance(action, FetchPodEvent)]
    assert decided.wake_at == NOW + 2


def test_kubelet_is_not_asked_again_at_once() -> None:
    task = a_task("a")
    words = {task.pod_name: PodEvent("no such Secret", NOW - 5)}
    seen = replace(watched(task, waiting(task)), pod_events=words)
    decided = plan(seen, NOW, LIMITS)
    assert not [action for action in decided.first if isinstance(action, FetchPodEvent)]
    assert decided.wake_at == NOW + 15


def test_kubelet_that_says_nothing_of_a_young_pod_is_asked_again_soon() -> None:
    task = a_task("a")
    seen = replace(watched(task, waiting(task)), pod_events={task.pod_name: PodEvent("", NOW - 2)})
    assert plan(seen, NOW, LIMITS).wake_at == NOW + 1


def test_missing_secret_is_told_with_its_remedy_on_the_waiting_task() -> None:
    task = a_task("a")
    said = 'MountVolume.SetUp failed for volume "secret-0" : secret "payments" not found'
    seen = replace(
        watched(task, waiting(task)),
        pod_events={task.pod_name: PodEvent(said, NOW - 1)},
    )
    (patch,) = [action for action in plan(seen, NOW, LIMITS).then if isinstance(action, PatchTask)]
    assert patch.status["phase"] == "Waiting"
    message = str(patch.status["message"])
    assert message.startswith("SecretNotFound: Secret 'payments' isn't there in namespace 'default'")
    assert "create it" in message


def test_secret_that_stays_away_fails_the_task_when_its_pod_has_waited_long_enough() -> None:
    task = a_task("a")
    pod = waiting(task)
    late = NOW + LIMITS.pending_timeout
    seen = replace(
        watched(task, pod),
        pod_events={task.pod_name: PodEvent('secret "payments" not found', late - 1)},
    )
    (patch,) = [action for action in plan(seen, late, LIMITS).then if isinstance(action, PatchTask)]
    assert patch.status["phase"] == "Failed"


@pytest.mark.parametrize(
    ("words", "reason", "told"),
    [
        ('secret "payments" not found', "SecretNotFound", "optional: true"),
        ('object "shop"/"payments" not registered', "VolumeNotMounted", "Kubelet says"),
        ("references non-existent secret key: token", "SecretKeyNotFound", "token"),
    ],
)
def test_kubelets_words_become_a_reason_and_a_remedy(words: str, reason: str, told: str) -> None:
    found, message = secrets.explained(words, "shop")
    assert found == reason
    assert told in message
