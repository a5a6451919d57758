"""The programs that the demo drives: the local cluster's command line, kubectl and helm. Decides nothing."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
CLUSTER = ROOT / "hack" / "cluster" / "cluster"
WAIT_SECONDS = 300


class DemoError(Exception):
    """The demo can't go on: what failed, and what the program that failed said."""


def run(*command: str, env: dict[str, str] | None = None, check: bool = True) -> str:
    """What a program printed. Raises DemoError with its words when it failed."""
    done = subprocess.run(command, env=env, text=True, capture_output=True, timeout=WAIT_SECONDS, check=False)
    if check and done.returncode:
        raise DemoError(f"{' '.join(command)} failed:\n{(done.stderr or done.stdout).strip()}")
    return done.stdout


@dataclass(frozen=True)
class Bed:
    """One cluster, by name; with `existing`, the one of the current kubectl context."""

    name: str
    existing: bool

    def stream(self, command: str, *arguments: str) -> None:
        """A slow command of the cluster, with its progress shown."""
        done = subprocess.run(self._line(command, *arguments), stdout=sys.stderr, check=False)
        if done.returncode:
            raise DemoError(f"cluster {command} failed; what it printed above says why")

    def ask(self, command: str, *arguments: str) -> dict[str, object]:
        """The answer of a quick command."""
        answer: dict[str, object] = json.loads(run(*self._line(command, *arguments, "-o", "json")))
        return answer

    def build(self, target: str, tag: str) -> Path:
        """Build an image, with progress shown. Its archive."""
        line = self._line("build-image", "--target", target, "--tag", tag, "-o", "json")
        done = subprocess.run(line, text=True, stdout=subprocess.PIPE, check=False)
        if done.returncode:
            raise DemoError(f"the image {tag} can't be built; what is printed above says why")
        return Path(json.loads(done.stdout)["archive"])

    def begin(self, command: str, *arguments: str) -> subprocess.Popen[str]:
        """Start a command whose end is awaited elsewhere."""
        line = self._line(command, *arguments, "-o", "json")
        return subprocess.Popen(line, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE)

    def kubeconfig(self) -> str:
        return run(*self._line("kubeconfig")).strip()

    def tools(self) -> Tools:
        """kubectl and helm, of this cluster's kubeconfig."""
        folder = "" if self.existing else run(*self._line("binaries")).strip()
        path = os.pathsep.join(filter(None, [folder, os.environ.get("PATH", "")]))
        for program in ("kubectl", "helm"):
            if shutil.which(program, path=path) is None:
                raise DemoError(f"{program} is not on PATH: install it, or leave CLUSTER=existing out")
        return Tools(self.kubeconfig(), path)

    def _line(self, command: str, *arguments: str) -> list[str]:
        return [sys.executable, str(CLUSTER), command, "--name", self.name, *arguments]


@dataclass(frozen=True)
class Tools:
    kubeconfig: str
    path: str

    def kubectl(self, *arguments: str, check: bool = True) -> str:
        return run(self._find("kubectl"), *arguments, env=self._environment(), check=check)

    def helm(self, *arguments: str) -> str:
        return run(self._find("helm"), *arguments, env=self._environment())

    @contextmanager
    def proxy(self) -> Iterator[Path]:
        """A socket at which the API answers without further credentials, for this user alone and as long as needed."""
        with tempfile.TemporaryDirectory(prefix="apprun-demo-") as folder:
            socket = Path(folder) / "api.sock"
            command = [self._find("kubectl"), "proxy", f"--unix-socket={socket}"]
            process = subprocess.Popen(
                command, env=self._environment(), text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
            )
            try:
                line = process.stdout.readline() if process.stdout else ""
                if "Starting to serve" not in line:
                    raise DemoError(f"kubectl proxy didn't start: {line.strip()}")
                yield socket
            finally:
                process.terminate()
                process.wait()

    def _find(self, program: str) -> str:
        return shutil.which(program, path=self.path) or program

    def _environment(self) -> dict[str, str]:
        return {**os.environ, "KUBECONFIG": self.kubeconfig, "PATH": self.path}
