"""Keywords of `@task` that shape its pod: what they become on the wire, and what is refused where it is written."""

from __future__ import annotations

from typing import Any

import pytest

from application_sdk.app.task_options import AMOUNTS, POD_OPTIONS, TaskOptions, apply_options
from application_sdk.errors import AppDefinitionError
from application_sdk.execution.definition import TaskSettings


def fields(**options: Any) -> dict[str, Any]:
    return dict(apply_options(TaskSettings(), options, "@task").pod)  # type: ignore[arg-type] # any keyword


def refusal(**options: Any) -> str:
    with pytest.raises(AppDefinitionError) as caught:
        fields(**options)
    return str(caught.value)


def test_every_pod_option_has_a_conversion() -> None:
    from application_sdk.app.pod_options import OPTIONS

    assert OPTIONS.keys() == POD_OPTIONS
    assert TaskOptions.__annotations__.keys() >= POD_OPTIONS | AMOUNTS


def test_env_is_what_a_manifest_has() -> None:
    env = {"MODE": "fast", "TOKEN": {"secret": "api", "key": "token"}, "URL": {"configMap": "api", "key": "url"}}
    assert fields(env=env)["env"] == [
        {"name": "MODE", "value": "fast"},
        {"name": "TOKEN", "valueFrom": {"secretKeyRef": {"name": "api", "key": "token"}}},
        {"name": "URL", "valueFrom": {"configMapKeyRef": {"name": "api", "key": "url"}}},
    ]


def test_optional_key_is_optional_in_the_manifest() -> None:
    (variable,) = fields(env={"A": {"secret": "api", "key": "a", "optional": True}})["env"]
    assert variable["valueFrom"]["secretKeyRef"]["optional"] is True


def test_env_from_is_what_a_manifest_has() -> None:
    sources = [{"configMap": "settings"}, {"secret": "db", "prefix": "DB_", "optional": True}]
    assert fields(env_from=sources)["envFrom"] == [
        {"configMapRef": {"name": "settings"}},
        {"secretRef": {"name": "db", "optional": True}, "prefix": "DB_"},
    ]


def test_pull_secrets_are_named_as_in_a_manifest() -> None:
    assert fields(image_pull_secrets=["registry"])["imagePullSecrets"] == [{"name": "registry"}]


def test_labels_and_annotations_stay_as_they_are() -> None:
    made = fields(labels={"team": "a"}, annotations={"sidecar.istio.io/inject": "false"})
    assert made == {"labels": {"team": "a"}, "annotations": {"sidecar.istio.io/inject": "false"}}


def test_options_of_a_call_replace_those_of_the_task() -> None:
    settings = apply_options(TaskSettings(), {"env": {"A": "1"}, "labels": {"a": "b"}}, "@task")
    changed = apply_options(settings, {"env": {"B": "2"}}, "options()")
    assert changed.pod == {"env": [{"name": "B", "value": "2"}], "labels": {"a": "b"}}
    assert settings.pod["env"] == [{"name": "A", "value": "1"}]


def test_single_amounts_stay_single() -> None:
    assert fields(cpu="1", memory="2Gi", resources={"ephemeral-storage": "10Gi", "amd.com/gpu": 2}, gpu=0) == {
        "cpu": "1",
        "memory": "2Gi",
        "resources": {"ephemeral-storage": "10Gi", "amd.com/gpu": "2"},
        "gpu": 0,
    }


def test_pairs_are_requests_and_limits() -> None:
    assert fields(cpu=("100m", None), memory=("256Mi", "1Gi"), resources={"ephemeral-storage": ("1Gi", "2Gi")}) == {
        "requests": {"cpu": "100m", "memory": "256Mi", "ephemeral-storage": "1Gi"},
        "limits": {"memory": "1Gi", "ephemeral-storage": "2Gi"},
    }


