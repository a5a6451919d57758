"""What every component is told: command lines and configuration files, as a pure function of the settings.

Paths are those that the component sees. The control plane shares the host's files; a node sees its own folder at
``/run/node`` and its programs at ``/run/bin`` (``machine_init.py`` lays that out).
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from hack.cluster.layout import MachineDir
from hack.cluster.settings import Settings

PAUSE_IMAGE = "localhost/apprun-pause:1"
CONTAINERD_SOCKET = "/run/containerd/containerd.sock"
API_PORT = 6443
MAX_PODS = 200

_NODE_HOME = Path("/run/node")
_NODE_ETC = _NODE_HOME / "etc"
_NODE_PROGRAMS = Path("/run/bin")
# What the kubelet wants the kernel to be set to (its protectKernelDefaults list).
_KUBELET_SYSCTLS = {
    "vm/overcommit_memory": "1",
    "vm/panic_on_oom": "0",
    "kernel/panic": "10",
    "kernel/panic_on_oops": "1",
    "kernel/keys/root_maxkeys": "1000000",
    "kernel/keys/root_maxbytes": "25000000",
}


@dataclass(frozen=True)
class Unit:
    """One machine: its services in the order of their start, and the files of its ``etc`` by name.

    ``sysctls`` are the kernel settings that a node pretends to have; None for a machine that shares the host's files.
    """

    services: Mapping[str, list[str]]
    files: Mapping[str, str]
    programs: Path
    sysctls: Mapping[str, str] | None = None

    def to_json(self) -> str:
        """The form that the machine's init reads. Files are in it by hash: a change of one is a change of the unit."""
        return json.dumps(
            {
                "services": self.services,
                "programs": str(self.programs),
                "sysctls": self.sysctls,
                "files": {name: hashlib.sha256(text.encode()).hexdigest() for name, text in self.files.items()},
            },
            indent=1,
        )


def _flags(**flags: object) -> list[str]:
    """``_flags(a_b=1)`` is ``["--a-b=1"]``."""
    return [f"--{name.replace('_', '-')}={_text(value)}" for name, value in flags.items()]


