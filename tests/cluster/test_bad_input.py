"""What people get wrong: refused by the API server, or named in a `Stalled` condition, while others run on."""

from __future__ import annotations

from typing import Any

import pytest
from tests.support.kube import ApiError, Object, eventually
from tests.support.runs import APPS, Runs, source


def stalled(runs: Runs, run: str) -> Object:
    def condition() -> Object | None:
        found = runs.condition(run, "Stalled")
        return found if found and found["status"] == "True" else None

    return eventually(f"{run} is Stalled", condition, 60)


def test_unknown_app_is_named_and_applying_it_starts_the_run(runs: Runs) -> None:
    runs.start("early", "later", {"before": 0, "width": 0, "after": 0})
    condition = stalled(runs, "early")
    assert condition["reason"] == "AppNotFound"
    assert "later" in condition["message"]
    runs.app("later", "app:Probe", source=source("probe"), serviceAccountName="probe")
    assert runs.until_phase("early", "Succeeded", "Failed")["phase"] == "Succeeded"


@pytest.mark.parametrize(
    ("entry", "spec", "reason", "words"),
    [
        ("nowhere:Probe", {}, "LoadFailed", ["nowhere"]),
        ("app:Prob", {}, "LoadFailed", ["Prob", "Probe"]),
        ("app:StepInput", {}, "LoadFailed", ["StepInput", "App"]),
        ("app:Probe", {"entrypoint": "reverse"}, "EntrypointNotFound", ["reverse", "run"]),
        ("app:Probe", {"input": {"widht": 3}}, "InvalidInput", ["widht"]),
        ("app:Probe", {"input": {"width": "many"}}, "InvalidInput", ["width"]),
    ],
    ids=["module", "class", "not-an-app", "entrypoint", "field", "type"],
)
def test_mistake_stalls_with_its_reason_and_words(
    runs: Runs, entry: str, spec: dict[str, Any], reason: str, words: list[str]
) -> None:
    runs.app("wrong", entry, source=source("probe"), serviceAccountName="probe")
    runs.start("wrong", "wrong", **spec)
    condition = stalled(runs, "wrong")
    assert condition["reason"] == reason
    for word in words:
        assert word in condition["message"]
    assert runs.status("wrong")["phase"] == "Stalled"


def test_an_import_error_shows_its_line_until_it_is_mended(runs: Runs) -> None:
    runs.upload("broken", "import application_sdk\nimport does_not_exist\n")
    runs.app("broken", "app:Probe", serviceAccountName="probe")
    runs.start("broken", "broken", {"before": 0, "width": 0, "after": 0})
    condition = stalled(runs, "broken")
    assert condition["reason"] == "LoadFailed"
    assert "does_not_exist" in condition["message"]
    assert "app.py:2" in condition["message"]
    runs.kube.merge(f"{runs.api}/apps/broken", {"spec": {"source": source("probe")}})
    assert runs.until_phase("broken", "Succeeded", "Failed")["phase"] == "Succeeded"


def test_a_missing_config_map_is_named_until_it_is_created(runs: Runs) -> None:
    runs.app("sourceless", "app:Probe", source=source("later"), serviceAccountName="probe")
    runs.start("sourceless", "sourceless", {"before": 0, "width": 0, "after": 0})
    condition = stalled(runs, "sourceless")
    assert condition["reason"] == "LoadFailed"
    assert "ConfigMap 'later'" in condition["message"]
    runs.upload("later", (APPS / "probe.py").read_text())
    assert runs.until_phase("sourceless", "Succeeded", "Failed")["phase"] == "Succeeded"


def test_missing_image_stalls_and_the_right_one_starts(runs: Runs) -> None:
    runs.app("imageless", "app:Probe", source=source("probe"), image="localhost/no-such-image:1")
    runs.start("imageless", "imageless", {"before": 0, "width": 0, "after": 0})
    condition = stalled(runs, "imageless")
    assert "localhost/no-such-image:1" in condition["message"]
    runs.kube.merge(f"{runs.api}/apps/imageless", {"spec": {"image": None}})
    assert runs.until_phase("imageless", "Succeeded", "Failed")["phase"] == "Succeeded"


def test_corrected_input_starts_a_stalled_run(runs: Runs) -> None:
    runs.start("typo", "probe", {"widht": 3})
    stalled(runs, "typo")
    runs.kube.merge(
        f"{runs.api}/appruns/typo", {"spec": {"input": {"widht": None, "width": 1, "before": 0, "after": 0}}}
    )
    assert runs.until_phase("typo", "Succeeded", "Failed")["output"] == {"names": ["wide-0"]}


@pytest.mark.parametrize(
    ("spec", "word"),
    [
        ({}, "appRef"),
        ({"appRef": {"name": "probe"}, "app": {"entry": "app:Probe"}}, "appRef"),
        ({"appRef": {"name": "probe"}, "parallelism": 0}, "parallelism"),
        ({"appRef": {"name": "probe"}, "input": [1]}, "input"),
        ({"app": {"entry": "no colon"}}, "entry"),
    ],
    ids=["no-app", "two-apps", "parallelism", "input", "entry"],
)
def test_api_server_refuses_a_malformed_run(runs: Runs, spec: Object, word: str) -> None:
    body = {"apiVersion": "apprun.dev/v1alpha1", "kind": "AppRun", "metadata": {"name": "bad"}, "spec": spec}
    with pytest.raises(ApiError, match=word) as refusal:
        runs.kube.create(f"{runs.api}/appruns", body)
    assert refusal.value.code == 422


def test_input_of_a_run_that_works_is_immutable(runs: Runs) -> None:
    runs.start("fixed", "probe", {"before": 1, "width": 1, "after": 0, "seconds": 5})
    runs.until_committed("fixed", 1)
    with pytest.raises(ApiError, match="immutable"):
        runs.kube.merge(f"{runs.api}/appruns/fixed", {"spec": {"input": {"width": 9}}})


def test_stalled_runs_do_not_hold_up_a_good_one(runs: Runs) -> None:
    runs.app("wrong", "nowhere:Probe", source=source("probe"))
    for i in range(5):
        runs.start(f"bad-{i}", "wrong")
        runs.start(f"lost-{i}", "no-such-app")
    runs.start("good", "probe", {"before": 1, "width": 1, "after": 1})
    assert runs.until_phase("good", "Succeeded", "Failed")["phase"] == "Succeeded"
    assert all(stalled(runs, f"{kind}-{i}") for kind in ("bad", "lost") for i in range(5))
