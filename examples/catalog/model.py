"""What crosses between the route of `app.py` and its tasks. Every list has a bound, so every payload has one.

Read by `app.py` and `reading.py`. Nothing here talks to anything.
"""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from application_sdk.contracts import Input, MaxItems, Output, Record

MAX_GROUPS = 150
MAX_KINDS = 200
MAX_COLLECTIONS = 400
MAX_EDGES = 100
MAX_LARGEST = 5
MAX_DEPTH = 16

Name = Annotated[str, Field(max_length=253)]
Path = Annotated[str, Field(max_length=330)]
Seconds = Annotated[float, Field(ge=0, le=600)]


class Group(Record):
    """One API group at its preferred version. `id` is its name; that of the first group, which has none, is `core`."""

    version: Name
    path: Path
    """The path at which it is served, such as `/apis/apps/v1`."""


class Kind(Record):
    """One kind of a group that can be listed. `id` is its plural name, such as `deployments`."""

    kind: Name
    path: Path
    namespaced: bool
    fields: int
    """Fields of its schema, at any depth."""
    described: int
    """Those of them that have a description."""
    objects: int | None
    """How many there are; None where this service account may not list them."""


class KindCount(Record):
    """`id` is a kind with its group, such as `apps/deployments`."""

    objects: int


class GroupSummary(Record):
    """What the last task needs of a group; the whole of it stays on the AppTask of its `read_group` call."""

    kinds: int
    unreadable: int
    """Kinds whose objects this service account may not list."""
    objects: int
    fields: int
    described: int
    largest: Annotated[list[KindCount], MaxItems(MAX_LARGEST)] = []


class Collection(Record):
    """Objects of one kind, to be read for the lineage. `id` is their path."""

    kind: Name


class Edge(Record):
    """Objects of kind `owned` that an object of kind `owner` owns. `id` is `owner/owned`."""

    owner: Name
    owned: Name
    count: int


class CatalogInput(Input):
    """Input of a run."""

    pace_seconds: Seconds = 0
    """Seconds that each task adds to its work, for those who want to watch, or to break something meanwhile."""


class ListGroupsInput(Input):
    pace_seconds: Seconds = 0


class GroupList(Output):
    groups: Annotated[list[Group], MaxItems(MAX_GROUPS)] = []
    left_out: int = 0
    """Groups beyond the bound."""


class GroupInput(Input):
    group: Group
    pace_seconds: Seconds = 0


class GroupCatalog(Output):
    """Everything that the catalog knows about one group."""

    group: Name
    version: Name
    kinds: Annotated[list[Kind], MaxItems(MAX_KINDS)] = []
    left_out: int = 0
    """Kinds beyond the bound."""


class LineageInput(Input):
    collections: Annotated[list[Collection], MaxItems(MAX_COLLECTIONS)] = []
    pace_seconds: Seconds = 0


class Lineage(Output):
    """Who owns whom among the live objects, after their `ownerReferences`."""

    objects: int = 0
    owned: int = 0
    """Objects with an owner."""
    dangling: int = 0
    """Objects whose owner wasn't read: it was deleted, or its kind was left out."""
    deepest: Annotated[list[Name], MaxItems(MAX_DEPTH)] = []
    """The longest chain, from the owner of all to the last owned: `AppRun catalog`, `AppTask catalog-driver`, …"""
    edges: Annotated[list[Edge], MaxItems(MAX_EDGES)] = []
    """The most frequent first."""
    complete: bool = True
    """False if there were more objects, or more kinds of edges, than the bounds allow."""


class AssembleInput(Input):
    groups: Annotated[list[GroupSummary], MaxItems(MAX_GROUPS)] = []
    lineage: Lineage = Lineage()
    pace_seconds: Seconds = 0


class CatalogSummary(Output):
    """Output of a run: the catalog in numbers."""

    groups: int = 0
    kinds: int = 0
    unreadable: int = 0
    """Kinds whose objects the service account may not list; secrets are always among them."""
    objects: int = 0
    fields: int = 0
    described_percent: int = 0
    """Share of the fields that have a description."""
    largest: Annotated[list[KindCount], MaxItems(MAX_LARGEST)] = []
    lineage: Lineage = Lineage()
