"""CustomResourceDefinitions of other projects, which the chart and the examples have objects of.

They are taken out of the projects' Go modules, at a pinned version with a pinned sum, and kept in the cache.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

from hack.cluster import binaries
from hack.cluster.layout import cache_root


@dataclass(frozen=True)
class Module:
    """Files of one version of a Go module."""

    name: str
    sum: str
    """What `go mod download` calls Sum: a hash over all files."""
    files: tuple[str, ...]

    @property
    def folder(self) -> Path:
        """Where they are kept."""
        key = binaries.content_key((), (self.name, self.sum, *self.files))
        return cache_root() / "foreign" / key


PROMETHEUS = Module(
    "github.com/prometheus-operator/prometheus-operator@v0.85.0",
    "h1:M5xLCLEoaW2IJfnuCwFzzpL+jSVQu3KGT84Pye+fW8s=",
    tuple(
        f"example/prometheus-operator-crd/monitoring.coreos.com_{plural}.yaml"
        for plural in ("podmonitors", "servicemonitors", "prometheusrules")
    ),
)
FLUX_SOURCES = Module(
    "github.com/fluxcd/source-controller@v1.7.0",
    "h1:/fBgS4CSmT5Jj/fjQDF92y+pC3gst1GJjgNSzY8Ff9I=",
    ("config/crd/bases/source.toolkit.fluxcd.io_gitrepositories.yaml",),
)
FLUX_KUSTOMIZATIONS = Module(
    "github.com/fluxcd/kustomize-controller@v1.7.3",
    "h1:SzNnGn/4ObAPEHHleM5U7y/AKxKXph3Vj6ZhteeXw8M=",
    ("config/crd/bases/kustomize.toolkit.fluxcd.io_kustomizations.yaml",),
)
FLUX_RELEASES = Module(
    "github.com/fluxcd/helm-controller@v1.4.0",
    "h1:rkm8rmB6Na7eNc4pJOnvtXEaJ19iKluRtayHKjBxcUM=",
    ("config/crd/bases/helm.toolkit.fluxcd.io_helmreleases.yaml",),
)
ARGO_CD = Module(
    "github.com/argoproj/argo-cd/v3@v3.1.0",
    "h1:2+gPskQKCyPC9DzRSWQ1AvmS3WiIlRR7bKz/FO3DozI=",
    ("manifests/crds/application-crd.yaml",),
)
MODULES = (PROMETHEUS, FLUX_SOURCES, FLUX_KUSTOMIZATIONS, FLUX_RELEASES, ARGO_CD)


def definitions(*modules: Module) -> list[Path]:
    """Files of CustomResourceDefinitions; downloaded once."""
    return [path for module in modules for path in _files(module)]


def _files(module: Module) -> list[Path]:
    if not module.folder.exists():
        with binaries.build_lock():
            if not module.folder.exists():
                _download(module)
    return sorted(module.folder.iterdir())


def _download(module: Module) -> None:
    go = binaries.find_go()
    assert go is not None, "no Go to download modules with: hack/cluster/cluster deps --install"
    partial = module.folder.with_name(f"{module.folder.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    with tempfile.TemporaryDirectory() as elsewhere:
        done = subprocess.run(
            [go, "mod", "download", "-json", module.name],
            cwd=elsewhere,
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )
    answer = json.loads(done.stdout or "{}")
    assert "Error" not in answer, answer["Error"]
    assert not done.returncode, done.stderr
    assert answer["Sum"] == module.sum, f"{module.name} isn't what it was: {answer['Sum']}"
    for file in module.files:
        shutil.copy(Path(answer["Dir"]) / file, partial)
    partial.rename(module.folder)
