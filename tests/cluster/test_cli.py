"""The command line on a real cluster: a newcomer's path, every verb, a person with few rights, and doctor."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml
from tests.support.bed import SYSTEM_NAMESPACE, Bed
from tests.support.kube import CORE, eventually
from tests.support.pages import ROOT, blocks, commands, matches
from tests.support.people import person
from tests.support.replicas import Replicas
from tests.support.runs import Runs
from tests.support.terminal import Terminal

ADMISSION = "/apis/admissionregistration.k8s.io/v1"

APP = """
import asyncio
from typing import Annotated

from application_sdk.app import App, entrypoint, task
from application_sdk.contracts import Input, MaxItems, Output


class Order(Input):
    number: int = 0
    seconds: float = 0


class Orders(Input):
    count: int = 3
    seconds: float = 0


class Price(Output):
    price: int = 0


class PricesApp(App):
    @task(retry_max_attempts=2, retry_max_interval_seconds=1)
    async def price(self, input: Order) -> Price:
        print(f"pricing order {input.number}")
        await asyncio.sleep(input.seconds)
        if input.number == 2:
            raise ValueError("order 2 has no price")
        return Price(price=10 * input.number)

    @task(cpu="900")
    async def huge(self, input: Order) -> Price:
        return Price()

    async def run(self, input: Orders) -> Price:
        orders = [self.price(Order(number=n, seconds=input.seconds)) for n in range(input.count)]
        return Price(price=sum(found.price for found in await asyncio.gather(*orders)))

    @entrypoint
    async def greedy(self, input: Orders) -> Price:
        return await self.huge(Order())
"""
MENDED = APP.replace('raise ValueError("order 2 has no price")', "return Price(price=7)")


@pytest.fixture
def apprun(bed: Bed, namespace: str, tmp_path: Path) -> Terminal:
    """A cluster admin whose context has the test's namespace."""
    config = yaml.safe_load(bed.kubeconfig.read_text())
    config["contexts"][0]["context"]["namespace"] = namespace
    kubeconfig = tmp_path / "kubeconfig"
    kubeconfig.write_text(yaml.safe_dump(config))
    (tmp_path / "prices.py").write_text(APP)
    return Terminal(tmp_path, kubeconfig, namespace, (Path(bed.kubectl).parent,))


def test_the_first_run_page_matches_the_cluster(apprun: Terminal) -> None:
    """Deploy, run, fail, describe, correct, succeed: each command of the page prints what the page says."""
    for block in blocks(ROOT / "docs" / "first-run.md"):
        if block.title:
            (apprun.folder / block.title).write_text(block.content)
        elif block.language == "shell-session":
            for command, expected in commands(block.content):
                done = apprun("-c", command, code=None, program=("bash",))
                printed = f"{done.err}{done.out}"
                assert matches(expected, printed), f"$ {command}\n{printed}"
    assert apprun("show", "first", "-o", "json").json["phase"] == "Failed"


def test_a_run_is_listed_shown_logged_exported_and_replayed(apprun: Terminal) -> None:
    (apprun.folder / "prices.py").write_text(MENDED)
    apprun("deploy", "prices.py")
    assert "app/prices-app unchanged" in apprun("deploy", "prices.py").err
    assert apprun("submit", "prices-app", "--name", "second", "--wait").json == {"price": 17}
    calls = apprun("show", "second", "-o", "json").json["calls"]
    assert [(call["task"], call["state"], call["output"]["price"]) for call in calls] == [
        ("price", "Succeeded", 0),
        ("price", "Succeeded", 10),
        ("price", "Succeeded", 7),
    ]
    assert all(call["node"] for call in calls)
    assert apprun("list", "-o", "name").out == "second\n"
    assert "nothing went wrong" in apprun("describe", "@latest").out
    apprun("export", "second", "--to", "ledger.json")
    assert json.loads((apprun.folder / "ledger.json").read_text())["outcome"] == "Succeeded"
    apprun("check", "prices.py", "--replay", "ledger.json")
    (apprun.folder / "prices.py").write_text(MENDED.replace("number=n,", "number=n + 1,"))
    assert "input field number" in apprun("check", "prices.py", "--replay", "ledger.json", code=1).out


def test_what_is_written_is_followed_and_what_happens_is_watched(apprun: Terminal) -> None:
    (apprun.folder / "prices.py").write_text(MENDED)
    apprun("deploy", "prices.py")
    given = json.dumps({"count": 2, "seconds": 3})
    following = apprun.start("submit", "prices-app", "--name", "followed", "-i", given, "--follow")
    eventually("the run is there", lambda: apprun("show", "followed", code=None).code == 0, 60)
    watching = apprun.start("watch", "followed")
    out, err = following.communicate(timeout=200)
    assert following.returncode == 0
    assert json.loads(out) == {"price": 10}
    assert "pricing order 0" in err
    assert "pricing order 1" in err
    watched, _ = watching.communicate(timeout=100)
    assert watching.returncode == 0
    assert "followed: Succeeded" in watched
    assert "Succeeded on node" in watched


