"""Whatever fields ask for, a pod's command, token, call and security context are AppRun's: generated fields, also such
as no API server would have admitted."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.support.records import APP, LIMITS, a_driver, a_run, a_task, meta, seen
from tests.unit.operator.plan.pod.test_default_pods import FULL, REUSE
from tests.unit.operator.plan.pod.test_pod_fields import PLACE

from application_sdk.wire import names
from apprun_operator.observe.workers import WorkerRecord
from apprun_operator.plan.pod import pods
from apprun_operator.plan.pool import worker_pods
from apprun_operator.plan.pool.shape import shape_of

OWN_NAMES = ("APPRUN_STATE", "APPRUN_NODE_NAME", "PYTHONHASHSEED", "APPRUN_POD_UID", "MODE", "PATH", "OTHER")
OWN_KEYS = (
    names.CALL_ANNOTATION,
    names.IMAGE_ANNOTATION,
    names.ROLE_LABEL,
    names.RUN_LABEL,
    names.MANAGED_BY_LABEL,
    "container.apparmor.security.beta.kubernetes.io/task",
    "team",
    "example.com/a",
)
reference = st.sampled_from(["a", "b", names.NAMESPACE_STORE]).map(lambda name: {"name": name})
variable = st.one_of(
    st.fixed_dictionaries({"name": st.sampled_from(OWN_NAMES), "value": st.text("$()AB", max_size=6)}),
    st.fixed_dictionaries(
        {
            "name": st.sampled_from(OWN_NAMES),
            "valueFrom": st.just({"secretKeyRef": {"name": "a", "key": "b"}}),
        }
    ),
)
keyed = st.dictionaries(st.sampled_from(OWN_KEYS), st.sampled_from(["", "x", "driver", "{}"]), max_size=6)
PATHS = (
    "/data",
    "/tmp",
    "/tmp/a",
    "/dev/shm",
    "/var/run",
    names.POD_DIRECTORY,
    "/run/secrets",
    "/apprun/source",
    "/a/..",
)
source = st.sampled_from(
    [
        {"persistentVolumeClaim": {"claimName": "a"}},
        {"emptyDir": {"medium": "Memory"}},
        {"csi": {"driver": "d"}, "readOnly": True},
        {"secret": {"secretName": "a"}, "configMap": {"name": "a"}},
        {"hostPath": {"path": "/"}},
        {"projected": {"sources": [{"serviceAccountToken": {"path": "token"}}]}, "subPath": "a"},
    ]
)
volume = st.builds(lambda path, kind: {"name": "pod", "mountPath": path, **kind}, st.sampled_from(PATHS), source)
amount = st.sampled_from(["1", "2Gi", 3])
amounts = st.dictionaries(st.sampled_from(["cpu", "memory", "ephemeral-storage", "amd.com/gpu"]), amount)
FIELDS: dict[str, st.SearchStrategy[Any]] = {
    "env": st.lists(variable, max_size=6),
    "envFrom": st.lists(st.one_of(reference.map(lambda r: {"secretRef": r}), st.just({"prefix": "APP"})), max_size=3),
    "labels": keyed,
    "annotations": keyed,
    "imagePullSecrets": st.lists(reference, max_size=3),
    "cpu": amount,
    "requests": amounts,
    "limits": amounts,
    "resources": amounts,
    "gpu": st.integers(0, 4),
    "shm": amount,
    "volumes": st.lists(volume, max_size=4),
    **{field: st.just(value) for field, value in PLACE.items()},
    "runAsUser": st.sampled_from([0, 1, 1000, -1]),
    "fsGroup": st.sampled_from([0, 1, 1000]),
    "spot": st.booleans(),
    "queue": st.sampled_from(["team-a", "driver"]),
}
some_fields = st.fixed_dictionaries({}, optional=FIELDS)


def parts(pod: dict[str, Any]) -> dict[str, Any]:
    """All of a pod that no field may change."""
    spec, (container,) = pod["spec"], pod["spec"]["containers"]
    own = {key: value for key, value in pod["metadata"].items() if key not in ("labels", "annotations")}
    volumes = {volume["name"]: volume for volume in spec["volumes"]}
    mounts = {mount["mountPath"]: mount for mount in container["volumeMounts"]}
    keys = [*pod["metadata"]["labels"].items(), *pod["metadata"]["annotations"].items()]
    return {
        "metadata": own,
        "keys": sorted((key, value) for key, value in keys if key.startswith(names.GROUP)),
        "managed": pod["metadata"]["labels"][names.MANAGED_BY_LABEL],
        "account": (spec["serviceAccountName"], spec["automountServiceAccountToken"]),
        "profile": {name: spec["securityContext"][name] for name in ("runAsNonRoot", "seccompProfile")},
        "restart": spec["restartPolicy"],
        "container": {name: container.get(name) for name in ("name", "image", "command", "args", "securityContext")},
        "own variables": sorted(
            json.dumps(entry) for entry in container["env"] if entry["name"].startswith(("APPRUN_", "PYTHON"))
        ),
        "token": (volumes["pod"], mounts[names.POD_DIRECTORY]),
        "tmp": (volumes["tmp"], mounts["/tmp"]),
        "tolerations": spec["tolerations"][:2],
    }


def assert_own(made: dict[str, Any], default: dict[str, Any]) -> None:
    assert parts(made) == parts(default)
    (container,) = made["spec"]["containers"]
    for entries, key in (
        (container["env"], "name"),
        (made["spec"]["volumes"], "name"),
        (container["volumeMounts"], "mountPath"),
    ):
        named = [entry[key] for entry in entries]
        assert len(named) == len(set(named))
    assert {mount["name"] for mount in container["volumeMounts"]} == {v["name"] for v in made["spec"]["volumes"]}
    for forbidden in ("hostNetwork", "hostPID", "hostIPC", "initContainers", "ephemeralContainers", "nodeName"):
        assert forbidden not in made["spec"]
    security = made["spec"]["securityContext"]
    assert min(security["runAsUser"], security["runAsGroup"], security.get("fsGroup", 1)) > 0
    assert "hostPath" not in json.dumps(made["spec"]["volumes"])
    assert not any("apparmor" in key for key in made["metadata"].get("annotations", {}))


@settings(max_examples=300, deadline=None)
@given(app=some_fields, own=some_fields, deployed=some_fields, driver=some_fields, full=st.booleans())
def test_no_field_takes_over_what_is_ours(app: Any, own: Any, deployed: Any, driver: Any, full: bool) -> None:
    base = {**FULL, "pod": {}} if full else APP
    run = a_run(app={**base, "pod": app, "tasks": {"work": deployed}, "driver": driver})
    for task in (a_task("a", pod=own), a_driver(), a_task("a", role="inspect")):
        plain = a_driver() if task.role == "driver" else a_task("a", role=task.role)
        assert_own(dict(pods.pod(run, task, LIMITS).body), dict(pods.pod(a_run(app=base), plain, LIMITS).body))


@settings(max_examples=100, deadline=None)
@given(app=some_fields, own=some_fields, deployed=some_fields)
def test_no_field_takes_over_a_warm_pod(app: Any, own: Any, deployed: Any) -> None:
    asked = {**APP, "pod": app, "tasks": {"work": deployed}}
    made, default = (
        worker_pods.pod(WorkerRecord(meta("pool-0"), "pool", "App", 0), shape, LIMITS).body
        for shape in (
            shape_of(seen(run=a_run(app=asked, app_ref="")), a_task("a", pod=own), REUSE),
            shape_of(seen(run=a_run(app=APP, app_ref="")), a_task("a"), REUSE),
        )
    )
    labels = {**default["metadata"]["labels"], names.POOL_LABEL: made["metadata"]["labels"][names.POOL_LABEL]}
    assert_own(dict(made), {**default, "metadata": {**default["metadata"], "labels": labels}})


@pytest.mark.parametrize("field", FIELDS)
def test_every_field_makes_a_pool_of_its_own(field: str) -> None:
    values: dict[str, Any] = {
        **PLACE,
        "runAsUser": 1000,
        "fsGroup": 1000,
        "spot": True,
        "queue": "team-a",
        "env": [{"name": "A", "value": "1"}],
        "envFrom": [{"secretRef": {"name": "a"}}],
        "labels": {"a": "b"},
        "annotations": {"a": "b"},
        "imagePullSecrets": [{"name": "a"}],
        "cpu": "1",
        "requests": {"cpu": "1"},
        "limits": {"cpu": "1"},
        "resources": {"amd.com/gpu": "1"},
        "gpu": 1,
        "shm": "1Gi",
        "volumes": [{"mountPath": "/a", "emptyDir": {}}],
    }
    pools = {
        shape_of(seen(run=a_run(app=APP, app_ref="")), a_task("a", pod=own), REUSE).pool
        for own in ({}, {field: values[field]})
    }
    assert len(pools) == 2


def test_value_of_ours_never_depends_on_a_users() -> None:
    """The kubelet expands `$(NAME)` by the variables that come before."""
    made = pods.pod(a_run(), a_task("a", pod={"env": [{"name": "A", "value": "1"}]}), LIMITS).body
    listed = [entry["name"] for entry in dict(made)["spec"]["containers"][0]["env"]]
    assert listed.index("APPRUN_NODE_NAME") < listed.index("A")
