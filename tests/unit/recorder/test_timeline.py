"""A recording tells when nothing was committed, who led then, and what each call waited for."""

from __future__ import annotations

from typing import Any

import pytest
from tests.support.kube import Object
from tests.support.recorder.__main__ import summary
from tests.support.recorder.journal import Moment
from tests.support.recorder.states import State
from tests.support.recorder.timeline import Standstill, describe, longest, only, standstills, timeline


def run(done: int = 0, phase: str = "Running", **more: Any) -> Object:
    return {"phase": phase, "done": done, **more}


def state(done: int = 0, phase: str = "Running", answers: bool = True, **more: Object) -> State:
    lease = {"holder": "apprun-a", "transitions": 3}
    api = {"answers": answers, **({} if answers else {"error": "connection refused"})}
    return {"run ns/r": run(done, phase), "lease": lease, "api": api, **more}


def moments(*states: State) -> list[Moment]:
    return [Moment(float(place * 10), each) for place, each in enumerate(states)]


def test_standstill_lasts_from_one_commit_to_the_next() -> None:
    found = standstills(moments(state(1), state(1), state(2), state(2), state(2), state(3, "Succeeded")))
    assert [(one.begin, one.end) for one in found] == [(0, 20), (20, 50)]


def test_standstill_that_has_not_ended_counts() -> None:
    assert longest(moments(state(1), state(1), state(1), state(1))) == Standstill(0, 30, 0)


@pytest.mark.parametrize("phase", ["Succeeded", "Failed", "Cancelled", "Stalled", "Suspended"])
def test_nothing_stands_still_where_no_run_is_at_work(phase: str) -> None:
    assert longest(moments(*5 * [state(1, phase)])) is None


def test_each_run_that_moves_ends_it() -> None:
    other = {"run ns/s": run(1)}
    found = standstills(moments(state() | other, state() | other, state() | {"run ns/s": run(2)}))
    assert [one.end for one in found] == [20]


def test_what_the_api_server_is_away_does_not_count() -> None:
    dead = state(answers=False)
    worst = longest(moments(state(), state(), dead, dead, dead, state(), state(1)))
    assert worst is not None
    assert (worst.seconds, worst.unanswered, worst.counted) == (60, 30, 30)


def test_runs_of_other_namespaces_are_left_out() -> None:
    mixed = moments(state() | {"run other/x": run(1)}, state() | {"run other/x": run(2)})
    worst = longest(only(mixed, "ns"))
    assert worst is not None
    assert worst.seconds == 10
    assert "lease" in only(mixed, "ns")[0].state


def causes(*states: State) -> str:
    found = moments(*states)
    worst = longest(found)
    assert worst is not None
    return "\n".join(describe(worst, found))


def test_story_says_when_and_who_led() -> None:
    taken_over = state() | {"lease": {"holder": "apprun-b", "transitions": 4, "renewed": 20}}
    text = causes(state(), state(), taken_over)
    assert "nothing was committed from" in text
    assert "(20 s):" in text
    assert "leader: apprun-a (term 3), then apprun-b (term 4), not renewed for 20 s" in text


def test_story_counts_what_calls_and_their_pods_wait_for() -> None:
    call = {"phase": "Active", "attempt": 2}
    pod = {"phase": "Pending", "node": "node2", "unmet": ["ContainersReady: ContainersNotReady"]}
    many = {f"call ns/r-{n}": call for n in range(3)} | {f"pod ns/r-{n}-2": pod for n in range(3)}
    held = {"call ns/r-x": {"phase": "Waiting", "attempt": 1, "message": "no node fits"}}
    text = causes(state(**many, **held), state(**many, **held))
    assert "3 calls: Active; pod Pending on node2: ContainersReady: ContainersNotReady" in text
    assert "1 call: Waiting (no node fits); no pod" in text


def test_calls_are_described_as_before_the_standstill_ended() -> None:
    held = {"call ns/r-x": {"phase": "Waiting", "attempt": 1, "message": "no node fits"}}
    assert "no node fits" in causes(state(**held), state(**held), state(1, "Succeeded"))


def test_pod_of_another_attempt_is_not_the_calls_own() -> None:
    call = {"call ns/r-a": {"phase": "Active", "attempt": 1}}
    other = {"pod ns/r-a-10": {"phase": "Running"}}
    assert "Active; no pod" in causes(state(**call, **other), state(**call, **other))
    own = {"pod ns/r-a-1-x7": {"phase": "Running", "node": "node1"}}
    assert "pod Running on node1" in causes(state(**call, **own), state(**call, **own))


def test_story_says_what_was_wrong_with_the_cluster() -> None:
    metrics = {"metrics apprun-a": {"leads": True, "silent": {"pods": 60}, "lag": "over 1 s"}}
    unready = {"operator apprun-b": {"ready": False}, "node node2": {"ready": False, "reason": "NodeStatusUnknown"}}
    text = causes(state(**metrics), state(**metrics, **unready), state(answers=False))
    assert "operator apprun-a: watches silent for pods 60 s; loop over 1 s late (in 2 of 3 samples)" in text
    assert "operator apprun-b: not ready (in 1 of 3 samples)" in text
    assert "node node2: not ready: NodeStatusUnknown (in 1 of 3 samples)" in text
    assert "API server: no answer for 10 s (connection refused)" in text


def test_story_says_what_was_done_meanwhile() -> None:
    found = [*moments(state(), state()), Moment(15.0, state(), ("node killed",)), Moment(30.0, state())]
    worst = longest(found)
    assert worst is not None
    assert "node killed" in "\n".join(describe(worst, found))


def test_only_long_standstills_are_told() -> None:
    found = moments(state(1), state(2), state(2), state(2), state(3))
    assert len(timeline(found, least=20)) == 1
    assert timeline(found, least=40) == []


def test_summary_of_a_recording_ends_with_its_longest_standstill() -> None:
    found = moments(state(1), state(2), state(2), state(2), state(3, "Succeeded"))
    assert summary(found, least=20)[-1] == "the longest standstill took 30 s"
    assert summary([Moment(0.0, {})], least=20)[-1] == "no call was open"
