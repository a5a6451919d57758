"""kopf in its thread, at an API server that does what ends a kopf operator. Whatever that is, runs
go on being seen.

Everything is real but the API server; kopf logs in with a kubeconfig.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import itertools
import json
import queue
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import kopf
import pytest
import yaml
from tests.support.wire_server import (
    Handler,
    Request,
    Step,
    WireServer,
    answer,
    drop,
    make_certificate,
    refuse,
    wire_server,
)

from apprun_operator.kube.decode import decode, problem_of
from apprun_operator.observe import kopf_events
from apprun_operator.observe.kopf_events import EndlessBackoffs, KopfThread
from apprun_operator.observe.kopf_session import object_text

# A kopf that ends leaves tasks and connections behind for the garbage collector: that is why it has
# a loop of its own.
pytestmark = [
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
]

API = "/apis/apprun.dev/v1alpha1"
PATIENCE = 60.0
"""Seconds: a net against hanging, never reached."""
WATCH_ERROR = {"type": "ERROR", "object": {"kind": "Status", "code": 500, "reason": "InternalError", "message": "etcd"}}


def full_object(item: Any) -> dict[str, Any]:
    text = object_text(item)
    assert text is not None
    return decode(text.encode())


def a_run(name: str) -> dict[str, object]:
    return {
        "apiVersion": "apprun.dev/v1alpha1",
        "kind": "AppRun",
        "metadata": {"name": name, "namespace": "default", "uid": name, "resourceVersion": "7"},
    }


class KubeApi:
    """As much of an API server as kopf asks for.

    `lists` and `watches` of AppRuns go wrong as told, one step a request; afterwards each list has
    the run `late`.
    """

    def __init__(self) -> None:
        self.lists: list[Step] = []
        self.watches: list[Step] = []
        self.over = threading.Event()

    def __call__(self, handler: Handler, request: Request) -> None:
        url = urlsplit(request.target)
        self.step(url.path, parse_qs(url.query))(handler, request)

    def step(self, path: str, query: dict[str, list[str]]) -> Step:
        if path == "/apis":
            version = {"groupVersion": "apprun.dev/v1alpha1", "version": "v1alpha1"}
            group = {"name": "apprun.dev", "versions": [version], "preferredVersion": version}
            return answer(body={"groups": [group]})
        if path == "/api":
            return answer(body={"versions": ["v1"]})
        if path == "/api/v1":
            # kopf waits until it knows these, although it never asks for one.
            spaces = {"name": "namespaces", "singularName": "namespace", "kind": "Namespace", "namespaced": False}
            return answer(body={"resources": [spaces]})
        if path == API:
            verbs = ["list", "watch", "patch", "get"]
            kinds = [("apps", "App"), ("appruns", "AppRun")]
            found = [
                {"name": n, "singularName": k.lower(), "kind": k, "namespaced": True, "verbs": verbs} for n, k in kinds
            ]
            return answer(body={"resources": found})
        if path.startswith(API):
            return self.watched(path) if "watch" in query else self.listed(path)
        return answer()

    def listed(self, path: str) -> Step:
        if not path.endswith("/appruns"):
            return answer(body={"metadata": {"resourceVersion": "5"}, "items": []})
        if self.lists:
            return self.lists.pop(0)
        return answer(body={"metadata": {"resourceVersion": "9"}, "items": [a_run("late")]})

    def watched(self, path: str) -> Step:
        if path.endswith("/appruns") and self.watches:
            return self.watches.pop(0)
        return self.silent

    def silent(self, handler: Handler, request: Request) -> None:
        """A watch without events."""
        handler.begin_chunks()
        self.over.wait(PATIENCE)
        handler.chunk(b"")


def deep_run(name: str) -> str:
    """One that no recursive decoder can read."""
    nested = '{"a":' * 1500 + "1" + "}" * 1500
    return f'{json.dumps(a_run(name))[:-1]},"spec":{{"input":{nested}}}}}'


def text_of_list(*runs: str) -> Step:
    text = f'{{"metadata":{{"resourceVersion":"5"}},"items":[{",".join(runs)}]}}'

    def step(handler: Handler, request: Request) -> None:
        handler.plain(200, text.encode(), {"Content_Type": "application/json"})

    return step


def watch_of_text(*lines: str) -> Step:
    def step(handler: Handler, request: Request) -> None:
        handler.begin_chunks()
        for line in lines:
            handler.chunk(line.encode() + b"\n")
        handler.chunk(b"")

    return step


def first_list(*names: str, more: str = "") -> Step:
    metadata = {"resourceVersion": "5", **({"continue": more} if more else {})}
    return answer(body={"metadata": metadata, "items": [a_run(name) for name in names]})


def watch_that_says(*events: dict[str, object]) -> Step:
    def step(handler: Handler, request: Request) -> None:
        handler.begin_chunks()
        for event in events:
            handler.chunk(json.dumps(event).encode() + b"\n")
        handler.chunk(b"")

    return step


EXPIRED = watch_that_says(
    {"type": "ERROR", "object": {"kind": "Status", "code": 410, "reason": "Expired", "message": "too old"}}
)


class Seen:
    """What the handlers handed on."""

    def __init__(self) -> None:
        self.names: queue.Queue[str] = queue.Queue()
        self.objects: dict[str, dict[str, Any]] = {}

    def __call__(self, kind: str, event: str, raw: object) -> None:
        assert isinstance(raw, dict)
        if kind == "appruns":
            self.objects[raw["metadata"]["name"]] = raw
            self.names.put(raw["metadata"]["name"])

    def wait_for(self, name: str) -> None:
        while self.names.get(timeout=PATIENCE) != name:
            pass


@pytest.fixture(autouse=True)
def collected() -> Iterator[None]:
    """What a kopf that ended leaves behind goes here, not in the middle of another test that has no
    part in it."""
    yield
    gc.collect()


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    return make_certificate(tmp_path_factory.mktemp("tls"))


@pytest.fixture
def wire(certificate: tuple[Path, Path]) -> Iterator[WireServer]:
    with wire_server(*certificate) as made:
        yield made


@pytest.fixture
def api(wire: WireServer) -> Iterator[KubeApi]:
    made = KubeApi()
    wire.always = made
    yield made
    made.over.set()


@pytest.fixture
def kubeconfig(
    wire: WireServer, certificate: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Path:
    path = tmp_path / "kubeconfig"
    cluster = {"server": f"https://127.0.0.1:{wire.port}", "certificate-authority": str(certificate[0])}
    path.write_text(
        yaml.safe_dump(
            {
                "current-context": "c",
                "contexts": [{"name": "c", "context": {"cluster": "c", "user": "u"}}],
                "clusters": [{"name": "c", "cluster": cluster}],
                "users": [{"name": "u", "user": {"token": "old"}}],
            }
        )
    )
    monkeypatch.setenv("KUBECONFIG", str(path))
    monkeypatch.setattr(kopf_events, "RESTART_FIRST", 0.1)
    return path


@pytest.fixture
def seen(api: KubeApi, kubeconfig: Path) -> Iterator[Seen]:
    """kopf at work. Break things before the first use of it."""
    found = Seen()
    thread = KopfThread(found, ())
    thread.start()
    yield found
    assert thread.alive
    api.over.set()
    thread.stop(PATIENCE)
    assert not thread.alive


@pytest.fixture
def fault(request: pytest.FixtureRequest, api: KubeApi) -> None:
    request.param(api)


def watch_error(api: KubeApi) -> None:
    api.lists = [first_list("early")]
    api.watches = [watch_that_says(WATCH_ERROR)]


def expired_watch(api: KubeApi) -> None:
    api.lists = [first_list("early")]
    api.watches = [EXPIRED]


def torn_watch(api: KubeApi) -> None:
    api.lists = [first_list("early")]
    api.watches = [drop, EXPIRED]


def expired_page(api: KubeApi) -> None:
    api.lists = [first_list("early", more="token"), refuse(410, "Expired", "the continue token is too old")]


def forbidden_list(api: KubeApi) -> None:
    api.lists = [refuse(403, "Forbidden", "no")] * 2


def failing_list(api: KubeApi) -> None:
    api.lists = [refuse(503, "ServiceUnavailable", "starting"), refuse(500, "InternalError", "etcd")]


def throttled_list(api: KubeApi) -> None:
    api.lists = [refuse(429, "TooManyRequests", "later", Retry_After="1")]


def unauthorized(api: KubeApi) -> None:
    """The next login finds the token that was refused: kopf ends for lack of another."""
    api.lists = [refuse(401, "Unauthorized", "no")]


ENDS_KOPF = [watch_error, expired_page, unauthorized]
BORNE = [expired_watch, torn_watch, forbidden_list, failing_list, throttled_list]


@pytest.mark.slow
@pytest.mark.parametrize("fault", [*ENDS_KOPF, *BORNE], indirect=True, ids=lambda fault: fault.__name__)
@pytest.mark.usefixtures("fault")
def test_runs_are_seen_after(seen: Seen) -> None:
    seen.wait_for("late")


def test_a_rotated_token_is_taken_up(api: KubeApi, kubeconfig: Path, wire: WireServer) -> None:
    def rotate(handler: Handler, request: Request) -> None:
        kubeconfig.write_text(kubeconfig.read_text().replace("old", "new"))
        wire.always = unless_old
        EXPIRED(handler, request)

    def unless_old(handler: Handler, request: Request) -> None:
        old = request.headers["authorization"] == "Bearer old"
        (refuse(401, "Unauthorized", "expired") if old else api)(handler, request)

    api.lists = [first_list("early")]
    api.watches = [rotate]
    found = Seen()
    thread = KopfThread(found, ())
    thread.start()
    found.wait_for("late")
    assert wire.requests[-1].headers["authorization"] == "Bearer new"
    api.over.set()
    thread.stop(PATIENCE)


@pytest.mark.slow
def test_kopf_that_loses_a_cancellation_is_ended_all_the_same(
    api: KubeApi, kubeconfig: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Seen now and then of a watch whose session another watch had closed: cancelled once, it
    waited on for ever."""
    made = kopf_events.registry
    clinging: list[asyncio.Task[None]] = []

    async def cling() -> None:
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.sleep(PATIENCE)
        await asyncio.sleep(PATIENCE)

    async def begin(**_: object) -> None:
        clinging.append(asyncio.create_task(cling()))

    def registry_that_clings(feed: kopf_events.Feed) -> kopf.OperatorRegistry:
        found = made(feed)
        if not clinging:
            kopf.on.startup(registry=found)(begin)
        return found

    monkeypatch.setattr(kopf_events, "registry", registry_that_clings)
    monkeypatch.setattr(kopf_events, "END_SECONDS", 6.0)
    watch_error(api)
    found = Seen()
    thread = KopfThread(found, ())
    thread.start()
    found.wait_for("late")
    api.over.set()
    thread.stop(PATIENCE)
    assert not thread.alive
    assert clinging[0].cancelled()


