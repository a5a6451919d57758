"""Names, address ranges and further flags of local clusters."""

from __future__ import annotations

import itertools

import pytest
from hack.cluster.errors import ClusterError
from hack.cluster.settings import (
    MAX_NODES,
    QUICK_TIMING,
    REAL_TIMING,
    SLOTS,
    Addresses,
    ExtraFlag,
    Settings,
    Timing,
    check_name,
    check_nodes,
    choose_slot,
)


def test_no_two_slots_share_an_address() -> None:
    networks = [
        network
        for slot in range(SLOTS)
        for network in (Addresses(slot).machines, Addresses(slot).pods, Addresses(slot).services)
    ]
    assert not [pair for pair in itertools.combinations(networks, 2) if pair[0].overlaps(pair[1])]


def test_the_first_cluster_has_the_default_service_address() -> None:
    assert str(Addresses(0).kubernetes_service) == "10.96.0.1"


def test_every_node_has_an_address_and_a_pod_network_of_its_own() -> None:
    addresses = Addresses(3)
    numbers = range(1, MAX_NODES + 1)
    machines = {addresses.node(number) for number in numbers} | {addresses.control_plane, addresses.host}
    assert len(machines) == MAX_NODES + 2
    assert all(machine in addresses.machines for machine in machines)
    pods = [addresses.node_pods(number) for number in numbers]
    assert len(set(pods)) == MAX_NODES
    assert all(network.subnet_of(addresses.pods) for network in pods)


def test_demo_and_tests_have_fixed_slots_that_no_other_name_gets() -> None:
    assert (choose_slot("apprun", ()), choose_slot("test", ())) == (0, 1)
    assert choose_slot("mine", ()) == 2


def test_a_new_name_gets_the_lowest_free_slot() -> None:
    assert choose_slot("mine", {0, 2, 3, 5}) == 4


def test_when_all_slots_are_in_use_the_message_says_what_to_do() -> None:
    with pytest.raises(ClusterError, match="take a cluster down first"):
        choose_slot("mine", range(SLOTS))


@pytest.mark.parametrize("name", ["apprun", "a", "test2", "x123456789"])
def test_names_that_fit_into_an_interface_name_are_taken(name: str) -> None:
    assert check_name(name) == name
    assert len(f"{name}-host") <= 15


@pytest.mark.parametrize("name", ["", "Test", "2test", "my-cluster", "a/b", "x1234567890"])
def test_other_names_are_refused(name: str) -> None:
    with pytest.raises(ClusterError, match="can't be used"):
        check_name(name)


@pytest.mark.parametrize("nodes", [0, -1, MAX_NODES + 1])
def test_a_number_of_nodes_out_of_range_is_refused(nodes: int) -> None:
    with pytest.raises(ClusterError, match="out of range"):
        check_nodes(nodes)


def test_an_extra_flag_keeps_its_value_whole() -> None:
    flag = ExtraFlag.parse("kube-apiserver.feature-gates=A=true,B=false")
    assert flag == ExtraFlag("kube-apiserver", "feature-gates", "A=true,B=false")


@pytest.mark.parametrize("text", ["audit-log-path=/tmp/x", "kube-apiserver.audit-log-path", "kube-apiserver.=x", ""])
def test_a_malformed_extra_flag_is_refused_with_an_example(text: str) -> None:
    with pytest.raises(ClusterError, match="for example"):
        ExtraFlag.parse(text)


def test_an_unknown_component_of_a_flag_names_the_known() -> None:
    with pytest.raises(ClusterError, match="kube-apiserver"):
        ExtraFlag.parse("apiserver.v=4")


def test_extra_flags_go_to_their_component_only() -> None:
    extra = (ExtraFlag("kubelet", "v", "4"), ExtraFlag("etcd", "log-level", "info"))
    settings = Settings(name="mine", slot=2, extra_flags=extra)
    assert settings.flags_for("kubelet") == ["--v=4"]
    assert settings.flags_for("kube-apiserver") == []


@pytest.mark.parametrize("timing", [QUICK_TIMING, REAL_TIMING])
def test_settings_survive_being_written_and_read(timing: Timing) -> None:
    settings = Settings("mine", 4, nodes=3, timing=timing, extra_flags=(ExtraFlag("etcd", "x-y", "a=b"),))
    assert Settings.from_json(settings.to_json()) == settings


@pytest.mark.parametrize("timing", [QUICK_TIMING, REAL_TIMING], ids=["quick", "real"])
def test_a_lease_never_outlives_the_grace_of_its_node(timing: Timing) -> None:
    assert timing.node_lease <= timing.node_grace
    assert timing.node_report < timing.node_grace
