"""The connector that is shipped, on a cluster as its page says: its image, its manifests, real PostgreSQL, real S3."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml
from tests.support.bed import EXISTING, ROOT, RUNTIME_IMAGE, Bed
from tests.support.caller import calling_pod
from tests.support.faulty import FaultyProxy
from tests.support.kube import CORE, Object, eventually
from tests.support.namespace_dump import all_objects, followed_logs
from tests.support.postgres import PASSWORD, USER, Postgres, postgres_server
from tests.support.runs import Runs
from tests.support.s3 import BUCKET, SECRET_KEY, S3Server

pytestmark = pytest.mark.skipif(EXISTING, reason="database and store are on this machine, and a node is killed")

EXAMPLE = ROOT / "examples" / "postgres-catalog"
IMAGE = "localhost/postgres-catalog"
RUN = "postgres-catalog-1"
WRONG = "canary-wrong-81c"
KIB = 1024
LARGE = 300
"""Tables of the large schema, each with a comment of 16 KiB."""
SHOP = f"""
CREATE SCHEMA large;
GRANT USAGE ON SCHEMA large TO {USER};
DO $$ BEGIN
  FOR i IN 1..{LARGE} LOOP
    EXECUTE format('CREATE TABLE large.%I (id int)', 't' || i);
    EXECUTE format('COMMENT ON TABLE large.%I IS %L', 't' || i, repeat('x', 16384));
  END LOOP;
END $$;
CREATE SCHEMA sales;
CREATE TABLE sales.orders (id int PRIMARY KEY, item text NOT NULL);
CREATE VIEW sales.open AS SELECT id FROM sales.orders;
GRANT USAGE ON SCHEMA sales TO {USER};
"""


@pytest.fixture(scope="module")
def image(bed: Bed) -> str:
    """The connector's, on the nodes."""
    tag = f"{IMAGE}:dev"
    where = ("--target", "connector", "--context", str(EXAMPLE))
    bed.cli("build-image", *where, "--tag", tag, "--base", RUNTIME_IMAGE)
    subprocess.run([ROOT / "hack/cluster/cluster", "load", "--name", bed.name, tag], check=True, capture_output=True)
    return tag


@pytest.fixture(scope="module")
def postgres(bed: Bed) -> Iterator[Postgres]:
    with postgres_server(bed.host_address) as server:
        yield server


@dataclass(frozen=True)
class Connector:
    """The example's manifests, with the names of our registry, store and database in them, applied to a namespace."""

    bed: Bed
    runs: Runs
    s3: S3Server
    postgres: Postgres
    database: str

    def apply(self, folder: Path, endpoint: str | None = None) -> None:
        shutil.copytree(EXAMPLE, folder / "postgres-catalog")
        storage = {"url": f"s3://{BUCKET}/{self.runs.namespace}", "options": self.s3.options(endpoint)}
        declared = [{"name": "postgres"}, {"name": "wrong"}, {"name": "empty"}]
        app = {"spec": {"storage": storage, "secrets": declared}}
        overlay: Object = {
            "namespace": self.runs.namespace,
            "resources": ["postgres-catalog", "others.yaml"],
            "configurations": ["postgres-catalog/images.yaml"],
            "images": [
                {"name": "registry.example.com/postgres-catalog", "newName": IMAGE, "newTag": "dev"},
            ],
            "patches": [
                _patch("App", "postgres-catalog", app),
                _patch("Secret", "postgres", {"stringData": self.postgres.secret(database=self.database)}),
                _patch("Secret", "postgres-catalog-store", {"stringData": self.s3.secrets()}),
            ],
        }
        wrong = self.postgres.secret(database=self.database, password=WRONG)
        others = [_secret("wrong", wrong), _secret("empty", self.postgres.secret(database=f"{self.database}_empty"))]
        (folder / "others.yaml").write_text(yaml.safe_dump_all(others))
        (folder / "kustomization.yaml").write_text(yaml.safe_dump(overlay))
        self.bed.run(self.bed.kubectl, "apply", "-k", str(folder))

    def start(self, name: str, source: str = "postgres", **given: Any) -> None:
        reference = {"name": source, "credential_type": "postgres"}
        self.runs.start(name, "postgres-catalog", {"source": reference, **given})

    def output(self, run: str) -> Object:
        status = self.runs.until_phase(run, "Succeeded", "Failed", "Stalled", seconds=300)
        assert status["phase"] == "Succeeded", json.dumps([status, self.runs.tasks(run)], indent=1)
        output: Object = status["output"]
        return output

    def error(self, run: str) -> str:
        status = self.runs.until_phase(run, "Succeeded", "Failed", "Stalled", seconds=240)
        assert status["phase"] == "Failed"
        return str(status["error"]["message"])

    def lines(self, output: Object) -> list[Object]:
        path = self.s3.bucket / self.runs.namespace / output["file"]["storage_path"]
        return [json.loads(line) for line in path.read_text().splitlines()]

    def attempts(self, run: str) -> dict[str, int]:
        """How many each call took, by its task and, of a schema's extraction, the schema."""
        return {
            task["spec"]["input"].get("schema_name", task["spec"]["task"]): task["status"].get("attempt", 1)
            for task in self.runs.tasks(run)
        }


