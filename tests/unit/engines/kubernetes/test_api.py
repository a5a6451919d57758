"""The API server's answers, by meaning, over a real TLS connection."""

from __future__ import annotations

import json
import threading
from pathlib import Path

import pytest
from tests.support.wire_server import WireServer, answer, chunked, drop, raw, refuse, stream

from application_sdk.engines.kubernetes import errors
from application_sdk.engines.kubernetes.api import Api, in_cluster
from application_sdk.wire.pod import REFUSED_CALLS


def test_an_object_is_read_from_its_namespace(api: Api, server: WireServer) -> None:
    server.script = [answer(200, {"kind": "AppRun"})]
    assert api.get("appruns", "daily") == {"kind": "AppRun"}
    (request,) = server.requests
    assert (request.method, request.target) == ("GET", "/apis/apprun.dev/v1alpha1/namespaces/ns/appruns/daily")
    assert request.headers["host"] == f"127.0.0.1:{server.port}"


def test_a_body_in_chunks_is_put_together(api: Api, server: WireServer) -> None:
    server.script = [chunked(b'{"ki', b'nd": "Ap', b'pRun"}')]
    assert api.get("appruns", "daily") == {"kind": "AppRun"}


def test_an_answer_without_a_length_ends_with_its_connection(api: Api, server: WireServer) -> None:
    server.script = [raw(b'HTTP/1.1 200 OK\r\n\r\n{"kind": "AppRun"}')]
    assert api.get("appruns", "daily") == {"kind": "AppRun"}
    assert api.get("appruns", "daily") == {}


def test_a_connection_serves_many_requests(api: Api, server: WireServer) -> None:
    for _ in range(3):
        api.get("appruns", "daily")
    assert server.connections == 1


def test_a_connection_that_the_server_closes_is_not_used_again(api: Api, server: WireServer) -> None:
    server.script = [answer(200, Connection="close"), answer(200)]
    api.get("appruns", "daily")
    api.get("appruns", "daily")
    assert server.connections == 2


def test_a_kept_connection_that_died_is_replaced_without_a_word(api: Api, server: WireServer) -> None:
    server.script = [answer(200), drop, answer(200, {"kind": "AppRun"})]
    api.get("appruns", "daily")
    assert api.get("appruns", "daily") == {"kind": "AppRun"}


def test_a_fresh_connection_that_dies_is_unreachable(api: Api, server: WireServer) -> None:
    server.script = [drop]
    with pytest.raises(errors.Unreachable, match=r"GET .*daily"):
        api.get("appruns", "daily")


