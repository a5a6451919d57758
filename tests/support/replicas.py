"""The operator's replicas as the cluster runs them, down to their processes: to stop them, kill them, cut them off.

Processes are found from this machine by the pod's control group, which only works on the cluster of `hack/cluster`.
"""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.support.bed import SYSTEM_NAMESPACE, Bed
from tests.support.kube import CORE, Object, eventually

LEASE = f"/apis/coordination.k8s.io/v1/namespaces/{SYSTEM_NAMESPACE}/leases/apprun"
PODS = f"{CORE}/namespaces/{SYSTEM_NAMESPACE}/pods"
SELECTOR = "labelSelector=app.kubernetes.io/component=operator"
ESTABLISHED = "01"


@dataclass(frozen=True)
class Replica:
    """One pod of the operator."""

    name: str
    uid: str
    node: str
    restarts: int

    @property
    def pid(self) -> int:
        """Process id of its operator, as this machine numbers it."""
        for folder in Path("/proc").iterdir():
            if not folder.name.isdigit():
                continue
            try:
                is_own = self.uid in (folder / "cgroup").read_text().replace("_", "-")
                program = (folder / "cmdline").read_bytes()
            except OSError:  # it has ended meanwhile
                continue
            if is_own and b"apprun_operator" in program:
                return int(folder.name)
        raise AssertionError(f"no process of {self.name} on this machine")

    @contextmanager
    def stopped(self) -> Iterator[None]:
        """Its process stands still, and goes on afterwards as if nothing had been."""
        pid = self.pid
        os.kill(pid, signal.SIGSTOP)
        try:
            yield
        finally:
            os.kill(pid, signal.SIGCONT)

    @contextmanager
    def half_open(self) -> Iterator[int]:
        """Each connection that it has is dead, though neither side is told; new ones work. Yields their number."""
        pid = self.pid
        ports = established(pid)
        rules = [
            rule
            for port in ports
            for rule in (["OUTPUT", "-p", "tcp", "--sport", str(port)], ["INPUT", "-p", "tcp", "--dport", str(port)])
        ]
        for rule in rules:
            in_network_of(pid, "iptables", "-I", *rule, "-j", "DROP")
        try:
            yield len(ports)
        finally:
            for rule in rules:
                in_network_of(pid, "iptables", "-D", *rule, "-j", "DROP")


class Replicas:
    """All pods of the operator."""

    def __init__(self, bed: Bed) -> None:
        self._kube = bed.kube
        self._terminations = bed.terminations

    def all(self) -> list[Replica]:
        return [replica(pod) for pod in self.pods() if is_ready(pod)]

    def pods(self) -> list[Object]:
        """Of all replicas, whatever state they are in."""
        return self._kube.items(f"{PODS}?{SELECTOR}")

    def leader(self) -> Replica:
        """Who leads, when all are ready."""

        def complete() -> Replica | None:
            replicas = self.all()
            return (
                next((replica for replica in replicas if replica.name == self.holder()), None)
                if len(replicas) == 2
                else None
            )

        return eventually("two replicas are ready, and one leads", complete, 90)

    def holder(self) -> str:
        """The name in the Lease."""
        return str(self._kube.get(LEASE)["spec"].get("holderIdentity", ""))

    def until_another_leads(self, than: Replica, seconds: float = 60) -> str:
        def other() -> str | None:
            holder = self.holder()
            return holder if holder not in ("", than.name) else None

        return eventually(f"another replica than {than.name} leads", other, seconds)

    def kill(self, replica: Replica) -> None:
        """It ends without a word, and its container isn't started again."""
        pid = replica.pid
        self._terminations.kill("it is killed, and its pod deleted", replica.uid)
        os.kill(pid, signal.SIGSTOP)  # so that it can't take its leave when the pod is deleted
        self._kube.delete(f"{PODS}/{replica.name}", gracePeriodSeconds=0)
        os.kill(pid, signal.SIGKILL)

    def kill_process(self, replica: Replica) -> None:
        """It ends without a word; the kubelet starts its container again."""
        pid = replica.pid
        self._terminations.kill("its process is killed", replica.uid)
        os.kill(pid, signal.SIGKILL)


def replica(pod: Object) -> Replica:
    (container,) = pod["status"]["containerStatuses"]
    return Replica(pod["metadata"]["name"], pod["metadata"]["uid"], pod["spec"]["nodeName"], container["restartCount"])


def is_ready(pod: Object) -> bool:
    conditions = pod["status"].get("conditions", [])
    return "deletionTimestamp" not in pod["metadata"] and any(
        c["type"] == "Ready" and c["status"] == "True" for c in conditions
    )


def established(pid: int) -> list[int]:
    """Local ports of the TCP connections in the process' network."""
    tables = [Path(f"/proc/{pid}/net/{table}").read_text().splitlines()[1:] for table in ("tcp", "tcp6")]
    rows = [row.split() for table in tables for row in table]
    # The health port's connections come and go by themselves.
    return sorted({int(row[1].rpartition(":")[2], 16) for row in rows if row[3] == ESTABLISHED} - {8080})


def in_network_of(pid: int, *command: str) -> None:
    subprocess.run(["nsenter", f"--target={pid}", "--net", *command], check=True, capture_output=True, timeout=30)
