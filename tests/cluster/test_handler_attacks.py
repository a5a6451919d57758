"""What was tried on a handler's port: raw requests out of a pod beside it, none of which may pass.

All of them are sent by one process, so that hundreds cost no more than one. Afterwards the handler is ready, and was
never restarted.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

import pytest
from tests.cluster.test_handlers import until_ready
from tests.support.bed import Bed
from tests.support.caller import Caller, calling_pod
from tests.support.kube import Kube
from tests.support.runs import Runs

pytestmark = pytest.mark.cluster

SEND = """
import json, socket, sys
address, requests = json.load(sys.stdin)
answers = []
for request in requests:
    head, times, tail = request
    data = (head + times * tail[0] + tail[1]).encode("latin-1") if tail else head.encode("latin-1")
    found = b""
    try:
        with socket.create_connection((address, 80), timeout=10) as connection:
            connection.settimeout(10)
            try:
                connection.sendall(data)
            except OSError:
                pass
            while b"\\r\\n\\r\\n" not in found:
                more = connection.recv(65536)
                if not more:
                    break
                found += more
    except OSError as error:
        found = found or b"closed " + type(error).__name__.encode()
    answers.append(found[:2000].decode("latin-1"))
print(json.dumps(answers))
"""
REFUSALS = frozenset(
    {"400", "401", "403", "404", "405", "411", "413", "414", "415", "422", "431", "501", "505", "closed"}
)
POSTS = ("auth", "check", "metadata", "start", "stop/r")
GETS = ("status/r", "status/r/r", "result/r", "result/r?wait=true", "manifest")


@dataclass(frozen=True)
class Attempt:
    """A request as it goes over the line: `head`, then `filling` so many times, then `tail`."""

    name: str
    head: str
    times: int = 0
    filling: str = ""
    tail: str = ""
    allowed: frozenset[str] = REFUSALS


def request(line: str, *headers: str, body: str | None = None) -> str:
    length = [] if body is None else [f"Content-Length: {len(body)}", "Content-Type: application/json"]
    return "\r\n".join([f"{line} HTTP/1.1", "Host: x", "Connection: close", *length, *headers, "", body or ""])


def asked(*headers: str) -> list[str]:
    """Each endpoint that wants to know who asks, with these headers."""
    return [request(f"POST /workflows/v1/{path}", *headers, body="{}") for path in POSTS] + [
        request(f"GET /workflows/v1/{path}", *headers) for path in GETS
    ]


def attempts(stranger: str, foreign: str) -> list[Attempt]:
    """`stranger` is the token of an account that may do nothing here, `foreign` one that is meant for somebody else."""
    credentials = {
        "no token": (),
        "a token that is none": ("Authorization: Bearer eyJh.nonsense.x",),
        "an empty token": ("Authorization: Bearer ",),
        "a password": ("Authorization: Basic YWRtaW46YWRtaW4=",),
        "no scheme": (f"Authorization: {stranger}",),
        "another audience": (f"Authorization: Bearer {foreign}",),
        "a stranger": (f"Authorization: Bearer {stranger}",),
        "a proxy's user": ("X-Remote-User: system:admin", "X-Remote-Group: system:masters", "X-Forwarded-User: root"),
        "an impersonation": (f"Authorization: Bearer {stranger}", "Impersonate-User: system:admin"),
        "two tokens": ("Authorization: Bearer x", f"Authorization: Bearer {stranger}"),
    }
    found = [
        Attempt(f"{who}: {line.partition(' HTTP')[0]}", line, allowed=frozenset({"401", "403"}))
        for who, headers in credentials.items()
        for line in asked(*headers)
    ]
    paths = [
        "/workflows/v1/../../etc/passwd",
        "/..%2f..%2fvar/run/secrets/kubernetes.io/serviceaccount/token",
        "/workflows/v1/status/..%2F..%2Fsecrets",
        "/workflows/v1/status/%00",
        "/workflows/v1/status/a%0d%0aX-Evil:%201",
        "/workflows/v1/result/r%3Fwait=true",
        "/workflows/v1/status/" + 300 * "a",
        "//workflows/v1/manifest",
        "/WORKFLOWS/V1/MANIFEST",
        "/workflows/v1/manifest/",
        "/workflows/v1/",
        "/workflows/v2/start",
        "/metrics/../workflows/v1/manifest",
        "/debug",
        "/.env",
        "/static/../app.py",
        "http://169.254.169.254/latest/meta-data/",
        "*",
    ]
    redirected = REFUSALS | {"307"}
    found += [Attempt(f"path {path[:60]}", request(f"GET {path}"), allowed=redirected) for path in paths]
    methods = ("PUT", "DELETE", "PATCH", "TRACE", "CONNECT", "OPTIONS", "PROPFIND", "GET", "start")
    found += [Attempt(f"method {m}", request(f"{m} /workflows/v1/start")) for m in methods]
    bodies = ["", "{", "[]", "null", '"x"', "NaN", "\x00", '{"a":1}{"b":2}', "<xml/>", "a=b"]
    found += [Attempt(f"body {b!r}", request("POST /workflows/v1/start", body=b)) for b in bodies]
    post = "POST /workflows/v1/start HTTP/1.1\r\nHost: x\r\nConnection: close\r\n"
    found += [
        Attempt("a header of a megabyte", f"{post}X: ", 1 << 20, "a", "\r\n\r\n"),
        Attempt("a token of a megabyte", f"{post}Authorization: Bearer ", 1 << 20, "a", "\r\n\r\n"),
        Attempt("ten thousand headers", post, 10_000, "X-A: b\r\n", "\r\n"),
        Attempt("a path of a megabyte", "GET /", 1 << 20, "a", " HTTP/1.1\r\nHost: x\r\n\r\n"),
        Attempt(
            "a query of a megabyte", "GET /workflows/v1/manifest?", 1 << 18, "a=b&", " HTTP/1.1\r\nHost: x\r\n\r\n"
        ),
        Attempt("a body of ten megabytes", f"{post}Content-Length: 10485760\r\n\r\n", 10_485_760, "a"),
        Attempt("JSON a hundred thousand deep", f"{post}Content-Length: 100000\r\n\r\n", 100_000, "["),
        Attempt("two lengths", f"{post}Content-Length: 2\r\nContent-Length: 40\r\n\r\n{{}}"),
        Attempt("a negative length", f"{post}Content-Length: -1\r\n\r\n"),
        Attempt("a length that is none", f"{post}Content-Length: two\r\n\r\n{{}}"),
        Attempt("length and chunks", f"{post}Content-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
        Attempt("a chunk that is none", f"{post}Transfer-Encoding: chunked\r\n\r\nzz\r\n"),
        Attempt("a line without end", "GET /workflows/v1/manifest\r\n\r\n"),
        Attempt("another protocol", "\x16\x03\x01\x00\xa5\x01\x00\x00\xa1\x03\x03"),
        Attempt("HTTP/2 at once", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"),
        Attempt("a folded header", f"{post}X: a\r\n b\r\n\r\n"),
        Attempt("a header without a name", f"{post}: a\r\n\r\n"),
    ]
    return found


@pytest.fixture
def caller(bed: Bed, runs: Runs, kube: Kube) -> Caller:
    kube.create(f"{runs.core}/secrets", {"metadata": {"name": "login"}, "stringData": {"password": "open sesame"}})
    runs.upload("served")
    runs.app("served", "app:Served", secrets=[{"name": "login"}], handler={})
    until_ready(kube, runs, "HandlerReady")
    return calling_pod(bed, runs, "served")


def send(caller: Caller, chosen: list[Attempt]) -> list[str]:
    """The answers, each from its beginning, in the order of the attempts."""
    requests: list[Any] = [[each.head, each.times, [each.filling, each.tail]] for each in chosen]
    where = ("exec", "-i", "-n", caller.runs.namespace, "caller", "--", "python3", "-c", SEND)
    told = caller.bed.run(caller.bed.kubectl, *where, stdin=json.dumps([caller.address, requests]))
    found: list[str] = json.loads(told.stdout)
    return found


def code(answer: str) -> str:
    first = answer.partition("\r\n")[0].split(" ")
    return first[1] if first[0].startswith("HTTP/") and len(first) > 1 else "closed"


def test_no_attempt_on_a_handler_passes(caller: Caller, runs: Runs, kube: Kube) -> None:
    chosen = attempts(caller.token("stranger"), caller.token("friend", audience="somebody-else"))
    assert len(chosen) >= 150
    answers = send(caller, chosen)
    passed = [
        f"{a.name}: {answer[:200]!r}"
        for a, answer in zip(chosen, answers, strict=True)
        if code(answer) not in a.allowed
    ]
    assert not passed, "\n".join(passed)
    assert not any("open sesame" in answer or "Traceback" in answer for answer in answers)
    assert caller.is_ready()
    assert kube.items(f"{runs.api}/appruns") == []
    handlers = [p for p in kube.items(f"{runs.core}/pods") if p["metadata"]["name"].startswith("served-handler")]
    assert {status["restartCount"] for pod in handlers for status in pod["status"]["containerStatuses"]} == {0}
