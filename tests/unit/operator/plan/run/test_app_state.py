"""What tasks saved is kept before they count as succeeded, once, and not over what somebody else has saved."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

from tests.support.records import APP, LIMITS, NOW, a_driver, a_pod, a_run, a_task, meta, seen

from application_sdk.wire import names
from application_sdk.wire.digest import digest
from application_sdk.wire.fields import MAX_STATE_BYTES, StateWrite
from apprun_operator.observe.observed import Observed
from apprun_operator.observe.packed_json import Packed
from apprun_operator.observe.records import StateRecord, TaskRecord
from apprun_operator.plan.actions import PatchTask, Plan, WriteState
from apprun_operator.plan.pod import pods
from apprun_operator.plan.run.reconcile import plan


def saving(key: str, *writes: StateWrite, **fields: Any) -> TaskRecord:
    return a_task(key, **{"phase": "Saving", "saves": writes, "finished_at": NOW - 1, **fields})


def kept(applied: tuple[str, ...] = (), **values: Any) -> StateRecord:
    entries = {key: {"value": value, "run": "earlier"} for key, value in values.items()}
    return StateRecord(meta("app"), Packed.of({"entries": entries, "applied": list(applied)}), applied)


def decide(*tasks: TaskRecord, state: StateRecord | None = None) -> Plan:
    return plan(world(*tasks, state=state), NOW, LIMITS)


def world(*tasks: TaskRecord, state: StateRecord | None = None) -> Observed:
    return replace(seen(a_driver(), a_pod(a_driver()), *tasks), state=state)


def write(decided: Plan) -> WriteState | None:
    return next((action for action in decided.first if isinstance(action, WriteState)), None)


def answers(decided: Plan) -> dict[str, Any]:
    return {action.task.name: action.status for action in decided.then if isinstance(action, PatchTask)}


def entries(action: WriteState | None) -> Any:
    assert action is not None
    return action.body["spec"]["entries"]  # type: ignore[index,call-overload]


def test_state_is_written_before_the_call_is_told_that_it_has_succeeded() -> None:
    task = saving("a", StateWrite(key="marker", value={"at": 7}))
    decided = decide(task)
    made = write(decided)
    assert entries(made)["marker"]["value"] == {"at": 7}
    assert made is not None
    assert (made.state.name, made.uid) == ("app", "")
    assert answers(decided) == {task.meta.key.name: {"phase": "Succeeded"}}


def test_write_rests_on_the_version_that_was_read_and_leaves_other_keys_alone() -> None:
    made = write(decide(saving("a", StateWrite(key="marker", value={"at": 7})), state=kept(other={"x": 1})))
    assert made is not None
    assert (made.uid, made.version) == ("uid-app", 10)
    assert entries(made)["other"] == {"value": {"x": 1}, "run": "earlier"}


def test_calls_that_end_together_are_kept_in_one_write() -> None:
    calls = [saving(letter, StateWrite(key=letter, value={"of": letter})) for letter in "abc"]
    decided = decide(*calls)
    assert sorted(entries(write(decided))) == ["a", "b", "c"]
    assert len([action for action in decided.first if isinstance(action, WriteState)]) == 1
    assert len(answers(decided)) == 3


def test_call_whose_state_is_kept_already_is_only_told_so() -> None:
    task = saving("a", StateWrite(key="marker", value={"at": 7}, basedOn=digest({"at": 6})))
    call = digest([a_run().meta.uid, task.key])
    decided = decide(task, state=kept((call,), marker={"at": 9}))
    assert write(decided) is None
    assert answers(decided) == {task.meta.key.name: {"phase": "Succeeded"}}


def test_attempt_that_had_loaded_something_else_is_made_again() -> None:
    task = saving("a", StateWrite(key="marker", value={"at": 7}, basedOn=digest({"at": 6})))
    decided = decide(task, state=kept(marker={"at": 8}))
    assert write(decided) is None
    status = answers(decided)[task.meta.key.name]
    assert (status["phase"], status["attempt"], status["output"], status["state"]) == ("Active", 2, None, None)
    assert status["attempts"][-1]["reason"] == "StateConflict"
    assert "'marker'" in status["attempts"][-1]["message"]


def test_of_two_that_loaded_the_same_the_first_wins() -> None:
    first, second = (
        saving(letter, StateWrite(key="marker", value={"by": letter}, basedOn=""), finished_at=NOW - 3 + number)
        for number, letter in enumerate("ba")
    )
    decided = decide(second, first)
    assert entries(write(decided))["marker"]["value"] == {"by": "b"}
    assert {name: status["phase"] for name, status in answers(decided).items()} == {
        first.meta.key.name: "Succeeded",
        second.meta.key.name: "Active",
    }


def test_nothing_of_a_conflicting_attempt_is_kept() -> None:
    writes = (StateWrite(key="free", value={}), StateWrite(key="marker", value={"at": 7}, basedOn=""))
    assert write(decide(saving("a", *writes), state=kept(marker={"at": 8}))) is None


def test_save_without_a_load_is_kept_whatever_is_there() -> None:
    decided = decide(saving("a", StateWrite(key="marker", value={"at": 7})), state=kept(marker={"at": 8}))
    assert entries(write(decided))["marker"]["value"] == {"at": 7}


def test_key_without_a_value_is_forgotten() -> None:
    assert entries(write(decide(saving("a", StateWrite(key="marker")), state=kept(marker={"at": 8})))) == {}


def test_more_than_an_app_may_keep_fails_the_call_for_good() -> None:
    task = saving("a", StateWrite(key="marker", value={"text": "x" * MAX_STATE_BYTES}))
    status = answers(decide(task))[task.meta.key.name]
    assert (status["phase"], status["error"]["type"]) == ("Failed", "StateTooLarge")
    assert str(MAX_STATE_BYTES) in status["error"]["message"]


def test_call_that_saves_needs_no_pod_any_more() -> None:
    task = saving("a", StateWrite(key="marker", value={}))
    lost = a_pod(task, gone=True)
    decided = plan(replace(world(task), pods={lost.meta.key.name: lost}), NOW, LIMITS)
    assert answers(decided)[task.meta.key.name] == {"phase": "Succeeded"}


def test_cancelled_run_keeps_what_its_tasks_had_saved() -> None:
    task = saving("a", StateWrite(key="marker", value={"at": 7}))
    run = a_run(cancel=True, phase="Cancelling", cancelled_at=NOW - 1)
    decided = plan(replace(seen(a_driver(), a_pod(a_driver()), task, run=run), committed_keys={"cancel"}), NOW, LIMITS)
    assert entries(write(decided))["marker"]["value"] == {"at": 7}


def test_pod_gets_the_state_with_no_dollar_that_kubelet_would_replace() -> None:
    values = {"marker": {"price": "$(HOME) $$5", "name": "Åsa"}}
    body: Any = pods.pod(a_run(app=APP), a_task("a"), LIMITS, kept(**values)).body
    (text,) = [e["value"] for e in body["spec"]["containers"][0]["env"] if e["name"] == names.STATE_VARIABLE]
    assert "$" not in text
    assert json.loads(text) == values