def _text(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def control_plane_unit(
    settings: Settings, machine: MachineDir, pki: Path, programs: Path, credentials: Mapping[str, str]
) -> Unit:
    """etcd, API server, controller manager and scheduler. They may start together: each waits for the one it needs.

    ``credentials`` are ``controller-manager.kubeconfig`` and ``scheduler.kubeconfig``.
    """
    timing, addresses = settings.timing, settings.addresses
    api_server = _flags(
        etcd_servers="http://127.0.0.1:2379",
        advertise_address=addresses.control_plane,
        bind_address="0.0.0.0",
        secure_port=API_PORT,
        tls_cert_file=pki / "apiserver.crt",
        tls_private_key_file=pki / "apiserver.key",
        client_ca_file=pki / "ca.crt",
        kubelet_client_certificate=pki / "apiserver-kubelet.crt",
        kubelet_client_key=pki / "apiserver-kubelet.key",
        kubelet_certificate_authority=pki / "ca.crt",
        kubelet_preferred_address_types="InternalIP",
        service_account_key_file=pki / "service-accounts.pub",
        service_account_signing_key_file=pki / "service-accounts.key",
        service_account_issuer="https://kubernetes.default.svc",
        authorization_mode="Node,RBAC",
        enable_admission_plugins="NodeRestriction",
        service_cluster_ip_range=addresses.services,
        allow_privileged=True,
        # Webhooks and aggregated APIs are reached at their pods' addresses: the control plane runs no kube-proxy.
        enable_aggregator_routing=True,
    )
    controller_manager = _flags(
        kubeconfig=machine.etc / "controller-manager.kubeconfig",
        authentication_kubeconfig=machine.etc / "controller-manager.kubeconfig",
        authorization_kubeconfig=machine.etc / "controller-manager.kubeconfig",
        service_account_private_key_file=pki / "service-accounts.key",
        root_ca_file=pki / "ca.crt",
        # Without the API server's list of authorities, it may start before the API server.
        authentication_skip_lookup=True,
        client_ca_file=pki / "ca.crt",
        use_service_account_credentials=True,
        leader_elect=False,
        # With the default of 20 requests a second it takes 5 s to start its controllers.
        kube_api_qps=100,
        kube_api_burst=200,
        node_monitor_grace_period=f"{timing.node_grace}s",
        node_monitor_period=f"{timing.node_check}s",
    )
    scheduler = _flags(
        kubeconfig=machine.etc / "scheduler.kubeconfig",
        authentication_kubeconfig=machine.etc / "scheduler.kubeconfig",
        authorization_kubeconfig=machine.etc / "scheduler.kubeconfig",
        leader_elect=False,
    )
    etcd = _flags(
        data_dir=machine.path / "etcd",
        listen_client_urls="http://127.0.0.1:2379",
        advertise_client_urls="http://127.0.0.1:2379",
        listen_peer_urls="http://127.0.0.1:2380",
        log_level="warn",
    )
    parts = {
        "etcd": etcd,
        "kube-apiserver": api_server,
        "kube-controller-manager": controller_manager,
        "kube-scheduler": scheduler,
    }
    services = {name: [str(programs / name), *flags, *settings.flags_for(name)] for name, flags in parts.items()}
    return Unit(services=services, files=credentials, programs=programs)


def node_unit(settings: Settings, number: int, programs: Path, credentials: Mapping[str, str]) -> Unit:
    """containerd, kubelet and kube-proxy of one node.

    ``credentials`` are ``ca.crt``, ``kubelet.crt``, ``kubelet.key``, ``kubelet.kubeconfig``, ``kube-proxy.kubeconfig``.
    """
    files = {
        **credentials,
        "containerd.toml": _containerd_config(),
        "kubelet.yaml": _kubelet_config(settings, number),
        "kube-proxy.yaml": _kube_proxy_config(settings, number),
        "cni/10-pods.conflist": _pod_network_config(settings, number),
        "resolv.conf": "# There is no DNS: pods find the API server by its address.\n",
    }
    kubelet = _flags(
        config=_NODE_ETC / "kubelet.yaml",
        kubeconfig=_NODE_ETC / "kubelet.kubeconfig",
        hostname_override=f"node{number}",
        node_ip=settings.addresses.node(number),
        cert_dir="/var/lib/kubelet/pki",
    )
    proxy = _flags(config=_NODE_ETC / "kube-proxy.yaml")
    services = {
        "containerd": ["containerd", "--config", str(_NODE_ETC / "containerd.toml")],
        "kubelet": [str(_NODE_PROGRAMS / "kubelet"), *kubelet, *settings.flags_for("kubelet")],
        "kube-proxy": [str(_NODE_PROGRAMS / "kube-proxy"), *proxy, *settings.flags_for("kube-proxy")],
    }
    return Unit(services=services, files=files, programs=programs, sysctls=_KUBELET_SYSCTLS)


def _containerd_config() -> str:
    # runc, because crun fails where cgroup v1 and v2 are mixed. AppArmor off, because its loader may not be installed.
    # The out-of-memory score can only be raised where the machine withholds CAP_SYS_RESOURCE.
    return f"""\
version = 2
root = "/var/lib/containerd"
state = "/run/containerd"
disabled_plugins = ["io.containerd.internal.v1.opt", "io.containerd.snapshotter.v1.devmapper"]

[grpc]
  address = "{CONTAINERD_SOCKET}"

[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "{PAUSE_IMAGE}"
  restrict_oom_score_adj = true
  disable_apparmor = true
  stream_server_address = "127.0.0.1"

  [plugins."io.containerd.grpc.v1.cri".containerd]
    snapshotter = "overlayfs"
    default_runtime_name = "runc"

    [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
      runtime_type = "io.containerd.runc.v2"

  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "/usr/lib/cni"
    conf_dir = "{_NODE_ETC}/cni"
"""


def _kubelet_config(settings: Settings, number: int) -> str:
    # The image garbage collector and the disk evictions are off: locally loaded images can't be pulled again.
    return _json(
        apiVersion="kubelet.config.k8s.io/v1beta1",
        kind="KubeletConfiguration",
        containerRuntimeEndpoint=f"unix://{CONTAINERD_SOCKET}",
        cgroupDriver="cgroupfs",
        cgroupRoot=f"/{settings.name}-node{number}",
        failCgroupV1=False,
        failSwapOn=False,
        authentication={
            "anonymous": {"enabled": False},
            "webhook": {"enabled": True},
            "x509": {"clientCAFile": str(_NODE_ETC / "ca.crt")},
        },
        authorization={"mode": "Webhook"},
        tlsCertFile=str(_NODE_ETC / "kubelet.crt"),
        tlsPrivateKeyFile=str(_NODE_ETC / "kubelet.key"),
        resolvConf=str(_NODE_ETC / "resolv.conf"),
        # There is no DNS. The kubelet would repeat that in an Event for each pod; with this, a look-up fails at once.
        clusterDNS=["127.0.0.1"],
        maxPods=MAX_PODS,
        serializeImagePulls=False,
        imageGCHighThresholdPercent=100,
        evictionHard={
            "memory.available": "100Mi",
            "nodefs.available": "0%",
            "nodefs.inodesFree": "0%",
            "imagefs.available": "0%",
        },
        nodeStatusUpdateFrequency=f"{settings.timing.node_report}s",
        nodeLeaseDurationSeconds=settings.timing.node_lease,
        kubeAPIQPS=100,
        kubeAPIBurst=200,
    )


def _kube_proxy_config(settings: Settings, number: int) -> str:
    return _json(
        apiVersion="kubeproxy.config.k8s.io/v1alpha1",
        kind="KubeProxyConfiguration",
        clientConnection={"kubeconfig": str(_NODE_ETC / "kube-proxy.kubeconfig")},
        hostnameOverride=f"node{number}",
        mode="iptables",
        clusterCIDR=str(settings.addresses.pods),
        # The connection table's size is the host's, not ours to change.
        conntrack={"maxPerCore": 0, "min": 0},
    )


def _pod_network_config(settings: Settings, number: int) -> str:
    # Address leases lie in /run, so that a node that lost power starts with all of them free.
    return _json(
        cniVersion="0.4.0",
        name="pods",
        plugins=[
            {
                "type": "bridge",
                "bridge": "cni0",
                "isGateway": True,
                "ipMasq": True,
                "ipam": {
                    "type": "host-local",
                    "ranges": [[{"subnet": str(settings.addresses.node_pods(number))}]],
                    "routes": [{"dst": "0.0.0.0/0"}],
                    "dataDir": "/run/cni",
                },
            },
            {"type": "portmap", "capabilities": {"portMappings": True}},
        ],
    )


def _json(**document: object) -> str:
    """A YAML document; JSON is YAML, and the standard library writes it."""
    return json.dumps(document, indent=2) + "\n"
