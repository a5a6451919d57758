"""All that a cluster has on its host, looked for by name and path: used to remove it, and to prove it gone.

A node's files, mounts and sockets outside its state folder exist only in its own namespaces, so this list is short.
"""

from __future__ import annotations

import re
from pathlib import Path

from hack.cluster import cgroups, machine, network
from hack.cluster.layout import CONTROL_PLANE, ClusterDir, MachineDir


def nodes(cluster: ClusterDir) -> list[MachineDir]:
    """Every node that left a folder, a network namespace or a control group, known to the settings or not."""
    own = re.compile(rf"{re.escape(cluster.name)}-(node\d+)")
    names = {path.name for path in cluster.path.glob("node*")} if cluster.path.exists() else set()
    for place in (network.NAMESPACES, *cgroups.hierarchies()):
        if place.is_dir():
            names |= {match[1] for path in place.iterdir() if (match := own.fullmatch(path.name))}
    return [cluster.machine(name) for name in sorted(names)]


def mounts(cluster: ClusterDir) -> list[str]:
    """Mount points below the state folder, as this process sees them."""
    points = (line.split()[4] for line in Path("/proc/self/mountinfo").read_text().splitlines())
    return [point for point in points if Path(point).is_relative_to(cluster.path)]


def find(cluster: ClusterDir) -> list[str]:
    """Everything of the cluster that is on this host, each in words that say what and where."""
    found = [f"process {process.pid}: {' '.join(process.argv)[:120]}" for process in machine.inits_below(cluster.path)]
    found += [f"mount {point}" for point in mounts(cluster)]
    machines = [cluster.machine(CONTROL_PLANE), *nodes(cluster)]
    found += [
        f"network namespace {each.namespace}" for each in machines if (network.NAMESPACES / each.namespace).exists()
    ]
    found += [f"control group {group}" for each in machines for group in cgroups.remaining(each.namespace)]
    if network.host_link_exists(cluster):
        found.append(f"network interface {cluster.host_link}")
    if cluster.path.exists():
        found.append(f"folder {cluster.path}")
    return found
