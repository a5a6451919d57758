"""Pods to which a mutating webhook adds containers and gates: the call's own container decides what becomes of it."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import yaml
from tests.support.bed import EXISTING, Bed
from tests.support.injection import injecting
from tests.support.kube import CORE, Object, eventually
from tests.support.runs import Runs, source
from tests.support.terminal import Terminal

pytestmark = pytest.mark.skipif(EXISTING, reason="an existing cluster's API server has no way to this machine")

PAUSE = "localhost/apprun-pause:1"
MISSING = "localhost:5000/missing:1"
GATE = "queue.example.com/admission"
CONFINED = {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}}


def container(name: str, image: str = PAUSE, **more: Any) -> Object:
    """One that stays, if it says nothing else."""
    return {"name": name, "image": image, "imagePullPolicy": "IfNotPresent", "securityContext": CONFINED, **more}


def python(name: str, code: str, image: str, **more: Any) -> Object:
    words = {"terminationMessagePolicy": "FallbackToLogsOnError"}
    return container(name, image, command=["python3", "-c", code], **words, **more)


def fails(name: str, image: str, **more: Any) -> Object:
    return python(name, "import sys; print('no such table'); sys.exit(3)", image, **more)


@dataclass
class Webhook:
    """What is added to the pods of a call, as its input's `beside` says, until that is corrected."""

    corrected: set[str] = field(default_factory=set)

    def __call__(self, spec: Object, call: Object) -> None:
        beside, image = call["input"].get("beside", ""), spec["containers"][0]["image"]
        before: list[Object] = spec.setdefault("initContainers", [])
        containers: list[Object] = spec["containers"]
        if call["role"] == "inspect" or beside == "sidecar last":
            containers.append(container("z-proxy"))
        elif beside in self.corrected:
            pass
        elif beside == "sidecar first":
            containers.insert(0, container("a-proxy"))
        elif beside == "native sidecar":
            before.append(container("a-proxy", restartPolicy="Always"))
        elif beside == "sidecar without an image":
            containers.insert(0, container("a-proxy", MISSING))
        elif beside.startswith("sidecar exits "):
            containers.insert(0, python("a-proxy", f"import sys; sys.exit({beside.split()[-1]})", RUNTIME))
        elif beside == "init container fails":
            before.append(fails("migrate", RUNTIME))
        elif beside == "init container without an image":
            before.append(container("migrate", MISSING))
        elif beside == "native sidecar fails":
            # It keeps the others waiting until its probe has succeeded, as a mesh's does.
            probe = {"exec": {"command": ["python3", "-c", "raise SystemExit(1)"]}, "failureThreshold": 100}
            before.append(fails("a-proxy", RUNTIME, restartPolicy="Always", startupProbe=probe))
        elif beside == "native sidecar ends":
            before.append(fails("a-proxy", RUNTIME, restartPolicy="Always"))
        elif beside == "gate":
            spec["schedulingGates"] = [{"name": GATE}]
        else:
            assert beside in ("", "pull secret"), (beside, image)


RUNTIME = "localhost/apprun-runtime:dev"

ENDS: dict[tuple[str, str], tuple[str, int]] = {
    # what is beside it, how it ends: reason, exit code
    ("sidecar first", "exits 7"): ("ProcessDied", 7),
    ("sidecar last", "exits 7"): ("ProcessDied", 7),
    ("native sidecar", "exits 7"): ("ProcessDied", 7),
    ("sidecar without an image", "exits 7"): ("ProcessDied", 7),
    ("sidecar exits 0", "exits 7"): ("ProcessDied", 7),
    ("sidecar first", "has no program"): ("ContainerNotStarted", 128),
}
GOES_WELL = [
    ("sidecar first", "succeeds"),
    ("native sidecar", "succeeds"),
    ("native sidecar ends", "works"),
    ("sidecar without an image", "works"),
    ("sidecar exits 0", "works"),
    ("sidecar exits 1", "works"),
    ("sidecar exits 143", "works"),
]
HELD: dict[str, tuple[str, list[str]]] = {
    # what keeps it from starting: reason, words
    "init container fails": ("InitContainerFailed", ["init container 'migrate'", "exit code 3", "no such table"]),
    "init container without an image": ("InitContainerFailed", ["init container 'migrate'", MISSING]),
    "native sidecar fails": ("InitContainerFailed", ["native sidecar 'a-proxy'", "exit code 3", "no such table"]),
    "gate": ("SchedulingGated", [GATE]),
}


