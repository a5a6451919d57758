"""Whose requests a server on a cluster takes, and what asking about them costs the API server."""

from __future__ import annotations

import json
import time
from base64 import urlsafe_b64encode
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from tests.support.wire_server import Handler, Request, WireServer, answer, make_certificate, wire_server

from application_sdk.engines.kubernetes.api import in_cluster
from application_sdk.server.cluster_access import ClusterAccess
from application_sdk.server.errors import Problem

AUDIENCE = "apprun.dev/ns/shop"
NOW = time.time()


def token(seal: str = "seal", **claims: Any) -> str:
    """A token as the API server would sign it, but for the signature."""
    claims = {"iss": "https://kubernetes", "aud": [AUDIENCE], "exp": NOW + 3600, **claims}
    return f"eyJhbGciOiJSUzI1NiJ9.{part({key: value for key, value in claims.items() if value is not None})}.{seal}"


def part(claims: object) -> str:
    return urlsafe_b64encode(json.dumps(claims).encode()).decode().rstrip("=")


def judge(handler: Handler, request: Request) -> None:
    """An API server that knows the signature `seal`, and lets everybody do everything."""
    spec = request.json["spec"]
    if "token" not in spec:
        status: dict[str, Any] = {"allowed": True}
    elif spec["token"].endswith(".seal"):
        status = {"authenticated": True, "audiences": spec["audiences"], "user": {"username": "friend"}}
    else:
        status = {"error": "invalid bearer token"}
    answer(201, {"status": status})(handler, request)


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    return make_certificate(tmp_path_factory.mktemp("tls"))


@pytest.fixture
def server(certificate: tuple[Path, Path]) -> Iterator[WireServer]:
    with wire_server(*certificate) as wire:
        wire.script = [judge] * 1000
        yield wire


@pytest.fixture
def access(server: WireServer, certificate: tuple[Path, Path], tmp_path: Path) -> Iterator[ClusterAccess]:
    (tmp_path / "ca.crt").write_bytes(certificate[0].read_bytes())
    (tmp_path / "token").write_text("own")
    environ = {"KUBERNETES_SERVICE_HOST": "127.0.0.1", "KUBERNETES_SERVICE_PORT": str(server.port)}
    with closing(in_cluster(environ, tmp_path, "ns")) as api:
        yield ClusterAccess(api, "ns", "shop")


def refused(access: ClusterAccess, given: str) -> Problem:
    with pytest.raises(Problem) as caught:
        access.check(f"Bearer {given}", "start")
    return caught.value


def test_a_token_for_this_app_is_taken(access: ClusterAccess, server: WireServer) -> None:
    assert access.recall(f"Bearer {token()}", "start") is None
    assert access.check(f"Bearer {token()}", "start").name == "friend"
    review, _ = server.requests
    assert review.json["spec"]["audiences"] == [AUDIENCE]


@pytest.mark.parametrize(
    ("audiences", "words"),
    [
        (["apprun.dev/ns/other"], "the token is for apprun.dev/ns/other, not for this app"),
        (["apprun.dev/elsewhere/shop"], "not for this app"),
        ("apprun.dev/elsewhere/shop", "not for this app"),
        (["https://kubernetes.default.svc"], "not for this app"),
        (["apprun.dev"], "tokens for the audience apprun.dev aren't taken any more"),
        ([AUDIENCE, "https://kubernetes.default.svc"], "good for others than this app too"),
        ([], "the token is for nobody"),
        (3, "the token is for nobody"),
    ],
)
def test_a_token_for_others_is_refused(
    access: ClusterAccess, server: WireServer, audiences: object, words: str
) -> None:
    problem = refused(access, token(aud=audiences))
    assert (problem.code, words in problem.message) == ("Unauthenticated", True), problem.message
    assert f"kubectl create token NAME -n ns --audience={AUDIENCE}" in problem.message
    assert server.requests == []


@pytest.mark.parametrize(
    "given",
    [
        "garbage", "a.b.c", "eyJh.nonsense.x", f"a.{part([1])}.b", f"a.{part('text')}.b", "a" * 100_000, "a.b", "ä.ö.ü",
        token(exp=NOW - 3600), token(exp=None), token(exp="soon"), token(iss=None), token(seal="x" * 10_000),
        "eyJh." + urlsafe_b64encode(b"[" * 6_000).decode().rstrip("=") + ".x",
    ],
    ids=range(14),
)  # fmt: skip
def test_garbage_costs_the_api_server_nothing(access: ClusterAccess, server: WireServer, given: str) -> None:
    assert refused(access, given).code == "Unauthenticated"
    assert server.requests == []


def test_a_token_for_the_old_audience_as_well_is_taken(access: ClusterAccess) -> None:
    assert access.check(f"Bearer {token(aud=['apprun.dev', AUDIENCE])}", "start").name == "friend"


def test_a_forged_token_is_reviewed_once(access: ClusterAccess, server: WireServer) -> None:
    for _ in range(20):
        assert "invalid bearer token" in refused(access, token("forged")).message
    assert len(server.requests) == 1


def test_a_good_token_is_reviewed_once_for_each_question(access: ClusterAccess, server: WireServer) -> None:
    for _ in range(5):
        access.check(f"Bearer {token()}", "start")
    assert access.recall(f"Bearer {token()}", "start") is not None
    assert len(server.requests) == 2


def test_refusals_are_remembered_for_a_while(
    access: ClusterAccess, server: WireServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    refused(access, token("forged"))
    later = time.monotonic() + 11
    monkeypatch.setattr(time, "monotonic", lambda: later)
    refused(access, token("forged"))
    assert len(server.requests) == 2


def test_what_is_remembered_is_bounded(access: ClusterAccess) -> None:
    for number in range(3000):
        refused(access, f"garbage-{number}")
    assert len(access._refused._held) == 1000


def test_garbage_does_not_push_good_callers_out(access: ClusterAccess, server: WireServer) -> None:
    access.check(f"Bearer {token()}", "start")
    for number in range(3000):
        refused(access, f"garbage-{number}")
    assert access.recall(f"Bearer {token()}", "start") is not None
    assert len(server.requests) == 2


def test_a_reviewer_that_ignores_audiences_is_not_believed(access: ClusterAccess, server: WireServer) -> None:
    server.script = [answer(201, {"status": {"authenticated": True, "user": {"username": "friend"}}})]
    assert refused(access, token()).code == "Unauthenticated"