def test_a_run_is_suspended_resumed_and_cancelled(apprun: Terminal) -> None:
    (apprun.folder / "prices.py").write_text(MENDED)
    apprun("deploy", "prices.py")
    name = apprun("submit", "prices-app", "--suspend", "-o", "name").out.strip()
    eventually(
        "the run is suspended", lambda: apprun("show", name, "-o", "json").json["phase"] == "Suspended" or None, 60
    )
    described = apprun("describe", name).out
    assert "The run is Suspended." in described
    assert f"apprun resume {name}" in described
    apprun("resume", name)
    assert apprun("watch", name, "--timeout", "120").code == 0
    assert apprun("resume", name, code=5).err.count("is over")
    given = json.dumps({"seconds": 60})
    apprun("submit", "prices-app", "--name", "long", "-i", given)
    assert apprun("watch", "long", "--timeout", "0.5", code=13).code == 13
    apprun("suspend", "long")
    apprun("cancel", "long", "--wait", "--timeout", "180")
    assert apprun("show", "long", "-o", "json").json["phase"] == "Cancelled"


def test_why_a_run_waits_is_said_in_sentences(apprun: Terminal) -> None:
    (apprun.folder / "prices.py").write_text(MENDED)
    apprun("deploy", "prices.py")
    apprun("submit", "prices-app", "--name", "greedy", "-e", "greedy")

    def said() -> str | None:
        out = apprun("describe", "greedy").out
        return out if "can't start" in out else None

    described = eventually("describe says that no node takes the pod", said, 120)
    assert "Unschedulable" in described
    assert "kubectl get nodes" in described
    wrong = apprun(
        "submit", "prices-app", "--name", "wrong", "-i", '{"cuont": 1}', "--wait", "--timeout", "180", code=None
    )
    assert wrong.code in (3, 7)
    if wrong.code == 7:
        described = apprun("describe", "wrong").out
        assert "cuont" in described
        assert "--input" in described
    missing = apprun("submit", "prices-app", "--name", "x", "-e", "nowhere", "--wait", "--timeout", "180", code=None)
    assert missing.code in (3, 7)
    apprun("cancel", "greedy")


def test_as_kubectls_plugin_and_with_gits_manifests(apprun: Terminal, bed: Bed) -> None:
    written = apprun("deploy", "prices.py", "-o", "yaml").out
    (apprun.folder / "app.yaml").write_text(written)
    apprun("-n", apprun.namespace, "apply", "--server-side", "-f", "app.yaml", program=(bed.kubectl,))
    assert apprun("-n", apprun.namespace, "diff", "--server-side", "-f", "app.yaml", program=(bed.kubectl,)).out == ""
    taken = apprun("deploy", "prices.py", "-p", "3")
    assert "app/prices-app changed" in taken.err
    conflict = apprun("deploy", "prices.py", "--name", "prices-app", "--dry-run", code=None)
    assert conflict.code in (0, 5)
    listed = apprun("apprun", "list", "-n", apprun.namespace, program=(bed.kubectl,))
    assert listed.code == 0


def test_who_may_only_look_is_told_what_is_missing(apprun: Terminal, bed: Bed, runs: Runs) -> None:
    apprun("deploy", "prices.py")
    viewer = person(apprun, bed, "viewer", "view")
    assert "no runs" in viewer("list").err
    refused = viewer("submit", "prices-app", code=11)
    assert "appruns" in refused.err
    assert "--clusterrole=edit" in refused.err
    refused = viewer("deploy", "prices.py", code=11)
    assert "configmaps" in refused.err
    stranger = person(apprun, bed, "stranger", None)
    assert "cannot list resource" in stranger("list", code=11).err
    looked = viewer("doctor", code=None)
    assert "too few in namespace" in looked.out
    assert "submit" in looked.out


@pytest.mark.exclusive
def test_doctor_finds_nothing_wrong_and_then_what_is_wrong(apprun: Terminal, bed: Bed) -> None:
    Replicas(bed).leader()  # On a fresh cluster the second replica may still be starting.
    healthy = apprun("doctor", "-o", "json", code=None)
    found = {(check["topic"], check["grade"]): check["said"] for check in healthy.json["checks"]}
    assert healthy.code == 0, found
    for topic in ("Kubernetes", "clock", "CRDs", "operator", "leader", "policies", "fence", "your rights", "image"):
        assert (topic, "ok") in found, found
    name = "apprun-task-calls"
    path = f"{ADMISSION}/validatingadmissionpolicybindings/{name}"
    binding = bed.kube.get(path)
    bed.kube.delete(path)
    try:
        sick = apprun("doctor", "--no-pod", code=1)
        assert f"nothing enforces {name}" in sick.out
        assert "helm upgrade" in sick.out
    finally:
        metadata = {
            key: binding["metadata"][key] for key in ("name", "labels", "annotations") if key in binding["metadata"]
        }
        bed.kube.create(f"{ADMISSION}/validatingadmissionpolicybindings", {**binding, "metadata": metadata})
    assert SYSTEM_NAMESPACE in apprun("doctor", "--no-pod", code=None).out
    pods = bed.kube.items(f"{CORE}/namespaces/{apprun.namespace}/pods?labelSelector=apprun.dev/doctor=true")
    assert all(pod["metadata"].get("deletionTimestamp") for pod in pods)


def test_the_output_of_shells_completion_comes_from_the_cluster(apprun: Terminal) -> None:
    apprun("deploy", "prices.py")
    environ = {"_APPRUN_COMPLETE": "complete_bash", "COMP_WORDS": "apprun submit pri", "COMP_CWORD": "2"}
    asked = Terminal(apprun.folder, apprun.kubeconfig, apprun.namespace, environ=environ)
    assert "prices-app" in asked(code=None).out
