"""A real PostgreSQL for the session, a database for each test, and the example that reads it."""

from __future__ import annotations

import json
import os
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

import pytest
from tests.support.example import example
from tests.support.postgres import PASSWORD, Postgres, postgres_server

WRONG = "canary-wrong-81c"
SHOP = """
CREATE SCHEMA sales;
CREATE TABLE sales.orders (id int PRIMARY KEY, item text NOT NULL, note text);
COMMENT ON TABLE sales.orders IS 'What was ordered.
It''s "all" of it';
COMMENT ON COLUMN sales.orders.item IS 'Näme/%';
CREATE VIEW sales.open AS SELECT id, item FROM sales.orders;
CREATE SCHEMA "odd/ name";
CREATE TABLE "odd/ name"."Tea's" (at timestamptz[]);
CREATE SCHEMA hidden;
CREATE TABLE hidden.salaries (id int);
GRANT USAGE ON SCHEMA sales, "odd/ name" TO extractor;
"""


@dataclass(frozen=True)
class Database:
    """A database of a test's own, filled with a small shop: three schemas that may be read, two of them not empty."""

    server: Postgres
    name: str

    @property
    def secret(self) -> dict[str, str]:
        return self.server.secret(database=self.name)

    def sql(self, text: str) -> list[str]:
        return self.server.sql(text, self.name)


@pytest.fixture(scope="session")
def postgres() -> Iterator[Postgres]:
    with postgres_server() as server:
        yield server


@pytest.fixture
def empty(postgres: Postgres) -> Database:
    found = Database(postgres, f"d{uuid.uuid4().hex[:8]}")
    postgres.create_database(found.name)
    return found


@pytest.fixture
def shop(empty: Database) -> Database:
    empty.sql(SHOP)
    return empty


@pytest.fixture(scope="module")
def connector() -> Iterator[ModuleType]:
    """The example's app."""
    with example("postgres-catalog", "app", "handler", "database", "model") as modules:
        yield modules["app"]


@pytest.fixture
def environment(shop: Database, tmp_path: Path) -> Iterator[dict[str, str]]:
    """A laptop's, with the secret, of which nothing is left in what runs have written."""
    home = tmp_path / "home"
    yield {**os.environ, "APPRUN_HOME": str(home), "POSTGRES": json.dumps(shop.secret)}
    written = [file for file in home.rglob("*") if file.is_file()]
    assert written
    for file in written:
        content = file.read_bytes()
        assert PASSWORD.encode() not in content, file
        assert WRONG.encode() not in content, file