@dataclass
class Injected:
    """A namespace with such a webhook, and runs in it."""

    runs: Runs
    webhook: Webhook
    waited: dict[str, Object] = field(default_factory=dict)
    """The status of each held call while it was held."""

    def task(self, run: str, beside: str, how: str) -> Object | None:
        step = {"beside": beside, "how": how}
        return next((task for task in self.runs.tasks(run) if task["spec"]["input"] == step), None)

    def status(self, run: str, beside: str, how: str) -> Object:
        return dict((self.task(run, beside, how) or {}).get("status", {}))

    def pods(self, run: str, beside: str, how: str) -> list[Object]:
        """By attempt."""
        task = self.task(run, beside, how)
        key = "" if task is None else task["spec"]["key"]
        pods = self.runs.kube.items(f"{self.runs.core}/pods?labelSelector=apprun.dev/run={run},apprun.dev/key={key}")
        return sorted(pods, key=lambda pod: int(pod["metadata"]["labels"]["apprun.dev/attempt"]))

    def until_waiting(self, run: str, beside: str, how: str, reason: str, *words: str) -> Object:
        """Wait until the call says that it waits for this, in these words; its status then."""

        def waits() -> Object | None:
            status = self.status(run, beside, how)
            message = str(status.get("message", ""))
            told = message.startswith(f"{reason}:") and all(word in message for word in words)
            return status if status.get("phase") == "Waiting" and told else None

        return eventually(f"{beside!r} waits: {reason}", waits, 120)


@pytest.fixture(scope="module")
def injected(bed: Bed, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Injected]:
    """All runs of this module, under way side by side. What holds calls was seen, and is corrected."""
    name = f"t-{uuid.uuid4().hex[:8]}"
    labels = {"pod-security.kubernetes.io/enforce": "restricted"}
    bed.kube.create(f"{CORE}/namespaces", {"metadata": {"name": name, "labels": labels}})
    world = Injected(Runs(bed.kube, name), Webhook())
    with injecting(bed, name, world.webhook, tmp_path_factory.mktemp("webhook")):
        start(world.runs)
        for beside, (reason, words) in HELD.items():
            world.waited[beside] = world.until_waiting("tasks", beside, "succeeds", reason, *words)
        world.waited["driver"] = until_driver_waits(world.runs)
        world.webhook.corrected |= HELD.keys() - {"gate"}
        (gated,) = world.pods("tasks", "gate", "succeeds")
        bed.kube.merge(f"{CORE}/namespaces/{name}/pods/{gated['metadata']['name']}", {"spec": {"schedulingGates": []}})
        yield world
    bed.kube.delete(f"{CORE}/namespaces/{name}")


def start(runs: Runs) -> None:
    runs.kube.create(f"{runs.core}/serviceaccounts", {"metadata": {"name": "puller"}})
    runs.upload("beside")
    runs.app("beside", "app:Beside")
    runs.app("pulling", "app:Beside", source=source("beside"), serviceAccountName="puller")
    calls = [*ENDS, *GOES_WELL, *((beside, "succeeds") for beside in HELD)]
    runs.start("tasks", "beside", {"steps": [{"beside": beside, "how": how} for beside, how in calls]})
    runs.start("dying", "beside", {"beside": "sidecar first", "how": "exits 7"})
    runs.start("blocked", "beside", {"beside": "init container fails"})
    runs.start("pulls", "pulling", {"steps": [{"beside": "pull secret", "how": "has no image"}]})
    runs.start("talks", "beside", {"steps": [{"beside": "sidecar first", "how": "works for long"}]})


def until_driver_waits(runs: Runs) -> Object:
    def told() -> Object | None:
        ready = runs.condition("blocked", "Ready")
        return ready if ready is not None and ready["reason"] == "InitContainerFailed" else None

    return eventually("the run says that its driver can't start", told, 120)


