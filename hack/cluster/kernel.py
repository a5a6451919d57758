"""The two kernel modules that pods need, loaded when they aren't, and unloaded again by the last cluster to leave."""

from __future__ import annotations

from pathlib import Path

from hack.cluster.layout import ClusterDir
from hack.cluster.shell import run, succeeds


def missing_modules() -> list[str]:
    """The modules that the running kernel doesn't have yet."""
    present = {"overlay": has_overlay(), "br_netfilter": _has_bridge_filter()}
    return [module for module, is_present in present.items() if not is_present]


def load_modules(cluster: ClusterDir) -> None:
    """Loads overlay (pods' root file systems) and br_netfilter (Services between pods of a node), and notes which."""
    for module in missing_modules():
        run(["modprobe", module])
        with cluster.loaded_modules.open("a") as noted:
            noted.write(f"{module}\n")


def unload_modules(cluster: ClusterDir) -> None:
    """Unloads what ``load_modules`` loaded, unless somebody else has come to use it."""
    if cluster.loaded_modules.exists():
        for module in cluster.loaded_modules.read_text().split():
            succeeds(["modprobe", "--remove", module])


def has_overlay() -> bool:
    """Whether the kernel can mount overlays."""
    return "\toverlay\n" in Path("/proc/filesystems").read_text()


def _has_bridge_filter() -> bool:
    return Path("/proc/sys/net/bridge/bridge-nf-call-iptables").exists()
