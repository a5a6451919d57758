"""The connector on a laptop, against a real PostgreSQL: what it extracts, what the next run does, and bad input."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from tests.examples.conftest import WRONG, Database
from tests.support.example import EXAMPLES
from tests.support.kube import eventually
from tests.support.pages import blocks, commands, matches
from tests.support.postgres import PASSWORD, USER

from application_sdk.infrastructure import InfrastructureContext, clear_infrastructure, set_infrastructure
from application_sdk.testing import MockSecretStore, run_app
from application_sdk.testing.runs import FinishedRun

FOLDER = EXAMPLES / "postgres-catalog"


@pytest.fixture(autouse=True)
def _nothing_stays() -> Iterator[None]:
    yield
    clear_infrastructure()


def extracted(connector: ModuleType, database: Database, state: Any = None, **given: Any) -> FinishedRun:
    """A whole run in this process."""
    secrets = MockSecretStore({"postgres": json.dumps(database.secret)})
    set_infrastructure(InfrastructureContext(secret_store=secrets))
    return run_app(connector.PostgresCatalog, connector.CatalogInput(**given), state=state)


def lines(finished: FinishedRun) -> list[dict[str, Any]]:
    return [json.loads(line) for line in finished.file(finished.output.file).read_text().splitlines()]


def test_the_catalog_has_all_visible_tables_and_views(connector: ModuleType, shop: Database) -> None:
    finished = extracted(connector, shop)
    assert finished.output.extracted == ["odd/ name", "public", "sales"]
    tea, opened, orders = lines(finished)
    assert (tea["schema"], tea["name"], tea["columns"][0]["type"]) == (
        "odd/ name",
        "Tea's",
        "timestamp with time zone[]",
    )
    assert (opened["name"], opened["kind"], len(opened["columns"])) == ("open", "view", 2)
    assert orders["description"] == 'What was ordered.\nIt\'s "all" of it'
    assert orders["columns"][1] == {"name": "item", "type": "text", "nullable": False, "description": "Näme/%"}
    assert finished.output.relations == 3
    assert PASSWORD not in repr([finished.result, finished.executions, finished.exported, finished.state])


def test_the_next_run_extracts_changes_and_deletions(connector: ModuleType, shop: Database) -> None:
    first = extracted(connector, shop)
    shop.sql('ALTER TABLE sales.orders ADD COLUMN at timestamptz; DROP SCHEMA "odd/ name" CASCADE')
    second = extracted(connector, shop, first.state)
    assert (second.output.extracted, second.output.unchanged, second.output.removed) == (["sales"], 1, ["odd/ name"])
    assert [line["name"] for line in lines(second)] == ["open", "orders"]
    third = extracted(connector, shop, second.state)
    assert (third.output.extracted, third.output.unchanged, third.output.removed) == ([], 2, [])
    assert third.executed == ["find_changes", "assemble"]
    assert extracted(connector, shop, third.state, full=True).output.extracted == ["public", "sales"]


def test_some_schemas_leave_the_marker_of_the_others_alone(connector: ModuleType, shop: Database) -> None:
    first = extracted(connector, shop)
    shop.sql('CREATE TABLE public.new (id int); DROP TABLE "odd/ name"."Tea\'s"')
    second = extracted(connector, shop, first.state, schemas=["sales", "public"])
    assert (second.output.extracted, second.output.unchanged) == (["public"], 1)
    assert extracted(connector, shop, second.state).output.extracted == ["odd/ name"]


def test_a_run_that_fails_leaves_the_marker_where_it_was(connector: ModuleType, shop: Database) -> None:
    first = extracted(connector, shop)
    shop.sql("CREATE TABLE public.new (id int)")
    set_infrastructure(InfrastructureContext(secret_store=MockSecretStore({"postgres": json.dumps(shop.secret)})))
    failed = run_app(
        connector.PostgresCatalog,
        connector.CatalogInput(),
        state=first.state,
        failures={"assemble": RuntimeError("disk full")},
    )
    assert (failed.outcome, failed.state) == ("Failed", first.state)
    assert extracted(connector, shop, failed.state).output.extracted == ["public"]


def test_an_empty_database_is_an_empty_catalog(connector: ModuleType, empty: Database) -> None:
    empty.sql("DROP SCHEMA public")
    finished = extracted(connector, empty)
    assert (finished.output.relations, finished.output.extracted, lines(finished)) == (0, [], [])


def test_a_missing_schema_is_named_with_the_existing_ones(connector: ModuleType, shop: Database) -> None:
    finished = extracted(connector, shop, schemas=["sales", "hidden", "nope"])
    assert "MissingSchemaError: there is no schema hidden, nope that the login may use" in finished.message
    assert "there are: odd/ name, public, sales" in finished.message
    assert finished.executed == ["find_changes"], "it isn't tried again"


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        ({"password": WRONG}, "LoginRefusedError: .* doesn't let 'extractor' in: password authentication"),
        ({"database": "nowhere"}, 'LoginRefusedError: .* database "nowhere" does not exist'),
        ({"username": "nobody"}, "LoginRefusedError: .* doesn't let 'nobody' in"),
        ({"port": "many"}, "CredentialParseError: secret 'postgres': .* port: int parsing"),
    ],
)
def test_a_refused_login_fails_at_once_without_a_secret(
    connector: ModuleType, shop: Database, wrong: dict[str, str], told: str
) -> None:
    secret = MockSecretStore({"postgres": json.dumps({**shop.secret, **wrong})})
    set_infrastructure(InfrastructureContext(secret_store=secret))
    finished = run_app(connector.PostgresCatalog, connector.CatalogInput())
    assert re.search(told, finished.message)
    assert finished.executed == ["find_changes"]
    everything = repr([finished.result, finished.executions, finished.exported])
    assert PASSWORD not in everything
    assert WRONG not in everything


def test_a_server_that_goes_away_in_the_middle_is_waited_for(
    shop: Database, environment: dict[str, str], tmp_path: Path
) -> None:
    with (
        subprocess.Popen(
            [sys.executable, "-m", "application_sdk.cli", "run", str(FOLDER / "app.py"), "--name", "cut"],
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        ) as run,
        held_up(shop),
    ):
        sessions = f"SELECT 1 FROM pg_stat_activity WHERE usename = '{USER}' AND wait_event_type = 'Lock'"
        eventually("a task waits for the database", lambda: shop.server.sql(sessions) or None, 60)
        shop.server.stop()
        shop.server.start()
        output, told = run.communicate(timeout=100)
    assert run.returncode == 0, told
    assert "UnreachableError" in told
    assert json.loads(output)["extracted"] == ["odd/ name", "public", "sales"]
    assert PASSWORD not in told + output


@contextmanager
def held_up(shop: Database) -> Iterator[None]:
    """Nobody reads the database's comments until the server has ended."""
    lock = "BEGIN; LOCK TABLE pg_catalog.pg_description; SELECT pg_sleep(600);"
    with shop.server.client(shop.name) as session:
        assert session.stdin is not None
        session.stdin.write(lock)
        session.stdin.close()
        locked = "SELECT 1 FROM pg_locks WHERE relation = 'pg_description'::regclass AND granted"
        eventually("the comments are locked", lambda: shop.sql(locked) or None, 30)
        yield


