"""The verbs on a cluster: what they ask the API server for, what they print, how they exit."""

from __future__ import annotations

import json
import os
import threading
import time
from pathlib import Path

import pytest
import yaml
from tests.support.cluster_wire import NAMESPACED, PODS, FakeCluster
from tests.support.wire_server import refuse
from tests.unit.cli.conftest import Command

APP = """
from application_sdk.app import App, task
from application_sdk.contracts import Input, Output
from helping import GREETING

class Name(Input):
    name: str = "World"

class Greeting(Output):
    text: str = ""

class HelloApp(App):
    @task
    async def greet(self, input: Name) -> Greeting:
        return Greeting(text=GREETING + input.name)

    async def run(self, input: Name) -> Greeting:
        return await self.greet(input)
"""


def app_there(cluster: FakeCluster) -> None:
    cluster.put(f"{NAMESPACED}/apps/hello", {"spec": {"entry": "app:Hello"}})


def test_list_tells_runs_of_the_contexts_namespace_newest_first(apprun: Command, cluster: FakeCluster) -> None:
    cluster.run("old", phase="Succeeded", startedAt="2026-07-01T10:00:00Z", finishedAt="2026-07-01T10:00:04Z",
                tasks={"total": 3, "succeeded": 2, "failed": 1})  # fmt: skip
    cluster.run("new", phase="Running")["metadata"]["creationTimestamp"] = "2026-07-02T10:00:00Z"
    lines = apprun("list").out.splitlines()
    assert [line.split()[0] for line in lines] == ["RUN", "new", "old"]
    assert lines[2].split()[1:4] == ["Succeeded", "hello", "2/3"]
    assert lines[2].endswith("4.0 s")
    assert apprun("list", "-o", "name").out == "new\nold\n"
    assert [run["run"] for run in yaml.safe_load(apprun("list", "-o", "yaml").out)] == ["new", "old"]


def test_list_of_all_namespaces_names_them(apprun: Command, cluster: FakeCluster) -> None:
    cluster.run("here", phase="Running")
    cluster.put(
        "/apis/apprun.dev/v1alpha1/namespaces/other/appruns/there",
        {"metadata": {"name": "there", "namespace": "other"}, "spec": {"appRef": {"name": "x"}}},
    )
    rows = {tuple(line.split()[:2]) for line in apprun("list", "-A").out.splitlines()[1:]}
    assert rows == {("team", "here"), ("other", "there")}


def test_a_local_run_costs_no_request_to_the_cluster(apprun: Command, cluster: FakeCluster) -> None:
    apprun.run("run")
    cluster.run("o1", phase="Failed")
    assert "on            this machine" in apprun("show", "o1").out
    assert "o1" in apprun("list").out
    assert cluster.wire.requests == []
    assert "on            cluster test, namespace team" in apprun("show", "o1", "--cluster").out


def test_a_run_that_is_not_here_is_the_clusters(apprun: Command, cluster: FakeCluster) -> None:
    apprun.run("run")
    cluster.run("o2", phase="Running")
    assert apprun("show", "o2").out.startswith("o2  Running")
    assert apprun("show", "o2", "--local").code == 4


def test_an_assigned_call_has_the_state_of_its_pod(apprun: Command, cluster: FakeCluster) -> None:
    cluster.run("r", phase="Running")
    cluster.task("r", "driver", "driver", {"role": "driver", "key": "driver"})
    task = cluster.task("r", "a", "split", pod={"name": "pool-1", "uid": "u"})
    own = cluster.pod(task, 1, "Pending")
    shared = {**own["metadata"], "name": "pool-1", "uid": "u"}
    cluster.put(f"{PODS}/pool-1", {**own, "metadata": shared, "status": {"phase": "Running"}})
    (call,) = apprun("show", "r", "-o", "json").json["calls"]
    assert call["state"] == "Running"


