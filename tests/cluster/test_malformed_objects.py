"""Thousands of odd objects at a live operator: whatever the schemas admit, it stands, and others don't notice.

What nobody but the operator may write, a person with every right writes in its name: that stands for objects of other
versions and for repairs by hand.
"""

from __future__ import annotations

import uuid
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from copy import deepcopy
from dataclasses import dataclass, field
from typing import Any

import pytest
from tests.cluster.admission_world import operator_account
from tests.cluster.apiserver import Answer, Client
from tests.support import malformed
from tests.support.bed import SYSTEM_NAMESPACE, Bed
from tests.support.kube import Object, eventually
from tests.support.replicas import Replicas
from tests.support.runs import Runs

pytestmark = pytest.mark.exclusive

API = "/apis/apprun.dev/v1alpha1"
SEED = 20_260_101
COUNTS = {"apps": 300, "appruns": 1000, "apptasks": 1000, "appledgers": 100}
DRAWN = {"apps": 150, "appruns": 250, "apptasks": 250, "appledgers": 50}
"""Drawing takes longer than pouring: so many specs are put together with so many statuses, and one more."""
PODS = "10"
"""What the odd runs may have: enough for some to start, too few to crowd out the good ones."""
TERMINAL = ("Succeeded", "Failed", "Cancelled")


