"""`apprun doctor`'s pod: whether the runtime image can be pulled and holds the SDK, and what time it is on its node.

The only look that changes something: one pod, as strict as those of runs, deleted at the end whatever happens.
"""

from __future__ import annotations

import json
import secrets
import time
from collections.abc import Iterator
from typing import Final

from application_sdk.cli.cluster.api import CORE, Api, ApiRefusal, Object
from application_sdk.cli.cluster.checks import SKEW_SECONDS, CheckResult
from application_sdk.cli.cluster.errors import ClusterError, NotAllowedError, RefusedError
from application_sdk.cli.cluster.parse import pod_trouble
from application_sdk.engines.kubernetes.errors import Unreachable
from application_sdk.wire.containers import status_of

PATIENCE_SECONDS: Final = 60.0
CONTAINER: Final = "doctor"
_SCRIPT: Final = (
    "import json, time, importlib.metadata, application_sdk;"
    " found = [d.version for d in importlib.metadata.distributions() if d.name == 'apprun'];"
    " print(json.dumps({'sdk': (found or [''])[0], 'time': time.time()}))"
)
_HOPELESS: Final = ("InvalidImageName", "ErrImageNeverPull")


def probe(api: Api, image: str, version: str, patience: float = PATIENCE_SECONDS) -> Iterator[CheckResult]:
    """Start a pod of the image in the person's namespace, read what it says, delete it."""
    if not image:
        yield CheckResult(
            "image", "skipped", "the operator's runtime image isn't known, since you may not see its Deployment"
        )
        return
    name = f"apprun-doctor-{secrets.token_hex(3)}"
    path = api.path("pods", name, group=CORE)
    try:
        api.create(api.path("pods", group=CORE), _pod(name, image))
    except NotAllowedError:
        yield CheckResult("image", "skipped", f"you may not create pods in {api.access.namespace}, so it isn't tried")
        return
    except RefusedError as error:
        yield CheckResult(
            "image", "error", f"a pod like those of runs is refused: {error}", "Change the policy that refuses it"
        )
        return
    try:
        yield from _outcome(api, path, image, version, patience)
    finally:
        try:
            api.delete(path)
        except ClusterError:
            pass


def _outcome(api: Api, path: str, image: str, version: str, patience: float) -> Iterator[CheckResult]:
    deadline = time.monotonic() + patience
    trouble = ""
    while time.monotonic() < deadline:
        pod = api.get(path)
        trouble = pod_trouble(pod, CONTAINER) or trouble
        if _is_over(pod):
            yield from _read_answer(api, path, image, version, pod)
            return
        if trouble.startswith(_HOPELESS):
            break
        time.sleep(0.3)
    remedy = (
        "Set runtimeImage in the chart's values to an image that the nodes can pull, with imagePullSecrets if need be"
    )
    if trouble.startswith(("Unschedulable", "SchedulerError")):
        remedy = "Make room on a node, or add one"
    waited = f"no container started within {patience:g} s"
    yield CheckResult("image", "error", f"{image}: {trouble or waited}", remedy)


def _is_over(pod: Object) -> bool:
    """Whether its container has ended, though one that a webhook added may go on beside it."""
    ended = "terminated" in (status_of(pod, CONTAINER).get("state") or {})
    return ended or (pod.get("status") or {}).get("phase") in ("Succeeded", "Failed")


def _read_answer(api: Api, path: str, image: str, version: str, pod: Object) -> Iterator[CheckResult]:
    text = ""
    try:
        log = api.stream(f"{path}/log", {"container": CONTAINER})
        text = b"\n".join(log).decode("utf-8", "replace").strip()
        answer = json.loads(text.rpartition("\n")[2])
        sdk, clock = str(answer["sdk"]), float(answer["time"])
    except (Unreachable, ApiRefusal, ValueError, KeyError, TypeError):
        last = text.rpartition("\n")[2] or "it said nothing"
        remedy = "Build it as the Dockerfile's target `runtime` does"
        yield CheckResult("image", "error", f"{image} can be pulled but has no AppRun SDK: {last}", remedy)
        return
    if sdk in (version, ""):
        # An image that holds the bare package, as ours does, doesn't say which release it is.
        yield CheckResult("image", "ok", f"{image} can be pulled, and has the SDK{f' {sdk}' if sdk else ''}")
    else:
        yield CheckResult(
            "image", "warning", f"{image} has the SDK {sdk}, this apprun is {version}", "Use the same release"
        )
    yield from _node_clock(pod, clock)


def _node_clock(pod: Object, clock: float) -> Iterator[CheckResult]:
    """The node's clock against ours, as closely as the pod's end, in whole seconds, allows."""
    skew = clock - time.time()
    node = str((pod.get("spec") or {}).get("nodeName") or "?")
    if -PATIENCE_SECONDS - SKEW_SECONDS <= skew <= SKEW_SECONDS:
        yield CheckResult("node's clock", "ok", f"{node} agrees with this machine, as far as a pod can tell")
    else:
        yield CheckResult(
            "node's clock", "warning", f"{node} is {skew:+.0f} s off this machine's clock", "Set the clocks (NTP)"
        )


def _pod(name: str, image: str) -> Object:
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "labels": {"app.kubernetes.io/part-of": "apprun", "apprun.dev/doctor": "true"}},
        "spec": {
            "restartPolicy": "Never",
            "automountServiceAccountToken": False,
            "enableServiceLinks": False,
            "terminationGracePeriodSeconds": 0,
            "activeDeadlineSeconds": 120,
            "securityContext": {
                "runAsNonRoot": True,
                "runAsUser": 65532,
                "runAsGroup": 65532,
                "seccompProfile": {"type": "RuntimeDefault"},
            },
            "containers": [
                {
                    "name": CONTAINER,
                    "image": image,
                    "command": ["python3", "-c", _SCRIPT],
                    "securityContext": {
                        "allowPrivilegeEscalation": False,
                        "capabilities": {"drop": ["ALL"]},
                        "readOnlyRootFilesystem": True,
                    },
                }
            ],
        },
    }
