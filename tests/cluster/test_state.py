"""What an app keeps beyond its runs, on a real cluster: real pods report it, the real operator keeps it."""

from __future__ import annotations

import pytest
from tests.support.bed import Bed
from tests.support.kube import ApiError
from tests.support.runs import Runs

PRICE = "$(HOME) $$5 Åsa"


@pytest.fixture
def marker(runs: Runs) -> Runs:
    runs.upload("marker")
    runs.app("marker", "app:Marker")
    return runs


def kept(marker: Runs) -> dict[str, object]:
    found = marker.kube.find(f"{marker.api}/appstates/marker") or {"spec": {"entries": {}}}
    return {key: entry["value"] for key, entry in found["spec"]["entries"].items()}


def test_state_is_seen_by_the_next_task_and_the_next_run(marker: Runs, bed: Bed) -> None:
    marker.start("first", "marker", {"how": "twice"})
    first = marker.until_phase("first", "Succeeded")["output"]
    assert (first["found"], first["price"]) == (1, PRICE)
    marker.start("second", "marker", {})
    assert marker.until_phase("second", "Succeeded")["output"]["found"] == 2
    assert kept(marker) == {"marker": {"at": 3, "price": PRICE}}
    shown = bed.run(bed.kubectl, "get", "appstate", "marker", "-n", marker.namespace).stdout
    assert "second" in shown
    marker.kube.delete(f"{marker.api}/appruns/second")
    marker.kube.merge(f"{marker.api}/appstates/marker", {"spec": {"entries": {"marker": {"value": {"at": 40}}}}})
    marker.start("third", "marker", {})
    assert marker.until_phase("third", "Succeeded")["output"]["found"] == 40


def test_a_conflicting_state_write_repeats_the_later_task(marker: Runs) -> None:
    marker.start("both", "marker", {"how": "at-once"})
    output = marker.until_phase("both", "Succeeded")["output"]
    assert (output["found"], output["attempt"]) == (1, 2)
    assert kept(marker)["marker"] == {"at": 2, "price": PRICE}


def test_attempt_that_fails_leaves_no_state(marker: Runs) -> None:
    marker.start("fails", "marker", {"how": "fail"})
    marker.until_phase("fails", "Failed")
    assert kept(marker) == {}


def test_pods_may_not_touch_state(marker: Runs, bed: Bed) -> None:
    marker.start("first", "marker", {})
    marker.until_phase("first", "Succeeded")
    for account in ("apprun-task", "apprun-driver"):
        user = f"system:serviceaccount:{marker.namespace}:{account}"
        for verb in ("get", "list", "patch", "delete", "create"):
            answer = bed.run(
                *(bed.kubectl, "auth", "can-i", verb, "appstates.apprun.dev"),
                *("-n", marker.namespace, "--as", user, f"--as-group=system:serviceaccounts:{marker.namespace}"),
                check=False,
            )
            assert answer.stdout.strip() == "no", f"{account} may {verb}"


def test_odd_state_is_refused_by_the_api_server(marker: Runs) -> None:
    body = {
        "apiVersion": "apprun.dev/v1alpha1",
        "kind": "AppState",
        "metadata": {"name": "odd"},
        "spec": {"entries": {"marker": {"value": "text"}}},
    }
    with pytest.raises(ApiError, match="must be of type object"):
        marker.kube.create(f"{marker.api}/appstates", body)