def test_amount_of_a_call_replaces_the_pair_of_its_task() -> None:
    task = apply_options(TaskSettings(), {"cpu": ("100m", "1"), "memory": ("1Gi", "2Gi"), "shm": "1Gi"}, "@task")
    assert apply_options(task, {"cpu": "2"}, "options()").pod == {
        "cpu": "2",
        "requests": {"memory": "1Gi"},
        "limits": {"memory": "2Gi"},
        "shm": "1Gi",
    }
    assert task.pod["requests"] == {"cpu": "100m", "memory": "1Gi"}


def test_resources_of_a_call_replace_those_of_its_task() -> None:
    task = apply_options(TaskSettings(), {"cpu": ("1", "2"), "resources": {"ephemeral-storage": ("1", "2")}}, "@task")
    changed = apply_options(task, {"resources": {"amd.com/gpu": 1}}, "options()")
    assert changed.pod == {"requests": {"cpu": "1"}, "limits": {"cpu": "2"}, "resources": {"amd.com/gpu": "1"}}


VOLUMES: dict[str, Any] = {
    "/data": {"persistentVolumeClaim": {"claimName": "shared"}, "readOnly": True, "subPath": "a/b"},
    "/scratch": {"ephemeral": {"volumeClaimTemplate": {"spec": {"accessModes": ["ReadWriteOnce"]}}}},
    "/etc/app": {"configMap": {"name": "settings", "optional": True}},
    "/etc/tls": {"secret": {"secretName": "tls", "items": [{"key": "a", "path": "b"}]}},
    "/tokens": {"projected": {"sources": [{"serviceAccountToken": {"path": "vault", "audience": "vault"}}]}},
    "/cache": {"emptyDir": {"medium": "Memory", "sizeLimit": "1Gi"}},
    "/vault": {"csi": {"driver": "secrets-store.csi.k8s.io", "volumeAttributes": {"a": "b"}}},
}


def test_volumes_are_those_of_a_manifest_with_their_path() -> None:
    assert fields(volumes=VOLUMES)["volumes"] == [{"mountPath": path, **VOLUMES[path]} for path in VOLUMES]


def mounted(path: str) -> dict[str, Any]:
    return {"volumes": {path: {"emptyDir": {}}}}


@pytest.mark.parametrize("path", ["/tmp/a", "/var/lib/a", "/dev/shm", "/dev/hugepages", "/.a/..b", "/run/a", "/app"])
def test_volume_can_be_mounted_elsewhere(path: str) -> None:
    assert fields(**mounted(path))["volumes"] == [{"mountPath": path, "emptyDir": {}}]


OURS = (
    "/tmp /apprun /apprun/source /apprun/secrets/x /var /var/run /var/run/secrets /run /run/secrets/kubernetes.io "
    "/var/run/secrets/kubernetes.io/serviceaccount /proc/1 /sys /dev /dev/null"
)
MALFORMED = ("", "/", "data", "/a/../tmp", "/a/./b", "//a", "/a/", "/a b", "/a:b", "/..", "/a\n")


@pytest.mark.parametrize("path", OURS.split())
def test_no_volume_is_mounted_over_ours(path: str) -> None:
    assert f"volumes[{path!r}] is a folder that every pod has already" in refusal(**mounted(path))


@pytest.mark.parametrize("path", MALFORMED)
def test_mount_path_is_one_that_kubernetes_takes(path: str) -> None:
    assert f"volumes[{path!r}] is no absolute path" in refusal(**mounted(path))


