"""Which container of a pod executes the call, and which one keeps it from starting."""

from __future__ import annotations

from typing import Any

import pytest

from application_sdk.wire import containers

ENDED = {"terminated": {"exitCode": 0, "reason": "Completed"}}
FAILED = {"terminated": {"exitCode": 3, "reason": "Error", "message": "connecting\nno such table\n"}}
PULL = {"waiting": {"reason": "ErrImagePull", "message": "not found"}}
LATER = {"waiting": {"reason": "PodInitializing"}}


def pod(init: dict[str, Any], own: Any = None, sidecars: tuple[str, ...] = (), **status: Any) -> dict[str, Any]:
    """A task's pod. `init` has the states of its init containers in the order of the spec; kubelet sorts by name."""
    specs = [
        {"name": name, "image": f"{name}:1", **({"restartPolicy": "Always"} if name in sidecars else {})}
        for name in init
    ]
    states = [{"name": name, **value} for name, value in sorted(init.items())]
    others = [{"name": "a-proxy", "state": {"running": {}}}, {"name": "z-proxy", "state": FAILED}]
    return {
        "metadata": {"labels": {"apprun.dev/role": "task"}},
        "spec": {"initContainers": specs, "containers": [{"name": "z-proxy"}, {"name": "task", "image": "app:1"}]},
        "status": {
            "initContainerStatuses": states,
            "containerStatuses": [others[0], {"name": "task", "state": own or LATER}, others[1]],
            **status,
        },
    }


@pytest.mark.parametrize("role", ["driver", "task", "inspect"])
def test_calls_container_is_named_by_the_pods_role(role: str) -> None:
    assert containers.container_of({"metadata": {"labels": {"apprun.dev/role": role}}}) == role


def test_own_container_is_found_by_its_name() -> None:
    found = pod({}, {"running": {"startedAt": "2026-11-28T10:00:00Z"}})
    assert "running" in containers.status_of(found, "task")["state"]
    assert containers.declared(found, "task")["image"] == "app:1"


@pytest.mark.parametrize(
    "found", [{}, {"spec": {}, "status": {}}, {"spec": None, "status": {"containerStatuses": None}}]
)
def test_pod_that_says_nothing_has_no_containers(found: Any) -> None:
    assert containers.status_of(found, "task") == {}
    assert containers.declared(found, "task") == {}
    assert containers.blocker(found) is None
    assert containers.gates(found) == ""


@pytest.mark.parametrize(
    "init",
    [
        {},
        {"a": {"state": LATER}},
        {"a": {"state": {"running": {}}}},
        {"a": {"state": ENDED}},
        {"b": {"state": ENDED}, "a": {"state": LATER}},
    ],
)
def test_init_containers_that_get_on_block_nothing(init: dict[str, Any]) -> None:
    assert containers.blocker(pod(init)) is None


@pytest.mark.parametrize(
    ("state", "words"),
    [
        (FAILED, "init container 'b' ended with exit code 3: no such table"),
        (PULL, "the image 'b:1' of init container 'b' can't be pulled (ErrImagePull): not found"),
        (
            {"waiting": {"reason": "CreateContainerConfigError", "message": 'secret "x" not found'}},
            "init container 'b' can't start (CreateContainerConfigError): secret \"x\" not found",
        ),
        (
            {"terminated": {"exitCode": 137, "reason": "OOMKilled"}},
            "init container 'b' ended with exit code 137 (OOMKilled)",
        ),
    ],
)
def test_init_container_in_trouble_is_told_by_name(state: dict[str, Any], words: str) -> None:
    blocker = containers.blocker(pod({"c": {"state": ENDED}, "b": {"state": state}, "a": {"state": LATER}}))
    assert blocker is not None
    assert blocker.words == words


def test_native_sidecar_that_ends_again_and_again_blocks_with_its_last_words() -> None:
    crashed = {"waiting": {"reason": "CrashLoopBackOff", "message": "back-off 10s"}}
    again = {"state": crashed, "lastState": FAILED, "started": False}
    blocker = containers.blocker(pod({"proxy": again}, sidecars=("proxy",)))
    assert blocker is not None
    assert blocker.words == "native sidecar 'proxy' ended with exit code 3: no such table"


def test_native_sidecar_that_has_started_blocks_nothing() -> None:
    proxy = {"state": {"running": {}}, "started": True}
    found = pod({"proxy": proxy, "migrate": {"state": FAILED}}, sidecars=("proxy",))
    blocker = containers.blocker(found)
    assert blocker is not None
    assert blocker.name == "migrate"


@pytest.mark.parametrize("own", [{"running": {}}, FAILED])
def test_native_sidecar_that_fails_once_the_call_has_begun_is_no_blocker(own: dict[str, Any]) -> None:
    assert containers.blocker(pod({"proxy": {"state": FAILED, "started": False}}, own, sidecars=("proxy",))) is None


def test_scheduling_gates_are_named_until_they_are_opened() -> None:
    gated = {"type": "PodScheduled", "status": "False", "reason": "SchedulingGated", "message": "blocked"}
    found = pod({}, conditions=[gated])
    found["spec"]["schedulingGates"] = [{"name": "kueue.x-k8s.io/admission"}, {"name": "quota"}]
    assert containers.gates(found) == "kueue.x-k8s.io/admission, quota"
    found["status"]["conditions"] = [{**gated, "reason": "Unschedulable"}]
    assert containers.gates(found) == ""
