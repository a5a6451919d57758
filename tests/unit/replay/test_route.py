"""The rules of replay, without an event loop: what is scheduled when, and to whom a completion goes."""

from __future__ import annotations

import pytest

from application_sdk.errors import MisuseError
from application_sdk.execution.engine import Completion, ScheduledCall
from application_sdk.replay.route import NO_POLICY, CallRequest, Route, UnexpectedCompletion
from application_sdk.wire.digest import digest
from application_sdk.wire.pod_fields import PodFields


class Calls:
    """A route of which the test makes the calls itself."""

    def __init__(self, history_length: int = 0) -> None:
        self.route = Route("run", history_length)
        self.delivered: list[str] = []

    def make(self, number: int, keyed_by: str | None = None) -> ScheduledCall:
        payload = {"n": number}
        request = CallRequest(
            role="task",
            task="work",
            input=payload,
            input_digest=digest(payload),
            line=f"app.py:{number}",
            policy=NO_POLICY,
            pod=PodFields(),
            keyed_by=keyed_by,
        )
        return self.route.make(request, lambda completion: self.delivered.append(completion.key))

    def complete(self, call: ScheduledCall) -> None:
        self.route.deliver(Completion(call.key, call.task, "Succeeded", 0.0))


def test_calls_are_scheduled_once_in_the_order_of_their_making() -> None:
    calls = Calls()
    made = [calls.make(number) for number in range(3)]
    assert calls.route.take_calls() == made
    assert calls.route.take_calls() == []
    assert [call.sequence for call in made] == [0, 1, 2]


def test_nothing_is_scheduled_until_the_past_is_consumed() -> None:
    calls = Calls(history_length=2)
    first, second, new = (calls.make(number) for number in range(3))
    assert calls.route.take_calls() == []
    calls.complete(second)
    assert calls.route.replaying
    assert calls.route.take_calls() == []
    calls.complete(first)
    assert not calls.route.replaying
    assert calls.route.take_calls() == [new]
    assert calls.delivered == [second.key, first.key]


def test_a_completion_of_an_unknown_call_is_unexpected_and_changes_nothing() -> None:
    calls = Calls(history_length=1)
    known = calls.make(1)
    with pytest.raises(UnexpectedCompletion):
        calls.route.deliver(Completion("f" * 32, "work", "Succeeded", 0.0))
    assert calls.route.consumed == 0
    assert calls.route.outstanding() == [known]


def test_a_second_completion_of_a_call_is_unexpected() -> None:
    calls = Calls()
    call = calls.make(1)
    calls.complete(call)
    with pytest.raises(UnexpectedCompletion):
        calls.complete(call)


def test_an_abandoned_calls_completion_is_consumed_without_effect() -> None:
    calls = Calls()
    call = calls.make(1)
    assert calls.route.take_calls() == [call]
    calls.route.abandon(call.key)
    assert not calls.route.waiting
    calls.complete(call)
    assert calls.delivered == []
    assert calls.route.consumed == 1


def test_a_call_that_was_abandoned_before_it_was_scheduled_never_is() -> None:
    calls = Calls()
    call = calls.make(1)
    calls.route.abandon(call.key)
    assert calls.route.take_calls() == []


def test_the_engine_is_told_once_of_calls_to_cancel() -> None:
    calls = Calls()
    first, second = calls.make(1), calls.make(2)
    calls.route.take_calls()
    for call in (second, first):
        calls.route.abandon(call.key)
    assert calls.route.take_abandoned() == [second.key, first.key]
    assert calls.route.take_abandoned() == []


def test_a_call_that_an_earlier_life_scheduled_is_cancelled() -> None:
    calls = Calls(history_length=1)
    trigger, held = calls.make(1), calls.make(2)
    calls.complete(trigger)
    calls.route.abandon(held.key)
    assert calls.route.take_calls() == []
    assert calls.route.take_abandoned() == [held.key]


def test_calls_that_the_past_has_ended_are_not_cancelled() -> None:
    calls = Calls(history_length=2)
    trigger, ended, running = calls.make(1), calls.make(2), calls.make(3)
    calls.complete(trigger)
    for call in (ended, running):
        calls.route.abandon(call.key)
    assert calls.route.take_abandoned() == []
    calls.complete(ended)
    assert calls.route.take_abandoned() == [running.key]


def test_abandoning_a_delivered_call_changes_nothing() -> None:
    calls = Calls()
    call = calls.make(1)
    calls.complete(call)
    calls.route.abandon(call.key)
    with pytest.raises(UnexpectedCompletion):
        calls.complete(call)


def test_what_an_ended_route_left_outstanding_is_no_divergence() -> None:
    calls = Calls(history_length=2)
    first, second = calls.make(1), calls.make(2)
    calls.route.abandon(second.key)
    for call in (second, first):
        calls.route.consume_unseen(Completion(call.key, call.task, "Succeeded", 0.0))
    assert not calls.route.replaying
    with pytest.raises(UnexpectedCompletion):
        calls.route.consume_unseen(Completion("f" * 32, "work", "Succeeded", 0.0))


def test_a_key_given_twice_is_refused_with_both_lines() -> None:
    calls = Calls()
    calls.make(1, keyed_by="it")
    with pytest.raises(
        MisuseError, match=r"app\.py:2: work\.keyed\('it'\) is used twice .* the first call is at app\.py:1"
    ):
        calls.make(2, keyed_by="it")