@pytest.mark.parametrize(
    "content",
    [
        b"HTTP/1.1 200 OK\r\nContent-Length: 40\r\n\r\n{",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nff\r\n{",
        b"HTTP/1.1 200 OK\r\nContent-",
        b"SSH-2.0-OpenSSH_9.2\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 300,
    ],
    ids=["short body", "short chunk", "short headers", "not HTTP", "wrong chunk size", "endless headers"],
)
def test_a_broken_answer_is_unreachable(api: Api, server: WireServer, content: bytes) -> None:
    server.script = [raw(content)]
    with pytest.raises(errors.Unreachable):
        api.get("appruns", "daily")


def test_a_server_that_is_not_there_is_unreachable(pod_directory: Path, server: WireServer) -> None:
    away = {"KUBERNETES_SERVICE_HOST": "127.0.0.1", "KUBERNETES_SERVICE_PORT": "1"}
    with pytest.raises(errors.Unreachable, match=r"can't connect to the API server at 127\.0\.0\.1:1"):
        in_cluster(away, pod_directory, "ns").get("appruns", "daily")


def test_a_server_with_another_certificate_is_not_talked_to(
    environ: dict[str, str], pod_directory: Path, server: WireServer
) -> None:
    environ["KUBERNETES_SERVICE_HOST"] = "localhost"
    with pytest.raises(errors.Unreachable, match="localhost"):
        in_cluster(environ, pod_directory, "ns").get("appruns", "daily")
    assert server.requests == []


def test_a_token_that_kubelet_replaced_is_used_at_once(api: Api, server: WireServer, pod_directory: Path) -> None:
    api.get("appruns", "daily")
    (pod_directory / "token").write_text("second-token")
    api.get("appruns", "daily")
    sent = [request.headers["authorization"] for request in server.requests]
    assert sent == ["Bearer first-token", "Bearer second-token"]


@pytest.mark.parametrize(
    ("status", "reason", "expected"),
    [
        (400, "BadRequest", errors.Invalid),
        (401, "Unauthorized", errors.Unauthorized),
        (403, "Forbidden", errors.Forbidden),
        (404, "NotFound", errors.NotFound),
        (404, "", errors.Busy),  # a proxy's: it says nothing about any object
        (409, "AlreadyExists", errors.AlreadyExists),
        (409, "Conflict", errors.Conflict),
        (410, "Expired", errors.Gone),
        (413, "RequestEntityTooLarge", errors.Invalid),
        (422, "Invalid", errors.Invalid),
        (429, "TooManyRequests", errors.Busy),
        (500, "InternalError", errors.Busy),
        (503, "ServiceUnavailable", errors.Busy),
        (418, "Teapot", errors.ApiError),
    ],
)
def test_a_refusal_is_raised_by_its_meaning(
    api: Api, server: WireServer, status: int, reason: str, expected: type[errors.ApiError]
) -> None:
    server.script = [refuse(status, reason, "because")]
    with pytest.raises(errors.ApiError) as caught:
        api.get("appruns", "daily")
    assert type(caught.value) is expected
    assert (caught.value.status, caught.value.reason, caught.value.message) == (status, reason, "because")


@pytest.mark.parametrize("status", [403, 422])
def test_a_policy_that_says_no_is_told_apart_from_missing_rights(api: Api, server: WireServer, status: int) -> None:
    server.script = [refuse(status, "Forbidden", "ValidatingAdmissionPolicy 'x' with binding 'x' denied request: no")]
    with pytest.raises(errors.Refused):
        api.get("appruns", "daily")


@pytest.mark.parametrize("words", REFUSED_CALLS)
def test_a_call_that_no_driver_may_make_is_invalid(api: Api, server: WireServer, words: str) -> None:
    text = f"ValidatingAdmissionPolicy 'x' with binding 'x' denied request: {words}: custom"
    server.script = [refuse(403, "Forbidden", text)]
    with pytest.raises(errors.Invalid, match="custom"):
        api.create("apptasks", {})


def test_a_busy_server_says_when_to_come_back(api: Api, server: WireServer) -> None:
    server.script = [refuse(429, "TooManyRequests", "slow down", Retry_After="7")]
    with pytest.raises(errors.Busy) as caught:
        api.get("appruns", "daily")
    assert caught.value.retry_after == 7


def test_a_refusal_that_is_no_json_is_quoted(api: Api, server: WireServer) -> None:
    server.script = [raw(b"HTTP/1.1 502 Bad Gateway\r\nContent-Length: 9\r\n\r\n<p>no</p>")]
    with pytest.raises(errors.Busy, match="<p>no</p>"):
        api.get("appruns", "daily")


def test_a_huge_refusal_is_cut_in_the_message(api: Api, server: WireServer) -> None:
    server.script = [refuse(400, "BadRequest", "x" * 100_000)]
    with pytest.raises(errors.Invalid) as caught:
        api.get("appruns", "daily")
    assert len(str(caught.value)) < 3_000


def test_status_fields_are_set_by_a_patch_that_keeps_nulls(api: Api, server: WireServer) -> None:
    api.set_status("apptasks", "t", {"output": {"a": None}, "error": None})
    (request,) = server.requests
    assert (request.method, request.target) == ("PATCH", "/apis/apprun.dev/v1alpha1/namespaces/ns/apptasks/t/status")
    assert request.headers["content-type"] == "application/json-patch+json"
    assert request.json == [
        {"op": "add", "path": "/status/output", "value": {"a": None}},
        {"op": "add", "path": "/status/error", "value": None},
        {"op": "remove", "path": "/status/error"},
    ]


def test_lists_are_read_by_pages(api: Api, server: WireServer) -> None:
    api.list_page("apptasks", "apprun.dev/run=daily", 500, "token=")
    assert server.requests[0].target.endswith("/apptasks?labelSelector=apprun.dev/run=daily&limit=500&continue=token=")


def test_a_watch_hands_on_events_until_the_server_ends_it(api: Api, server: WireServer) -> None:
    events = [{"type": "MODIFIED", "object": {"n": 1}}, {"type": "BOOKMARK", "object": {}}]
    server.script = [stream(events)]
    assert list(api.watch("appruns", "daily", "7", 60, 5.0)) == events
    target = server.requests[0].target
    assert "watch=1" in target
    assert "fieldSelector=metadata.name%3Ddaily" in target
    assert "resourceVersion=7" in target
    assert "allowWatchBookmarks=true" in target
    assert "timeoutSeconds=60" in target


def test_events_may_be_cut_anywhere(api: Api, server: WireServer) -> None:
    line = json.dumps({"type": "MODIFIED", "object": {"n": 1}}).encode() + b"\n"
    server.script = [chunked(line[:5], line[5:] + line[:3], line[3:])]
    assert len(list(api.watch("appruns", "daily", "7", 60, 5.0))) == 2


def test_a_watch_that_breaks_is_unreachable_after_its_events(api: Api, server: WireServer) -> None:
    server.script = [stream([{"type": "MODIFIED", "object": {"n": 1}}], broken=True)]
    watch = api.watch("appruns", "daily", "7", 60, 5.0)
    assert next(watch)["type"] == "MODIFIED"
    with pytest.raises(errors.Unreachable):
        next(watch)


def test_a_watch_from_a_version_that_is_too_old_is_gone(api: Api, server: WireServer) -> None:
    gone = {"type": "ERROR", "object": {"code": 410, "reason": "Expired", "message": "too old resource version"}}
    server.script = [stream([gone])]
    with pytest.raises(errors.Gone):
        list(api.watch("appruns", "daily", "7", 60, 5.0))


def test_a_watch_that_is_refused_raises_the_refusal(api: Api, server: WireServer) -> None:
    server.script = [refuse(503, "ServiceUnavailable", "starting")]
    with pytest.raises(errors.Busy):
        list(api.watch("appruns", "daily", "7", 60, 5.0))


def test_a_silent_watch_counts_as_broken(api: Api, server: WireServer) -> None:
    hold = threading.Event()
    server.script = [stream([], hold=hold)]
    with pytest.raises(errors.Unreachable, match="timed out"):
        list(api.watch("appruns", "daily", "7", 60, 0.05))
    hold.set()