def test_the_commands_of_its_page_do_what_it_says(shop: Database, environment: dict[str, str]) -> None:
    (listed,) = [block for block in blocks(FOLDER / "README.md") if block.language == "console"]
    environment["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{environment['PATH']}"
    for command, expected in commands(listed.content):
        done = subprocess.run(
            ["bash", "-c", command],
            cwd=FOLDER,
            env={**environment, "NO_COLOR": "1", "COLUMNS": "120"},
            capture_output=True,
            text=True,
            timeout=100,
        )
        printed = done.stderr + done.stdout
        assert matches(expected, printed), f"$ {command}\n{printed}"


class Served:
    """The connector over HTTP."""

    def __init__(self, address: str) -> None:
        self.address = address

    def ask(self, question: str, **body: Any) -> tuple[int, Any]:
        data = json.dumps(body).encode()
        request = urllib.request.Request(
            f"{self.address}/workflows/v1/{question}", data, {"Content-Type": "application/json"}
        )
        try:
            with urllib.request.urlopen(request, timeout=60) as answer:
                return answer.status, json.load(answer)
        except urllib.error.HTTPError as error:
            return error.code, json.load(error)

    def result(self, run: str) -> Any:
        with urllib.request.urlopen(f"{self.address}/workflows/v1/result/{run}?wait=true", timeout=60) as answer:
            return json.load(answer)["data"]["result"]


@contextmanager
def served(environment: dict[str, str]) -> Iterator[Served]:
    arguments = ["run", str(FOLDER / "app.py"), "--handler", "--port", "0"]
    with subprocess.Popen(
        [sys.executable, "-m", "application_sdk.cli", *arguments], env=environment, stderr=subprocess.PIPE, text=True
    ) as server:
        assert server.stderr is not None
        told = ""
        while (found := re.search(r"http://127\.0\.0\.1:\d+", told)) is None:
            line = server.stderr.readline()
            assert line, told
            told += line
        try:
            yield Served(found[0])
        finally:
            server.send_signal(signal.SIGINT)
            _, rest = server.communicate(timeout=60)
    assert PASSWORD not in told + rest
    assert WRONG not in told + rest


def parts(**credentials: str) -> list[dict[str, str]]:
    return [{"key": key, "value": value} for key, value in credentials.items()]


def test_the_handler_checks_login_and_lists_schemas(shop: Database, environment: dict[str, str]) -> None:
    with served(environment) as app:
        _, good = app.ask("auth")
        assert (good["success"], good["data"]["identities"]) == (True, [USER])
        _, bad = app.ask("auth", credentials=parts(**{**shop.secret, "password": WRONG}))
        assert (bad["success"], bad["data"]["status"]) == (False, "invalid_credentials")
        _, gone = app.ask("auth", credentials=parts(**{**shop.secret, "port": "1"}))
        assert (gone["success"], gone["data"]["status"]) == (False, "failed")
        status, odd = app.ask("auth", credentials=parts(username="x", password=WRONG))
        assert (status, "host: missing" in odd["error"]["message"]) == (400, True)
        assert WRONG not in json.dumps([good, bad, gone, odd])

        _, ready = app.ask("check", metadata={"schemas": ["sales"]})
        assert (ready["success"], [check["passed"] for check in ready["checks"]]) == (True, [True, True])
        _, unready = app.ask("check", metadata={"schemas": ["nope"]})
        assert unready["status"] == "not_ready"
        assert "there are: odd/ name, public, sales" in unready["checks"][-1]["message"]
        assert app.ask("check", metadata={"schemas": "sales"})[0] == 400

        _, tree = app.ask("metadata", object_filter="sales.*")
        (sales,) = tree["data"]["objects"] if isinstance(tree["data"], dict) else tree["data"]
        assert [child["title"] for child in sales["children"]] == ["open", "orders"]
        assert sales["children"][1]["children"][0]["value"] == "sales.orders.id"
        assert app.ask("metadata", credentials=parts(**{**shop.secret, "port": "1"}))[0] == 502

        given = parts(**{**shop.secret, "password": WRONG})
        _, started = app.ask("start", schemas=["sales"], credentials=given)
        assert app.result(started["data"]["workflow_id"])["relations"] == 2
