"""Fields of App, task and the App's settings of a task, laid over one another."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, cast

from tests.support.records import APP, LIMITS, NOW, a_driver, a_run, a_task, seen

from application_sdk.wire import names
from application_sdk.wire.fields import ReuseFields
from apprun_operator.plan.actions import PatchTask
from apprun_operator.plan.call import attempts
from apprun_operator.plan.pod import pods
from apprun_operator.plan.pool.shape import shape_of


def pod(task: Any, **app: Any) -> dict[str, Any]:
    return dict(pods.pod(a_run(app={**APP, **app}), task, LIMITS).body)


def env(made: dict[str, Any]) -> dict[str, Any]:
    return {entry["name"]: entry["value"] for entry in made["spec"]["containers"][0]["env"] if "value" in entry}


def variables(**values: str) -> list[dict[str, str]]:
    return [{"name": name, "value": value} for name, value in values.items()]


def test_deployment_wins_over_code_and_code_over_the_app() -> None:
    made = pod(
        a_task("a", pod={"env": variables(A="task", B="task")}),
        pod={"env": variables(A="app", B="app", C="app")},
        tasks={"work": {"env": variables(A="deployed"), "runsIn": "pod"}, "other": {"env": variables(C="other")}},
    )
    assert env(made) == {"A": "deployed", "B": "task", "C": "app"}


def test_labels_are_merged_by_key() -> None:
    made = pod(a_task("a", pod={"labels": {"a": "task"}}), pod={"labels": {"a": "app", "b": "app"}})
    labels = made["metadata"]["labels"]
    assert (labels["a"], labels["b"]) == ("task", "app")


def test_lists_are_replaced_whole() -> None:
    own = [{"secretRef": {"name": "own"}}]
    made = pod(a_task("a", pod={"envFrom": own}), pod={"envFrom": [{"configMapRef": {"name": "all"}}]})
    sources = made["spec"]["containers"][0]["envFrom"]
    assert sources[:1] == own
    assert "all" not in str(sources)


def test_node_selector_of_a_task_replaces_the_apps() -> None:
    made = pod(a_task("a", pod={"nodeSelector": {"gpu": "yes"}}), pod={"nodeSelector": {"pool": "cpu"}})
    assert made["spec"]["nodeSelector"] == {"gpu": "yes"}


def test_driver_has_the_apps_fields_and_its_own() -> None:
    made = pod(a_driver(), pod={"env": variables(A="app", B="app")}, driver={"env": variables(A="driver")})
    assert env(made) == {"PYTHONHASHSEED": "0", "A": "driver", "B": "app"}


def test_settings_of_a_task_never_reach_the_driver() -> None:
    made = pod(a_driver(task="work"), tasks={"work": {"env": variables(A="1")}})
    assert "A" not in env(made)


def test_inspection_has_the_apps_fields() -> None:
    made = pod(a_task("a", role="inspect"), pod={"imagePullSecrets": [{"name": "registry"}]}, driver={"labels": {}})
    assert made["spec"]["imagePullSecrets"] == [{"name": "registry"}]


def test_own_sources_come_before_the_namespaces_file_store() -> None:
    made = pod(a_task("a", pod={"envFrom": [{"secretRef": {"name": "own"}}]}))
    sources = made["spec"]["containers"][0]["envFrom"]
    assert [next(iter(source.values()))["name"] for source in sources] == ["own", "apprun-store", "apprun-store"]


def resources(task: Any, **app: Any) -> Any:
    return pod(task, **app)["spec"]["containers"][0].get("resources")


def test_amounts_of_all_forms_become_requests_and_limits() -> None:
    own = {"cpu": "2", "gpu": 1, "resources": {"ephemeral-storage": "1Gi"}, "requests": {"memory": "1Gi"}}
    assert resources(a_task("a", pod=own)) == {
        "requests": {"cpu": "2", "nvidia.com/gpu": 1, "ephemeral-storage": "1Gi", "memory": "1Gi"},
        "limits": {"cpu": "2", "nvidia.com/gpu": 1, "ephemeral-storage": "1Gi"},
    }


def test_who_names_a_resource_says_its_request_and_its_limit() -> None:
    app = {"requests": {"cpu": "100m", "memory": "1Gi"}, "limits": {"cpu": "1", "memory": "2Gi"}}
    own = {"cpu": "4", "requests": {"memory": "3Gi"}}
    assert resources(a_task("a", pod=own), pod=app) == {
        "requests": {"cpu": "4", "memory": "3Gi"},
        "limits": {"cpu": "4"},
    }


def test_task_can_do_without_the_apps_gpu() -> None:
    assert resources(a_task("a", pod={"gpu": 0}), pod={"gpu": 1, "cpu": "1"}) == {
        "requests": {"cpu": "1"},
        "limits": {"cpu": "1"},
    }


def test_driver_holds_no_gpu_of_the_app_but_may_ask_for_one() -> None:
    app = {"gpu": 1, "memory": "1Gi", "resources": {"amd.com/gpu": 1, "ephemeral-storage": "1Gi"}, "shm": "1Gi"}
    amounts = {"memory": "1Gi", "ephemeral-storage": "1Gi"}
    assert resources(a_driver(), pod=app) == {"requests": amounts, "limits": amounts}
    assert "shm" not in str(pod(a_driver(), pod=app))
    assert resources(a_driver(), pod=app, driver={"gpu": 2})["limits"]["nvidia.com/gpu"] == 2


def test_shared_memory_has_its_size() -> None:
    made = pod(a_task("a", pod={"shm": "2Gi"}))
    assert made["spec"]["volumes"][-1] == {"name": "shm", "emptyDir": {"medium": "Memory", "sizeLimit": "2Gi"}}
    assert made["spec"]["containers"][0]["volumeMounts"][-1] == {"name": "shm", "mountPath": "/dev/shm"}


def claim(path: str, name: str) -> dict[str, Any]:
    return {"mountPath": path, "persistentVolumeClaim": {"claimName": name}}


def mounts(made: dict[str, Any]) -> dict[str, Any]:
    volumes = {volume["name"]: volume for volume in made["spec"]["volumes"]}
    return {m["mountPath"]: volumes[m["name"]] for m in made["spec"]["containers"][0]["volumeMounts"]}


def test_volumes_are_merged_by_their_path() -> None:
    app = {"volumes": [claim("/a", "app"), claim("/b", "app")]}
    made = mounts(pod(a_task("a", pod={"volumes": [claim("/b", "task"), claim("/c", "task")]}), pod=app))
    names = {path: volume["persistentVolumeClaim"]["claimName"] for path, volume in list(made.items())[2:]}
    assert names == {"/a": "app", "/b": "task", "/c": "task"}


def test_mount_says_what_of_the_volume_is_mounted_and_how() -> None:
    made = pod(a_task("a", pod={"volumes": [{**claim("/a", "x"), "readOnly": True, "subPath": "b"}]}))
    mount = made["spec"]["containers"][0]["volumeMounts"][-1]
    assert {**mount, "name": ""} == {"name": "", "mountPath": "/a", "readOnly": True, "subPath": "b"}


def test_disk_is_handed_to_the_group_of_the_pod() -> None:
    security = pod(a_task("a", pod={"volumes": [claim("/a", "x")]}))["spec"]["securityContext"]
    assert (security["fsGroup"], security["fsGroupChangePolicy"]) == (65532, "OnRootMismatch")
    folder = {"mountPath": "/a", "emptyDir": {}}
    assert "fsGroup" not in pod(a_task("a", pod={"volumes": [folder]}))["spec"]["securityContext"]


def test_drivers_have_no_volume_of_the_apps_defaults() -> None:
    app = {"volumes": [claim("/a", "x")]}
    assert "/a" not in mounts(pod(a_driver(), pod=app))
    assert "/a" not in mounts(pod(a_task("a", role="inspect"), pod=app))


def test_read_only_csi_volume_is_so_for_its_driver_too() -> None:
    csi = {"mountPath": "/a", "csi": {"driver": "d"}, "readOnly": True}
    assert mounts(pod(a_task("a", pod={"volumes": [csi]})))["/a"]["csi"] == {"driver": "d", "readOnly": True}


PLACE: dict[str, Any] = {
    "affinity": {"nodeAffinity": {}},
    "topologySpreadConstraints": [{"topologyKey": "zone"}],
    "runtimeClassName": "gvisor",
    "priorityClassName": "batch",
    "schedulerName": "volcano",
    "hostAliases": [{"ip": "10.0.0.1", "hostnames": ["db"]}],
    "dnsConfig": {"searches": ["a.b"]},
    "terminationGracePeriodSeconds": 120,
}


def test_place_is_handed_on_as_it_is() -> None:
    for task in (a_task("a"), a_driver()):
        spec = pod(task, pod=PLACE)["spec"]
        assert {field: spec[field] for field in PLACE} == PLACE


def test_user_is_the_pods_user_and_group() -> None:
    own = {"runAsUser": 1000, "volumes": [claim("/a", "x")]}
    security = pod(a_task("a", pod=own))["spec"]["securityContext"]
    assert [security[name] for name in ("runAsUser", "runAsGroup", "fsGroup")] == [1000, 1000, 1000]
    assert security["runAsNonRoot"] is True
    assert pod(a_task("a", pod={**own, "fsGroup": 7}))["spec"]["securityContext"]["fsGroup"] == 7


def test_no_pod_is_roots() -> None:
    security = pod(a_task("a", pod={"runAsUser": 0, "fsGroup": 0}))["spec"]["securityContext"]
    assert security["runAsUser"] == 65532
    assert "fsGroup" not in security


def test_cluster_may_choose_the_user() -> None:
    """OpenShift refuses any user but those of the namespace's range."""
    stored = {"storage": {"url": "file:///", "volumeClaim": {"name": "files"}}, "pod": {"volumes": [claim("/a", "x")]}}
    body = pods.pod(a_run(app={**APP, **stored}), a_task("a"), replace(LIMITS, run_as_user=None)).body
    security = {"runAsNonRoot": True, "seccompProfile": {"type": "RuntimeDefault"}}
    assert dict(body)["spec"]["securityContext"] == security


