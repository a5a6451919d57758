"""Reads groups, schemas, counts and owners from an API server, for the tasks of `app.py`. Writes nothing."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from urllib.parse import urlencode

from answers import ApiGroupList, ApiResourceList, Item, MetadataList, OpenApi, Schema
from apiserver import METADATA_LIST, ApiServer, Refused
from model import (
    MAX_DEPTH,
    MAX_EDGES,
    MAX_GROUPS,
    MAX_KINDS,
    Collection,
    Edge,
    Group,
    GroupCatalog,
    GroupList,
    Kind,
    Lineage,
)

PAGE = 500
MAX_OBJECTS = 20_000
HIDDEN = frozenset({403, 404, 405, 503})
"""Answers that mean: forbidden for this service account, deleted, or not served at the moment."""


def read_groups(api: ApiServer) -> GroupList:
    """Every API group at its preferred version, the nameless first one as `core`."""
    groups = [Group(id="core", version="v1", path="/api/v1")]
    for found in ApiGroupList.model_validate_json(api.get("/apis")).groups:
        preferred = found.preferred_version
        groups.append(Group(id=found.name, version=preferred.version, path=f"/apis/{preferred.group_version}"))
    return GroupList(groups=groups[:MAX_GROUPS], left_out=max(0, len(groups) - MAX_GROUPS))


def read_group(api: ApiServer, group: Group) -> GroupCatalog:
    """The kinds of one group that can be listed: their schemas, measured, and how many objects there are."""
    resources = ApiResourceList.model_validate_json(api.get(group.path)).resources
    listed = sorted((r for r in resources if "list" in r.verbs and "/" not in r.name), key=lambda r: r.name)
    schemas = _schemas(api, group)
    kinds = []
    for resource in listed[:MAX_KINDS]:
        path = f"{group.path}/{resource.name}"
        fields, described = schemas.measure(resource.kind)
        kinds.append(
            Kind(
                id=resource.name,
                kind=resource.kind,
                path=path,
                namespaced=resource.namespaced,
                fields=fields,
                described=described,
                objects=count(api, path),
            )
        )
    left_out = max(0, len(listed) - MAX_KINDS)
    return GroupCatalog(group=group.id, version=group.version, kinds=kinds, left_out=left_out)


def count(api: ApiServer, path: str) -> int | None:
    """How many objects a collection has: the first one and how many the API server says remain, else page by page."""
    try:
        first = _page(api, path, 1, "")
        if first.metadata.remaining_item_count is not None or not first.metadata.continue_:
            return len(first.items) + (first.metadata.remaining_item_count or 0)
        return sum(len(page.items) for page in _pages(api, path))
    except Refused as error:
        if error.code in HIDDEN:
            return None
        raise


def read_lineage(api: ApiServer, collections: list[Collection]) -> Lineage:
    """The graph of owners over all objects of the given collections, summed up by kind."""
    objects: dict[str, _Object] = {}
    complete = True
    for collection in collections:
        for item in _items(api, collection.id):
            if len(objects) >= MAX_OBJECTS:
                complete = False
                break
            owners = tuple(owner.uid for owner in item.metadata.owner_references)
            if item.metadata.uid:
                objects[item.metadata.uid] = _Object(collection.kind, item.metadata.name, owners)
    return summarise(objects, complete)


@dataclass(frozen=True)
class _Object:
    kind: str
    name: str
    owners: tuple[str, ...]


def summarise(objects: dict[str, _Object], complete: bool = True) -> Lineage:
    """Edges by pair of kinds, objects with and without their owners, and the longest chain. Keys are UIDs."""
    pairs: Counter[tuple[str, str]] = Counter()
    dangling = 0
    for item in objects.values():
        known = [objects[uid] for uid in item.owners if uid in objects]
        dangling += len(known) < len(item.owners)
        pairs.update((owner.kind, item.kind) for owner in known)
    ranked = sorted(pairs.items(), key=lambda pair: (-pair[1], pair[0]))
    edges = [Edge(id=f"{a}/{b}", owner=a, owned=b, count=number) for (a, b), number in ranked[:MAX_EDGES]]
    return Lineage(
        objects=len(objects),
        owned=sum(1 for item in objects.values() if item.owners),
        dangling=dangling,
        deepest=_deepest(objects),
        edges=edges,
        complete=complete and len(ranked) <= MAX_EDGES,
    )


def _deepest(objects: dict[str, _Object]) -> list[str]:
    longest: list[str] = []
    for uid in sorted(objects):
        chain: list[str] = []
        while uid in objects and uid not in chain and len(chain) < MAX_DEPTH:
            chain.append(uid)
            uid = next((owner for owner in objects[uid].owners if owner in objects), "")
        if len(chain) > len(longest):
            longest = chain
    # A name of 253 characters and its kind would be longer than a Name may be.
    return [f"{objects[uid].kind} {objects[uid].name}"[:253] for uid in reversed(longest)]


@dataclass(frozen=True)
class _Schemas:
    by_name: dict[str, Schema]
    by_kind: dict[str, str]

    def measure(self, kind: str) -> tuple[int, int]:
        """How many fields the schema of a kind has, at any depth, and how many of them are described."""
        fields = described = 0
        root = self.by_kind.get(kind, "")
        waiting = [self.by_name[root]] if root else []
        seen = {root}
        while waiting:
            schema = waiting.pop()
            name = schema.ref.rsplit("/", 1)[-1]
            if name and name not in seen and name in self.by_name:
                seen.add(name)
                waiting.append(self.by_name[name])
            fields += len(schema.properties)
            described += sum(1 for each in schema.properties.values() if each.description)
            more = schema.additional_properties
            inner = [schema.items, more if isinstance(more, Schema) else None, *schema.all_of]
            waiting += [*schema.properties.values(), *(each for each in inner if each is not None)]
        return fields, described


def _schemas(api: ApiServer, group: Group) -> _Schemas:
    try:
        document = OpenApi.model_validate_json(api.get(f"/openapi/v3{group.path}"))
    except Refused as error:
        if error.code in HIDDEN:
            return _Schemas({}, {})
        raise
    by_name = document.components.schemas
    name = "" if group.id == "core" else group.id
    by_kind = {
        mark.kind: key
        for key, schema in by_name.items()
        for mark in schema.kinds
        if (mark.group, mark.version) == (name, group.version)
    }
    return _Schemas(by_name, by_kind)


def _items(api: ApiServer, path: str) -> Iterator[Item]:
    try:
        for page in _pages(api, path):
            yield from page.items
    except Refused as error:
        # A kind that vanished, or pages that expired (410) meanwhile: the catalog is a picture of a moving thing.
        if error.code not in HIDDEN | {410}:
            raise


def _pages(api: ApiServer, path: str) -> Iterator[MetadataList]:
    token = ""
    while True:
        page = _page(api, path, PAGE, token)
        yield page
        token = page.metadata.continue_
        if not token:
            return


def _page(api: ApiServer, path: str, limit: int, token: str) -> MetadataList:
    query = {"limit": str(limit), **({"continue": token} if token else {})}
    return MetadataList.model_validate_json(api.get(f"{path}?{urlencode(query)}", METADATA_LIST))
