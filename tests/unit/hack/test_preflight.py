"""What is said when a machine lacks something."""

from __future__ import annotations

from ipaddress import IPv4Network
from pathlib import Path

from hack.cluster.preflight import (
    IMAGE_TOOLS,
    RUN_TOOLS,
    Missing,
    find_tool,
    missing_platform,
    missing_tools,
    overlapping_routes,
    report,
)
from hack.cluster.settings import Settings

SETTINGS = Settings(name="mine", slot=2)


def nothing(_: str) -> None:
    return None


def test_missing_packages_are_one_command() -> None:
    (missing,) = missing_tools(RUN_TOOLS, nothing)
    assert "deps --install" in missing.remedy
    assert missing.remedy.count("containernetworking-plugins") == 1
    assert missing.remedy.split(" containerd ")[0].endswith("--no-install-recommends")


def test_installed_tools_are_not_mentioned() -> None:
    (missing,) = missing_tools(IMAGE_TOOLS, lambda file: None if file == "buildah" else f"/usr/bin/{file}")
    assert "debootstrap" not in missing.problem + missing.remedy


def test_nothing_is_missing_when_every_tool_is_found() -> None:
    assert missing_tools(RUN_TOOLS, lambda file: f"/usr/bin/{file}") == []


def test_the_newest_of_versioned_paths_is_found(tmp_path: Path) -> None:
    for version in ("9", "15", "17"):
        (tmp_path / version / "bin").mkdir(parents=True)
        (tmp_path / version / "bin" / "postgres").touch()
    assert find_tool(f"{tmp_path}/*/bin/postgres") == f"{tmp_path}/17/bin/postgres"
    assert find_tool(f"{tmp_path}/*/bin/psql") is None


def test_another_system_is_pointed_to_existing_clusters() -> None:
    (missing,) = missing_platform("Darwin", 501, (3, 13))
    assert "CLUSTER=existing" in missing.remedy


def test_an_ordinary_user_is_told_to_become_root() -> None:
    (missing,) = missing_platform("Linux", 1000, (3, 11))
    assert "root" in missing.problem
    assert "sudo" in missing.remedy


def test_an_old_python_is_named() -> None:
    (missing,) = missing_platform("Linux", 0, (3, 9))
    assert "3.9" in missing.problem


def test_root_on_linux_lacks_nothing() -> None:
    assert missing_platform("Linux", 0, (3, 12)) == []


def test_a_network_of_the_host_inside_the_clusters_is_found() -> None:
    routes = [("eth0", IPv4Network("192.0.2.0/24")), ("tun0", IPv4Network("10.123.2.0/25"))]
    (missing,) = overlapping_routes(SETTINGS, routes)
    assert "tun0" in missing.problem
    assert "--name" in missing.remedy


def test_the_clusters_own_route_and_wider_ones_are_fine() -> None:
    routes = [("mine-host", IPv4Network("10.123.2.0/24")), ("eth0", IPv4Network("10.0.0.0/8"))]
    assert overlapping_routes(SETTINGS, routes) == []


def test_the_report_lists_everything_at_once() -> None:
    text = str(report([Missing("no a", "get a"), Missing("no b", "get b")]))
    assert "nothing has been changed" in text
    assert text.index("no a") < text.index("get a") < text.index("no b") < text.index("get b")
