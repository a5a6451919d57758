"""``down``: removes a cluster, whatever state it is in, and then looks for anything that it left."""

from __future__ import annotations

import shutil

from hack.cluster import cgroups, kernel, machine, network, progress, traces
from hack.cluster.errors import ClusterError
from hack.cluster.layout import CONTROL_PLANE, ClusterDir, cluster_dir, state_root
from hack.cluster.lifecycle import cluster_lock
from hack.cluster.settings import check_name


def down(name: str) -> bool:
    """Removes the cluster; returns whether there was one. Raises ClusterError that names what could not be removed."""
    cluster = cluster_dir(check_name(name))
    existed = cluster.path.exists() or bool(traces.find(cluster))
    if existed:
        cluster.path.mkdir(parents=True, exist_ok=True)
        with progress.step(f"take down cluster {name}"), cluster_lock(cluster):
            _remove(cluster)
    _remove_empty_state_root()
    leftovers = traces.find(cluster)
    if leftovers:
        raise ClusterError(
            f"cluster {name!r} left something behind:\n" + "\n".join(f"- {trace}" for trace in leftovers)
        )
    return existed


def _remove(cluster: ClusterDir) -> None:
    machines = [cluster.machine(CONTROL_PLANE), *traces.nodes(cluster)]
    for each in machines:
        machine.power_off(each)
    for each in machines:
        network.remove_namespace(each)
        cgroups.remove(each.namespace)
    network.remove_host_link(cluster)
    network.tidy_namespace_folder()
    kernel.unload_modules(cluster)
    # Deleting must never follow a mount out of the folder; the machines' mounts went away with them.
    if traces.mounts(cluster):
        raise ClusterError(
            f"something is mounted below {cluster.path}", f"unmount it: {', '.join(traces.mounts(cluster))}"
        )
    shutil.rmtree(cluster.path)


def _remove_empty_state_root() -> None:
    root = state_root()
    if root.exists() and not any(path.is_dir() for path in root.iterdir()):
        (root / ".lock").unlink(missing_ok=True)
        root.rmdir()
