"""Where things lie on disk: the cache, which outlives clusters, and each cluster's state, which ``down`` removes."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

CONTROL_PLANE = "cp"
REPOSITORY = Path(__file__).resolve().parents[2]
_STATE_ROOT = Path("/var/lib/apprun-cluster")


def cache_root(environment: Mapping[str, str] = os.environ) -> Path:
    """Folder of what is expensive to make: programs, images. Safe to delete at any time."""
    base = environment.get("APPRUN_CACHE") or environment.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    return Path(base) / "apprun"


def state_root(environment: Mapping[str, str] = os.environ) -> Path:
    """Folder that holds one folder for each cluster."""
    return Path(environment.get("APPRUN_CLUSTER_STATE") or _STATE_ROOT)


@dataclass(frozen=True)
class MachineDir:
    """The folder of one machine (the control plane, or a node)."""

    cluster: str
    machine: str
    path: Path

    @property
    def unit_file(self) -> Path:
        """What the machine's init reads: its services and its mounts. Its path also marks the init's command line."""
        return self.path / "machine.json"

    @property
    def etc(self) -> Path:
        """Configuration files of the machine's services."""
        return self.path / "etc"

    @property
    def logs(self) -> Path:
        """A log for each service, and the init's own."""
        return self.path / "log"

    @property
    def holds(self) -> Path:
        """A file here, named like a service, keeps the init from starting that service."""
        return self.path / "hold"

    @property
    def namespace(self) -> str:
        """Name of the machine's network namespace, and of its cgroup."""
        return f"{self.cluster}-{self.machine}"


@dataclass(frozen=True)
class ClusterDir:
    """The folder of one cluster."""

    name: str
    path: Path

    @property
    def settings(self) -> Path:
        """The Settings that the cluster was made with; written first, so its presence means: something may be there."""
        return self.path / "settings.json"

    @property
    def pki(self) -> Path:
        """Keys and certificates."""
        return self.path / "pki"

    @property
    def kubeconfig(self) -> Path:
        """The administrator's kubeconfig, for use on this host."""
        return self.path / "kubeconfig"

    @property
    def loaded_modules(self) -> Path:
        """Kernel modules that ``up`` had to load, one a line."""
        return self.path / "loaded-modules"

    @property
    def host_link(self) -> str:
        """Name of the network interface that connects this host with the cluster."""
        return f"{self.name}-host"

    def machine(self, machine: str) -> MachineDir:
        """The folder of one machine of this cluster."""
        return MachineDir(self.name, machine, self.path / machine)

    def node(self, number: int) -> MachineDir:
        """The folder of node ``number``."""
        return self.machine(f"node{number}")


def cluster_dir(name: str) -> ClusterDir:
    """The folder of the cluster of that name."""
    return ClusterDir(name, state_root() / name)