def test_show_prints_the_tree_of_calls(apprun: Command, cluster: FakeCluster) -> None:
    cluster.run("r", phase="Running", startedAt="2026-07-01T10:00:00Z", checkpoints=[
        {"sequence": 0, "key": "a" * 1 + "0" * 31, "task": "split", "outcome": "Succeeded", "attempts": 1,
         "digest": "", "at": "2026-07-01T10:00:03Z"}])  # fmt: skip
    cluster.task("r", "driver", "driver", {"role": "driver", "key": "driver"})
    cluster.task("r", "a", "split", phase="Succeeded", output={"words": 2}, node="node1",
                 startedAt="2026-07-01T10:00:01Z", finishedAt="2026-07-01T10:00:02Z")  # fmt: skip
    after = {"inputDigest": "x", "lineage": "split:a", "occurrence": 0}
    lost = {"attempt": 1, "reason": "NodeLost", "budget": "Disruption", "message": "the node stopped answering",
            "node": "node2"}  # fmt: skip
    task = cluster.task("r", "b", "measure", {"sequence": 1, "identity": after}, attempt=2, attempts=[lost])
    cluster.pod(task, 2, "Running")
    cluster.task("r", "c", "measure", {"sequence": 2, "identity": after}, phase="Waiting",
                 message="Unschedulable: no node takes the pod")  # fmt: skip
    lines = [" ".join(line.split()) for line in apprun("show", "r").out.splitlines()]
    assert '└─ split Succeeded 1 node1 2.0 s {"words": 2}' in lines
    assert any(line.startswith("├─ measure Running 2 node1") for line in lines)
    assert "│ ✗ attempt 1 NodeLost node2 the node stopped answering (charged to the cluster)" in lines
    assert "└─ measure Waiting 1 Unschedulable: no node takes the pod" in lines
    calls = apprun("show", "r", "-o", "json").json["calls"]
    assert [(call["task"], call["state"], call["node"]) for call in calls] == [
        ("split", "Succeeded", "node1"),
        ("measure", "Running", "node1"),
        ("measure", "Waiting", ""),
    ]


def test_many_equal_calls_are_one_line_unless_all_are_wanted(apprun: Command, cluster: FakeCluster) -> None:
    cluster.run("r", phase="Succeeded")
    for number in range(30):
        identity = {"inputDigest": str(number), "lineage": "", "occurrence": 0}
        cluster.task("r", f"{number:02}", "step", {"sequence": number, "identity": identity}, phase="Succeeded",
                     output={"n": number})  # fmt: skip
    assert "step ×30" in apprun("show", "r").out
    assert apprun("show", "r", "--all").out.count("step") == 30


def test_a_name_may_be_shortened_as_long_as_it_is_clear(apprun: Command, cluster: FakeCluster) -> None:
    cluster.run("orders-1", phase="Running")
    cluster.run("orders-2", phase="Running")["metadata"]["creationTimestamp"] = "2026-07-02T10:00:00Z"
    cluster.run("bills-1", phase="Running")
    assert apprun("show", "bil").out.startswith("bills-1")
    assert apprun("show", "@latest").out.startswith("orders-2")
    done = apprun("show", "ord")
    assert done.code == 9
    assert "orders-1 (cluster test, namespace team), orders-2" in done.err


def test_what_changes_a_run_wants_its_whole_name(apprun: Command, cluster: FakeCluster) -> None:
    cluster.run("orders-1", phase="Running")
    assert apprun("cancel", "orders").code == 4
    assert cluster.written("PATCH") == []


@pytest.mark.parametrize(
    ("verb", "spec"),
    [("cancel", {"cancel": True}), ("suspend", {"suspend": True}), ("resume", {"suspend": False})],
)
def test_a_run_is_told_in_its_spec(apprun: Command, cluster: FakeCluster, verb: str, spec: dict[str, bool]) -> None:
    cluster.run("r", phase="Running")
    assert apprun(verb, "r").code == 0
    ((_, body),) = cluster.written("PATCH")
    assert body == {"spec": spec}
    cluster.run("r", phase="Failed")
    done = apprun(verb, "r")
    assert (done.code, "is over, it is Failed" in done.err) == (5, True)