def _patch(kind: str, name: str, change: Object) -> Object:
    return {
        "target": {"kind": kind, "name": name},
        "patch": json.dumps({"kind": kind, "metadata": {"name": name}, **change}),
    }


def _secret(name: str, values: dict[str, str]) -> Object:
    return {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name}, "stringData": values}


@pytest.fixture
def connector(bed: Bed, runs: Runs, s3: S3Server, postgres: Postgres, image: str) -> Connector:
    database = runs.namespace.replace("-", "_")
    postgres.create_database(f"{database}_empty")
    postgres.sql("DROP SCHEMA public", f"{database}_empty")
    postgres.create_database(database)
    postgres.sql(SHOP, database)
    return Connector(bed, runs, s3, postgres, database)


def test_it_extracts_everything_once_and_then_the_changes(connector: Connector, runs: Runs, tmp_path: Path) -> None:
    with followed_logs(runs) as logs:
        connector.apply(tmp_path)
        first = connector.output(RUN)
        assert (first["extracted"], first["relations"]) == (["large", "public", "sales"], LARGE + 2)
        assert len(connector.lines(first)) == LARGE + 2
        assert list(connector.s3.objects(runs.namespace)) == [f"{runs.namespace}/{first['file']['storage_path']}"]

        connector.postgres.sql("ALTER TABLE sales.orders ADD COLUMN at date; DROP SCHEMA public", connector.database)
        connector.start("second")
        second = connector.output("second")
        assert (second["extracted"], second["unchanged"], second["removed"]) == (["sales"], 1, ["public"])
        assert [line["name"] for line in connector.lines(second)] == ["open", "orders"]
        kept = runs.kube.get(f"{runs.api}/appstates/postgres-catalog")["spec"]["entries"]
        assert sorted(next(iter(kept.values()))["value"]) == ["large", "sales"]

        caller = calling_pod(connector.bed, runs, "postgres-catalog")
        eventually("it is served", lambda: caller.is_ready() or None, 120)
        friend = caller.token("friend")
        _, good = caller.ask("POST", "/workflows/v1/auth", token=friend, body={})
        assert (good["success"], good["data"]["identities"]) == (True, [USER])
        given = [{"key": k, "value": v} for k, v in connector.postgres.secret(password=WRONG).items()]
        _, bad = caller.ask("POST", "/workflows/v1/auth", token=friend, body={"credentials": given})
        assert (bad["success"], bad["data"]["status"]) == (False, "invalid_credentials")
        _, check = caller.ask("POST", "/workflows/v1/check", token=friend, body={"metadata": {"schemas": ["sales"]}})
        assert check["success"]
        _, tree = caller.ask("POST", "/workflows/v1/metadata", token=friend, body={"object_filter": "sales.*"})
        assert "sales.orders.at" in json.dumps(tree)
        _, started = caller.ask("POST", "/workflows/v1/start", token=friend, body={"full": True, "schemas": ["sales"]})
        assert connector.output(started["data"]["workflow_id"])["extracted"] == ["sales"]
    assert_nothing_told(runs, logs)


