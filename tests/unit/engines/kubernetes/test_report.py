"""One report, delivered in spite of everything that can happen on the way."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from tests.support.wire_server import WireServer, answer, drop, refuse

from application_sdk.engines.kubernetes.api import Api
from application_sdk.engines.kubernetes.report import (
    Delivery,
    deliver,
    failure_report,
    success_report,
    timestamp,
)
from application_sdk.wire.fields import Report
from application_sdk.wire.pod import REFUSED_FINISHED, REFUSED_NOT_CURRENT

REPORT: Report = {"phase": "Succeeded", "output": {"n": 1}, "error": None}
POLICY = "ValidatingAdmissionPolicy 'apprun-task-reports' with binding 'apprun-task-reports' denied request: "
FINISHED = refuse(403, "Forbidden", f"{POLICY}{REFUSED_FINISHED}: this task call has its result")
NOT_CURRENT = refuse(403, "Forbidden", f"{POLICY}{REFUSED_NOT_CURRENT}: pod t-1 asks, and only pod t-2 may report")


@pytest.fixture
def pauses() -> list[float]:
    return []


@pytest.fixture
def send(api: Api, pauses: list[float]) -> Callable[[], Delivery]:
    return lambda: deliver(api, "t", REPORT, 1, pauses.append)


def test_an_accepted_report_is_sent_once(send: Callable[[], Delivery], server: WireServer, pauses: list[float]) -> None:
    assert send() is Delivery.ACCEPTED
    assert len(server.requests) == 1
    assert pauses == []


@pytest.mark.parametrize(
    "trouble",
    [
        drop,
        refuse(500, "InternalError", "etcdserver: request timed out"),
        refuse(503, "ServiceUnavailable", "starting"),
        refuse(429, "TooManyRequests", "slow down"),
        refuse(409, "Conflict", "the object has been modified"),
        refuse(401, "Unauthorized", "Unauthorized"),
        refuse(403, "Forbidden", 'User "system:serviceaccount:ns:x" cannot patch resource "apptasks/status"'),
        refuse(418, "Teapot", "no"),
    ],
    ids=["no answer", "500", "503", "429", "409", "401", "no rights yet", "nonsense"],
)
def test_what_may_pass_is_tried_again(
    send: Callable[[], Delivery], server: WireServer, pauses: list[float], trouble: object
) -> None:
    server.script = [trouble] * 3  # type: ignore[list-item]
    assert send() is Delivery.ACCEPTED
    assert len(server.requests) == 4
    assert len(pauses) == 3


def test_all_tries_say_the_same(send: Callable[[], Delivery], server: WireServer) -> None:
    server.script = [drop, drop]
    send()
    assert len({request.body for request in server.requests}) == 1


def test_waits_grow_to_a_cap_and_are_never_equal_for_all(
    send: Callable[[], Delivery], server: WireServer, pauses: list[float]
) -> None:
    server.script = [refuse(503, "ServiceUnavailable", "starting")] * 40
    send()
    assert pauses[0] <= 0.1
    assert pauses[20] >= 2.5
    assert max(pauses) <= 5
    assert len(set(pauses[20:])) > 1


def test_the_server_says_when_to_come_back(
    send: Callable[[], Delivery], server: WireServer, pauses: list[float]
) -> None:
    server.script = [refuse(429, "TooManyRequests", "slow down", Retry_After="30")]
    send()
    assert pauses == [30]


def test_a_replaced_token_is_picked_up_between_tries(
    send: Callable[[], Delivery], api: Api, server: WireServer, pod_directory: Path
) -> None:
    server.script = [refuse(401, "Unauthorized", "Unauthorized")]
    (pod_directory / "token").write_text("expired")

    def kubelet_rotates(seconds: float) -> None:
        (pod_directory / "token").write_text("fresh")

    assert deliver(api, "t", REPORT, 1, kubelet_rotates) is Delivery.ACCEPTED
    assert [request.headers["authorization"] for request in server.requests] == ["Bearer expired", "Bearer fresh"]


def test_a_lost_answer_to_an_accepted_report_ends_well(send: Callable[[], Delivery], server: WireServer) -> None:
    server.script = [drop, FINISHED]
    assert send() is Delivery.ACCEPTED


def test_a_task_that_ended_without_us_is_no_success(send: Callable[[], Delivery], server: WireServer) -> None:
    server.script = [FINISHED]
    assert send() is Delivery.FENCED


def test_a_try_that_surely_changed_nothing_is_no_lost_answer(send: Callable[[], Delivery], server: WireServer) -> None:
    server.script = [refuse(409, "Conflict", "modified"), FINISHED]
    assert send() is Delivery.FENCED


def test_the_pod_of_an_older_attempt_is_fenced_at_once(
    send: Callable[[], Delivery], server: WireServer, pauses: list[float]
) -> None:
    server.script = [NOT_CURRENT]
    assert send() is Delivery.FENCED
    assert pauses == []


def test_an_older_attempt_stays_fenced_after_a_lost_answer(send: Callable[[], Delivery], server: WireServer) -> None:
    server.script = [drop, NOT_CURRENT]
    assert send() is Delivery.FENCED


def test_a_schema_rule_that_protects_the_end_fences_too(send: Callable[[], Delivery], server: WireServer) -> None:
    server.script = [refuse(422, "Invalid", f"status: Invalid value: {REFUSED_FINISHED}: its phase never changes")]
    assert send() is Delivery.FENCED


def test_a_task_that_is_gone_ends_the_pod(send: Callable[[], Delivery], server: WireServer) -> None:
    server.script = [refuse(404, "NotFound", 'apptasks.apprun.dev "t" not found')]
    assert send() is Delivery.FENCED


def test_an_output_that_the_server_refuses_becomes_the_failure_of_the_task(
    send: Callable[[], Delivery], server: WireServer
) -> None:
    server.script = [refuse(413, "RequestEntityTooLarge", "limit is 3145728"), answer(200)]
    assert send() is Delivery.ACCEPTED
    (error,) = [operation["value"] for operation in server.requests[1].json if operation["path"] == "/status/error"]
    assert error["type"] == "ReportRefused"
    assert error["attempt"] == 1
    assert error["retryable"] is False
    assert "limit is 3145728" in error["message"]
    assert not any(operation["path"] == "/status/phase" for operation in server.requests[1].json)


def test_a_report_that_is_refused_in_every_form_is_given_up(send: Callable[[], Delivery], server: WireServer) -> None:
    server.script = [refuse(422, "Invalid", "no"), refuse(422, "Invalid", "no")]
    assert send() is Delivery.REFUSED


def test_a_success_takes_back_an_earlier_attempts_error() -> None:
    report = success_report({"n": 1}, 0.5, "node1")
    assert report["error"] is None
    assert report["startedAt"] == "1970-01-01T00:00:00.500000Z"
    assert report["node"] == "node1"


def test_a_failure_leaves_the_decision_to_the_operator() -> None:
    report = failure_report({"type": "ValueError", "message": "no"}, 3, 0.0)
    assert "phase" not in report
    assert report["error"] == {"type": "ValueError", "message": "no", "attempt": 3}
    assert "node" not in report


@pytest.mark.parametrize(
    ("seconds", "expected"),
    [(1700000000.9999996, "2023-11-14T22:13:21.000000Z"), (0.0000004, "1970-01-01T00:00:00.000000Z")],
)
def test_times_are_rounded_to_microseconds(seconds: float, expected: str) -> None:
    assert timestamp(seconds) == expected