@pytest.mark.parametrize(("beside", "how"), ENDS)
def test_attempt_is_over_when_its_own_container_is(injected: Injected, beside: str, how: str) -> None:
    eventually("it failed", lambda: injected.status("tasks", beside, how).get("phase") == "Failed" or None, 120)
    (attempt,) = injected.status("tasks", beside, how)["attempts"]
    assert (attempt["reason"], attempt["budget"], attempt["exitCode"]) == (
        ENDS[beside, how][0],
        "App",
        ENDS[beside, how][1],
    )
    eventually("its pod is gone", lambda: not injected.pods("tasks", beside, how) or None, 90)


@pytest.mark.parametrize(("beside", "how"), GOES_WELL)
def test_call_goes_well_whatever_becomes_of_its_sidecar(injected: Injected, beside: str, how: str) -> None:
    eventually("it succeeded", lambda: injected.status("tasks", beside, how).get("phase") == "Succeeded" or None, 120)
    status = injected.status("tasks", beside, how)
    assert (status.get("attempt", 1), status.get("attempts", [])) == (1, [])
    eventually("its pod is gone", lambda: not injected.pods("tasks", beside, how) or None, 90)


@pytest.mark.parametrize("beside", HELD)
def test_held_call_says_so_and_begins_when_that_is_corrected(injected: Injected, beside: str) -> None:
    assert all(entry["budget"] == "None" for entry in injected.waited[beside].get("attempts", []))
    over = eventually("it succeeded", lambda: _when(injected.status("tasks", beside, "succeeds"), "Succeeded"), 180)
    reasons = {(entry["reason"], entry["budget"]) for entry in over.get("attempts", [])}
    assert reasons == (set() if beside == "gate" else {(HELD[beside][0], "None")})
    assert len(over.get("attempts", [])) < 8


def _when(status: Object, phase: str) -> Object | None:
    return status if status.get("phase") == phase else None


def test_run_whose_driver_dies_beside_a_sidecar_fails(injected: Injected) -> None:
    status = injected.runs.until_phase("dying", "Failed", "Succeeded", seconds=180)
    assert (status["phase"], status["error"]["type"]) == ("Failed", "ProcessDied")
    assert "exit code 7" in status["error"]["message"]


def test_run_whose_driver_cannot_start_says_so_and_begins_later(injected: Injected) -> None:
    assert "init container 'migrate' ended with exit code 3: no such table" in injected.waited["driver"]["message"]
    assert injected.runs.until_phase("blocked", "Succeeded", "Failed", seconds=180)["phase"] == "Succeeded"


def test_app_is_inspected_beside_a_sidecar(injected: Injected) -> None:
    injected.runs.until_inspected("beside")
    app = injected.runs.kube.get(f"{injected.runs.api}/apps/beside")
    (inspected,) = [one for one in app["status"]["conditions"] if one["type"] == "Inspected"]
    assert (inspected["status"], inspected["reason"]) == ("True", "Inspected")


def test_logs_are_those_of_the_tasks_container(bed: Bed, injected: Injected, tmp_path: Path) -> None:
    config = yaml.safe_load(bed.kubeconfig.read_text())
    config["contexts"][0]["context"]["namespace"] = injected.runs.namespace
    kubeconfig = tmp_path / "kubeconfig"
    kubeconfig.write_text(yaml.safe_dump(config))
    apprun = Terminal(tmp_path, kubeconfig, injected.runs.namespace)

    def told() -> str | None:
        typed = apprun("logs", "talks", "step")
        return typed.out if "the task works for long" in typed.out else None

    eventually("the task's line is shown", told, 90)


def test_a_waiting_pod_is_replaced_for_a_new_pull_secret(injected: Injected) -> None:
    call = ("pulls", "pull secret", "has no image")
    injected.until_waiting(*call, "ImagePullFailed")
    assert all("imagePullSecrets" not in pod["spec"] for pod in injected.pods(*call))
    account = f"{injected.runs.core}/serviceaccounts/puller"
    injected.runs.kube.merge(account, {"imagePullSecrets": [{"name": "registry"}]})

    def given() -> Object | None:
        return next((pod for pod in injected.pods(*call) if pod["spec"].get("imagePullSecrets")), None)

    pod = eventually("a new pod has the pull secret", given, 180)
    assert pod["spec"]["imagePullSecrets"] == [{"name": "registry"}]
    assert injected.status(*call)["phase"] == "Waiting"
    assert {entry["budget"] for entry in injected.status(*call)["attempts"]} == {"None"}
