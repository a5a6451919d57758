"""Answers the questions of those who set the connector up: do the credentials work, is everything ready, what can
be extracted?"""

from __future__ import annotations

import json
from contextlib import AbstractAsyncContextManager
from fnmatch import fnmatchcase
from typing import Any

import asyncpg
from database import LoginRefusedError, MissingSchemaError, UnreachableError, connected, read_relations, read_schemas
from model import SOURCE, PostgresCredential

from application_sdk.handler import (
    ApiMetadataObject,
    ApiMetadataOutput,
    AuthInput,
    AuthOutput,
    AuthStatus,
    Handler,
    HandlerError,
    MetadataInput,
    PreflightCheck,
    PreflightInput,
    PreflightOutput,
    PreflightStatus,
)


class PostgresCatalogHandler(Handler):
    async def test_auth(self, input: AuthInput) -> AuthOutput:
        try:
            async with await self.session() as session:
                user = await session.fetchval("SELECT current_user")
        except LoginRefusedError as error:
            return AuthOutput(status=AuthStatus.INVALID_CREDENTIALS, message=str(error))
        except UnreachableError as error:
            return AuthOutput(status=AuthStatus.FAILED, message=str(error))
        return AuthOutput(status=AuthStatus.SUCCESS, identities=[user])

    async def preflight_check(self, input: PreflightInput) -> PreflightOutput:
        wanted = names(input.metadata.get("schemas", []))
        checks = []
        try:
            async with await self.session() as session:
                version = session.get_server_version()
                checks.append(PreflightCheck(name="login", passed=True, message=f"PostgreSQL {version.major}"))
                there = await read_schemas(session, wanted)
                checks.append(PreflightCheck(name="schemas", passed=True, message=f"{len(wanted or there)} to extract"))
        except (LoginRefusedError, UnreachableError) as error:
            checks.append(PreflightCheck(name="login", message=str(error)))
        except MissingSchemaError as error:
            checks.append(PreflightCheck(name="schemas", message=str(error)))
        ready = all(check.passed for check in checks)
        return PreflightOutput(status=PreflightStatus.READY if ready else PreflightStatus.NOT_READY, checks=checks)

    async def fetch_metadata(self, input: MetadataInput) -> ApiMetadataOutput:
        """Schemas, below them tables and views, below those their columns. `object_filter` as in `shop.*`."""
        try:
            async with await self.session() as session:
                return await tree(session, input)
        except (LoginRefusedError, UnreachableError) as error:
            raise HandlerError(str(error), http_status=502) from error

    async def session(self) -> AbstractAsyncContextManager[asyncpg.Connection]:
        """With the credentials of the request or, if it has none, those of the App's secret."""
        return connected(await self.context.resolve_credential(SOURCE, PostgresCredential))


async def tree(session: asyncpg.Connection, asked: MetadataInput) -> ApiMetadataOutput:
    schemas = []
    left = asked.max_objects
    for schema in await read_schemas(session, []):
        relations = []
        async for line in read_relations(session, schema.name):
            relation = json.loads(line)
            title = f"{schema.name}.{relation['name']}"
            if left and fnmatchcase(title, asked.object_filter or "*"):
                left -= 1
                relations.append(node(title, relation, asked.include_fields))
        if relations or not asked.object_filter:
            schemas.append(
                ApiMetadataObject(value=schema.name, title=schema.name, node_type="schema", children=relations)
            )
    return ApiMetadataOutput(objects=schemas)


def node(title: str, relation: dict[str, Any], with_columns: bool) -> ApiMetadataObject:
    columns = [
        ApiMetadataObject(value=f"{title}.{column['name']}", title=column["name"], node_type=column["type"])
        for column in (relation["columns"] if with_columns else [])
    ]
    return ApiMetadataObject(value=title, title=relation["name"], node_type=relation["kind"], children=columns)


def names(given: object) -> list[str]:
    if not isinstance(given, list) or not all(isinstance(name, str) for name in given):
        raise HandlerError("metadata.schemas: give a list of names", http_status=400)
    return given
