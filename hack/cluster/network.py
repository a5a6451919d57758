"""The cluster's wires: a network namespace for each machine, a bridge in the control plane's, a cable from each to it.

Every function brings one thing to its wanted state whatever was there before, so the same code builds and repairs.
Nodes know only their default route: the control plane routes between the nodes' pod networks.
"""

from __future__ import annotations

import json
import subprocess
from ipaddress import IPv4Network
from pathlib import Path

from hack.cluster.layout import CONTROL_PLANE, ClusterDir, MachineDir
from hack.cluster.settings import Settings
from hack.cluster.shell import run, succeeds

NAMESPACES = Path("/run/netns")
_BRIDGE = "br0"
_UPLINK = "host"


def exists(machine: MachineDir) -> bool:
    """Whether the machine has a network namespace that works (a reboot or a crash can leave an empty file behind)."""
    return succeeds(["nsenter", f"--net={NAMESPACES / machine.namespace}", "true"])


def lay_control_plane(cluster: ClusterDir, settings: Settings) -> None:
    """The control plane's namespace with the bridge, and the cable from the bridge to this host."""
    machine = cluster.machine(CONTROL_PLANE)
    inside = machine.namespace
    addresses = settings.addresses
    prefix = addresses.machines.prefixlen
    _ensure_namespace(machine)
    if not _has_link(inside, _BRIDGE):
        _ip(inside, "link", "add", _BRIDGE, "type", "bridge")
    _ip(inside, "addr", "replace", f"{addresses.control_plane}/{prefix}", "dev", _BRIDGE)
    _ip(inside, "link", "set", _BRIDGE, "up")
    if not _has_link(inside, _UPLINK):
        run(["ip", "link", "add", cluster.host_link, "type", "veth", "peer", "name", _UPLINK, "netns", inside])
    _ip(inside, "link", "set", _UPLINK, "master", _BRIDGE, "up")
    run(["ip", "addr", "replace", f"{addresses.host}/{prefix}", "dev", cluster.host_link])
    run(["ip", "link", "set", cluster.host_link, "up"])
    _write_sysctls(inside, {"ipv4/ip_forward": "1", "ipv4/conf/all/send_redirects": "0"})


def lay_node(cluster: ClusterDir, settings: Settings, number: int) -> None:
    """A node's namespace, and the cable from it to the bridge."""
    machine = cluster.node(number)
    hub, inside = cluster.machine(CONTROL_PLANE).namespace, machine.namespace
    addresses = settings.addresses
    _ensure_namespace(machine)
    if not (_has_link(inside, "eth0") and _has_link(hub, machine.machine)):
        # An end may be there without the other, and go while we look: a deleted namespace is emptied in the background.
        for namespace, link in ((hub, machine.machine), (inside, "eth0")):
            succeeds(["ip", "-netns", namespace, "link", "del", link])
        _ip(hub, "link", "add", machine.machine, "type", "veth", "peer", "name", "eth0", "netns", inside)
    _ip(hub, "link", "set", machine.machine, "master", _BRIDGE)
    _ip(hub, "route", "replace", str(addresses.node_pods(number)), "via", str(addresses.node(number)), "dev", _BRIDGE)
    _ip(inside, "addr", "replace", f"{addresses.node(number)}/{addresses.machines.prefixlen}", "dev", "eth0")
    _ip(inside, "link", "set", "eth0", "up")
    _ip(inside, "route", "replace", "default", "via", str(addresses.control_plane))
    # Without the second one, two pods of a node that meet through a Service would answer past address translation.
    _write_sysctls(inside, {"ipv4/ip_forward": "1", "bridge/bridge-nf-call-iptables": "1"})


def plug(cluster: ClusterDir, number: int) -> None:
    """Lets a node's packets pass."""
    _ip(cluster.machine(CONTROL_PLANE).namespace, "link", "set", f"node{number}", "up")


def unplug(cluster: ClusterDir, number: int) -> None:
    """Drops everything to and from a node, its pods included; nobody is told, as with a pulled cable."""
    _ip(cluster.machine(CONTROL_PLANE).namespace, "link", "set", f"node{number}", "down")


def is_plugged(cluster: ClusterDir, number: int) -> bool:
    """Whether a node's packets pass."""
    links = json.loads(_ip(cluster.machine(CONTROL_PLANE).namespace, "-json", "link", "show", f"node{number}"))
    return "UP" in links[0]["flags"]


def remove_namespace(machine: MachineDir) -> None:
    """Deletes a machine's namespace and with it all interfaces in it."""
    path = NAMESPACES / machine.namespace
    if path.exists() and not succeeds(["ip", "netns", "del", machine.namespace]):
        path.unlink(missing_ok=True)


def remove_host_link(cluster: ClusterDir) -> None:
    """Deletes this host's end of the cable; it may be gone already, with the other end."""
    if host_link_exists(cluster):
        succeeds(["ip", "link", "del", cluster.host_link])


def host_link_exists(cluster: ClusterDir) -> bool:
    """Whether this host still has its end of the cable."""
    return Path("/sys/class/net", cluster.host_link).exists()


def tidy_namespace_folder() -> None:
    """Undoes what the first ``ip netns add`` of a machine leaves: an empty folder that is mounted on itself."""
    if NAMESPACES.is_dir() and not any(NAMESPACES.iterdir()):
        subprocess.run(["umount", str(NAMESPACES)], capture_output=True, check=False)
        try:
            NAMESPACES.rmdir()
        except OSError:
            pass  # somebody else uses it meanwhile


def host_routes() -> list[tuple[str, IPv4Network]]:
    """The host's routes as (interface, network), the default route left out."""
    routes = json.loads(run(["ip", "-json", "-4", "route", "show"]))
    return [(route.get("dev", "?"), IPv4Network(route["dst"])) for route in routes if route["dst"] != "default"]


def _ensure_namespace(machine: MachineDir) -> None:
    if not exists(machine):
        remove_namespace(machine)
        run(["ip", "netns", "add", machine.namespace])
    _ip(machine.namespace, "link", "set", "lo", "up")


def _has_link(namespace: str, link: str) -> bool:
    return succeeds(["ip", "-netns", namespace, "link", "show", link])


def _ip(namespace: str, *words: str) -> str:
    return run(["ip", "-netns", namespace, *words])


def _write_sysctls(namespace: str, values: dict[str, str]) -> None:
    script = " && ".join(f"echo {value} > /proc/sys/net/{key}" for key, value in values.items())
    run(["nsenter", f"--net={NAMESPACES / namespace}", "sh", "-c", script])