# Image, account and secrets of one task

SECRETS = [{"name": "stripe"}, {"name": "database"}]


def secrets_of(made: dict[str, Any]) -> list[str]:
    paths = [mount["mountPath"] for mount in made["spec"]["containers"][0]["volumeMounts"]]
    return [path.rpartition("/")[2] for path in paths if path.startswith(names.SECRETS_DIRECTORY)]


def test_deployment_names_image_and_secrets_of_a_task() -> None:
    task = a_task("a", pod={"image": "code:1", "serviceAccountName": "code", "secrets": ["database"]})
    override = {"image": "other:1", "secrets": ["stripe"]}
    made = pod(task, secrets=SECRETS, tasks={"work": override})
    assert made["spec"]["containers"][0]["image"] == "other:1"
    assert made["spec"]["serviceAccountName"] == "code"
    assert secrets_of(made) == ["stripe"]


def test_what_the_deployment_leaves_out_the_code_says() -> None:
    task = a_task("a", pod={"image": "code:1", "serviceAccountName": "code", "secrets": ["database"]})
    made = pod(task, secrets=SECRETS, serviceAccountName="app", tasks={"work": {"memory": "1Gi"}})
    assert made["spec"]["containers"][0]["image"] == "code:1"
    assert made["spec"]["serviceAccountName"] == "code"
    assert secrets_of(made) == ["database"]