def test_a_stalled_run_is_not_resumed_but_corrected(apprun: Command, cluster: FakeCluster) -> None:
    cluster.run("r", phase="Stalled", message="no module app")
    done = apprun("resume", "r")
    assert (done.code, "no module app" in done.err, "apprun describe r" in done.err) == (5, True, True)


def test_submit_creates_a_run_and_prints_its_name_alone(apprun: Command, cluster: FakeCluster) -> None:
    app_there(cluster)
    done = apprun("submit", "hello", "-i", '{"name": "Ada"}', "--name", "first", "-e", "other", "-p", "3")
    assert (done.code, done.out) == (0, "first\n")
    ((_, body),) = cluster.written("POST")
    assert body["spec"] == {
        "appRef": {"name": "hello"},
        "entrypoint": "other",
        "input": {"name": "Ada"},
        "parallelism": 3,
    }
    again = apprun("submit", "hello", "--name", "first")
    assert (again.code, "there is a run 'first'" in again.err) == (5, True)


def test_submit_makes_up_a_name(apprun: Command, cluster: FakeCluster) -> None:
    app_there(cluster)
    first, second = apprun("submit", "hello", "-o", "name").out, apprun("submit", "hello", "-o", "name").out
    assert first.startswith("hello-")
    assert first != second


def test_submit_for_an_unknown_app_creates_nothing(apprun: Command, cluster: FakeCluster) -> None:
    app_there(cluster)
    done = apprun("submit", "helo")
    assert (done.code, "did you mean hello?" in done.err, cluster.written("POST")) == (4, True, [])
    assert "apprun deploy app.py" in apprun("submit", "app.py").err


@pytest.mark.parametrize(
    ("status", "code", "text"),
    [
        ({"phase": "Succeeded", "output": {"text": "hi"}}, 0, "first succeeded"),
        ({"phase": "Failed", "error": {"type": "ValueError", "message": "no"}}, 1, "ValueError: no"),
        ({"phase": "Stalled", "message": "correct me"}, 7, "correct me"),
        ({"phase": "Cancelled"}, 8, "first was cancelled"),
    ],
)
def test_submit_wait_exits_as_the_run_ends(
    apprun: Command, cluster: FakeCluster, status: dict[str, object], code: int, text: str
) -> None:
    app_there(cluster)
    path = f"{NAMESPACED}/appruns/first"

    def operate() -> None:
        while path not in cluster.objects:
            threading.Event().wait(0.01)
        cluster.run("first", phase="Running", message="going")
        cluster.run("first", **status)

    operator = threading.Thread(target=operate)
    operator.start()
    done = apprun("submit", "hello", "--name", "first", "--wait")
    operator.join()
    assert (done.code, text in done.err) == (code, True)
    assert done.out == ('{\n  "text": "hi"\n}\n' if code == 0 else "")


def test_submit_waits_no_longer_than_it_is_told(apprun: Command, cluster: FakeCluster) -> None:
    app_there(cluster)
    done = apprun("submit", "hello", "--name", "first", "--wait", "--timeout", "0.2")
    assert (done.code, "it goes on" in done.err) == (13, True)


def test_wait_goes_on_with_what_a_run_continues_as(apprun: Command, cluster: FakeCluster) -> None:
    app_there(cluster)
    cluster.run("first-2", phase="Succeeded", output={"text": "at last"})
    path = f"{NAMESPACED}/appruns/first"

    def operate() -> None:
        while path not in cluster.objects:
            threading.Event().wait(0.01)
        cluster.run("first", phase="Succeeded", continuedAs="first-2")

    operator = threading.Thread(target=operate)
    operator.start()
    done = apprun("submit", "hello", "--name", "first", "--wait")
    operator.join()
    assert json.loads(done.out) == {"text": "at last"}


