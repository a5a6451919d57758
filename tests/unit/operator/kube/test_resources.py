"""Paths lead to what they name, whatever the names are."""

from __future__ import annotations

import pytest

from apprun_operator.kube.resources import APP_TASKS, LEASES, PODS


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        (PODS.path(), "/api/v1/pods"),
        (PODS.path("ns"), "/api/v1/namespaces/ns/pods"),
        (LEASES.path("ns", "a.b-c"), "/apis/coordination.k8s.io/v1/namespaces/ns/leases/a.b-c"),
        (APP_TASKS.path("ns", "r-1", "status"), "/apis/apprun.dev/v1alpha1/namespaces/ns/apptasks/r-1/status"),
    ],
)
def test_path_of_a_collection_an_object_and_its_status(path: str, expected: str) -> None:
    assert path == expected


@pytest.mark.parametrize("name", ["../secrets/x", "x/status", "x?watch=1", "x#y", "ä\U00015bf5\x14"])
def test_a_name_out_of_an_odd_object_leads_nowhere_else(name: str) -> None:
    collection = APP_TASKS.path("ns")
    path = APP_TASKS.path("ns", name)
    assert path.startswith(f"{collection}/")
    assert set("/?#") & set(path.removeprefix(f"{collection}/")) == set()
