"""Fixtures of the cluster tests: one cluster for the session, one namespace per test.

The cluster is called `test`, or as CLUSTER_NAME says, so that it stands beside a demo. It is taken down afterwards
unless KEEP_CLUSTER=1. Of several workers (`pytest -n`) the first one brings it up for all; tests that are marked
`exclusive` need a cluster that no other test uses at the same time, which `--cluster-per-worker` gives them.
"""

from __future__ import annotations

import os
import uuid
from collections.abc import Generator, Iterator

import pytest
from tests.cluster import admission_world
from tests.cluster.admission_world import World
from tests.support import audit, workers
from tests.support.bed import EXISTING, KEEP, Bed, bring_up, connect, take_down
from tests.support.faulty import FaultyProxy, faulty_proxy
from tests.support.kube import CORE, Kube
from tests.support.recorder.recorder import Recorder
from tests.support.runs import Runs
from tests.support.s3 import S3Server, s3_server

NAME = os.environ.get("CLUSTER_NAME", "test")
LONGEST = (
    *("test_soak", "test_install", "test_crashes", "test_silence", "test_faults", "test_without_operator"),
    *("test_postgres_catalog", "test_cli", "test_ends", "test_restored", "test_causes", "test_files", "test_gitops"),
)
"""Modules that take the longest, longest first: begun last, one of them would be all that still works at the end."""
RECORDER: pytest.StashKey[Recorder] = pytest.StashKey()
STANDSTILL_SECONDS = 20
RBAC = "/apis/rbac.authorization.k8s.io/v1"


def pytest_addoption(parser: pytest.Parser) -> None:
    words = "give each worker a cluster of its own, as tests marked `exclusive` need it"
    parser.addoption("--cluster-per-worker", action="store_true", help=words)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:  # of the test alone: a cluster of which nothing is cached takes longer to come up
        item.add_marker(pytest.mark.timeout(420, func_only=True))
        # Python leaves the socket open if the peer resets the connection just before the handshake
        # (`SSLSocket._create`), as an API server does that is killed.
        item.add_marker(pytest.mark.filterwarnings("ignore:unclosed <ssl.SSLSocket:ResourceWarning"))
    if workers.is_one():
        items.sort(key=lambda item: LONGEST.index(item.path.stem) if item.path.stem in LONGEST else len(LONGEST))


def pytest_runtest_setup(item: pytest.Item) -> None:
    if item.get_closest_marker("exclusive") and workers.is_one() and not item.config.getoption("cluster_per_worker"):
        pytest.fail("an exclusive test shares its cluster with other workers; add --cluster-per-worker", pytrace=False)


def pytest_sessionfinish(session: pytest.Session) -> None:
    """The workers' shared cluster goes with the last of them; only the session that started them sees that."""
    config = session.config
    started_workers = config.getoption("numprocesses", None) and not workers.is_one()
    if started_workers and not config.getoption("cluster_per_worker") and not EXISTING and not KEEP:
        take_down(NAME)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """A failure is reported with what was recorded meanwhile: why nothing moved, and the path of the recording."""
    report = yield
    recorder = item.config.stash.get(RECORDER, None)
    if report.failed and recorder is not None:
        standstills = recorder.timeline(report.start, STANDSTILL_SECONDS) or ["nothing stood still for long"]
        report.sections.append((f"recorded in {recorder.folder}", "\n".join(standstills)))
    return report


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    """Each failure is told when it happens: whoever stops a long run half-way still learns what went wrong."""
    if report.failed:
        recorded = [f"{name}:\n{text}" for name, text in report.sections if name.startswith("recorded in")]
        words = "\n".join([report.longreprtext, *recorded])
        print(f"\n{report.nodeid}: {report.when} failed\n{words}", flush=True)


@pytest.fixture(scope="session")
def bed(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bed]:
    shared = workers.is_one() and not request.config.getoption("cluster_per_worker")
    name = NAME if shared else workers.own_name(NAME)
    try:
        if shared:
            session = tmp_path_factory.getbasetemp().parent  # each worker's own folder lies in that
            made = workers.once(session, "cluster", lambda: bring_up(name, *audit.options(name))) or connect(name)
        else:
            made = bring_up(name, *audit.options(name))
        with Recorder(made, label=workers.own_name(name)) as recorder:
            request.config.stash[RECORDER] = recorder
            yield made
    finally:
        if not shared and not EXISTING and not KEEP:
            take_down(name)


@pytest.fixture
def recorder(bed: Bed, request: pytest.FixtureRequest) -> Recorder:
    """What records the cluster of `bed` all the time."""
    return request.config.stash[RECORDER]


@pytest.fixture(scope="module", autouse=True)
def no_unexpected_termination(request: pytest.FixtureRequest) -> Iterator[None]:
    """No operator pod restarted or went that nobody killed: the claim at the end of each module.

    Whoever kills one says so by `bed.terminations`. The cluster may come up only with the module's first test.
    """
    recorder = request.config.stash.get(RECORDER, None)
    seen = 0 if recorder is None else len(recorder.terminations)
    if recorder is not None:
        recorder.note(f"{request.node.name} begins")
    yield
    recorder = request.config.stash.get(RECORDER, None)
    if recorder is None:
        return
    found = recorder.unexpected(since=seen)
    details = "\n  ".join(str(each) for each in found)
    assert not found, f"operator pods terminated that nobody killed:\n  {details}\nrecorded in {recorder.folder}"


@pytest.fixture(scope="session")
def s3(bed: Bed, tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Server]:
    """A real S3 server on this machine. Pods of an existing cluster have no way to it."""
    with s3_server(tmp_path_factory.mktemp("s3"), bed.host_address) as server:
        yield server


@pytest.fixture
def proxy(s3: S3Server) -> Iterator[FaultyProxy]:
    """A line to it that fails."""
    with faulty_proxy((s3.host, s3.port), s3.host) as found:
        yield found


@pytest.fixture
def kube(bed: Bed) -> Kube:
    return bed.kube


@pytest.fixture
def namespace(kube: Kube) -> Iterator[str]:
    """A fresh namespace that enforces Pod Security `restricted`."""
    name = f"t-{uuid.uuid4().hex[:8]}"
    labels = {"pod-security.kubernetes.io/enforce": "restricted"}
    kube.create(f"{CORE}/namespaces", {"metadata": {"name": name, "labels": labels}})
    yield name
    kube.delete(f"{CORE}/namespaces/{name}")


@pytest.fixture
def runs(kube: Kube, namespace: str) -> Runs:
    """Runs of the probe app in the test's namespace; its service account `probe` may leave witnesses."""
    found = Runs(kube, namespace)
    kube.create(f"{found.core}/serviceaccounts", {"metadata": {"name": "probe"}})
    rbac = f"{RBAC}/namespaces/{namespace}"
    rule = {"apiGroups": [""], "resources": ["configmaps"], "verbs": ["create"]}
    kube.create(f"{rbac}/roles", {"metadata": {"name": "probe"}, "rules": [rule]})
    kube.create(
        f"{rbac}/rolebindings",
        {
            "metadata": {"name": "probe"},
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "probe"},
            "subjects": [{"kind": "ServiceAccount", "name": "probe", "namespace": namespace}],
        },
    )
    found.upload("probe")
    found.app("probe", "app:Probe", serviceAccountName="probe")
    return found


@pytest.fixture(scope="module")
def world(request: pytest.FixtureRequest) -> Iterator[World]:
    """A namespace of the module's own with identities of every kind in it, for what the API server itself decides."""
    made = admission_world.build(*admission_world.connect(request))
    yield made
    made.admin.delete(f"/api/v1/namespaces/{made.namespace}")