def test_logs_are_ordered_and_include_ends_of_deleted_pods(apprun: Command, cluster: FakeCluster) -> None:
    cluster.run("r", phase="Running")
    one = cluster.task("r", "a", "split")
    two = cluster.task("r", "b", "measure", {"sequence": 1}, attempt=2, log={"attempt": 1, "tail": "out of luck\n"},
                       attempts=[{"attempt": 1, "reason": "ValueError", "budget": "App",
                                  "finishedAt": "2026-07-01T10:00:02Z"}])  # fmt: skip
    entry = json.dumps({"time": "2026-07-01T10:00:01.5Z", "level": "info", "logger": "app", "source": "stdout",
                        "message": "first"})  # fmt: skip
    cluster.pod(one, 1, "Running", f"2026-07-01T10:00:01.5Z {entry}\n2026-07-01T10:00:04.25Z third\n")
    cluster.pod(two, 2, "Running", "2026-07-01T12:00:03.125+02:00 second\n")
    out = apprun("logs", "r").out.splitlines()
    assert out == [
        "split/a0000000/1  first",
        "measure/b0000000/1  out of luck",
        "measure/b0000000/2  second",
        "split/a0000000/1  third",
    ]
    assert apprun("logs", "r", "measure", "--attempt", "2").out == "measure/b0000000/2  second\n"
    assert apprun("logs", "r", "b00000").out.count("measure") == 2
    assert apprun("logs", "r", "nothing").code == 2


PROXY = {"name": "a-proxy", "state": {"running": {"startedAt": "2026-07-01T10:00:00Z"}}}


def test_logs_are_those_of_the_calls_container(apprun: Command, cluster: FakeCluster) -> None:
    cluster.run("r", phase="Running")
    own = {"name": "task", "state": {"running": {"startedAt": "2026-07-01T10:00:01Z"}}}
    task = cluster.task("r", "a", "split")
    cluster.pod(task, 1, "Running", "2026-07-01T10:00:01Z hello\n", containerStatuses=[PROXY, own])
    assert apprun("logs", "r").out == "split/a0000000/1  hello\n"


def test_refused_log_is_told_with_the_servers_words(apprun: Command, cluster: FakeCluster) -> None:
    cluster.run("r", phase="Running")
    cluster.pod(cluster.task("r", "a", "split"), 1, "Pending", "")
    words = 'container "task" in pod "r-a" is waiting to start: ContainerCreating'
    (name,) = cluster.logs
    cluster.refusals["GET", f"{PODS}/{name}/log"] = refuse(400, "BadRequest", words)
    assert words in apprun("logs", "r").err


def test_call_at_work_is_running_though_a_sidecar_has_no_image(apprun: Command, cluster: FakeCluster) -> None:
    cluster.run("r", phase="Running")
    own = {"name": "task", "state": {"running": {"startedAt": "2026-07-01T10:00:01Z"}}}
    pull = {"name": "a-proxy", "state": {"waiting": {"reason": "ErrImagePull", "message": "not found"}}}
    cluster.pod(cluster.task("r", "a", "split"), 1, "Pending", containerStatuses=[pull, own])
    (call,) = json.loads(apprun("show", "r", "-o", "json").out)["calls"]
    assert call["state"] == "Running"
    assert "ErrImagePull" not in apprun("describe", "r").out


def test_describe_names_the_failing_init_container(apprun: Command, cluster: FakeCluster) -> None:
    cluster.run("r", phase="Running")
    driver = cluster.task("r", "driver", "driver", {"role": "driver"})
    failed = {"name": "migrate", "state": {"terminated": {"exitCode": 3, "message": "no such table"}}}
    cluster.pod(driver, 1, "Failed", initContainerStatuses=[failed])
    shown = apprun("describe", "r").out
    assert "InitContainerFailed" in shown
    assert "'migrate' ended with exit code 3: no such table" in " ".join(shown.split())
    assert "whoever adds it" in " ".join(shown.split()).lower()


def test_logs_follow_new_pods_until_the_run_is_over(apprun: Command, cluster: FakeCluster) -> None:
    cluster.run("r", phase="Running")
    task = cluster.task("r", "a", "split")
    cluster.pod(task, 1, "Pending", "")

    def operate() -> None:
        cluster.pod(task, 1, "Running", "2026-07-01T10:00:01Z hello\n")
        while not any(request.target.startswith(f"{PODS}/r-a") for request in cluster.wire.requests):
            threading.Event().wait(0.01)
        cluster.run("r", phase="Succeeded")

    operator = threading.Thread(target=operate)
    operator.start()
    assert apprun("logs", "-f", "r").out == "split/a0000000/1  hello\n"
    operator.join()


