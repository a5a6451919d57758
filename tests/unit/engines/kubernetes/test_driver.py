"""The engine of a driver, against one run's objects behind a real TLS wire."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import pytest
from tests.support.kube import eventually
from tests.support.run_world import RUN, UID, RunWorld
from tests.support.wire_server import WireServer, answer, drop, refuse, stream

from application_sdk.engines.kubernetes.api import Api
from application_sdk.engines.kubernetes.app_tasks import NameConflict, Owner
from application_sdk.engines.kubernetes.driver import KubernetesEngine
from application_sdk.engines.kubernetes.errors import Refused
from application_sdk.engines.kubernetes.ledger import LedgerUnreadable
from application_sdk.engines.kubernetes.run_watch import RunGone
from application_sdk.execution.engine import CANCEL_KEY, ScheduledCall
from application_sdk.wire.fields import Identity, Policy, RetryFields

RETRY = RetryFields(maxAttempts=3, initialIntervalSeconds=1, maxIntervalSeconds=60, backoffCoefficient=2)


def key(number: int) -> str:
    return f"{number:032x}"[::-1]


def scheduled(number: int, **fields: Any) -> ScheduledCall:
    facts: dict[str, Any] = {
        "key": key(number),
        "role": "task",
        "task": "work",
        "entrypoint": "run",
        "sequence": number,
        "input": {"n": None},
        "identity": Identity(inputDigest="d", lineage="", occurrence=0),
        "policy": Policy(retry=RETRY),
        "pod": {},
        "line": "app.py:7",
    }
    return ScheduledCall(**(facts | fields))


def no_pause(seconds: float) -> None:
    pass


Open = Callable[[], KubernetesEngine]


def test_a_new_run_has_no_past(open_engine: Open) -> None:
    engine = open_engine()
    assert engine.history_length() == 0
    assert engine.recorded(key(1)) is None


def test_a_call_becomes_an_apptask_that_its_run_owns(open_engine: Open, world: RunWorld) -> None:
    world.outputs["work"] = {"m": None}
    engine = open_engine()
    engine.schedule([scheduled(1)])
    (completion,) = engine.receive()
    (task,) = world.tasks.values()
    assert task["metadata"]["labels"] == {
        "app.kubernetes.io/managed-by": "apprun",
        "apprun.dev/run": RUN,
        "apprun.dev/role": "task",
        "apprun.dev/key": key(1),
    }
    (owner,) = task["metadata"]["ownerReferences"]
    assert (owner["kind"], owner["uid"], owner["controller"], owner["blockOwnerDeletion"]) == (
        "AppRun",
        UID,
        True,
        False,
    )
    assert task["spec"]["input"] == {"n": None}
    assert completion.output == {"m": None}
    assert completion.at == 1767323046.5


def test_the_past_comes_first_and_in_order(open_engine: Open, world: RunWorld) -> None:
    for number in (1, 2, 3):
        world.add_task(key(number))
        world.finish(key(number), {"n": number})
    world.commit(key(2), key(3), key(1))
    engine = open_engine()
    assert engine.history_length() == 3
    assert [completion.key for completion in engine.receive()] == [key(2), key(3), key(1)]
    recorded = engine.recorded(key(2))
    assert recorded is not None
    assert (recorded.task, recorded.line, recorded.input) == ("work", "app.py:7", {"n": 1})


def test_the_past_costs_no_request_per_task(open_engine: Open, world: RunWorld, server: WireServer) -> None:
    for number in range(50):
        world.add_task(key(number))
        world.finish(key(number), {"n": number})
        world.commit(key(number))
    engine = open_engine()
    assert len(engine.receive()) == 50
    assert sum(1 for request in server.requests if "watch=1" not in request.target) == 3


def test_older_checkpoints_are_read_from_pages(open_engine: Open, world: RunWorld) -> None:
    for number in range(300):
        world.add_task(key(number))
        world.finish(key(number), {"n": number})
        world.commit(key(number))
    world.turn_page()
    world.turn_page()
    engine = open_engine()
    assert [completion.output for completion in engine.receive()] == [{"n": number} for number in range(300)]


def test_a_page_that_turns_while_the_driver_looks_away_is_read_later(open_engine: Open, world: RunWorld) -> None:
    engine = open_engine()
    for number in range(200):
        world.add_task(key(number))
        world.finish(key(number), {"n": number})
    with world.changed:
        world.commit(*(key(number) for number in range(200)))
        world.turn_page()
    got: list[Any] = []
    while len(got) < 200:
        got += [completion.output for completion in engine.receive()]
    assert got == [{"n": number} for number in range(200)]


def test_a_call_of_an_earlier_life_is_not_created_again(open_engine: Open, world: RunWorld, server: WireServer) -> None:
    world.add_task(key(1))
    engine = open_engine()
    engine.schedule([scheduled(1), scheduled(2)])
    world.finish(key(1), {})
    world.commit(key(1))
    engine.receive()
    assert [request.json["spec"]["key"] for request in server.requests if request.method == "POST"] == [key(2)]


def test_calls_of_earlier_lives_that_are_not_committed_are_in_flight(open_engine: Open, world: RunWorld) -> None:
    for number in (1, 2, 3):
        world.add_task(key(number))
    world.finish(key(2), {})
    world.commit(key(2))
    assert open_engine().in_flight() == [key(1), key(3)]


def test_what_an_earlier_driver_consumed_while_this_one_was_starting_is_part_of_the_past(
    open_engine: Open, world: RunWorld, server: WireServer
) -> None:
    world.add_task(key(1))

    def commit_before_listing(handler: Any, request: Any) -> None:
        if "/apptasks?" in request.target:
            world.finish(key(1), {"n": 1})
            world.commit(key(1))
            world.add_task(key(2))
        else:
            server.script.insert(0, commit_before_listing)
        world(handler, request)

    server.script = [commit_before_listing]
    engine = open_engine()
    assert engine.history_length() == 1
    assert engine.in_flight() == [key(2)]


def test_a_result_that_was_committed_after_the_list_is_read_anew(
    open_engine: Open, world: RunWorld, server: WireServer
) -> None:
    world.add_task(key(1))

    def commit_after_listing(handler: Any, request: Any) -> None:
        world(handler, request)
        if "/apptasks?" in request.target:
            world.finish(key(1), {"n": 1})
            world.commit(key(1))
        else:
            server.script.insert(0, commit_after_listing)

    server.script = [commit_after_listing]
    assert [completion.output for completion in open_engine().receive()] == [{"n": 1}]


def test_tasks_that_are_left_of_an_earlier_run_of_that_name_are_none_of_this_run(
    open_engine: Open, world: RunWorld
) -> None:
    world.add_task(key(1), owner="an-earlier-uid")
    engine = open_engine()
    assert engine.in_flight() == []
    assert engine.recorded(key(1)) is None


def test_a_create_whose_answer_was_lost_is_adopted(open_engine: Open, world: RunWorld, server: WireServer) -> None:
    engine = open_engine()

    def carry_out_then_drop(handler: Any, request: Any) -> None:
        if request.method == "POST":
            world.add_task(key(1))
            drop(handler, request)
        else:
            server.script.insert(0, carry_out_then_drop)
            world(handler, request)

    server.script = [carry_out_then_drop]
    engine.schedule([scheduled(1)])
    while len([request for request in server.requests if request.method == "POST"]) < 2:
        pass
    world.finish(key(1), {"n": 1})
    world.commit(key(1))
    assert [completion.output for completion in engine.receive()] == [{"n": 1}]


def test_a_foreign_object_under_a_calls_name_is_named(open_engine: Open, world: RunWorld) -> None:
    engine = open_engine()
    world.add_task(key(1)[:16] + "f" * 16, task="other")
    engine.schedule([scheduled(1)])
    with pytest.raises(NameConflict, match=r"task 'other' .* app\.py:7"):
        engine.receive()


def test_a_task_of_an_earlier_run_of_that_name_is_waited_for(
    open_engine: Open, world: RunWorld, server: WireServer
) -> None:
    engine = open_engine()
    world.add_task(key(1), owner="an-earlier-uid")
    world.outputs["work"] = {"n": 1}
    engine.schedule([scheduled(1)])
    while sum(1 for request in server.requests if request.method == "POST") < 2:
        pass
    world.tasks.clear()
    assert [completion.output for completion in engine.receive()] == [{"n": 1}]


def test_a_failed_call_arrives_with_its_error(open_engine: Open, world: RunWorld) -> None:
    engine = open_engine()
    world.add_task(key(1))
    world.finish(key(1), error={"type": "ValueError", "message": "no"})
    world.commit(key(1))
    (completion,) = engine.receive()
    assert (completion.outcome, completion.output) == ("Failed", None)
    assert completion.error == {"type": "ValueError", "message": "no"}


def test_a_timer_is_an_apptask_without_a_payload(open_engine: Open, world: RunWorld, server: WireServer) -> None:
    engine = open_engine()
    world.outputs["sleep"] = None
    engine.schedule([scheduled(1, role="timer", task="sleep", seconds=2.5)])
    (completion,) = engine.receive()
    assert (completion.outcome, completion.output) == ("Succeeded", None)
    (task,) = world.tasks.values()
    assert task["spec"]["seconds"] == 2.5
    assert not any(request.target.endswith(key(1)[:16]) for request in server.requests)


def test_a_cancellation_has_its_place_in_the_ledger(open_engine: Open, world: RunWorld) -> None:
    engine = open_engine()
    world.cancel()
    (completion,) = engine.receive()
    assert (completion.key, completion.outcome) == (CANCEL_KEY, "Cancelled")


def test_an_open_call_that_somebody_deleted_is_made_again_after_a_silence(api: Api, world: RunWorld) -> None:
    engine = KubernetesEngine.open(api, Owner(RUN, UID), no_pause, recheck_seconds=0.2)
    try:
        engine.schedule([scheduled(1), scheduled(2)])
        eventually("both calls are made", lambda: len(world.tasks) == 2 or None, 10)
        deleted = world.tasks.pop(f"{RUN}-{key(1)[:16]}")
        world.outputs["work"] = {"m": 7}
        (completion,) = engine.receive()
        assert (completion.key, completion.output) == (key(1), {"m": 7})
        assert world.tasks[f"{RUN}-{key(1)[:16]}"]["spec"] == deleted["spec"]
    finally:
        engine.close()
        world.touch()


def test_a_clean_up_call_says_so_in_its_apptask(open_engine: Open, world: RunWorld) -> None:
    world.outputs["work"] = {}
    engine = open_engine()
    engine.schedule([scheduled(1), scheduled(2, cleanup=True)])
    while len(world.status.get("checkpoints", [])) < 2:
        engine.receive()
    assert {task["spec"]["key"]: task["spec"].get("cleanup") for task in world.tasks.values()} == {
        key(1): None,
        key(2): True,
    }


def test_an_output_that_was_altered_is_refused(open_engine: Open, world: RunWorld) -> None:
    world.add_task(key(1))
    world.finish(key(1), {"n": 1})
    world.commit(key(1))
    world.finish(key(1), {"n": 2})
    with pytest.raises(LedgerUnreadable, match=r"daily-1000000000000000 isn't what checkpoint 0 \(work\) committed"):
        open_engine().receive()


def test_an_output_that_is_gone_is_named(open_engine: Open, world: RunWorld) -> None:
    world.add_task(key(1))
    world.commit(key(1))
    world.tasks.clear()
    with pytest.raises(LedgerUnreadable, match="AppTask daily-1000000000000000 is gone"):
        open_engine().receive()


def test_a_page_that_is_gone_is_named(open_engine: Open, world: RunWorld) -> None:
    world.status["ledgerPages"] = 1
    with pytest.raises(LedgerUnreadable, match="AppLedger daily-0 is gone"):
        open_engine()


@pytest.mark.parametrize(
    "trouble",
    [
        drop,
        stream([], broken=True),
        stream([]),
        stream([{"type": "ERROR", "object": {"code": 410, "reason": "Expired", "message": "too old"}}]),
        stream([{"type": "ERROR", "object": {"code": 500, "reason": "InternalError", "message": "etcd"}}]),
        stream([{"type": "BOOKMARK", "object": {"metadata": {"resourceVersion": "11"}}}]),
        refuse(503, "ServiceUnavailable", "starting"),
    ],
    ids=["dropped", "broken", "end of file", "410", "500", "bookmark only", "503"],
)
def test_what_was_committed_during_a_broken_watch_is_delivered(
    open_engine: Open, world: RunWorld, server: WireServer, trouble: Any
) -> None:
    world.add_task(key(1))
    world.finish(key(1), {"n": 1})

    def watch_fails(handler: Any, request: Any) -> None:
        if "watch=1" not in request.target:
            server.script.insert(0, watch_fails)
            world(handler, request)
            return
        world.commit(key(1))
        trouble(handler, request)

    server.script = [watch_fails]
    assert [completion.output for completion in open_engine().receive()] == [{"n": 1}]


def test_an_api_server_that_is_away_at_the_start_is_waited_for(open_engine: Open, server: WireServer) -> None:
    server.script = [refuse(503, "ServiceUnavailable", "starting"), drop, refuse(401, "Unauthorized", "no")]
    assert open_engine().history_length() == 0


def test_a_list_whose_token_expired_begins_anew(open_engine: Open, world: RunWorld, server: WireServer) -> None:
    world.add_task(key(1))
    pages = iter([[world.tasks["daily-1000000000000000"]], None])

    def paged(handler: Any, request: Any) -> None:
        if "/apptasks?" not in request.target:
            server.script.insert(0, paged)
            world(handler, request)
            return
        page = next(pages)
        if page is None:
            refuse(410, "Expired", "the provided continue parameter is too old")(handler, request)
            return
        server.script.insert(0, paged)
        answer(200, {"items": page, "metadata": {"continue": "next"}})(handler, request)

    server.script = [paged]
    engine = open_engine()
    assert engine.recorded(key(1)) is not None


def test_a_driver_that_was_replaced_stops(open_engine: Open, world: RunWorld, server: WireServer) -> None:
    engine = open_engine()

    def policy_refuses(handler: Any, request: Any) -> None:
        if request.method != "POST":
            server.script.insert(0, policy_refuses)
            world(handler, request)
            return
        refuse(403, "Forbidden", "ValidatingAdmissionPolicy 'apprun-task-calls' denied request: no")(handler, request)

    server.script = [policy_refuses]
    engine.schedule([scheduled(1)])
    with pytest.raises(Refused):
        engine.receive()


def test_a_run_that_is_deleted_ends_its_driver(open_engine: Open, world: RunWorld) -> None:
    engine = open_engine()
    threading.Timer(0, world.delete).start()
    with pytest.raises(RunGone, match="AppRun daily was deleted"):
        engine.receive()


def test_a_run_that_was_made_anew_is_not_driven(open_engine: Open, world: RunWorld) -> None:
    world.uid = "another"
    with pytest.raises(RunGone, match="created again"):
        open_engine()


def test_a_run_that_is_made_anew_while_its_driver_follows_it_is_not_driven(open_engine: Open, world: RunWorld) -> None:
    engine = open_engine()
    world.add_task(key(1))
    world.finish(key(1), {"of": "another run"})
    world.uid = "another"
    world.commit(key(1))
    with pytest.raises(RunGone, match="created again"):
        engine.receive()


def test_abandoned_calls_are_named_in_the_drivers_task(open_engine: Open, world: RunWorld) -> None:
    engine = open_engine()
    engine.schedule([scheduled(1), scheduled(2), scheduled(3)])
    eventually("the calls are made", lambda: len(world.tasks) == 3 or None, 10)
    engine.abandon([key(1), key(9)])
    driver = f"{RUN}-driver"
    eventually("it is told", lambda: world.reports.get(driver) == {"abandoned": [key(1)]} or None, 10)
    world.finish(key(1), {})
    world.commit(key(1))
    assert [done.key for done in engine.receive()] == [key(1)]
    engine.abandon([key(3)])
    eventually("it is told", lambda: world.reports[driver] == {"abandoned": [key(3)]} or None, 10)