def test_empty_list_of_a_deployment_is_no_secret() -> None:
    assert secrets_of(pod(a_task("a"), secrets=SECRETS, tasks={"work": {"secrets": []}})) == []
    assert secrets_of(pod(a_task("a"), secrets=SECRETS)) == ["stripe", "database"]


def test_secret_that_the_app_does_not_declare_fails_the_call() -> None:
    task = a_task("a")
    run = a_run(app={**APP, "secrets": SECRETS, "tasks": {"work": {"secrets": ["typo"]}}})
    (failed,) = attempts.decide(seen(task, run=run), task, NOW, LIMITS).actions
    assert isinstance(failed, PatchTask)
    assert cast("Any", failed.status)["error"]["type"] == "SecretNotDeclared"


def test_secrets_of_a_deployment_are_those_of_warm_pods() -> None:
    reuse: ReuseFields = {"replicas": {"min": 0, "max": 1}, "idleTtl": 60, "scaledownTtl": 60, "concurrency": 1,
                          "mode": "process"}  # fmt: skip
    task = a_task("a", reuse=reuse)
    run = a_run(app={**APP, "tasks": {"work": {"secrets": []}}})
    body = shape_of(seen(task, run=run), task, reuse).body.object()
    assert body["wanted"] == []


# Labels of the run

INHERITING = replace(LIMITS, inherited_labels=("cost.example.com/", "kueue.x-k8s.io/", "apprun.dev/"))
RUN_LABELS = {"cost.example.com/team": "ml", "other.example.com/team": "x", "kueue.x-k8s.io/queue-name": "team-a",
              "apprun.dev/run": "forged"}  # fmt: skip


def labels_of(task: Any, limits: Any, **app: Any) -> dict[str, str]:
    run = a_run(app={**APP, **app}, labels=RUN_LABELS)
    return dict(cast("Any", pods.pod(run, task, limits).body)["metadata"]["labels"])


def test_pods_inherit_the_labels_that_the_chart_names() -> None:
    labels = labels_of(a_task("a"), INHERITING)
    assert (labels["cost.example.com/team"], labels["kueue.x-k8s.io/queue-name"]) == ("ml", "team-a")
    assert "other.example.com/team" not in labels
    assert labels["apprun.dev/run"] == "run"


def test_pods_inherit_no_label_by_default() -> None:
    assert "ml" not in labels_of(a_task("a"), LIMITS).values()


def test_label_of_app_or_task_wins_over_an_inherited_one() -> None:
    assert (
        labels_of(a_task("a"), INHERITING, pod={"labels": {"cost.example.com/team": "web"}})["cost.example.com/team"]
        == "web"
    )


def test_driver_inherits_no_queue() -> None:
    labels = labels_of(a_driver(), INHERITING)
    assert labels["cost.example.com/team"] == "ml"
    assert "kueue.x-k8s.io/queue-name" not in labels