def test_a_deep_run_of_a_list_hides_no_other(api: KubeApi, seen: Seen) -> None:
    api.lists = [text_of_list(deep_run("deep"), json.dumps(a_run("good")))]
    seen.wait_for("deep")
    seen.wait_for("good")
    assert object_text(seen.objects["good"]) is None, "our informer is the one that reads it"


def test_events_bring_objects_that_kopf_never_decodes(api: KubeApi, seen: Seen) -> None:
    whole = {**a_run("good"), "spec": {"input": {"text": "ä}"}}}
    deep = f'{{"type":"MODIFIED","object":{deep_run("deep")}}}'
    api.lists = [first_list()]
    api.watches = [watch_of_text(deep, json.dumps({"type": "ADDED", "object": whole}))]
    seen.wait_for("good")
    assert full_object(seen.objects["good"]) == whole
    found = full_object(seen.objects["deep"])
    assert found is not None
    assert problem_of(found).startswith("spec.input is nested")


def test_the_backoffs_of_kopf_never_end_and_stay_short() -> None:
    delays = list(itertools.islice(EndlessBackoffs(), 10_000))
    assert len(delays) == 10_000
    assert max(delays) <= 5


def test_kopf_leaves_no_traces_on_objects() -> None:
    """No finalizer, no status, no annotation, no Event: the API server would see a write."""
    made = kopf_events.registry(lambda kind, event, raw: None)
    assert not made._changing.get_all_handlers()
    assert not made._spawning.get_all_handlers()
    assert kopf_events.settings().posting.enabled is False
