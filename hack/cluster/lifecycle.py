"""``up``: brings a cluster from any state, none included, to running. Every part is checked and mended for itself."""

from __future__ import annotations

import fcntl
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from hack.cluster import (
    binaries,
    cgroups,
    configs,
    image_store,
    images,
    kernel,
    machine,
    network,
    pki,
    preflight,
    progress,
)
from hack.cluster.api import Api
from hack.cluster.errors import ClusterError
from hack.cluster.layout import CONTROL_PLANE, ClusterDir, MachineDir, cluster_dir, state_root
from hack.cluster.settings import REAL_TIMING, ExtraFlag, Settings, check_name, check_nodes, choose_slot
from hack.cluster.shell import succeeds
from hack.images.pause_image import pause_archive

_SECONDS_TO_READY = 120.0
_PRIVATE = 0o700


@dataclass(frozen=True)
class UpOptions:
    """What ``up`` was asked for; None leaves a running cluster's own setting, or takes the default."""

    nodes: int | None = None
    real_timing: bool | None = None
    extra_flags: tuple[ExtraFlag, ...] | None = None


def load_settings(cluster: ClusterDir) -> Settings:
    """The settings of a cluster that was made; raises ClusterError when there is none."""
    if not cluster.settings.exists():
        raise ClusterError(f"there is no cluster {cluster.name!r}", f"make it with: cluster up --name {cluster.name}")
    return Settings.from_json(cluster.settings.read_text())


def names() -> list[str]:
    """All clusters on this machine, half-made ones included."""
    return sorted(file.parent.name for file in state_root().glob("*/settings.json"))


def up(name: str, options: UpOptions) -> bool:
    """Makes or repairs the cluster and waits until its nodes are ready; returns whether there was anything to do."""
    cluster = cluster_dir(check_name(name))
    preflight.check_platform()
    preflight.check_up(decide_settings(cluster, options))
    with state_lock():
        settings = decide_settings(cluster, options)  # the slot is ours from here on
        cluster.path.mkdir(parents=True, exist_ok=True, mode=_PRIVATE)
        _write_if_new(cluster.settings, settings.to_json())
    programs = binaries.ensure(binaries.KUBE).parent
    binaries.ensure(binaries.HELM_PROGRAM)
    binaries.user_programs()
    pause = images.Archive.read(pause_archive())
    with cluster_lock(cluster):
        nodes = [cluster.node(number) for number in settings.node_numbers]
        image_store.seed(nodes, pause)
        changed = _lay_out(cluster, settings, programs)
        booting = time.time() if changed else 0.0
        if changed:
            with progress.step(f"boot {', '.join(each.machine for each in changed)}"):
                _boot(cluster, settings, changed)
        with ThreadPoolExecutor(max_workers=len(nodes)) as pool:
            list(pool.map(wait_for_containerd, nodes))
        images.import_everywhere(nodes, [pause])
        wait_until_ready(cluster, settings, settings.node_numbers, since=booting)
    return bool(changed)


def decide_settings(cluster: ClusterDir, options: UpOptions) -> Settings:
    """The settings to go for: those of the cluster that is there, changed as wished, or new ones."""
    if cluster.settings.exists():
        current = load_settings(cluster)
    else:
        taken_slots = [Settings.from_json(file.read_text()).slot for file in state_root().glob("*/settings.json")]
        current = Settings(name=cluster.name, slot=choose_slot(cluster.name, taken_slots))
    requested = current
    if options.nodes is not None:
        requested = replace(requested, nodes=check_nodes(options.nodes))
    if options.real_timing:
        requested = replace(requested, timing=REAL_TIMING)
    if options.extra_flags is not None:
        requested = replace(requested, extra_flags=options.extra_flags)
    if cluster.settings.exists() and requested.nodes < current.nodes:
        raise ClusterError(
            f"cluster {cluster.name!r} has {current.nodes} nodes; it can grow but not shrink",
            f"cluster down --name {cluster.name}, then up with --nodes {requested.nodes}",
        )
    return requested


def boot_node(cluster: ClusterDir, settings: Settings, number: int) -> None:
    """Boots a node that is off from its disk, with its network and control groups as empty as after any power cut.

    A kubelet that found its old pods' control groups would lose seconds on each of them.
    """
    node = cluster.node(number)
    network.remove_namespace(node)
    cgroups.remove(node.namespace)
    _lay_node(cluster, settings, number)
    machine.boot(node)


def wait_for_containerd(node: MachineDir) -> None:
    """Returns as soon as the node's containerd answers."""
    probe = ["ctr", "--address", configs.CONTAINERD_SOCKET, "version"]

    def answers() -> bool:
        init = machine.find_init(node)
        if init is None:
            raise ClusterError(f"{node.machine} went off while booting", f"its log says why: {node.logs / 'init.log'}")
        return succeeds(["nsenter", f"--target={init}", "--mount", *probe])

    wait_for(answers, f"containerd of {node.machine} does not answer", node.logs / "containerd.log")


