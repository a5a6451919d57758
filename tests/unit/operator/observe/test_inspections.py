"""What the store keeps of Apps' inspections, apart from runs of the same name, and when runs cast
doubt on them."""

from __future__ import annotations

from typing import Any

import pytest

from application_sdk.wire import names
from apprun_operator.observe.cache import Cache
from apprun_operator.observe.records import INSPECTING, Key
from apprun_operator.observe.times import parse, rfc3339

NOW = 1_800_000_000.0
SHOP = Key("default", "shop")
FIVE_SECONDS_AGO = rfc3339(NOW - 5)


class Known:
    def __init__(self) -> None:
        self.runs: list[Key] = []
        self.apps: list[Key] = []
        self.cache = Cache(self.runs.append, lambda: NOW, self.apps.append)


@pytest.fixture
def known() -> Known:
    return Known()


def metadata(name: str, version: int, **fields: Any) -> dict[str, Any]:
    made = {"name": name, "namespace": "default", "uid": f"uid-{name}", "resourceVersion": str(version)}
    return {**made, "creationTimestamp": rfc3339(NOW - 50), "generation": 1, **fields}


def app(name: str = "shop", version: int = 1, **status: Any) -> dict[str, Any]:
    return {"metadata": metadata(name, version), "spec": {"entry": "app:Shop"}, "status": status}


def task(of: str = "shop", version: int = 2) -> dict[str, Any]:
    owner = {"kind": "App", "name": of, "uid": f"uid-{of}"}
    spec = {"app": of, "role": "inspect", "key": "a" * 32, "task": "inspect"}
    return {"metadata": metadata(f"{of}-inspect-aaaaaaaa", version, ownerReferences=[owner]), "spec": spec}


def pod(of: str = "shop", version: int = 3, **status: Any) -> dict[str, Any]:
    owner = f"{of}-inspect-aaaaaaaa"
    labels = {names.APP_LABEL: of, names.ROLE_LABEL: "inspect", names.ATTEMPT_LABEL: "1"}
    made = metadata(f"{owner}-1", version, labels=labels,
                    ownerReferences=[{"kind": "AppTask", "name": owner, "uid": f"uid-{owner}"}])  # fmt: skip
    return {"metadata": made, "spec": {}, "status": status}


def run(version: int = 4, app: Any = None, **status: Any) -> dict[str, Any]:
    filed = {"metadata": metadata("shop", version), "spec": {"appRef": {"name": "shop"}}, "status": status}
    if app is not None:
        filed["status"]["app"] = {"entry": "app:Shop", "generation": 1, **app}
    return filed


def inspected(result: str = "Published", **contracts: Any) -> dict[str, Any]:
    last = {"code": "c", "at": rfc3339(NOW - 20), "result": result}
    return {"inspection": last, "contracts": {"code": "c", **contracts}}


def test_inspection_is_kept_apart_from_a_run_of_the_same_name(known: Known) -> None:
    known.cache.apply("apps", app())
    known.cache.apply("appruns", run())
    known.runs.clear()
    known.apps.clear()
    known.cache.apply("apptasks", task())
    known.cache.apply("pods", pod(phase="Running"))
    assert (known.runs, set(known.apps)) == ([], {SHOP})
    seen = known.cache.inspecting(SHOP)
    assert [record.run for record in seen.tasks.values()] == [f"{INSPECTING}shop"]
    assert [record.task for record in seen.pods.values()] == ["shop-inspect-aaaaaaaa"]
    of_run = known.cache.observe(SHOP)
    assert of_run is not None
    assert (dict(of_run.tasks), dict(of_run.pods)) == ({}, {})
    assert set(known.cache.task_pods()) == {SHOP}


def test_what_an_app_of_that_name_had_before_isnt_its_own(known: Known) -> None:
    known.cache.apply("apptasks", task())
    known.cache.apply("apps", {**app(), "metadata": {**app()["metadata"], "uid": "another"}})
    assert known.cache.inspecting(SHOP).tasks == {}


def test_inspections_that_cant_start_take_no_place_from_others(known: Known) -> None:
    known.cache.apply("apptasks", task("other"))
    waiting = {"name": "inspect", "state": {"waiting": {"reason": "ImagePullBackOff"}}}
    known.cache.apply("pods", pod("other", phase="Pending", containerStatuses=[waiting]))
    assert known.cache.inspecting(SHOP).others == 0
    known.cache.apply("pods", pod("other", 9, phase="Running"))
    assert known.cache.inspecting(SHOP).others == 1
    assert known.cache.inspecting(Key("default", "other")).others == 0


def refusal(reason: str = "InvalidInput", since: Any = FIVE_SECONDS_AGO) -> dict[str, Any]:
    condition = {"type": "Stalled", "status": "True", "reason": reason, "lastTransitionTime": since}
    return {"phase": "Stalled", "conditions": [condition]}


@pytest.mark.parametrize(
    ("status", "of_run", "doubted"),
    [
        (inspected(), run(**refusal()), NOW - 5),
        (inspected(), run(**refusal("ImagePullFailed")), 0.0),
        (inspected(), run(**refusal(since="yesterday")), 0.0),
        (inspected(), run(**refusal(since="0001-01-01T00:00:00+23:59")), 0.0),
        (inspected(), run(**refusal(since="9999-12-31T23:59:59Z")), 0.0),
        (inspected(), run(**refusal(since=["2026"])), 0.0),
        (inspected(), run(**refusal(since=10**30)), 0.0),
        (inspected(sourceDigest="a"), run(app={"sourceDigest": "b"}, startedAt=rfc3339(NOW - 9)), NOW - 9),
        (inspected(sourceDigest="a"), run(app={"sourceDigest": "a"}, startedAt=rfc3339(NOW - 9)), 0.0),
        (inspected(sourceDigest="a"), run(app={"sourceDigest": "b"}, startedAt=rfc3339(NOW - 90)), 0.0),
        (inspected(sourceDigest="a"), run(app={"sourceDigest": "b", "generation": 0}, startedAt=rfc3339(NOW - 9)), 0.0),
        (inspected("Failed"), run(app={"imageDigest": "b"}, startedAt=rfc3339(NOW - 9)), NOW - 9),
        (inspected("Failed"), run(app={}, startedAt=rfc3339(NOW - 9)), 0.0),
    ],
)
def test_a_run_casts_doubt_on_what_is_published(
    known: Known, status: dict[str, Any], of_run: dict[str, Any], doubted: float
) -> None:
    known.cache.apply("apps", app(**status))
    known.cache.apply("appruns", of_run)
    assert known.cache.inspecting(SHOP).stale_since == pytest.approx(doubted and parse(rfc3339(doubted)))


def test_a_refused_run_wakes_its_app_and_an_inspection_its_runs(known: Known) -> None:
    known.cache.apply("apps", app())
    known.cache.apply("appruns", run())
    known.apps.clear()
    known.runs.clear()
    known.cache.apply("appruns", run(5, **refusal()))
    assert known.apps == [SHOP]
    known.runs.clear()
    known.cache.apply("apps", app(version=9, **inspected()))
    assert known.runs == [SHOP]