@dataclass
class Flood:
    """One namespace full of odd things."""

    admin: Client
    operator: Client
    namespace: str
    answers: Counter[tuple[str, int]] = field(default_factory=Counter)
    refusals: dict[str, str] = field(default_factory=dict)
    """The newest of each kind, to say why when there are too many."""

    def path(self, *parts: str) -> str:
        return "/".join((f"{API}/namespaces/{self.namespace}", *parts))

    def create(self, plural: str, body: Object) -> Object | None:
        """The object, unless the API server refuses it."""
        kind = {"apps": "App", "appruns": "AppRun", "apptasks": "AppTask", "appledgers": "AppLedger"}[plural]
        whole = {"apiVersion": "apprun.dev/v1alpha1", "kind": kind, **body}
        answer = self.operator.create(self.path(plural), whole)
        return answer.body if self.count(plural, answer) else None

    def spoil(self, plural: str, name: str, status: Object) -> None:
        """Write a status, in the name of the operator."""
        self.count(f"{plural}/status", self.operator.patch(self.path(plural, name, "status"), {"status": status}))

    def count(self, what: str, answer: Answer) -> bool:
        assert answer.code < 500, f"{what}: {answer.code} {answer.message}"
        self.answers[what, answer.code // 100] += 1
        if not answer.allowed:
            self.refusals[what] = answer.message
        return answer.allowed

    def accepted(self, what: str) -> int:
        return self.answers[what, 2]


@pytest.fixture
def flood(bed: Bed) -> Iterator[Flood]:
    admin = Client.from_kubeconfig(bed.kubeconfig)
    account = ":".join(("system:serviceaccount", *operator_account(admin)))
    made = Flood(admin, admin.impersonating(account, "system:masters"), f"odd-{uuid.uuid4().hex[:8]}")
    admin.create("/api/v1/namespaces", {"metadata": {"name": made.namespace}})
    quota = {"metadata": {"name": "few"}, "spec": {"hard": {"pods": PODS}}}
    admin.create(f"/api/v1/namespaces/{made.namespace}/resourcequotas", quota)
    yield made
    admin.delete(f"/api/v1/namespaces/{made.namespace}")


def drawn(plural: str, part: str, count: int) -> list[Any]:
    return malformed.drawn(malformed.values(malformed.schema(plural, part)), count, SEED)


def one_app(spec: Object, number: int) -> Object:
    """With exactly one of app and appRef, as the schema says in CEL."""
    if "app" in spec and "appRef" in spec:
        spec.pop("app" if number % 2 else "appRef")
    elif "app" not in spec:
        # Half of them name an odd App, the others nothing that there is.
        spec["appRef"] = {"name": f"odd-{number}"} if number % 2 else spec.get("appRef", {"name": "nowhere"})
    return spec


ENDED = {"startedAt": "2026-07-01T10:00:00Z", "finishedAt": "2026-07-01T10:00:01Z"}


def one_call(spec: Object, run: str, number: int) -> Object:
    """With a key and an outcome that fit its role, as the schema says in CEL."""
    key = "driver" if spec["role"] == "driver" else f"{number:032x}"[::-1]
    outcome = spec.pop("outcome", {"phase": "Succeeded", "attempt": 1, **ENDED})
    if spec["role"] == "local":
        error = outcome.pop("error", {"type": "ValueError"})
        spec["outcome"] = outcome if outcome["phase"] == "Succeeded" else outcome | {"error": error}
    return spec | {"run": run, "key": key, "seconds": spec.get("seconds", 1)}


def pour(flood: Flood) -> None:
    """All of them, from several sides at once, each half with a status that somebody wrote by hand."""
    runs: list[Object] = []

    def app(number: int, spec: Object) -> None:
        flood.create("apps", {"metadata": {"name": f"odd-{number}"}, "spec": spec})

    def run(number: int, spec: Object, status: Object) -> None:
        made = flood.create("appruns", {"metadata": {"name": f"odd-{number}"}, "spec": one_app(spec, number)})
        if made is not None:
            runs.append(made)
            if number % 2:
                flood.spoil("appruns", f"odd-{number}", status)

    def owner(number: int) -> Object:
        of = runs[number % len(runs)]["metadata"]
        reference = {"apiVersion": "apprun.dev/v1alpha1", "kind": "AppRun", "name": of["name"], "uid": of["uid"]}
        return {"ownerReferences": [reference], "labels": {"apprun.dev/run": of["name"]}}

    def task(number: int, spec: Object, status: Object) -> None:
        owned = owner(number)
        spec = one_call(spec, owned["labels"]["apprun.dev/run"], number)
        name = f"{spec['run']}-{spec['key'][:16]}"
        if flood.create("apptasks", {"metadata": {"name": name, **owned}, "spec": spec}) is not None and number % 2:
            flood.spoil("apptasks", name, status)

    def page(number: int, spec: Object) -> None:
        owned = owner(number)
        spec["run"], spec["number"] = owned["labels"]["apprun.dev/run"], number % 3
        for place, entry in enumerate(spec["checkpoints"]):
            spec["checkpoints"][place] = {**entry, "sequence": spec["number"] * 128 + place}
        flood.create("appledgers", {"metadata": {"name": f"{spec['run']}-{spec['number']}", **owned}, "spec": spec})

    with ThreadPoolExecutor(4) as threads:
        for pouring, plural, parts in (
            (app, "apps", ["spec"]),
            (run, "appruns", ["spec", "status"]),
            (task, "apptasks", ["spec", "status"]),
            (page, "appledgers", ["spec"]),
        ):
            columns = [drawn(plural, part, DRAWN[plural] + place) for place, part in enumerate(parts)]
            rows = ([deepcopy(column[n % len(column)]) for column in columns] for n in range(COUNTS[plural]))
            done = [threads.submit(pouring, n, *row) for n, row in enumerate(rows)]
            for each in done:
                each.result()


def complaints(bed: Bed, since: str) -> list[str]:
    """What the operator's replicas call unexpected: each is a bug, though a survived one."""
    logs = bed.run(
        *(bed.kubectl, "-n", SYSTEM_NAMESPACE, "logs", "--selector=app.kubernetes.io/component=operator"),
        *("--tail=-1", f"--since-time={since}"),
    )
    return [line for line in logs.stdout.splitlines() if "unexpected" in line]


def test_malformed_objects_harm_nobody(bed: Bed, runs: Runs, flood: Flood) -> None:
    replicas = Replicas(bed)
    before, since = {(one.name, one.restarts) for one in replicas.all()}, now(flood)
    runs.start("before", "probe", {"before": 2, "width": 4, "after": 2, "seconds": 5})
    pour(flood)
    for what, least in (("apps", 150), ("appruns", 440), ("apptasks", 320), ("appledgers", 10)):
        assert flood.accepted(what) >= least, (flood.answers, flood.refusals)
    runs.start("amid", "probe", {"before": 2, "width": 4, "after": 2})
    for run in ("before", "amid"):
        assert runs.until_phase(run, "Succeeded", "Failed", seconds=180)["phase"] == "Succeeded"
    ledgers = [runs.checkpoints(run) for run in ("before", "amid")]
    assert runs.witnesses() == Counter(entry["key"] for ledger in ledgers for entry in ledger)

    def unmarked() -> list[str]:
        """Runs that nothing was said of."""
        found = flood.admin.get(flood.path("appruns")).body["items"]
        return [item["metadata"]["name"] for item in found if not said(item)]

    eventually("every odd run has a word said of it", lambda: not unmarked() or None, 180, every=2)
    assert complaints(bed, since) == []
    assert {(one.name, one.restarts) for one in replicas.all()} == before


def said(run: Object) -> bool:
    """Whether the run's own conditions say where it stands; of one that has ended, nobody needs to."""
    status = run.get("status", {})
    kinds = {condition.get("type") for condition in status.get("conditions", [])}
    return {"Ready", "Stalled"} <= kinds or status.get("phase") in TERMINAL


def now(flood: Flood) -> str:
    """The API server's time."""
    made = flood.admin.get(f"/api/v1/namespaces/{flood.namespace}").body
    return str(made["metadata"]["creationTimestamp"])


CRDS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
NEWER = "Hibernating"
"""A phase of some later version."""


@contextmanager
def newer_version(flood: Flood) -> Iterator[None]:
    """The CRDs know a further phase for a while: an upgrade, and the way back."""
    path = "/spec/versions/0/schema/openAPIV3Schema/properties/status/properties/phase/enum"
    kinds = [f"{CRDS}/{plural}.apprun.dev" for plural in ("appruns", "apptasks")]
    places = {}
    for kind in kinds:
        answer = flood.admin.json_patch(kind, [{"op": "add", "path": f"{path}/-", "value": NEWER}])
        assert answer.allowed, answer.message
        schema = answer.body["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
        places[kind] = schema["properties"]["status"]["properties"]["phase"]["enum"].index(NEWER)
    try:
        yield
    finally:
        for kind in kinds:
            assert flood.admin.json_patch(kind, [{"op": "remove", "path": f"{path}/{places[kind]}"}]).allowed


def write_phase(flood: Flood, path: str, phase: str) -> None:
    """In the name of the operator; a changed schema is served a moment later."""

    def written() -> bool | None:
        return flood.operator.patch(f"{path}/status", {"status": {"phase": phase}}).allowed or None

    eventually(f"{path} can be {phase}", written, 30)


def test_objects_of_a_newer_version_wait_until_corrected(bed: Bed, runs: Runs, flood: Flood) -> None:
    replicas = Replicas(bed)
    before, since = {(one.name, one.restarts) for one in replicas.all()}, now(flood)
    runs.start("newer", "probe", suspend=True)
    runs.until_phase("newer", "Suspended")
    runs.start("parts", "probe", {"before": 0, "width": 2, "after": 0, "seconds": 45})
    task = eventually("the calls are made", lambda: (len(runs.tasks("parts")) == 2 and runs.tasks("parts")) or None)[0]
    name = task["metadata"]["name"]
    with newer_version(flood):
        write_phase(flood, f"{runs.api}/appruns/newer", NEWER)
        write_phase(flood, f"{runs.api}/apptasks/{name}", NEWER)

    def marked(run: str) -> Object | None:
        found = runs.condition(run, "Stalled")
        return found if found and (found["status"], found["reason"]) == ("True", "Unreadable") else None

    assert NEWER in eventually("the run is marked", lambda: marked("newer"), 180)["message"]
    assert runs.status("newer")["phase"] == NEWER, "it isn't ours to change"
    assert f"AppTask {name}" in eventually("the run with the task is marked", lambda: marked("parts"), 180)["message"]
    write_phase(flood, f"{runs.api}/apptasks/{name}", "Active")
    write_phase(flood, f"{runs.api}/appruns/newer", "Suspended")
    runs.kube.merge(f"{runs.api}/appruns/newer", {"spec": {"suspend": False}})
    for run in ("parts", "newer"):
        assert runs.until_phase(run, "Succeeded", "Failed")["phase"] == "Succeeded"
    assert complaints(bed, since) == []
    assert {(one.name, one.restarts) for one in replicas.all()} == before
