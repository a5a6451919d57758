"""Apps that are checked before they run: what is published of real code, and what that keeps from starting."""

from __future__ import annotations

import re

import pytest
from tests.support.bed import Bed
from tests.support.kube import ApiError, Object, eventually
from tests.support.runs import APPS, Runs, source

CODE = (APPS / "orders.py").read_text()
OTHER = CODE.replace("customer: str", "customer: str\n    city: str").replace("version: int = 1", "version: int = 2")


def app(runs: Runs, name: str = "orders") -> Object:
    return runs.kube.get(f"{runs.api}/apps/{name}")


def until(runs: Runs, kind: str, status: str, reason: str = "", name: str = "orders") -> Object:
    """Wait for a condition of the App that speaks of its latest generation; the App then."""

    def reached() -> Object | None:
        found = app(runs, name)
        listed = found.get("status", {}).get("conditions", [])
        current = found["status"].get("observedGeneration") == found["metadata"]["generation"]
        said = any((c["type"], c["status"]) == (kind, status) and reason in ("", c["reason"]) for c in listed)
        return found if current and said else None

    return eventually(f"App {name} is {kind} {status} {reason}", reached, 120)


def message(found: Object, kind: str) -> str:
    return next(str(c["message"]) for c in found["status"]["conditions"] if c["type"] == kind)


def pods_of(runs: Runs, run: str) -> list[str]:
    """Of all that happened in the namespace: what Events tell of pods of that run, those that are gone included."""
    events = runs.kube.items(f"/apis/events.k8s.io/v1/namespaces/{runs.namespace}/events")
    return [e["regarding"]["name"] for e in events if e["regarding"].get("name", "").startswith(f"{run}-")]


@pytest.fixture
def orders(runs: Runs) -> Runs:
    runs.upload("orders")
    runs.app("orders", "app:Orders", contractChanges="Warn")
    until(runs, "Ready", "True", "Inspected")
    return runs


def test_an_app_publishes_contracts_and_refuses_bad_input(bed: Bed, orders: Runs) -> None:
    eventually("the image's digest is told", lambda: app(orders)["status"]["contracts"].get("imageDigest"), 60)
    contracts = app(orders)["status"]["contracts"]
    assert contracts["version"] == "1.0.0"
    assert re.fullmatch(r"\d+\.\d+.*", contracts["sdkVersion"])
    assert "sha256:" in contracts["imageDigest"]
    assert re.fullmatch(r"[0-9a-f]{32}", contracts["sourceDigest"])
    assert [(one["name"], one.get("default")) for one in contracts["entrypoints"]] == [
        ("cancel", None),
        ("place", True),
    ]
    assert [one["name"] for one in contracts["tasks"]] == ["add"]
    rows = contracts["schemas"]["entrypoints"]["place"]["input"]["properties"]["rows"]
    assert rows["maxItems"] == 100
    eventually("nothing is left of the inspection", lambda: not orders.kube.items(f"{orders.api}/apptasks") or None, 60)

    told = bed.run(bed.kubectl, "-n", orders.namespace, "describe", "app", "orders").stdout
    for text in ("Places an order.", "customer: str", "rows: list", "total: int", "1.0.0"):
        assert text in told, told
    shown = bed.run(bed.kubectl, "-n", orders.namespace, "get", "app", "orders").stdout
    assert shown.splitlines()[1].split()[1:5] == ["app:Orders", "1.0.0", "True", "Inspected"]

    wrong = {"customer": "Ada", "rows": [{"name": "tea"}, {"name": "milk"}, {"amount": 2}, {"name": 7}]}
    orders.start("wrong", "orders", wrong)
    orders.start("unknown", "orders", {"customer": "Ada"}, entrypoint="pay")
    status = orders.until_phase("wrong", "Stalled")
    assert status["message"].startswith("spec.input.rows[2].name is missing; spec.input.rows[3].name is 7, not text.")
    status = orders.until_phase("unknown", "Stalled")
    assert status["conditions"][0]["reason"] == "EntrypointNotFound"
    assert "it has cancel, place" in status["message"]
    assert not orders.kube.items(f"{orders.api}/apptasks?labelSelector=apprun.dev/run")
    assert pods_of(orders, "wrong") == []
    assert pods_of(orders, "unknown") == []

    # What the code reads laxly isn't held against anybody; a corrected run begins.
    orders.start("lax", "orders", {"customer": "Ada", "rows": [{"name": "tea", "amount": "3"}], "seconds": "0"})
    orders.kube.merge(f"{orders.api}/appruns/wrong", {"spec": {"input": {"rows": [{"name": "tea", "amount": 2}]}}})
    assert orders.until_phase("lax", "Succeeded", "Failed", "Stalled")["output"]["total"] == 3
    assert orders.until_phase("wrong", "Succeeded", "Failed")["output"]["total"] == 2