def test_logs_that_are_gone_are_said_to_be(apprun: Command, cluster: FakeCluster) -> None:
    cluster.run("r", phase="Succeeded")
    assert "nothing is left of this run's logs" in apprun("logs", "r").err


def test_watch_tells_each_change_and_exits_as_the_run_ends(apprun: Command, cluster: FakeCluster) -> None:
    cluster.run("r", phase="Running")
    cluster.task("r", "a", "split")

    def operate() -> None:
        while not any("watch=1" in request.target for request in cluster.wire.requests):
            threading.Event().wait(0.01)
        cluster.task("r", "a", "split", phase="Succeeded", output={"words": 2}, node="node1")
        cluster.run("r", phase="Failed", error={"type": "ValueError", "message": "no"})

    operator = threading.Thread(target=operate)
    operator.start()
    done = apprun("watch", "r")
    operator.join()
    assert done.code == 1
    assert done.out.splitlines()[0] == "r: Running"
    assert 'split/a0000000: Succeeded on node1  {"words": 2}' in done.out
    assert "apprun describe r" in done.err


def test_deploy_names_the_code_by_its_content(apprun: Command, cluster: FakeCluster, home: Path) -> None:
    (home / "greeting_app.py").write_text(APP)
    (home / "helping.py").write_text('GREETING = "Hello, "\n')
    done = apprun("deploy", "greeting_app.py", "-p", "5")
    assert done.code == 0
    (config_path, config), (app_path, app) = cluster.written("PATCH")
    assert set(config["data"]) == {"greeting_app.py", "helping.py"}
    assert config["immutable"] is True
    assert f"/configmaps/{config['metadata']['name']}?fieldManager=apprun&" in config_path
    assert app["spec"] == {
        "entry": "greeting_app:HelloApp",
        "source": {"configMap": {"name": config["metadata"]["name"]}},
        "parallelism": 5,
    }
    assert "/apps/hello-app?" in app_path
    assert "app/hello-app created" in done.err
    assert "app/hello-app unchanged" in apprun("deploy", "greeting_app.py", "-p", "5").err


def test_deploy_for_git_writes_manifests_and_asks_nobody(apprun: Command, home: Path) -> None:
    (home / "git_app.py").write_text(APP.replace("from helping import GREETING", 'GREETING = "Hello, "'))
    done = apprun("deploy", "git_app.py", "-o", "yaml")
    config, app = yaml.safe_load_all(done.out)
    assert (config["kind"], app["kind"]) == ("ConfigMap", "App")
    assert config["data"]["git_app.py"] == (home / "git_app.py").read_text()
    assert app["spec"]["source"]["configMap"]["name"] == config["metadata"]["name"]


def test_deploy_dry_run_changes_nothing(apprun: Command, cluster: FakeCluster, home: Path) -> None:
    (home / "dry_app.py").write_text(APP.replace("from helping import GREETING", 'GREETING = "Hello, "'))
    assert "created (dry run)" in apprun("deploy", "dry_app.py", "--dry-run").err
    assert all("dryRun=All" in target for target, _ in cluster.written("PATCH"))
    assert cluster.objects == {}


def told_by_the_operator(cluster: FakeCluster, *conditions: tuple[str, str, str, str]) -> threading.Thread:
    """It looks at App `orders` once that is there."""

    def operate() -> None:
        path = f"{NAMESPACED}/apps/orders"
        while path not in cluster.objects:
            time.sleep(0.01)
        fields = ("type", "status", "reason", "message")
        said = [dict(zip(fields, condition, strict=True)) for condition in conditions]
        app = cluster.objects[path]
        status = {"observedGeneration": 2, "conditions": said}
        cluster.put(path, {**app, "metadata": {**app["metadata"], "generation": 2}, "status": status})

    operator = threading.Thread(target=operate)
    operator.start()
    return operator


DEPLOYED = ("deploy", "orders:Orders", "--image", "orders:1", "--wait", "--timeout", "30")


