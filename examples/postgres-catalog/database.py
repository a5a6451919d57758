"""Queries PostgreSQL, and translates its errors."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import asyncpg
from model import PostgresCredential, Schema

from application_sdk.app import NonRetryableError, RetryableError

RELATIONS = """
SELECT schema, name, row_to_json(relation)::text AS line
FROM (
  SELECT n.nspname AS schema, c.relname AS name,
    CASE c.relkind WHEN 'v' THEN 'view' WHEN 'm' THEN 'materialized view' WHEN 'f' THEN 'foreign table' ELSE 'table' END
      AS kind,
    obj_description(c.oid, 'pg_class') AS description,
    ARRAY(
      SELECT row_to_json(field)
      FROM (
        SELECT a.attname AS name, format_type(a.atttypid, a.atttypmod) AS type, NOT a.attnotnull AS nullable,
          col_description(c.oid, a.attnum) AS description
        FROM pg_attribute a
        WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
        ORDER BY a.attnum
      ) field
    ) AS columns
  FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
  WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f')
) relation
"""
"""Tables and views with their columns, each as a line of JSON."""

SCHEMAS = f"""
SELECT n.nspname::text AS name, count(r.line) AS relations,
  md5(coalesce(string_agg(md5(r.line), '' ORDER BY r.name), '')) AS fingerprint
FROM pg_namespace n LEFT JOIN ({RELATIONS}) r ON r.schema = n.nspname
WHERE n.nspname !~ '^pg_' AND n.nspname <> 'information_schema' AND has_schema_privilege(n.oid, 'USAGE')
GROUP BY n.nspname
ORDER BY n.nspname
"""
"""The fingerprint is made of the very lines that are extracted: what isn't seen by one isn't by the other."""

GONE = (
    ConnectionError,
    asyncpg.InterfaceError,
    asyncpg.PostgresConnectionError,
    asyncpg.exceptions.InsufficientResourcesError,
    asyncpg.exceptions.OperatorInterventionError,
)
REFUSED = (
    asyncpg.InsufficientPrivilegeError,
    asyncpg.InvalidAuthorizationSpecificationError,
    asyncpg.InvalidCatalogNameError,
)


class LoginRefusedError(NonRetryableError):
    """The server refuses the login, and would refuse it again."""


class UnreachableError(RetryableError):
    """The server is unreachable. It may be back when the task is retried."""


class MissingSchemaError(NonRetryableError):
    """A requested schema doesn't exist, or the login may not use it."""


@asynccontextmanager
async def connected(login: PostgresCredential) -> AsyncIterator[asyncpg.Connection]:
    """A session that changes nothing, and sees the database as it was at its first question.

    Raises LoginRefusedError, UnreachableError.
    """
    session = await _connect(login)
    try:
        await session.transaction(isolation="repeatable_read", readonly=True).start()
        yield session
    except GONE as error:
        raise UnreachableError(f"{login.address} went away: {error}") from error
    finally:
        await session.close(timeout=5)


async def _connect(login: PostgresCredential) -> asyncpg.Connection:
    try:
        return await asyncpg.connect(
            host=login.host,
            port=login.port,
            database=login.database,
            user=login.username,
            password=login.password,
            ssl=login.sslmode,
            timeout=30,
            server_settings={"application_name": "postgres-catalog"},
        )
    except REFUSED as error:
        raise LoginRefusedError(f"{login.address} doesn't let {login.username!r} in: {error}") from None
    except (OSError, *GONE) as error:
        raise UnreachableError(f"{login.address} can't be reached: {error or 'no answer in 30 s'}") from error


async def read_schemas(session: asyncpg.Connection, wanted: list[str]) -> list[Schema]:
    """All schemas that the login may use. Raises MissingSchemaError if those that are wanted aren't all among them."""
    there = [Schema(**row) for row in await session.fetch(SCHEMAS)]
    missing = sorted(set(wanted) - {schema.name for schema in there})
    if missing:
        names = ", ".join(schema.name for schema in there) or "none"
        raise MissingSchemaError(f"there is no schema {', '.join(missing)} that the login may use; there are: {names}")
    return there


async def read_relations(session: asyncpg.Connection, schema: str) -> AsyncIterator[str]:
    """Yield the lines of a schema as the server sends them."""
    async for row in session.cursor(f"SELECT line FROM ({RELATIONS}) r WHERE schema = $1 ORDER BY name", schema):
        yield row["line"]
