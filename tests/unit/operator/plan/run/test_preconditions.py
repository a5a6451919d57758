"""What a run is told before it begins, by what is published of its App's code."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from tests.support.records import LIMITS, NOW, meta, packed

from application_sdk.wire.digest import JSONObject
from apprun_operator.observe.apps import AppRecord, InspectionRecord
from apprun_operator.observe.packed_json import Contracts
from apprun_operator.observe.records import AppSpecRecord, Condition, RunRecord
from apprun_operator.observe.times import rfc3339
from apprun_operator.plan.code_identity import code_of
from apprun_operator.plan.run.preconditions import INSPECTION_GRACE, Unresolved, checked

SPEC = AppSpecRecord({"entry": "app:Shop", "image": "shop:1"})
CODE = code_of(AppRecord(meta("shop"), SPEC), LIMITS)
CONTRACTS: JSONObject = {
    "code": CODE,
    "defaultEntrypoint": "run",
    "entrypoints": [{"name": "run"}, {"name": "sync"}],
    "schemas": {
        "entrypoints": {
            "run": {"input": {"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"]}},
            "sync": {},
        }
    },
}


def an_app(result: str | None = "Published", **fields: Any) -> AppRecord:
    last = None if result is None else InspectionRecord(CODE, NOW - 100, result)  # type: ignore[arg-type]
    said = Condition("Inspected", "True" if result == "Published" else "False", "Why", "because", rfc3339(NOW - 100))
    defaults: dict[str, Any] = {
        "meta": meta("shop"),
        "spec": SPEC,
        "inspection": last,
        "contracts": CONTRACTS,
        "observed_generation": 1,
        "conditions": (said,),
    }
    made = {**defaults, **fields}
    if made["contracts"] is not None:
        made["contracts"] = Contracts.of(made["contracts"])
    return AppRecord(**made)


def a_run(age: float = 0.0, **fields: Any) -> RunRecord:
    given = {"meta": meta("r", created=NOW - age), "app_ref": "shop", "input": {"n": 1}, **fields}
    return RunRecord(**packed(given))


def unfit(run: RunRecord, app: AppRecord) -> Unresolved:
    found = checked(run, app, NOW, LIMITS)
    assert found is not None
    return found


def test_a_run_that_fits_begins() -> None:
    assert checked(a_run(), an_app(), NOW, LIMITS) is None


def test_a_wrong_input_is_told_with_its_path_and_what_to_do() -> None:
    found = unfit(a_run(input={"n": "many"}), an_app())
    assert (found.reason, found.until) == ("InvalidInput", None)
    assert found.message == (
        "spec.input.n is \"many\", not a whole number. Entry point 'run' of App 'shop' doesn't take it, so no pod was"
        " started: correct spec.input of this run, or start a new one"
    )


def test_an_unknown_entry_point_is_told_with_those_there_are() -> None:
    found = unfit(a_run(entrypoint="snyc"), an_app())
    assert found.reason == "EntrypointNotFound"
    assert "'snyc' isn't one of App 'shop': it has run, sync" in found.message


def test_an_entry_point_whose_schema_was_left_out_isnt_checked() -> None:
    assert checked(a_run(entrypoint="sync", input={"x": 1}), an_app(), NOW, LIMITS) is None


def test_what_is_published_of_other_code_decides_nothing() -> None:
    changed = replace(an_app(), spec=AppSpecRecord({"entry": "app:Shop", "image": "shop:2"}), conditions=())
    assert checked(a_run(age=100, input={}), changed, NOW, LIMITS) is None
    failed = an_app("Failed", contracts={**CONTRACTS, "code": "earlier"})
    assert checked(a_run(input={}), failed, NOW, LIMITS) is None


def test_a_new_run_waits_a_while_for_an_inspection_that_is_under_way_and_not_for_one_that_is_held_up() -> None:
    under_way = Condition("Inspected", "Unknown", "Inspecting", "", rfc3339(NOW))
    app = an_app(None, contracts=None, conditions=(under_way,))
    assert unfit(a_run(), app).until == NOW + 1 + INSPECTION_GRACE
    assert checked(a_run(age=1 + INSPECTION_GRACE), app, NOW, LIMITS) is None
    blocked = replace(app, conditions=(replace(under_way, status="False", reason="QuotaExceeded"),))
    assert checked(a_run(), blocked, NOW, LIMITS) is None
    unseen = replace(app, conditions=(), observed_generation=-1)
    assert unfit(a_run(), unseen).until == NOW + 3
    assert checked(a_run(age=3), unseen, NOW, LIMITS) is None


def test_an_app_that_refuses_changes_starts_nothing_before_its_code_was_looked_at() -> None:
    under_way = Condition("Inspected", "Unknown", "Inspecting", "", rfc3339(NOW))
    app = an_app(None, contracts=None, conditions=(under_way,), refuses_changes=True)
    found = unfit(a_run(age=3600), app)
    assert (found.reason, found.until, found.waits) == ("AppNotInspected", None, True)
    assert unfit(a_run(), an_app("Refused", refuses_changes=True)).reason == "ContractRefused"
    assert unfit(a_run(), an_app("Failed", refuses_changes=True)).message == "App 'shop' starts no runs: because"
    assert checked(a_run(), an_app(refuses_changes=True), NOW, LIMITS) is None
