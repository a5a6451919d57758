"""A catalog of a PostgreSQL database: its tables and views with their columns, one line of JSON each.

One task compares the schemas with what the last run saw, one pod per schema that has changed extracts it into a file,
and the last one puts the files together and moves the marker. The files beside this one: `model.py` (what crosses
between tasks), `database.py` (what is asked of PostgreSQL), `handler.py` (what is asked before there is a run).
"""

from __future__ import annotations

import asyncio
import shutil
from pathlib import Path

from database import connected, read_relations, read_schemas
from handler import PostgresCatalogHandler as PostgresCatalogHandler  # found by its name
from model import AssembleInput, Catalog, CatalogInput, Part, Plan, PostgresCredential, SchemaInput

from application_sdk.app import App, task
from application_sdk.contracts import FileReference, StorageTier


class PostgresCatalog(App):
    @task(timeout_seconds=600, retry_max_attempts=5, retry_max_interval_seconds=30)
    async def find_changes(self, input: CatalogInput) -> Plan:
        """Compare the schemas with the marker that the last run left."""
        login = await self.context.resolve_credential(input.source, PostgresCredential)
        async with connected(login) as session:
            there = await read_schemas(session, input.schemas)
        marker = await self.context.load_state(login.address) or {}
        before = {} if input.full else marker
        wanted = [schema for schema in there if not input.schemas or schema.name in input.schemas]
        changed = [schema for schema in wanted if schema.fingerprint != before.get(schema.name)]
        seen = {schema.name: schema.fingerprint for schema in wanted}
        names = {schema.name for schema in there}
        return Plan(
            address=login.address,
            changed=changed,
            unchanged=len(wanted) - len(changed),
            removed=sorted(marker.keys() - names),
            marker={name: str(marker[name]) for name in marker if name in names} | seen,
        )

    @task(timeout_seconds=3600, retry_max_attempts=5, retry_max_interval_seconds=30)
    async def extract_schema(self, input: SchemaInput) -> Part:
        """Write a schema's tables and views to a file. What has changed since `find_changes` will be found by the next
        run once more, since its marker is older."""
        login = await self.context.resolve_credential(input.source, PostgresCredential)
        path = self.task_context.scratch / "relations.ndjson"
        done = 0
        async with connected(login) as session:
            with path.open("w", encoding="utf-8") as file:
                async for line in read_relations(session, input.schema_name):
                    file.write(f"{line}\n")
                    done += 1
                    if done % 100 == 0:
                        self.task_context.progress(done, input.relations)
        return Part(file=FileReference.from_local(path), relations=done)

    @task(timeout_seconds=600, secrets=[])
    async def assemble(self, input: AssembleInput) -> Catalog:
        """Put the files together. The marker moves here, with the whole: a run that fails before changes nothing."""
        path = self.task_context.scratch / "catalog.ndjson"
        await self.run_in_thread(concatenate, [file.path for file in input.files], path)
        plan = input.plan
        await self.context.save_state(plan.address, dict(plan.marker))
        return Catalog(
            file=FileReference.from_local(path, tier=StorageTier.RETAINED),
            address=plan.address,
            relations=input.relations,
            extracted=[schema.name for schema in plan.changed],
            unchanged=plan.unchanged,
            removed=plan.removed,
        )

    async def run(self, input: CatalogInput) -> Catalog:
        plan = await self.find_changes(input)
        schemas = [
            SchemaInput(source=input.source, schema_name=schema.name, relations=schema.relations)
            for schema in plan.changed
        ]
        parts = await asyncio.gather(*(self.extract_schema(schema) for schema in schemas))
        relations = sum(part.relations for part in parts)
        return await self.assemble(AssembleInput(plan=plan, files=[part.file for part in parts], relations=relations))


def concatenate(parts: list[Path], whole: Path) -> None:
    with whole.open("wb") as target:
        for part in parts:
            with part.open("rb") as source:
                shutil.copyfileobj(source, target)