def test_an_import_error_is_a_condition_with_traceback(runs: Runs) -> None:
    runs.upload("broken", CODE + "\n\ndef connect():\n    return {}['HOST']\n\nconnect()\n")
    runs.app("broken", "app:Orders")
    found = until(runs, "Stalled", "True", "LoadFailed", "broken")
    said = message(found, "Inspected")
    assert "KeyError: 'HOST'" in said
    assert "return {}['HOST']" in said
    assert 'File "/apprun/source/app.py", line' in said
    assert "contracts" not in found["status"]
    runs.kube.merge(f"{runs.core}/configmaps/broken", {"data": {"app.py": CODE}})
    request = {"metadata": {"annotations": {"apprun.dev/inspect": "again"}}}
    runs.kube.merge(f"{runs.api}/apps/broken", request)
    assert until(runs, "Ready", "True", "Inspected", "broken")["status"]["contracts"]["app"] == "orders"


def test_a_run_keeps_its_code_while_its_app_changes(orders: Runs) -> None:
    orders.kube.merge(f"{orders.api}/apps/orders", {"spec": {"parallelism": 3}})
    until(orders, "Ready", "True", "Inspected")
    orders.start("long", "orders", {"customer": "Ada", "rows": [{"name": "tea"}], "seconds": 6})
    orders.start("gone", "orders", {"customer": "Ada", "rows": [{"name": "tea"}], "seconds": 6})
    for run in ("long", "gone"):
        eventually(f"{run} calls a task", lambda run=run: orders.tasks(run) or None, 60)
    began = orders.status("long")["app"]

    # An App that names other code concerns new runs only.
    orders.upload("other", OTHER)
    orders.kube.merge(f"{orders.api}/apps/orders", {"spec": {"source": source("other")}})
    found = until(orders, "ContractsCompatible", "False", "ContractChanged")
    assert "city: is new and has no default" in message(found, "ContractsCompatible")
    assert message(found, "Ready") == "2 entry points and 1 task"
    orders.start("late", "orders", {"customer": "Ada"})
    assert "spec.input.city is missing" in orders.until_phase("late", "Stalled")["message"]
    orders.kube.delete(f"{orders.api}/apps/orders")
    done = orders.until_phase("long", "Succeeded", "Failed", "Stalled")
    assert (done["phase"], done["output"]) == ("Succeeded", {"total": 1, "version": 1})
    assert done["app"] == {**began, "sourceDigest": done["app"]["sourceDigest"], **image_pin(done)}
    assert done["app"]["parallelism"] == 3
    assert orders.until_phase("gone", "Succeeded", "Failed", "Stalled")["phase"] == "Succeeded"
    assert app_is_gone(orders)


def image_pin(status: Object) -> Object:
    return {name: value for name, value in status["app"].items() if name == "imageDigest"}


def app_is_gone(runs: Runs) -> bool:
    try:
        app(runs)
    except ApiError:
        return True
    return False


def test_code_edited_in_place_never_enters_a_running_run(orders: Runs) -> None:
    orders.start("edited", "orders", {"customer": "Ada", "rows": [{"name": "tea"}], "seconds": 5})
    eventually("it calls a task", lambda: orders.tasks("edited") or None, 60)
    eventually("that has begun", lambda: any("seconds" in str(t) for t in orders.pods("edited")) or None, 60)
    eventually("its pod runs", lambda: running_tasks(orders, "edited") or None, 60)
    orders.kube.merge(f"{orders.core}/configmaps/orders", {"data": {"app.py": OTHER}})
    status = orders.until_phase("edited", "Stalled")
    assert status["conditions"][0]["reason"] == "CodeChanged"
    assert "Put it back" in status["message"]
    orders.kube.merge(f"{orders.core}/configmaps/orders", {"data": {"app.py": CODE}})
    done = orders.until_phase("edited", "Succeeded", "Failed", seconds=180)
    assert (done["phase"], done["output"]["version"]) == ("Succeeded", 1)


def running_tasks(runs: Runs, run: str) -> list[Object]:
    return [p for p in runs.pods(run) if p["metadata"]["labels"]["apprun.dev/role"] == "task"
            and p["status"].get("phase") == "Running"]  # fmt: skip


def test_an_app_may_refuse_code_that_changes_its_contracts(orders: Runs) -> None:
    orders.kube.merge(f"{orders.api}/apps/orders", {"spec": {"contractChanges": "Refuse"}})
    orders.upload("other", OTHER)
    orders.kube.merge(f"{orders.api}/apps/orders", {"spec": {"source": source("other")}})
    orders.start("held", "orders", {"customer": "Ada", "rows": [{"name": "tea"}]})
    found = until(orders, "Stalled", "True", "ContractRefused")
    assert "city: is new and has no default" in message(found, "Inspected")
    assert found["status"]["contracts"]["schemas"]["entrypoints"]["place"]["input"]["required"] == ["customer"]
    status = orders.until_phase("held", "Stalled")
    assert status["conditions"][0]["reason"] == "ContractRefused"
    assert pods_of(orders, "held") == []
    orders.kube.merge(f"{orders.api}/apps/orders", {"spec": {"source": source("orders")}})
    assert orders.until_phase("held", "Succeeded", "Failed")["phase"] == "Succeeded"
