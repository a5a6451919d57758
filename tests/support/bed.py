"""The test bed: the local cluster's command line, the images and the chart installed on it.

Everything goes through what users use: `hack/cluster/cluster`, `helm`, `kubectl`.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from tests.support.kube import Kube, eventually
from tests.support.terminations import ExpectedTerminations

ROOT = Path(__file__).resolve().parents[2]
CLI = ROOT / "hack" / "cluster" / "cluster"
RUNTIME_IMAGE = "localhost/apprun-runtime:dev"
OPERATOR_IMAGE = "localhost/apprun-operator:dev"
SYSTEM_NAMESPACE = "apprun-system"
EXISTING = os.environ.get("CLUSTER") == "existing"
KEEP = os.environ.get("KEEP_CLUSTER") == "1"
"""The cluster stays up after tests and measurements, to look around in or for the next ones."""


@dataclass(frozen=True)
class Bed:
    """One named cluster, up, with the chart installed."""

    name: str
    kubeconfig: Path
    kubectl: str
    helm: str
    kube: Kube
    terminations: ExpectedTerminations
    """Where it is said which operator pods are killed on purpose."""

    @property
    def host_address(self) -> str:
        """This machine's end of the cable, as pods reach it. An existing cluster has no such way."""
        config = yaml.safe_load(self.kubeconfig.read_text())
        server: str = config["clusters"][0]["cluster"]["server"]
        return server.removeprefix("https://").rpartition(":")[0].rpartition(".")[0] + ".254"

    def cli(self, *arguments: str) -> dict[str, Any]:
        """Run a command of `hack/cluster/cluster` on this cluster; its JSON answer. Operator pods may die of it."""
        what, *names = arguments
        if what == "kill-node":
            self.terminations.node_loss("its node is switched off", names[0], restarts=True)
        elif what == "cut-node":
            self.terminations.node_loss("its node is cut off", names[0], restarts=False)
        return _cli(self.name, *arguments)

    def run(self, *command: str, check: bool = True, stdin: str | None = None) -> subprocess.CompletedProcess[str]:
        """Run kubectl or helm against this cluster."""
        done = subprocess.run(
            command,
            env={**os.environ, "KUBECONFIG": str(self.kubeconfig)},
            input=stdin,
            text=True,
            capture_output=True,
            timeout=600,
            check=False,
        )
        if check and done.returncode:
            raise AssertionError(f"{' '.join(command)} failed:\n{done.stdout}\n{done.stderr}")
        return done

    def define(self, *files: str) -> None:
        """Apply CustomResourceDefinitions, given as `-f` and a path each, and wait until their kinds are served."""
        self.run(self.kubectl, "apply", "--server-side", *files)
        # kubectl gives up at once where a definition has no conditions yet.
        wait = (self.kubectl, "wait", "--for=condition=Established", *files, "--timeout=20s")
        eventually("the kinds are served", lambda: self.run(*wait, check=False).returncode == 0 or None)

    def install(self, *values: str) -> None:
        """Install or upgrade the chart, as a user would, and wait until the operator is ready."""
        try:
            with self.terminations.removals("the chart is installed"):
                self.helm_release("apprun", SYSTEM_NAMESPACE, *values)
        except AssertionError as error:
            raise AssertionError(f"{error}\n{self._why_not_ready()}") from error

    def helm_release(
        self, name: str, namespace: str, *values: str, check: bool = True
    ) -> subprocess.CompletedProcess[str]:
        """The same for any release, with today's images."""
        image, tag = OPERATOR_IMAGE.rsplit(":", 1)
        runtime, runtime_tag = RUNTIME_IMAGE.rsplit(":", 1)
        settings = [
            f"image.repository={image}",
            f"image.tag={tag}",
            f"runtimeImage.repository={runtime}",
            f"runtimeImage.tag={runtime_tag}",
            "nodeLostGraceSeconds=3",
            *values,
            # The tag stays the same: in a cluster that was kept, the pods of an older image would stay as well.
            *([f"podAnnotations.image=build-{_built['operator']}"] if "operator" in _built else []),
        ]
        return self.run(
            *(self.helm, "upgrade", "--install", name, str(ROOT / "charts" / "apprun")),
            *("--namespace", namespace, "--create-namespace", "--wait", "--timeout", "6m"),
            *(part for setting in settings for part in ("--set", setting)),
            check=check,
        )

    def _why_not_ready(self) -> str:
        """What the operator's pods, their events and their logs say."""
        commands = (("describe", "pods"), ("logs", "--selector=app.kubernetes.io/part-of=apprun", "--tail=20"))
        return "\n".join(self.run(self.kubectl, "-n", SYSTEM_NAMESPACE, *what, check=False).stdout for what in commands)


def bring_up(name: str, *options: str) -> Bed:
    """The named cluster, by these options of `cluster up`, with today's images and chart. Idempotent, and quick when
    nothing changed."""
    _stream(name, "up", *options)
    if not EXISTING:
        for target, tag in (("runtime", RUNTIME_IMAGE), ("operator", OPERATOR_IMAGE)):
            _built[target] = _build(name, target, tag)
            _stream(name, "load", tag)
    bed = connect(name)
    bed.install()
    return bed


def connect(name: str) -> Bed:
    """The named cluster, which is up and has the chart installed."""
    kubeconfig = Path(_plain(name, "kubeconfig"))
    folder = None if EXISTING else Path(_plain(name, "binaries"))
    kube = Kube.from_kubeconfig(kubeconfig)
    return Bed(
        name, kubeconfig, _program("kubectl", folder), _program("helm", folder), kube, ExpectedTerminations(kube)
    )


_built: dict[str, str] = {}
"""What the images that were built are made of, by target."""


def _build(name: str, target: str, tag: str) -> str:
    """Build an image; a digest of what is in it."""
    command = [sys.executable, str(CLI), "build-image", "--name", name, "--target", target, "--tag", tag]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    return Path(done.stdout.strip()).stem


def take_down(name: str) -> None:
    _stream(name, "down")


def _stream(name: str, *arguments: str) -> None:
    """Run a slow command with its progress lines on our standard error."""
    subprocess.run(
        [sys.executable, str(CLI), arguments[0], "--name", name, *arguments[1:]], stdout=sys.stderr, check=True
    )


def _program(name: str, folder: Path | None) -> str:
    """Path of kubectl or helm: the test bed's own, or for an existing cluster the user's."""
    program = str(folder / name) if folder else shutil.which(name)
    if program is None:
        raise AssertionError(f"{name} isn't on the PATH: with CLUSTER=existing the tests use yours")
    return program


def _plain(name: str, command: str) -> str:
    return _answer(command, "--name", name).strip()


def _cli(name: str, *arguments: str) -> dict[str, Any]:
    answer: dict[str, Any] = json.loads(_answer(arguments[0], "--name", name, *arguments[1:], "-o", "json"))
    return answer


def _answer(*arguments: str) -> str:
    done = subprocess.run(
        [sys.executable, str(CLI), *arguments],
        text=True,
        capture_output=True,
        timeout=300,
        check=False,
    )
    if done.returncode:
        raise AssertionError(f"cluster {' '.join(arguments)} failed:\n{done.stdout}\n{done.stderr}")
    return done.stdout
