"""Which calls of an inbox begin, in which order, and which are no longer wanted."""

from __future__ import annotations

from typing import Any, cast

from tests.support.inboxes import entry

from application_sdk.engines.kubernetes.worker_calls import LEFT_SECONDS, REMEMBERED, Calls, OpenCall
from application_sdk.wire.fields import WorkerStatus


def inbox(*entries: dict[str, Any], **fields: Any) -> WorkerStatus:
    return cast("WorkerStatus", {"calls": list(entries), **fields})


def begun(calls: Calls) -> list[OpenCall]:
    found = []
    while (call := calls.begin()) is not None:
        found.append(call)
    return found


def keys(found: list[OpenCall]) -> list[str]:
    return [call.key for call in found]


def finish(calls: Calls, *found: OpenCall) -> None:
    for call in found:
        calls.end(call.key)
        calls.report(call)
        calls.reported(call.key)


def test_the_oldest_begin_first_and_the_rest_waits() -> None:
    calls = Calls(2, None)
    calls.take(inbox(entry(3), entry(1), entry(2)), 0)
    first = begun(calls)
    assert keys(first) == ["uid-3/1", "uid-1/1"]
    finish(calls, first[0])
    assert keys(begun(calls)) == ["uid-2/1"]


def test_a_call_that_is_told_twice_begins_once() -> None:
    calls = Calls(1, None)
    calls.take(inbox(entry(1)), 0)
    (call,) = begun(calls)
    calls.take(inbox(entry(1)), 1)
    assert begun(calls) == []
    finish(calls, call)
    calls.take(inbox(entry(1)), 2)
    assert begun(calls) == []


def test_a_later_attempt_waits_for_the_end_of_the_earlier_one() -> None:
    calls = Calls(2, None)
    calls.take(inbox(entry(1)), 0)
    (call,) = begun(calls)
    calls.take(inbox(entry(1, attempt=2), entry(2)), 1)
    assert keys(begun(calls)) == ["uid-2/1"]
    calls.end(call.key)
    calls.report(call)
    assert begun(calls) == []
    calls.reported(call.key)
    assert keys(begun(calls)) == ["uid-1/2"]


def test_a_running_call_is_unwanted_once_it_was_missing_for_a_while() -> None:
    calls = Calls(1, None)
    calls.take(inbox(entry(1)), 0)
    (call,) = begun(calls)
    calls.take(inbox(), 10)
    assert calls.unwanted(10 + LEFT_SECONDS / 2) == []
    assert list(calls.moments()) == [10 + LEFT_SECONDS]
    calls.take(inbox(entry(1)), 10.2)
    assert calls.unwanted(20) == []
    calls.take(inbox(), 30)
    calls.take(inbox(), 30 + LEFT_SECONDS)
    assert calls.unwanted(30 + LEFT_SECONDS) == [call]
    call.cancelled = True
    assert calls.unwanted(40) == []


def test_what_ended_without_an_outcome_may_begin_again() -> None:
    calls = Calls(1, None)
    calls.take(inbox(entry(1)), 0)
    (call,) = begun(calls)
    calls.end(call.key)
    calls.forget(call)
    calls.take(inbox(entry(1)), 1)
    assert keys(begun(calls)) == ["uid-1/1"]


def test_a_waiting_call_that_is_gone_is_dropped() -> None:
    calls = Calls(1, None)
    calls.take(inbox(entry(1), entry(2), entry(3)), 0)
    (call,) = begun(calls)
    calls.take(inbox(entry(1), entry(3)), 1)
    finish(calls, call)
    assert keys(begun(calls)) == ["uid-3/1"]


def test_the_last_call_is_the_last() -> None:
    calls = Calls(4, 2)
    calls.take(inbox(entry(1), entry(2), entry(3)), 0)
    found = begun(calls)
    assert len(found) == 2
    assert not calls.is_over()
    finish(calls, *found)
    assert calls.is_over()


def test_a_draining_pod_is_over_when_its_inbox_is_empty() -> None:
    calls = Calls(1, None)
    calls.take(inbox(entry(1), entry(2), drain=True), 0)
    for _ in range(2):
        assert not calls.is_over()
        finish(calls, *begun(calls))
    assert calls.is_over()
    calls.take(inbox(), 1)
    assert not calls.is_over()


def test_a_report_on_its_way_keeps_the_pod() -> None:
    calls = Calls(1, None)
    calls.take(inbox(entry(1), drain=True), 0)
    (call,) = begun(calls)
    calls.end(call.key)
    calls.report(call)
    calls.take(inbox(drain=True), 1)
    assert not calls.is_over()
    calls.reported(call.key)
    assert calls.is_over()


def test_a_closed_pod_begins_nothing() -> None:
    calls = Calls(1, None)
    calls.close()
    calls.take(inbox(entry(1)), 0)
    assert begun(calls) == []
    assert calls.is_over()


def test_memory_of_ended_calls_is_bounded() -> None:
    calls = Calls(1, None)
    for number in range(REMEMBERED + 10):
        calls.take(inbox(entry(number)), 0)
        finish(calls, *begun(calls))
    assert len(calls._known) == REMEMBERED
    calls.take(inbox(entry(REMEMBERED + 9)), 0)
    assert begun(calls) == []
