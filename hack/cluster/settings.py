"""What one cluster is: its name, size, addresses and timing. Pure values; no file or process is touched here.

A cluster's *slot* (a small number) selects address ranges that no other cluster on the machine uses. Two well-known
names have fixed slots, so that demo and tests look the same everywhere; other names get the lowest free one.
"""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from ipaddress import IPv4Address, IPv4Network

from hack.cluster.errors import ClusterError

DEFAULT_NAME = "apprun"
DEFAULT_NODES = 2
MAX_NODES = 20
SLOTS = 16
COMPONENTS = ("etcd", "kube-apiserver", "kube-controller-manager", "kube-scheduler", "kubelet", "kube-proxy")

_FIXED_SLOTS: Mapping[str, int] = {DEFAULT_NAME: 0, "test": 1}
# The host's end of the cable to the control plane is called NAME-host, and Linux allows 15 characters.
_NAME = re.compile(r"[a-z][a-z0-9]{0,8}[a-z0-9]|[a-z]")


@dataclass(frozen=True)
class Addresses:
    """The address plan of one slot; disjoint from every other slot's."""

    slot: int

    @property
    def machines(self) -> IPv4Network:
        """The wire between control plane, nodes and host."""
        return IPv4Network(f"10.123.{self.slot}.0/24")

    @property
    def pods(self) -> IPv4Network:
        """All pods; every node has a /24 of it."""
        return IPv4Network(f"10.{128 + self.slot}.0.0/16")

    @property
    def services(self) -> IPv4Network:
        """Cluster IPs."""
        return IPv4Network(f"10.{96 + self.slot}.0.0/16")

    @property
    def control_plane(self) -> IPv4Address:
        """The API server, and the router between the nodes."""
        return self.machines[1]

    @property
    def host(self) -> IPv4Address:
        """This machine's own end, from which kubectl connects."""
        return self.machines[254]

    @property
    def kubernetes_service(self) -> IPv4Address:
        """The API server as pods see it."""
        return self.services[1]

    def node(self, number: int) -> IPv4Address:
        """Address of node ``number`` (counted from 1)."""
        return self.machines[10 + number]

    def node_pods(self, number: int) -> IPv4Network:
        """Addresses of the pods on node ``number``."""
        return IPv4Network(f"10.{128 + self.slot}.{number}.0/24")


@dataclass(frozen=True)
class Timing:
    """How soon a silent node counts as lost, in seconds."""

    node_grace: int
    node_check: int
    node_report: int
    node_lease: int


QUICK_TIMING = Timing(node_grace=4, node_check=1, node_report=1, node_lease=4)
# Kubernetes' own defaults: a dead node is noticed after 40 to 50 seconds.
REAL_TIMING = Timing(node_grace=50, node_check=5, node_report=10, node_lease=40)


@dataclass(frozen=True)
class ExtraFlag:
    """A flag that ``--set`` adds to one component."""

    component: str
    flag: str
    value: str

    @classmethod
    def parse(cls, text: str) -> ExtraFlag:
        """Reads ``COMPONENT.FLAG=VALUE``; raises ClusterError when it isn't one."""
        match = re.fullmatch(r"(?P<component>[a-z-]+)\.(?P<flag>[a-z][a-z0-9-]*)=(?P<value>.*)", text, re.DOTALL)
        if match is None:
            raise ClusterError(
                f"--set {text!r} is not COMPONENT.FLAG=VALUE",
                "for example: --set kube-apiserver.audit-log-path=/tmp/audit.log",
            )
        if match["component"] not in COMPONENTS:
            raise ClusterError(
                f"--set {text!r}: no component {match['component']!r}", f"it is one of {', '.join(COMPONENTS)}"
            )
        return cls(match["component"], match["flag"], match["value"])

    @property
    def text(self) -> str:
        """What ``parse`` reads."""
        return f"{self.component}.{self.flag}={self.value}"


@dataclass(frozen=True)
class Settings:
    """Everything that decides how a cluster is made; kept beside its state while it lives."""

    name: str
    slot: int
    nodes: int = DEFAULT_NODES
    timing: Timing = QUICK_TIMING
    extra_flags: tuple[ExtraFlag, ...] = field(default=())

    @property
    def addresses(self) -> Addresses:
        """The address plan that the slot selects."""
        return Addresses(self.slot)

    @property
    def node_numbers(self) -> range:
        """1, 2, … up to the number of nodes."""
        return range(1, self.nodes + 1)

    def flags_for(self, component: str) -> list[str]:
        """The ``--set`` flags of one component, ready for its command line; they come last and so win."""
        return [f"--{extra.flag}={extra.value}" for extra in self.extra_flags if extra.component == component]

    def to_json(self) -> str:
        """The form that is kept in the state folder."""
        return json.dumps(
            {
                "name": self.name,
                "slot": self.slot,
                "nodes": self.nodes,
                "real_timing": self.timing == REAL_TIMING,
                "extra_flags": [extra.text for extra in self.extra_flags],
            },
            indent=2,
        )

    @classmethod
    def from_json(cls, text: str) -> Settings:
        """Reads back what ``to_json`` wrote."""
        raw = json.loads(text)
        return cls(
            name=raw["name"],
            slot=raw["slot"],
            nodes=raw["nodes"],
            timing=REAL_TIMING if raw["real_timing"] else QUICK_TIMING,
            extra_flags=tuple(ExtraFlag.parse(each) for each in raw["extra_flags"]),
        )


def check_name(name: str) -> str:
    """Returns the name, or raises ClusterError when it can't be part of an interface's name."""
    if not _NAME.fullmatch(name):
        raise ClusterError(
            f"cluster name {name!r} can't be used",
            "take 1 to 10 lower-case letters and digits, a letter first: it becomes part of network interfaces' names",
        )
    return name


def check_nodes(nodes: int) -> int:
    """Returns the number of nodes, or raises ClusterError when it is out of range."""
    if not 1 <= nodes <= MAX_NODES:
        raise ClusterError(f"--nodes {nodes} is out of range", f"take 1 to {MAX_NODES}")
    return nodes


def choose_slot(name: str, taken_slots: Collection[int]) -> int:
    """The slot of a new cluster, given those of the others; raises ClusterError when all are in use."""
    if name in _FIXED_SLOTS:
        return _FIXED_SLOTS[name]
    free = sorted(set(range(SLOTS)) - set(_FIXED_SLOTS.values()) - set(taken_slots))
    if not free:
        raise ClusterError(
            f"all {SLOTS} address ranges are in use", "take a cluster down first: cluster down --name NAME"
        )
    return free[0]