def test_deploy_waits_for_what_the_code_contains(apprun: Command, cluster: FakeCluster) -> None:
    operator = told_by_the_operator(
        cluster,
        ("Ready", "True", "Inspected", "1 entry point and 2 tasks"),
        ("ContractsCompatible", "False", "ContractChanged", "field rows is gone."),
    )
    done = apprun(*DEPLOYED)
    operator.join()
    assert done.code == 0
    assert done.err.splitlines()[-2:] == [
        "app/orders: Inspected: 1 entry point and 2 tasks",
        "app/orders: field rows is gone.",
    ]


def test_deploy_of_code_that_cannot_be_imported_exits_3(apprun: Command, cluster: FakeCluster) -> None:
    why = "ModuleNotFoundError: No module named 'pandas'"
    operator = told_by_the_operator(
        cluster, ("Ready", "False", "LoadFailed", why), ("Stalled", "True", "LoadFailed", why)
    )
    done = apprun(*DEPLOYED)
    operator.join()
    assert (done.code, done.err.splitlines()[-1]) == (3, f"app/orders: LoadFailed: {why}")


def test_deploy_gives_up_waiting_and_says_what_was_last_known(apprun: Command, cluster: FakeCluster) -> None:
    operator = told_by_the_operator(cluster, ("Ready", "False", "ImagePullFailed", "no such host"))
    done = apprun(*DEPLOYED[:-1], "1.5")
    operator.join()
    assert done.code == 13
    assert "App 'orders' isn't ready after 1.5 s: app/orders: ImagePullFailed: no such host" in done.err


def test_a_status_of_an_earlier_generation_is_ignored(apprun: Command, cluster: FakeCluster) -> None:
    said = [{"type": "Ready", "status": "True", "reason": "Inspected", "message": "1 entry point"}]
    cluster.put(
        f"{NAMESPACED}/apps/orders",
        {"metadata": {"generation": 3}, "spec": {}, "status": {"observedGeneration": 2, "conditions": said}},
    )
    done = apprun(*DEPLOYED[:-1], "0.5")
    assert done.code == 13
    assert "the operator has not processed it yet" in done.err


def test_deploy_of_an_image_imports_nothing(apprun: Command, cluster: FakeCluster) -> None:
    assert apprun("deploy", "orders.flow:OrderFlow", "--image", "registry/orders:1").code == 0
    ((_, app),) = cluster.written("PATCH")
    assert app["metadata"]["name"] == "order-flow"
    assert app["spec"] == {"entry": "orders.flow:OrderFlow", "image": "registry/orders:1"}


def test_deploy_removes_only_unused_code(apprun: Command, cluster: FakeCluster, home: Path) -> None:
    (home / "tidy_app.py").write_text(APP.replace("from helping import GREETING", 'GREETING = "Hello, "'))
    maps = "/api/v1/namespaces/team/configmaps"
    for name in ("used", "over", "other"):
        label = "something" if name == "other" else "hello-app"
        cluster.put(f"{maps}/{name}", {"metadata": {"name": name, "labels": {"apprun.dev/app": label}}, "data": {}})
    for run, source, phase in (("r1", "used", "Running"), ("r2", "over", "Succeeded")):
        cluster.run(run, phase=phase)["status"]["app"]["source"] = {"configMap": {"name": source}}
    assert apprun("deploy", "tidy_app.py").code == 0
    left = {path.rpartition("/")[2] for path in cluster.objects if path.startswith(maps)}
    assert {"used", "other"} < left
    assert "over" not in left


def test_the_exported_run_of_a_cluster_is_one_that_check_replays(
    apprun: Command, cluster: FakeCluster, home: Path
) -> None:
    """The document of a local run, put back as the objects that a cluster holds of such a run."""
    apprun.run("run")
    apprun("export", "o1", "--to", "local.json")
    document = json.loads((home / "local.json").read_text())
    as_objects(cluster, document)
    assert apprun("export", "o1", "--cluster", "--to", "cluster.json").code == 0
    found = json.loads((home / "cluster.json").read_text())
    for name in ("calls", "input", "entrypoint", "outcome", "output"):
        assert found[name] == document[name]
    from tests.unit.cli.conftest import ORDERS

    assert apprun("check", str(ORDERS), "--replay", "cluster.json").code == 0