def wait_until_ready(cluster: ClusterDir, settings: Settings, numbers: Iterable[int], since: float = 0.0) -> None:
    """Returns as soon as pods can be made and these nodes are ready; said by a kubelet after ``since`` (epoch seconds).

    The API server goes on calling a dead node ready until its grace is over.
    """
    api = Api(cluster, settings)
    expected = {f"node{number}" for number in numbers}
    control_plane = cluster.machine(CONTROL_PLANE)

    def nodes_ready() -> bool:
        return expected <= {node.name for node in api.nodes() or () if node.ready and node.heard_at >= int(since)}

    if api.is_ready() and nodes_ready() and api.has_default_service_account():
        return
    with progress.step("API server answers"):
        wait_for(api.is_ready, "the API server does not get ready", control_plane.logs / "kube-apiserver.log")
    with progress.step(f"{len(expected)} nodes are ready"):
        wait_for(nodes_ready, "not all nodes get ready", cluster.node(1).logs / "kubelet.log")
        wait_for(
            api.has_default_service_account,
            "no service accounts appear",
            control_plane.logs / "kube-controller-manager.log",
        )


@contextmanager
def state_lock() -> Iterator[None]:
    """Held while the set of clusters changes."""
    state_root().mkdir(parents=True, exist_ok=True, mode=_PRIVATE)
    with (state_root() / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


@contextmanager
def cluster_lock(cluster: ClusterDir) -> Iterator[None]:
    """Held while one cluster is made or unmade."""
    with (cluster.path / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _lay_node(cluster: ClusterDir, settings: Settings, number: int) -> None:
    network.lay_node(cluster, settings, number)
    network.plug(cluster, number)
    cgroups.ensure(cluster.node(number).namespace)


def _boot(cluster: ClusterDir, settings: Settings, units: Mapping[MachineDir, configs.Unit]) -> None:
    for each, unit in units.items():
        machine.power_off(each)
        machine.install(each, unit)
    control_plane = cluster.machine(CONTROL_PLANE)
    if control_plane in units:
        machine.boot(control_plane)
    for number in settings.node_numbers:
        if cluster.node(number) in units:
            boot_node(cluster, settings, number)


def _lay_out(cluster: ClusterDir, settings: Settings, programs: Path) -> dict[MachineDir, configs.Unit]:
    """Keys, networks and control groups of all machines; returns the machines that have to boot, and from what."""
    kernel.load_modules(cluster)
    identities = pki.control_plane_identities(settings.addresses)
    identities += [pki.node_identity(number, settings.addresses) for number in settings.node_numbers]
    pki.make(cluster.pki, identities)
    _write_if_new(cluster.kubeconfig, _kubeconfig(cluster, settings, pki.ADMIN))

    network.lay_control_plane(cluster, settings)
    units = {cluster.machine(CONTROL_PLANE): _control_plane_unit(cluster, settings, programs)}
    for number in settings.node_numbers:
        _lay_node(cluster, settings, number)
        units[cluster.node(number)] = _node_unit(cluster, settings, number, programs)
    return {each: unit for each, unit in units.items() if not machine.runs(each, unit)}


def _control_plane_unit(cluster: ClusterDir, settings: Settings, programs: Path) -> configs.Unit:
    credentials = {
        f"{who}.kubeconfig": _kubeconfig(cluster, settings, who) for who in ("controller-manager", "scheduler")
    }
    return configs.control_plane_unit(settings, cluster.machine(CONTROL_PLANE), cluster.pki, programs, credentials)


def _node_unit(cluster: ClusterDir, settings: Settings, number: int, programs: Path) -> configs.Unit:
    credentials = {
        "ca.crt": (cluster.pki / "ca.crt").read_text(),
        "kubelet.crt": (cluster.pki / f"node{number}.crt").read_text(),
        "kubelet.key": (cluster.pki / f"node{number}.key").read_text(),
        "kubelet.kubeconfig": _kubeconfig(cluster, settings, f"node{number}"),
        "kube-proxy.kubeconfig": _kubeconfig(cluster, settings, "kube-proxy"),
    }
    return configs.node_unit(settings, number, programs, credentials)


def _kubeconfig(cluster: ClusterDir, settings: Settings, identity: str) -> str:
    server = f"https://{settings.addresses.control_plane}:{configs.API_PORT}"
    return pki.kubeconfig(cluster.pki, identity, server=server, context=cluster.name)


def _write_if_new(file: Path, text: str) -> None:
    if not file.exists() or file.read_text() != text:
        file.write_text(text)


def wait_for(condition: Callable[[], bool], problem: str, log: Path) -> None:
    """Waits for a condition; raises ClusterError that points to a log when it takes too long."""
    deadline = time.monotonic() + _SECONDS_TO_READY
    while not condition():
        if time.monotonic() > deadline:
            raise ClusterError(problem, f"its log may say why: {log}")
        time.sleep(0.05)
