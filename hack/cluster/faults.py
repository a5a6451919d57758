"""The faults that a test or the demo can cause, each as hard as in real life: nobody gets to say goodbye.

A killed node or a cut cable stays so until ``start-node`` or ``heal-node``; ``up`` mends both as well. A killed API
server or etcd is started again by the command that killed it, after the time asked for.
"""

from __future__ import annotations

import os
import signal
import time
from dataclasses import dataclass

from hack.cluster import machine, network, progress
from hack.cluster.api import Api
from hack.cluster.errors import ClusterError
from hack.cluster.layout import CONTROL_PLANE, ClusterDir, cluster_dir
from hack.cluster.lifecycle import boot_node, load_settings, wait_for, wait_until_ready
from hack.cluster.settings import Settings


@dataclass(frozen=True)
class Outcome:
    """What a fault command did, and when, in seconds since the epoch of this host's clock."""

    what: str
    times: dict[str, float]


def kill_node(name: str, number: int) -> Outcome:
    """A node loses power: its cable falls silent first, so that no peer sees a connection close, then all dies."""
    cluster, _ = _running(name, number)
    network.unplug(cluster, number)
    machine.power_off(cluster.node(number))
    return Outcome(f"node{number} is dead", {"dead_at": time.time()})


def start_node(name: str, number: int, *, wait: bool) -> Outcome:
    """Power is back: the node boots with the disk it had. With ``wait``, returns when the API server calls it ready."""
    cluster, settings = _running(name, number)
    node = cluster.node(number)
    if machine.find_init(node) is not None:
        return Outcome(f"node{number} was on already", {})
    booted = time.time()
    boot_node(cluster, settings, number)
    times = {"booted_at": booted}
    if wait:
        with progress.step(f"node{number} gets ready"):
            wait_until_ready(cluster, settings, [number], since=booted)
        times["ready_at"] = time.time()
    return Outcome(f"node{number} is on", times)


def cut_node(name: str, number: int) -> Outcome:
    """The cable is cut: the node and its pods run on, and reach nobody."""
    cluster, _ = _running(name, number)
    network.unplug(cluster, number)
    return Outcome(f"node{number} is cut off", {"cut_at": time.time()})


def heal_node(name: str, number: int) -> Outcome:
    """The cable is whole again."""
    cluster, _ = _running(name, number)
    network.plug(cluster, number)
    return Outcome(f"node{number} is connected", {"healed_at": time.time()})


def kill_service(name: str, service: str, down_seconds: float) -> Outcome:
    """Kills a service of the control plane, keeps it down for a while, starts it, waits until the API is ready again.

    When this command itself is cut short meanwhile, ``up`` starts the service.
    """
    cluster = cluster_dir(name)
    settings = load_settings(cluster)
    control_plane = cluster.machine(CONTROL_PLANE)
    pid = machine.service_pid(control_plane, service)
    if pid is None:
        raise ClusterError(f"{service} is not running", f"repair the cluster first: cluster up --name {name}")
    hold = control_plane.holds / service
    hold.touch()
    try:
        os.kill(pid, signal.SIGKILL)
        machine.wait_for_end(pid, service)
        dead = time.time()
        time.sleep(down_seconds)
    finally:
        hold.unlink(missing_ok=True)
    started = time.time()
    api = Api(cluster, settings)
    wait_for(api.is_ready, f"{service} does not come back", control_plane.logs / f"{service}.log")
    return Outcome(
        f"{service} was killed and is back", {"dead_at": dead, "started_at": started, "ready_at": time.time()}
    )


def _running(name: str, number: int) -> tuple[ClusterDir, Settings]:
    cluster = cluster_dir(name)
    settings = load_settings(cluster)
    if number not in settings.node_numbers:
        raise ClusterError(f"there is no node{number}", f"cluster {name!r} has node1 to node{settings.nodes}")
    if not network.exists(cluster.machine(CONTROL_PLANE)):
        raise ClusterError(f"cluster {name!r} is not running", f"repair it first: cluster up --name {name}")
    return cluster, settings
