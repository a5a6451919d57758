"""The stage: a cluster with today's images and chart on it, and `hello` as a first sign of life. Used by `__main__`."""

from __future__ import annotations

import json
import os
import tarfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from hack.demo.tools import ROOT, Bed, DemoError, Tools

RUNTIME_IMAGE = os.environ.get("APPRUN_RUNTIME_IMAGE", "localhost/apprun-runtime:dev")
OPERATOR_IMAGE = os.environ.get("APPRUN_OPERATOR_IMAGE", "localhost/apprun-operator:dev")
SYSTEM_NAMESPACE = "apprun-system"
NODE_LOST_GRACE_SECONDS = 5
OPERATOR_GRACE_SECONDS = 3

Announce = Callable[[str], None]


@dataclass(frozen=True)
class Hello:
    """What came of `hello`: its output, and seconds from apply to Succeeded."""

    output: str
    seconds: float


def set_up(bed: Bed, announce: Announce) -> Tools:
    """Bring everything up that isn't, and install the chart. Raises DemoError."""
    announce("A Kubernetes with two nodes")
    bed.stream("up")
    image_ids = {}
    if bed.existing:
        announce(f"Images are yours to provide there: {OPERATOR_IMAGE} and {RUNTIME_IMAGE}")
    else:
        announce("The images: operator, and the runtime that every app runs in")
        for target, tag in (("operator", OPERATOR_IMAGE), ("runtime", RUNTIME_IMAGE)):
            image_ids[target] = _image_id(bed.build(target, tag))
            bed.stream("load", tag)
    tools = bed.tools()
    announce("The chart")
    install(tools, image_ids.get("operator", ""))
    return tools


def install(tools: Tools, operator_image_id: str) -> None:
    """The chart, as a user installs it, with short grace periods, so that the demo doesn't wait for minutes."""
    operator, operator_tag = OPERATOR_IMAGE.rsplit(":", 1)
    runtime, runtime_tag = RUNTIME_IMAGE.rsplit(":", 1)
    values: dict[str, object] = {
        "image": {"repository": operator, "tag": operator_tag},
        "runtimeImage": {"repository": runtime, "tag": runtime_tag},
        "nodeLostGraceSeconds": NODE_LOST_GRACE_SECONDS,
        "tolerations": [
            {
                "key": f"node.kubernetes.io/{taint}",
                "operator": "Exists",
                "effect": "NoExecute",
                "tolerationSeconds": OPERATOR_GRACE_SECONDS,
            }
            for taint in ("not-ready", "unreachable")
        ],
        # The tag stays the same while the image changes: this makes a changed image a changed Deployment.
        "podAnnotations": {"apprun.dev/image-id": operator_image_id},
    }
    settings = [part for name, value in values.items() for part in ("--set-json", f"{name}={json.dumps(value)}")]
    release = ("apprun", str(ROOT / "charts" / "apprun"), "--namespace", SYSTEM_NAMESPACE, "--create-namespace")
    tools.helm("upgrade", "--install", *release, "--wait", "--timeout", "3m", *settings)


def hello(tools: Tools) -> Hello:
    """Run the smallest example once. Raises DemoError, with what the run says of itself, when it doesn't succeed."""
    remove_run(tools, "default", "hello")
    started = time.monotonic()
    tools.kubectl("apply", "-k", str(ROOT / "examples" / "hello"), "-n", "default")
    waited = ("wait", "--for=condition=Succeeded", "apprun/hello", "-n", "default", "--timeout=90s")
    try:
        tools.kubectl(*waited)
    except DemoError as error:
        raise DemoError(f"{error}\n{explain(tools, 'default', 'hello')}") from error
    seconds = time.monotonic() - started
    return Hello(tools.kubectl("get", "apprun/hello", "-n", "default", "-o", "jsonpath={.status.output}"), seconds)


def remove_run(tools: Tools, namespace: str, run: str) -> None:
    """Delete a run of an earlier demo and wait until its tasks, named as the next run's will be, are gone."""
    tools.kubectl("delete", "apprun", run, "-n", namespace, "--ignore-not-found", "--wait", check=False)
    selector = f"apprun.dev/run={run}"
    for kind in ("apptasks", "pods"):
        tools.kubectl("wait", "--for=delete", kind, "-l", selector, "-n", namespace, "--timeout=120s", check=False)


def explain(tools: Tools, namespace: str, run: str) -> str:
    """What the cluster knows of a run that went wrong, and the operator's last words."""
    parts = [
        tools.kubectl("get", "apprun,apptask,pod", "-n", namespace, "-o", "wide", check=False),
        tools.kubectl("get", "apprun", run, "-n", namespace, "-o", "jsonpath={.status.conditions}", check=False),
        tools.kubectl("logs", "deployment/apprun", "-n", SYSTEM_NAMESPACE, "--tail=30", check=False),
    ]
    return "\n\n".join(part for part in parts if part)


def _image_id(archive: Path) -> str:
    with tarfile.open(archive) as tar:
        manifest = tar.extractfile("manifest.json")
        image_id: str = json.load(manifest)[0]["Config"] if manifest else ""
    return image_id.removesuffix(".json").rsplit("/", 1)[-1]