def test_bad_input_is_told_without_a_secret(connector: Connector, runs: Runs, tmp_path: Path) -> None:
    with followed_logs(runs) as logs:
        connector.apply(tmp_path)
        connector.start("wrong", "wrong")
        connector.start("undeclared", "elsewhere")
        connector.start("missing", schemas=["sales", "nope"])
        connector.start("empty", "empty")
        assert f"LoginRefusedError: {connector.postgres.host}" in connector.error("wrong")
        assert f"doesn't let '{USER}' in: password authentication failed" in connector.error("wrong")
        assert "there is no secret 'elsewhere'" in connector.error("undeclared")
        assert "MissingSchemaError: there is no schema nope" in connector.error("missing")
        assert "there are: large, public, sales" in connector.error("missing")
        for run in ("wrong", "undeclared", "missing"):
            assert connector.attempts(run) == {"find_changes": 1}, "it isn't tried again"
        empty = connector.output("empty")
        assert (empty["relations"], empty["extracted"], connector.lines(empty)) == (0, [], [])
        connector.output(RUN)
    assert_nothing_told(runs, logs)


@pytest.mark.exclusive
def test_a_node_lost_in_an_upload_costs_that_upload_only(
    bed: Bed, connector: Connector, runs: Runs, proxy: FaultyProxy, tmp_path: Path
) -> None:
    proxy.set(bytes_per_second=128 * KIB)
    connector.apply(tmp_path, proxy.endpoint)
    runs.until_committed(RUN, 3)
    eventually("the large schema is on its way", lambda: proxy.passed > 512 * KIB or None, 120)
    committed = runs.checkpoints(RUN)
    assert [entry["task"] for entry in committed] == ["find_changes", "extract_schema", "extract_schema"]
    (key,) = [task["spec"]["key"] for task in runs.tasks(RUN) if task["spec"]["input"].get("schema_name") == "large"]
    (pod,) = [pod for pod in runs.pods(RUN) if pod["metadata"]["labels"].get("apprun.dev/key") == key]
    bed.cli("kill-node", pod["spec"]["nodeName"])
    proxy.set(bytes_per_second=0)
    try:
        output = connector.output(RUN)
    finally:
        bed.cli("up")
        eventually("both nodes are ready", lambda: _ready(bed) == 2 or None, 90)
    assert runs.checkpoints(RUN)[:3] == committed
    attempts = connector.attempts(RUN)
    assert attempts.pop("large") == 2
    assert set(attempts.values()) == {1}
    names = [line["name"] for line in connector.lines(output) if line["schema"] == "large"]
    assert sorted(names) == sorted(f"t{number}" for number in range(1, LARGE + 1))
    assert list(connector.s3.objects(runs.namespace)) == [f"{runs.namespace}/{output['file']['storage_path']}"]


def _ready(bed: Bed) -> int:
    return sum(
        any(c["type"] == "Ready" and c["status"] == "True" for c in node["status"].get("conditions", []))
        for node in bed.kube.items(f"{CORE}/nodes")
    )


def assert_nothing_told(runs: Runs, logs: dict[str, str]) -> None:
    handlers = runs.kube.items(f"{runs.core}/pods?labelSelector=apprun.dev/role=handler")
    for pod in (handler["metadata"]["name"] for handler in handlers):
        logs[pod] = runs.kube.raw(f"{runs.core}/pods/{pod}/log")
    for place, text in {**all_objects(runs), **logs}.items():
        for value in (PASSWORD, WRONG, SECRET_KEY):
            assert value not in text, f"{value} is in {place}"
