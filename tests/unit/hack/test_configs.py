"""What the components of a local cluster are told."""

from __future__ import annotations

import dataclasses
import json
import tomllib
from pathlib import Path
from typing import Any

from hack.cluster.configs import CONTAINERD_SOCKET, PAUSE_IMAGE, Unit, control_plane_unit, node_unit
from hack.cluster.layout import MachineDir
from hack.cluster.settings import REAL_TIMING, ExtraFlag, Settings

SETTINGS = Settings(name="mine", slot=2, nodes=2)
PROGRAMS = Path("/programs")


def control_plane(settings: Settings = SETTINGS) -> Unit:
    machine = MachineDir(settings.name, "cp", Path("/state/cp"))
    return control_plane_unit(settings, machine, Path("/state/pki"), PROGRAMS, {})


def document(unit: Unit, file: str) -> dict[str, Any]:
    parsed: dict[str, Any] = json.loads(unit.files[file])
    return parsed


def test_the_control_plane_starts_what_it_depends_on_first() -> None:
    assert list(control_plane().services) == ["etcd", "kube-apiserver", "kube-controller-manager", "kube-scheduler"]


def test_etcd_syncs_to_disk_as_in_production() -> None:
    assert not [flag for flag in control_plane().services["etcd"] if "fsync" in flag]


def test_addresses_of_the_slot_reach_every_component() -> None:
    api_server = control_plane().services["kube-apiserver"]
    assert "--advertise-address=10.123.2.1" in api_server
    assert "--service-cluster-ip-range=10.98.0.0/16" in api_server
    node = node_unit(SETTINGS, 2, PROGRAMS, {})
    assert "--node-ip=10.123.2.12" in node.services["kubelet"]
    assert document(node, "kube-proxy.yaml")["clusterCIDR"] == "10.130.0.0/16"
    plugin = document(node, "cni/10-pods.conflist")["plugins"][0]
    assert plugin["ipam"]["ranges"] == [[{"subnet": "10.130.2.0/24"}]]


def test_node_loss_is_noticed_fast_without_real_timing() -> None:
    quick, real = control_plane(), control_plane(dataclasses.replace(SETTINGS, timing=REAL_TIMING))
    assert "--node-monitor-grace-period=4s" in quick.services["kube-controller-manager"]
    assert "--node-monitor-grace-period=50s" in real.services["kube-controller-manager"]


def test_extra_flags_come_last_so_that_they_win() -> None:
    extra = (ExtraFlag("kube-apiserver", "secure-port", "7443"),)
    flags = control_plane(dataclasses.replace(SETTINGS, extra_flags=extra)).services["kube-apiserver"]
    assert flags[-1] == "--secure-port=7443"


def test_containerd_and_kubelet_agree_on_socket_and_pause_image() -> None:
    node = node_unit(SETTINGS, 1, PROGRAMS, {})
    containerd = tomllib.loads(node.files["containerd.toml"])
    assert containerd["grpc"]["address"] == CONTAINERD_SOCKET
    assert containerd["plugins"]["io.containerd.grpc.v1.cri"]["sandbox_image"] == PAUSE_IMAGE
    kubelet = document(node, "kubelet.yaml")
    assert kubelet["containerRuntimeEndpoint"] == f"unix://{CONTAINERD_SOCKET}"
    assert kubelet["cgroupRoot"] == f"/{MachineDir('mine', 'node1', Path('/x')).namespace}"


def test_the_kubelet_keeps_loaded_images_and_takes_200_pods() -> None:
    kubelet = document(node_unit(SETTINGS, 1, PROGRAMS, {}), "kubelet.yaml")
    assert kubelet["imageGCHighThresholdPercent"] == 100
    assert kubelet["maxPods"] == 200
    assert kubelet["serializeImagePulls"] is False


def test_no_machine_changes_a_kernel_setting_of_the_host() -> None:
    node = node_unit(SETTINGS, 1, PROGRAMS, {})
    assert node.sysctls is not None
    assert node.sysctls["vm/overcommit_memory"] == "1"
    assert document(node, "kube-proxy.yaml")["conntrack"] == {"maxPerCore": 0, "min": 0}


def test_a_changed_file_changes_the_unit_by_digest() -> None:
    one, other = (node_unit(SETTINGS, 1, PROGRAMS, {"kubelet.key": key}) for key in ("secret-1", "secret-2"))
    assert one.to_json() != other.to_json()
    assert "secret-1" not in one.to_json()
    assert one.to_json() == node_unit(SETTINGS, 1, PROGRAMS, {"kubelet.key": "secret-1"}).to_json()
