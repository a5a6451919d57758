"""A catalog of the cluster that it runs on: its kinds, their schemas, how many objects there are, and who owns whom.

One task lists the API groups, one pod per group reads its schemas and counts its objects, one follows the owners of the
live objects, and the last one sums up. The files beside this one: `model.py` (what crosses between tasks), `reading.py`
(the work), `apiserver.py` and `answers.py` (HTTP), `witness.py` (each task's mark outside the ledger).
"""

from __future__ import annotations

import asyncio
import heapq

from apiserver import at_work
from model import (
    MAX_COLLECTIONS,
    MAX_LARGEST,
    AssembleInput,
    CatalogInput,
    CatalogSummary,
    Collection,
    GroupCatalog,
    GroupInput,
    GroupList,
    GroupSummary,
    KindCount,
    Lineage,
    LineageInput,
    ListGroupsInput,
)
from reading import read_group, read_groups, read_lineage
from witness import Ran, leave_witness

from application_sdk.app import App, task

NOT_IN_LINEAGE = frozenset({"events"})
"""They own nothing, nobody owns them, and there are a lot."""
SERVED_TWICE = frozenset({"core/events"})
"""The same objects as those of `events.k8s.io`: counted there."""


class Catalog(App):
    @task(timeout_seconds=300)
    async def list_groups(self, input: ListGroupsInput) -> GroupList:
        groups = await asyncio.to_thread(at_work, read_groups)
        await self.last_act(input.pace_seconds)
        return groups

    @task(timeout_seconds=300)
    async def read_group(self, input: GroupInput) -> GroupCatalog:
        catalog = await asyncio.to_thread(at_work, read_group, input.group)
        await self.last_act(input.pace_seconds)
        return catalog

    @task(timeout_seconds=300)
    async def build_lineage(self, input: LineageInput) -> Lineage:
        lineage = await asyncio.to_thread(at_work, read_lineage, input.collections)
        await self.last_act(input.pace_seconds)
        return lineage

    @task(timeout_seconds=300)
    async def assemble(self, input: AssembleInput) -> CatalogSummary:
        summary = total(input.groups, input.lineage)
        await self.last_act(input.pace_seconds)
        return summary

    async def run(self, input: CatalogInput) -> CatalogSummary:
        pace = input.pace_seconds
        found = await self.list_groups(ListGroupsInput(pace_seconds=pace))
        reading = [self.read_group(GroupInput(group=group, pace_seconds=pace)) for group in found.groups]
        catalogs = await asyncio.gather(*reading)
        lineage = await self.build_lineage(LineageInput(collections=live(catalogs), pace_seconds=pace))
        groups = [summary_of(catalog) for catalog in catalogs]
        return await self.assemble(AssembleInput(groups=groups, lineage=lineage, pace_seconds=pace))

    async def last_act(self, pace_seconds: float) -> None:
        """What each task does just before it returns: take its time, then leave its witness."""
        await asyncio.sleep(pace_seconds)
        context = self.task_context
        ran = Ran(context.run_id, context.task_name, context.idempotency_key, context.attempt)
        await asyncio.to_thread(at_work, leave_witness, ran)


def live(catalogs: list[GroupCatalog]) -> list[Collection]:
    """The kinds that have objects, as collections to read the owners from."""
    kinds = [kind for catalog in catalogs for kind in catalog.kinds if kind.objects and kind.id not in NOT_IN_LINEAGE]
    return [Collection(id=kind.path, kind=kind.kind) for kind in kinds[:MAX_COLLECTIONS]]


def summary_of(catalog: GroupCatalog) -> GroupSummary:
    found = [KindCount(id=f"{catalog.group}/{kind.id}", objects=kind.objects or 0) for kind in catalog.kinds]
    counts = [each for each in found if each.id not in SERVED_TWICE]
    return GroupSummary(
        id=catalog.group,
        kinds=len(catalog.kinds),
        unreadable=sum(1 for kind in catalog.kinds if kind.objects is None),
        objects=sum(each.objects for each in counts),
        fields=sum(kind.fields for kind in catalog.kinds),
        described=sum(kind.described for kind in catalog.kinds),
        largest=largest(counts),
    )


def total(groups: list[GroupSummary], lineage: Lineage) -> CatalogSummary:
    fields = sum(group.fields for group in groups)
    return CatalogSummary(
        groups=len(groups),
        kinds=sum(group.kinds for group in groups),
        unreadable=sum(group.unreadable for group in groups),
        objects=sum(group.objects for group in groups),
        fields=fields,
        described_percent=100 * sum(group.described for group in groups) // fields if fields else 0,
        largest=largest([each for group in groups for each in group.largest]),
        lineage=lineage,
    )


def largest(counts: list[KindCount]) -> list[KindCount]:
    return heapq.nsmallest(MAX_LARGEST, counts, key=lambda each: (-each.objects, each.id))
