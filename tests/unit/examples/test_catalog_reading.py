"""What the catalog's tasks find out, from a real HTTP server that answers as Kubernetes does."""

from __future__ import annotations

from collections.abc import Iterator
from types import ModuleType
from typing import Any

import pytest
from tests.unit.examples.fake_cluster import FakeCluster, item

Modules = dict[str, ModuleType]


@pytest.fixture
def api(catalog: Modules, cluster: FakeCluster) -> Iterator[Any]:
    with catalog["apiserver"].ApiServer(cluster.address, pauses=(0.0, 0.0)) as api:
        yield api


def kinds_of(catalog: Modules, api: Any, path: str, group: str) -> dict[str, Any]:
    group = catalog["model"].Group(id=group, version="v1", path=path)
    return {kind.id: kind for kind in catalog["reading"].read_group(api, group).kinds}


def test_groups_are_listed_with_the_nameless_one_as_core(catalog: Modules, api: Any) -> None:
    found = catalog["reading"].read_groups(api)
    assert [(group.id, group.path) for group in found.groups] == [("core", "/api/v1"), ("apps", "/apis/apps/v1")]


def test_only_kinds_that_can_be_listed_are_read(catalog: Modules, api: Any) -> None:
    assert list(kinds_of(catalog, api, "/api/v1", "core")) == ["events", "pods", "secrets"]


def test_objects_are_counted(catalog: Modules, api: Any) -> None:
    assert kinds_of(catalog, api, "/api/v1", "core")["pods"].objects == 3


def test_objects_are_counted_by_page_without_a_total(catalog: Modules, api: Any, cluster: FakeCluster) -> None:
    cluster.tells_remaining = False
    cluster.objects["/api/v1/pods"] = [item("Pod", f"p{number}") for number in range(1203)]
    assert kinds_of(catalog, api, "/api/v1", "core")["pods"].objects == 1203


def test_forbidden_kind_is_unreadable_not_empty(catalog: Modules, api: Any) -> None:
    assert kinds_of(catalog, api, "/api/v1", "core")["secrets"].objects is None


def test_objects_are_asked_for_their_metadata_only(catalog: Modules, api: Any, cluster: FakeCluster) -> None:
    kinds_of(catalog, api, "/api/v1", "core")
    accepted = {accept for path, accept in cluster.asked if path == "/api/v1/pods"}
    assert accepted == {"application/json;as=PartialObjectMetadataList;v=v1;g=meta.k8s.io"}


def test_fields_are_counted_at_any_depth_and_recursion_ends(catalog: Modules, api: Any) -> None:
    deployments = kinds_of(catalog, api, "/apis/apps/v1", "apps")["deployments"]
    # metadata, replicas, more, self; the name in metadata; the inner in more.
    assert (deployments.fields, deployments.described) == (6, 3)


def test_group_without_a_schema_has_no_fields(catalog: Modules, api: Any) -> None:
    assert kinds_of(catalog, api, "/api/v1", "core")["pods"].fields == 0


def test_busy_server_is_asked_again(catalog: Modules, api: Any, cluster: FakeCluster) -> None:
    cluster.stumbles = [429, 503]
    assert len(catalog["reading"].read_groups(api).groups) == 2


def test_server_that_stays_busy_is_an_error(catalog: Modules, api: Any, cluster: FakeCluster) -> None:
    cluster.stumbles = [503] * 3
    with pytest.raises(catalog["apiserver"].Refused, match="GET /apis: 503"):
        catalog["reading"].read_groups(api)


def test_lineage_knows_owners_orphans_and_the_longest_chain(catalog: Modules, api: Any) -> None:
    collection = catalog["model"].Collection
    paths = {"/api/v1/pods": "Pod", "/apis/apps/v1/deployments": "Deployment"}
    found = catalog["reading"].read_lineage(api, [collection(id=path, kind=kind) for path, kind in paths.items()])
    assert (found.objects, found.owned, found.dangling) == (4, 2, 1)
    assert found.deepest == ["Deployment web", "Pod web"]
    assert [(edge.id, edge.count) for edge in found.edges] == [("Deployment/Pod", 1)]
    assert found.complete


def test_lineage_stops_at_its_bound_and_says_so(
    catalog: Modules, api: Any, cluster: FakeCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(catalog["reading"], "MAX_OBJECTS", 2)
    found = catalog["reading"].read_lineage(api, [catalog["model"].Collection(id="/api/v1/pods", kind="Pod")])
    assert (found.objects, found.complete) == (2, False)


def test_objects_that_own_each_other_end_the_chain(catalog: Modules, api: Any, cluster: FakeCluster) -> None:
    cluster.objects["/api/v1/pods"] = [item("Pod", "a", "Pod/b"), item("Pod", "b", "Pod/a")]
    found = catalog["reading"].read_lineage(api, [catalog["model"].Collection(id="/api/v1/pods", kind="Pod")])
    assert len(found.deepest) == 2


def test_largest_payloads_fit_a_pod(catalog: Modules) -> None:
    from application_sdk.wire.fields import MAX_PAYLOAD_BYTES

    model = catalog["model"]
    long = "x" * 63
    count = model.KindCount(id=f"{long}.example.com/{long}", objects=10**9)
    numbers = {"kinds": 200, "unreadable": 200, "objects": 10**9, "fields": 10**6, "described": 10**6}
    summary = model.GroupSummary(id=f"{long}.example.com", largest=[count] * model.MAX_LARGEST, **numbers)
    edge = model.Edge(id=f"{long}/{long}", owner=long, owned=long, count=10**6)
    lineage = model.Lineage(deepest=["x" * 253] * model.MAX_DEPTH, edges=[edge] * model.MAX_EDGES)
    whole = model.AssembleInput(groups=[summary] * model.MAX_GROUPS, lineage=lineage)
    collections = [model.Collection(id=f"/apis/{long}.example.com/v1/{long}", kind=long)] * model.MAX_COLLECTIONS
    kind = model.Kind(
        id=long,
        kind=long,
        path=f"/apis/{long}.example.com/v1/{long}",
        namespaced=True,
        fields=9999,
        described=9999,
        objects=10**6,
    )
    group = model.GroupCatalog(group=long, version="v1", kinds=[kind] * model.MAX_KINDS)
    for payload in (whole, group, model.LineageInput(collections=collections)):
        assert len(payload.model_dump_json()) < MAX_PAYLOAD_BYTES
