"""`apprun export --full` and `apprun import`: the file, what is refused and in which words, what is written."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import pytest
from tests.support.cluster_wire import NAMESPACED, FakeCluster
from tests.support.wire_server import refuse
from tests.unit.cli.conftest import Command

from application_sdk.wire.digest import digest

BEGAN = "apprun.dev/began-as"
RESTORED = "apprun.dev/restored-from"
CODE = "/api/v1/namespaces/team/configmaps/hello-code"
KEY = "a" + "0" * 31


def a_run(cluster: FakeCluster, name: str = "r", **status: Any) -> None:
    """A run with one committed call, one that is open, and its driver; of an App whose code is a ConfigMap."""
    source = {"configMap": {"name": "hello-code"}}
    cluster.put(CODE, {"data": {"app.py": "…"}, "immutable": True})
    cluster.put(f"{NAMESPACED}/apps/hello", {"spec": {"entry": "app:Hello", "source": source}, "status": {"old": True}})
    cluster.put(f"{NAMESPACED}/appstates/hello", {"spec": {"app": "hello", "entries": {}}})
    entry = {"sequence": 0, "key": KEY, "task": "split", "outcome": "Succeeded", "attempts": 1,
             "digest": digest({"n": None}), "at": "2026-07-01T10:00:03Z"}  # fmt: skip
    made = {"phase": "Running", "startedAt": "2026-07-01T10:00:00Z", "checkpoints": [entry], "observedGeneration": 3}
    run = cluster.run(name, **{**made, **status})
    run["metadata"] |= {"annotations": {BEGAN: f"uid-{name}", "team": "a"}, "managedFields": [{}], "generation": 3}
    run["status"]["conditions"] = [{"type": "Ready", "status": "False", "observedGeneration": 3}]
    own(cluster.task(name, "driver", "driver", {"role": "driver", "key": "driver"}, phase="Active", attempt=2), name)
    own(cluster.task(name, "a", "split", phase="Succeeded", output={"n": None}), name)
    own(cluster.task(name, "b", "measure", {"sequence": 1}, phase="Active"), name)


def own(task: dict[str, Any], run: str) -> None:
    task["metadata"]["ownerReferences"] = [{"kind": "AppRun", "name": run, "uid": f"uid-{run}"}]


def lose(cluster: FakeCluster) -> None:
    """Everything of the namespace is gone."""
    for path in list(cluster.objects):
        cluster.remove(path)
    cluster.wire.requests.clear()


def edited(file: Path, change: Any) -> None:
    document = json.loads(file.read_text())
    change(document)
    file.write_text(json.dumps(document))


@pytest.fixture
def backup(apprun: Command, cluster: FakeCluster, home: Path) -> Path:
    """A backup of a run whose namespace is lost."""
    a_run(cluster)
    assert apprun("export", "--full", "r", "--to", "b.json", "--cluster").code == 0
    lose(cluster)
    return home / "b.json"


# The file


def test_a_backup_holds_the_run_its_calls_app_code_and_state(backup: Path) -> None:
    document = json.loads(backup.read_text())
    assert (document["kind"], document["version"], document["namespace"]) == ("AppRunBackup", 1, "team")
    (saved,) = document["runs"]
    assert saved["run"]["status"]["checkpoints"][0]["key"] == KEY
    assert sorted(task["spec"]["task"] for task in saved["tasks"]) == ["driver", "measure", "split"]
    assert [found["metadata"]["name"] for part in ("apps", "states", "configMaps") for found in document[part]] == [
        "hello", "hello", "hello-code",
    ]  # fmt: skip


def test_a_backup_holds_nothing_that_only_its_cluster_knows(backup: Path) -> None:
    document = json.loads(backup.read_text())
    metadata = document["runs"][0]["run"]["metadata"]
    assert metadata == {
        "name": "r", "uid": "uid-r", "creationTimestamp": "2026-07-01T10:00:00Z",
        "annotations": {BEGAN: "uid-r", "team": "a"},
    }  # fmt: skip
    assert "status" not in document["apps"][0]
    assert all("ownerReferences" not in task["metadata"] for task in document["runs"][0]["tasks"])


def test_all_runs_of_the_namespace_go_into_one_file(apprun: Command, cluster: FakeCluster, home: Path) -> None:
    for name in ("r", "s"):
        a_run(cluster, name)
    done = apprun("export", "--full", "--all", "--to", "b.json.gz")
    assert (done.code, done.out) == (0, "")
    assert "2 runs with 6 AppTasks of cluster test, namespace team written to b.json.gz" in done.err
    document = json.loads(gzip.decompress((home / "b.json.gz").read_bytes()))
    assert [saved["run"]["metadata"]["name"] for saved in document["runs"]] == ["r", "s"]


def test_calls_of_an_earlier_run_of_the_name_are_left_out(apprun: Command, cluster: FakeCluster) -> None:
    a_run(cluster)
    stray = cluster.task("r", "c", "left", phase="Succeeded")
    stray["metadata"]["ownerReferences"] = [{"kind": "AppRun", "name": "r", "uid": "uid-before"}]
    (saved,) = apprun("export", "--full", "r", "--cluster").json["runs"]
    assert "left" not in {task["spec"]["task"] for task in saved["tasks"]}


def test_a_past_that_isnt_whole_is_not_exported(apprun: Command, cluster: FakeCluster) -> None:
    a_run(cluster)
    cluster.objects[f"{NAMESPACED}/apptasks/r-{KEY[:16]}"]["status"]["output"] = {"n": 1}
    done = apprun("export", "--full", "r")
    assert (done.code, "run 'r' can't be exported" in done.err, "digest" in done.err) == (3, True, True)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--full",), "--all"),
        (("--full", "--all", "r"), "name none beside it"),
        (("r", "s"), "with --full"),
        (("--all",), "with --full"),
        ((), "name one run"),
        (("--full", "r", "--local"), "of a cluster"),
    ],
    ids=str,
)
def test_options_that_contradict_one_another(apprun: Command, cluster: FakeCluster, arguments: Any, words: str) -> None:
    done = apprun("export", *arguments)
    assert (done.code, words in done.err) == (2, True), done.err


# Bringing back


def test_an_import_writes_the_runs_status_last(apprun: Command, cluster: FakeCluster, backup: Path) -> None:
    done = apprun("import", str(backup))
    assert (done.code, done.out) == (0, "r  restored  (Running when it was exported)\n")
    run = cluster.objects[f"{NAMESPACED}/appruns/r"]
    assert run["metadata"]["annotations"] == {RESTORED: "uid-r", "team": "a"}
    assert run["status"]["restoredFrom"]["uid"] == "uid-r"
    assert run["status"]["checkpoints"][0]["key"] == KEY
    assert run["status"]["observedGeneration"] == run["status"]["conditions"][0]["observedGeneration"] == 1
    task = cluster.objects[f"{NAMESPACED}/apptasks/r-{KEY[:16]}"]
    (owner,) = task["metadata"]["ownerReferences"]
    assert (owner["uid"], owner["controller"], owner["blockOwnerDeletion"]) == (run["metadata"]["uid"], True, False)
    assert task["status"]["output"] == {"n": None}
    assert "restoredAt" in task["status"]
    assert cluster.objects[CODE]["immutable"] is True
    writes = [target.partition("?")[0] for target, _ in cluster.written("PATCH")]
    assert writes[-1] == f"{NAMESPACED}/appruns/r/status"
    assert all(target.endswith("/status") for target in writes)


def test_an_open_call_keeps_its_attempt_and_forgets_the_pod(
    apprun: Command, cluster: FakeCluster, backup: Path
) -> None:
    of_the_pod = {"startedAt": "2026-07-01T10:00:01Z", "node": "n1", "progress": {"message": "m"}, "pod": {"name": "p"}}

    def change(document: Any) -> None:
        for task in document["runs"][0]["tasks"]:
            task["status"] |= of_the_pod

    edited(backup, change)
    assert apprun("import", str(backup)).code == 0
    driver = cluster.objects[f"{NAMESPACED}/apptasks/r-driver"]["status"]
    assert (driver["attempt"], driver.keys() & of_the_pod.keys()) == (2, set())
    assert of_the_pod.items() <= cluster.objects[f"{NAMESPACED}/apptasks/r-{KEY[:16]}"]["status"].items()


def test_the_same_file_again_changes_nothing(apprun: Command, cluster: FakeCluster, backup: Path) -> None:
    apprun("import", str(backup))
    before = {path: found["metadata"]["resourceVersion"] for path, found in cluster.objects.items()}
    assert apprun("import", str(backup), "-o", "json").json == [
        {"run": "r", "result": "there already", "phase": "Running"}
    ]
    assert before == {path: found["metadata"]["resourceVersion"] for path, found in cluster.objects.items()}


def test_a_run_that_is_held_takes_its_past(apprun: Command, cluster: FakeCluster, backup: Path) -> None:
    held = cluster.run("r")
    held["metadata"] |= {"annotations": {BEGAN: "uid-r"}, "uid": "uid-new"}
    held["status"] = {"phase": "Stalled", "message": "restored"}
    assert apprun("import", str(backup)).out.startswith("r  completed")
    assert cluster.objects[f"{NAMESPACED}/appruns/r"]["status"]["phase"] == "Running"
    assert cluster.objects[f"{NAMESPACED}/apptasks/r-driver"]["metadata"]["ownerReferences"][0]["uid"] == "uid-new"


def test_a_dry_run_writes_nothing(apprun: Command, cluster: FakeCluster, backup: Path) -> None:
    assert apprun("import", str(backup), "--dry-run").out == "r  would be restored  (Running when it was exported)\n"
    assert not cluster.objects


def test_one_run_of_many_is_chosen_by_name(apprun: Command, cluster: FakeCluster, home: Path) -> None:
    for name in ("r", "s"):
        a_run(cluster, name)
    apprun("export", "--full", "--all", "--to", "b.json")
    lose(cluster)
    assert apprun("import", "b.json", "s", "-o", "name").out == "s\n"
    assert f"{NAMESPACED}/appruns/r" not in cluster.objects
    done = apprun("import", "b.json", "t")
    assert (done.code, "it has r, s" in done.err) == (2, True)


def test_what_is_there_already_of_an_app_stays(apprun: Command, cluster: FakeCluster, backup: Path) -> None:
    cluster.put(f"{NAMESPACED}/apps/hello", {"spec": {"entry": "app:Newer"}})
    done = apprun("import", str(backup))
    assert "App hello is there already, with other content, and stays as it is" in done.err
    assert cluster.objects[f"{NAMESPACED}/apps/hello"]["spec"] == {"entry": "app:Newer"}


def test_another_namespace_is_warned_of_files(apprun: Command, cluster: FakeCluster, backup: Path) -> None:
    edited(backup, lambda document: document.update(namespace="other"))
    assert "can't read files" in apprun("import", str(backup)).err


# What is refused


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("{", "isn't whole"),
        ("[]", "no full backup"),
        ('{"entry": "app:Hello"}', "without --full it writes a ledger"),
        ('{"kind": "AppRunBackup", "version": 2}', "reads up to 1: update it"),
        ('{"kind": "AppRunBackup", "version": "1"}', "version '1'"),
        ('{"kind": "AppRunBackup", "version": 1}', "is damaged: KeyError: 'runs'"),
        ('{"kind": "AppRunBackup", "version": 1, "runs": [{}]}', "damaged"),
        ('{"kind": "AppRunBackup", "version": 1, "runs": {}}', "runs is no list"),
    ],
)
def test_a_file_that_is_no_backup(apprun: Command, cluster: FakeCluster, home: Path, content: str, words: str) -> None:
    (home / "b.json").write_text(content)
    done = apprun("import", "b.json")
    assert (done.code, words in done.err) == (2, True), done.err
    assert not cluster.written("POST")


def test_a_file_that_isnt_there_or_is_cut_off(apprun: Command, cluster: FakeCluster, home: Path) -> None:
    assert "No such file" in apprun("import", "missing.json").err
    (home / "b.json.gz").write_bytes(gzip.compress(b'{"kind": "AppRunBackup"}' * 100)[:-20])
    done = apprun("import", "b.json.gz")
    assert (done.code, "b.json.gz" in done.err) == (2, True)


def test_a_backup_without_a_committed_calls_task(apprun: Command, cluster: FakeCluster, backup: Path) -> None:
    def drop(document: Any) -> None:
        (saved,) = document["runs"]
        saved["tasks"] = [task for task in saved["tasks"] if task["spec"]["key"] != KEY]

    edited(backup, drop)
    done = apprun("import", str(backup))
    assert (done.code, f"run 'r': AppTask r-{KEY[:16]} is missing" in done.err) == (3, True)
    assert not cluster.objects


def test_a_backup_whose_outputs_were_altered(apprun: Command, cluster: FakeCluster, backup: Path) -> None:
    def forge(document: Any) -> None:
        next(t for t in document["runs"][0]["tasks"] if t["spec"]["key"] == KEY)["status"]["output"] = {"n": 5}

    edited(backup, forge)
    done = apprun("import", str(backup))
    assert (done.code, "the ledger has" in done.err, cluster.objects) == (3, True, {})


def test_a_name_that_another_run_has(apprun: Command, cluster: FakeCluster, backup: Path) -> None:
    cluster.run("r", phase="Running")["metadata"]["uid"] = "uid-other"
    done = apprun("import", str(backup))
    assert (done.code, "is there already and is another one" in done.err) == (5, True)
    assert not cluster.written("PATCH")


def test_a_run_that_was_never_lost(apprun: Command, cluster: FakeCluster, backup: Path) -> None:
    a_run(cluster)
    done = apprun("import", str(backup))
    assert (done.code, "never lost" in done.err) == (5, True)


def test_a_held_run_of_another_app(apprun: Command, cluster: FakeCluster, backup: Path) -> None:
    held = cluster.run("r")
    held["metadata"] |= {"annotations": {BEGAN: "uid-r"}, "uid": "uid-new"}
    held["status"], held["spec"] = {"phase": "Stalled"}, {"appRef": {"name": "other"}}
    done = apprun("import", str(backup))
    assert (done.code, "another app or input" in done.err) == (5, True)


def test_tasks_of_a_deleted_run_are_waited_for(apprun: Command, cluster: FakeCluster, backup: Path) -> None:
    own(cluster.task("r", "b", "measure", phase="Active"), "gone")
    done = apprun("import", str(backup))
    assert (done.code, "belongs to a run that was deleted" in done.err) == (5, True)
    assert "restoredFrom" not in cluster.objects[f"{NAMESPACED}/appruns/r"].get("status", {})


def test_whoever_may_not_restore_is_told_the_role(apprun: Command, cluster: FakeCluster, backup: Path) -> None:
    cluster.forbidden = {("restore", "appruns"), ("create", "apptasks")}
    done = apprun("import", str(backup))
    assert done.code == 11
    assert "missing: restore appruns, create apptasks" in done.err
    assert "--clusterrole=apprun-restore" in done.err
    assert not cluster.objects


def test_a_policys_refusal_is_told_in_its_words(apprun: Command, cluster: FakeCluster, backup: Path) -> None:
    words = "ValidatingAdmissionPolicy 'p' denied request: apprun: not the driver of this run"
    cluster.refusals["POST", f"{NAMESPACED}/apptasks"] = refuse(403, "Forbidden", words)
    done = apprun("import", str(backup))
    assert (done.code, words in done.err) == (3, True)
