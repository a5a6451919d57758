"""What a cluster is like now: a value for scripts, and a page for people."""

from __future__ import annotations

from dataclasses import dataclass

from hack.cluster import machine, network
from hack.cluster.api import Api
from hack.cluster.layout import CONTROL_PLANE, cluster_dir
from hack.cluster.lifecycle import load_settings
from hack.cluster.settings import REAL_TIMING


@dataclass(frozen=True)
class NodeStatus:
    """One node: whether it has power and a whole cable, and what the API server says of it (None: nothing)."""

    name: str
    address: str
    on: bool
    connected: bool
    ready: bool | None


@dataclass(frozen=True)
class ClusterStatus:
    """One cluster. ``healthy`` means that ``up`` would find nothing to mend."""

    name: str
    healthy: bool
    api_server: str
    api_ready: bool
    kubeconfig: str
    logs: str
    real_timing: bool
    nodes: tuple[NodeStatus, ...]


def status(name: str) -> ClusterStatus:
    """Looks at the cluster; raises ClusterError when there is none."""
    cluster = cluster_dir(name)
    settings = load_settings(cluster)
    wired = network.exists(cluster.machine(CONTROL_PLANE))
    api = Api(cluster, settings) if (cluster.pki / "admin.crt").exists() else None
    readiness = {node.name: node.ready for node in (api.nodes() if api else None) or ()}
    nodes = tuple(
        NodeStatus(
            name=f"node{number}",
            address=str(settings.addresses.node(number)),
            on=machine.find_init(cluster.node(number)) is not None,
            connected=wired and network.is_plugged(cluster, number),
            ready=readiness.get(f"node{number}"),
        )
        for number in settings.node_numbers
    )
    api_ready = api.is_ready() if api else False
    return ClusterStatus(
        name=name,
        healthy=api_ready and all(node.on and node.connected and node.ready for node in nodes),
        api_server=f"https://{settings.addresses.control_plane}:6443",
        api_ready=api_ready,
        kubeconfig=str(cluster.kubeconfig),
        logs=f"{cluster.path}/*/log/*.log",
        real_timing=settings.timing == REAL_TIMING,
        nodes=nodes,
    )


def page(state: ClusterStatus) -> str:
    """The status as a person reads it."""
    rows = [("", "power", "cable", "Kubernetes says", "address")]
    for node in state.nodes:
        verdict = {True: "Ready", False: "NotReady", None: "not seen"}[node.ready]
        rows.append(
            (node.name, "on" if node.on else "off", "whole" if node.connected else "cut", verdict, node.address)
        )
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    table = "\n".join(
        "  " + "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows
    )
    answers = "ready" if state.api_ready else "does not answer"
    return (
        f"cluster {state.name}: {'healthy' if state.healthy else 'not healthy (cluster up mends it)'}\n"
        f"  API server  {state.api_server} ({answers})\n"
        f"  kubeconfig  {state.kubeconfig}\n"
        f"  logs        {state.logs}\n"
        f"  node loss   noticed after {'40 to 50' if state.real_timing else '4 to 5'} s\n{table}"
    )