def as_objects(cluster: FakeCluster, document: dict[str, object]) -> None:
    from application_sdk.wire.digest import digest

    calls, checkpoints = document["calls"], document["checkpoints"]
    assert isinstance(calls, list)
    assert isinstance(checkpoints, list)
    ends = {entry["key"]: entry for entry in checkpoints}
    ledger = []
    for place, call in enumerate(calls):
        end = ends[call["key"]]
        timer = call["task"] == "sleep"
        output = {} if timer else {"output": end["output"]}
        role = {"role": "timer", "seconds": 1.0} if timer else {}
        cluster.put(
            f"{NAMESPACED}/apptasks/o1-{call['key'][:16]}",
            {
                "metadata": {"name": f"o1-{call['key'][:16]}", "labels": {"apprun.dev/run": "o1"}},
                "spec": {"run": "o1", "role": "task", "sequence": place, **call, **role},
                "status": {"phase": "Succeeded", **output},
            },
        )
    for place, end in enumerate(checkpoints):
        at = "2026-07-01T10:00:00Z"
        entry = {"sequence": place, "key": end["key"], "task": end["task"], "outcome": "Succeeded", "attempts": 1}
        ledger.append({**entry, "digest": digest(end.get("output")), "at": at})
    run = cluster.run("o1", phase="Succeeded", startedAt="2026-07-01T09:00:00Z", checkpoints=ledger,
                      output=document["output"], replayRules=document["replayRules"])  # fmt: skip
    run["spec"]["input"] = document["input"]
    run["spec"]["entrypoint"] = document["entrypoint"]
    run["status"]["app"]["entry"] = document["app"]


def test_as_kubectls_plugin_it_means_the_cluster(cluster: FakeCluster, capsys: pytest.CaptureFixture[str]) -> None:
    from application_sdk import cli

    cluster.run("there", phase="Running")
    assert cli.run(["list", "-o", "name"], plugin=True) == 0
    assert capsys.readouterr().out == "there\n"
    cli.run(["show", "--help"], plugin=True)
    assert "kubectl apprun show" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("line", "found"),
    [
        ("apprun submit h", "hello"),
        ("apprun show --cluster ord", "orders-1"),
        ("apprun list --context t", "test"),
        ("apprun list -n te", "team"),
    ],
)
def test_shells_complete_what_the_cluster_has(
    apprun: Command, cluster: FakeCluster, monkeypatch: pytest.MonkeyPatch, line: str, found: str
) -> None:
    app_there(cluster)
    cluster.run("orders-1", phase="Running")
    cluster.put("/api/v1/namespaces/team", {})
    monkeypatch.setenv("_APPRUN_COMPLETE", "complete_bash")
    monkeypatch.setenv("COMP_WORDS", line)
    monkeypatch.setenv("COMP_CWORD", str(len(line.split()) - 1))
    assert found in apprun().out


@pytest.mark.parametrize(
    ("words", "found"),
    [
        (["submit", "h"], "hello\n:4\n"),
        (["show", "ord"], "orders-1\n:4\n"),
        (["show", "-n", "te"], "team\n:4\n"),
        (["suspend", "nobody"], ":0\n"),
        (["sus"], "suspend\tStart no further pods of a run; those at...\n:4\n"),
    ],
)
def test_kubectl_is_told_what_completes_its_plugin(
    cluster: FakeCluster,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    words: list[str],
    found: str,
) -> None:
    from application_sdk import cli

    app_there(cluster)
    cluster.run("orders-1", phase="Running")
    cluster.put("/api/v1/namespaces/team", {})
    monkeypatch.setattr("sys.argv", ["kubectl_complete-apprun", *words])
    before = dict(os.environ)
    cli.complete()
    assert os.environ == before, "an apprun started later would complete words in place of its command"
    assert capsys.readouterr().out == found