PLACEMENT: dict[str, tuple[str, Any]] = {
    "affinity": ("affinity", {"podAntiAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": []}}),
    "topology_spread": ("topologySpreadConstraints", [{"topologyKey": "zone", "maxSkew": 1}]),
    "runtime_class": ("runtimeClassName", "gvisor"),
    "priority_class": ("priorityClassName", "batch"),
    "scheduler_name": ("schedulerName", "volcano"),
    "host_aliases": ("hostAliases", [{"ip": "10.0.0.1", "hostnames": ["db.example.com"]}]),
    "dns_config": (
        "dnsConfig",
        {"nameservers": ["10.0.0.2"], "searches": ["a.b"], "options": [{"name": "ndots", "value": "2"}]},
    ),
    "termination_grace_seconds": ("terminationGracePeriodSeconds", 120),
    "run_as_user": ("runAsUser", 1000),
    "fs_group": ("fsGroup", 2000),
    "spot": ("spot", True),
    "queue": ("queue", "team-a"),
}


@pytest.mark.parametrize("keyword", PLACEMENT)
def test_placement_is_that_of_a_manifest(keyword: str) -> None:
    field, value = PLACEMENT[keyword]
    assert fields(**{keyword: value}) == {field: value}


REFUSED: list[tuple[dict[str, Any], str]] = [
    ({"env": {"APPRUN_STATE": "{}"}}, "env['APPRUN_STATE'] is set by AppRun"),
    ({"env": {"PYTHONHASHSEED": "1"}}, "env['PYTHONHASHSEED'] is set by AppRun"),
    ({"env": {"a b": "1"}}, "env['a b'] is no name of an environment variable"),
    ({"env": {"A": 1}}, "env['A'] is 1: write a text"),
    ({"env": {"A": {"secret": "s"}}}, "env['A'] has the key None: name the key of the secret"),
    ({"env": {"A": {"secret": "s", "configMap": "c", "key": "k"}}}, "give exactly one"),
    ({"env": {"A": {"secret": "S!", "key": "k"}}}, "env['A']['secret'] is 'S!': name an object"),
    ({"env": {"A": "x" * 4097}}, "env['A'] has 4,097 characters: 4,096 are the limit"),
    ({"env": {f"A{n}": "" for n in range(65)}}, "env has 65 entries: 64 are the limit"),
    ({"env": ["A=1"]}, "env=['A=1'] must be a mapping"),
    ({"env_from": "settings"}, "env_from='settings' must be a list"),
    ({"env_from": [{"secret": "s", "prefix": "APPRUN_"}]}, "env_from[0] has the prefix 'APPRUN_'"),
    ({"env_from": [{"volume": "v"}]}, "env_from[0] is {'volume': 'v'}: write {\"secret\": name}"),
    ({"labels": {"apprun.dev/role": "driver"}}, "labels['apprun.dev/role'] is set by AppRun"),
    ({"labels": {"app.kubernetes.io/managed-by": "me"}}, "labels['app.kubernetes.io/managed-by'] is set by AppRun"),
    ({"labels": {"team": "a b"}}, "labels['team'] has the value 'a b'"),
    ({"labels": {"a/b/c": "x"}}, "labels['a/b/c'] is no key"),
    ({"annotations": {"apprun.dev/call": "{}"}}, "annotations['apprun.dev/call'] is AppRun's"),
    (
        {"annotations": {"container.apparmor.security.beta.kubernetes.io/task": "unconfined"}},
        "changes the security profile of the pod",
    ),
    ({"annotations": {"a": None}}, "annotations['a'] is None: write a text"),
    ({"cpu": ("2", "1")}, "cpu requests 2, more than its limit of 1"),
    ({"memory": ("1Gi", "1G")}, "memory requests 1Gi, more than its limit of 1G"),
    ({"cpu": ("1",)}, "cpu is ('1',): write (request, limit)"),
    ({"memory": ("much", "1Gi")}, "memory is 'much': write a quantity"),
    ({"resources": {"amd.com/gpu": (1, 2)}}, "only cpu, memory, ephemeral-storage have a request apart"),
    ({"resources": {"a b": 1}}, "resources['a b'] is no key"),
    ({"resources": {"amd.com/gpu": 1.5}}, "resources['amd.com/gpu'] is 1.5: write a quantity"),
    ({"gpu": -1}, "gpu=-1 must be a number of GPUs, from 0 to 64"),
    ({"gpu": True}, "gpu=True must be a number of GPUs"),
    ({"gpu": 1, "resources": {"nvidia.com/gpu": 1}}, "are the same: give one of them"),
    ({"shm": "a lot"}, "shm is 'a lot': write a quantity"),
    ({"volumes": {"/a": {"hostPath": {"path": "/"}}}}, "write one of persistentVolumeClaim, ephemeral"),
    ({"volumes": {"/a": {"readOnly": True}}}, "volumes['/a'] has none of persistentVolumeClaim"),
    ({"volumes": {"/a": {"emptyDir": {}, "csi": {}}}}, "volumes['/a'] has emptyDir and csi of"),
    ({"volumes": {"/a": {"emptyDir": {"sizeLimit": "big"}}}}, "volumes['/a']['emptyDir'] has the sizeLimit 'big'"),
    ({"volumes": {"/a": {"emptyDir": {"medium": "Disk"}}}}, "has the medium 'Disk': write 'Memory'"),
    ({"volumes": {"/a": {"secret": {"name": "x"}}}}, "volumes['/a']['secret'] is {'name': 'x'}: write"),
    ({"volumes": {"/a": {"ephemeral": {"volumeClaimTemplate": {}}}}}, "has no spec of a claim"),
    ({"volumes": {"/a": {"csi": {"driver": "a", "volumeAttributes": {"a": "x" * 9000}}}}}, "8,192 are the limit"),
    ({"volumes": {"/a": {"csi": {"driver": {1, 2}}}}}, "volumes['/a']['csi'] is no JSON"),
    ({"volumes": {"/a": {"emptyDir": {}, "subPath": "../b"}}}, "has the subPath '../b'"),
    ({"volumes": {f"/a{n}": {"emptyDir": {}} for n in range(17)}}, "volumes has 17 entries: 16 are the limit"),
    ({"affinity": {"nodes": {}}}, "affinity is {'nodes': {}}: write one or more of nodeAffinity"),
    ({"topology_spread": [{}]}, "topology_spread[0] has no topologyKey"),
    ({"topology_spread": [{"topologyKey": "a"}] * 9}, "topology_spread has 9 entries: 8 are the limit"),
    ({"runtime_class": "G V"}, "runtime_class is 'G V': name an object"),
    ({"host_aliases": [{"ip": "db", "hostnames": ["a"]}]}, "host_aliases[0] has the address 'db'"),
    ({"host_aliases": [{"ip": "10.0.0.1"}]}, "host_aliases[0]['hostnames']=None must be a list"),
    ({"dns_config": {"nameservers": [1]}}, "dns_config['nameservers'] has the address 1"),
    ({"dns_config": {"options": [{"name": "ndots", "value": 2}]}}, "name and value are texts"),
    ({"termination_grace_seconds": 0}, "termination_grace_seconds=0 must be a number of seconds, from 1 to 3600"),
    ({"run_as_user": 0}, "run_as_user=0 must be a number that isn't root's"),
    ({"spot": "yes"}, "spot is 'yes': write True or False"),
    ({"queue": "Team A"}, "queue is 'Team A': name an object"),
    ({"queue": "a" * 64}, "has more than 63 characters"),
    ({"fs_group": "staff"}, "fs_group='staff' must be a number that isn't root's"),
    ({"image_pull_secrets": ["A_B"]}, "image_pull_secrets[0] is 'A_B': name an object"),
    ({"image_pull_secrets": "registry"}, "image_pull_secrets='registry' must be a list"),
]


@pytest.mark.parametrize(("options", "message"), REFUSED, ids=[message[:40] for _, message in REFUSED])
def test_refusal_names_the_place(options: dict[str, Any], message: str) -> None:
    said = refusal(**options)
    assert message in said
    assert said.startswith("@task: ")
