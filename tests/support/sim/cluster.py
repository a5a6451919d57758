"""The whole cluster: API server with the chart's rules, nodes, operator replicas; people who apply runs, and faults.

`async with Cluster(...).living()` inside `simulate`. One seed gives one course of events.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections import Counter, deque
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

from tests.support import virtual_time
from tests.support.fake_api import TERMINAL, FakeApi, FakeServer, Object, Place
from tests.support.sim import apps
from tests.support.sim.access import OPERATOR, PERSON, ClusterRules
from tests.support.sim.greenlets import Process, _hub
from tests.support.sim.invariants import Invariants, outcome_of
from tests.support.sim.nodes import Nodes
from tests.support.sim.patched import patched
from tests.support.virtual_time import wall

from application_sdk.wire import names
from apprun_operator.act.app_executor import AppExecutor
from apprun_operator.act.executor import RESOURCES, Executor
from apprun_operator.act.pool_executor import PoolExecutor
from apprun_operator.act.service_accounts import ServiceAccounts
from apprun_operator.leader.elector import AlwaysLeader, LeaderElector
from apprun_operator.leader.fenced_client import FencedClient
from apprun_operator.leader.gate import LeaderGate
from apprun_operator.leader.lease import Election
from apprun_operator.observe.cache import Cache
from apprun_operator.observe.informer import Informer
from apprun_operator.plan.limits import Limits
from apprun_operator.reconcile.app_worker import AppWorker
from apprun_operator.reconcile.pool_worker import PoolWorker
from apprun_operator.reconcile.run_worker import RunWorker
from apprun_operator.reconcile.workqueue import KeyQueue
from apprun_operator.telemetry.metrics import Metrics

T = TypeVar("T")

NAMESPACE = "default"
APPS = "tests.support.sim.apps"

Hook = Callable[[str, str, str, "Process | None"], Awaitable[None]]
"""Called around each request with who makes it (`operator`, `driver`, `inspect`, `task <key>`), the moment (`before`,
`after`, `watching`), the request, and a pod's process. May raise an ApiError, take time, or never return."""


async def is_first_healthy_attempt(party: str, moment: str, request: str, process: Process | None) -> None:
    return None


def simulate(main: Coroutine[Any, Any, T], seed: int = 0) -> T:
    """Run in virtual time, with the SDK's pods in greenlets."""
    with patched(random.Random(seed)):
        return virtual_time.run(main)


LEASE = ("apprun-system", "apprun")


class Replica:
    """One life of the operator's process: all that `main` puts together, but kopf and HTTP."""

    def __init__(self, cluster: Cluster, name: str) -> None:
        self.name = name
        self.cluster = cluster
        self.reachable = True
        self.frozen = asyncio.Event()
        """Cleared while the process is stopped."""
        self.frozen.set()
        self.deaf: set[str] = set()
        """Kinds whose watches tell it nothing for now."""
        self._tasks: list[asyncio.Task[Any]] = []
        self.queue, self.app_queue, self.pool_queue = KeyQueue(), KeyQueue(), KeyQueue()
        self.cache = Cache(self.queue.put, wall, self.app_queue.put, self.pool_queue.put)
        api = RepeatingApi(cluster, FakeApi(cluster.server, OPERATOR, self._reach))
        candidate = Election(name)
        self.elector = LeaderElector(LEASE, candidate, lambda: _hub().time(), wall) if cluster.elected else None
        self._api = api
        self.gate = LeaderGate(self.elector or AlwaysLeader())
        fenced = FencedClient(api, self.gate.may_write)
        accounts = ServiceAccounts(fenced, "apprun-driver", "apprun-task")
        executor = Executor(fenced, self.cache, accounts, name)
        jitter = cluster.chance.random
        apps_executor = AppExecutor(fenced, self.cache, accounts, executor, wall)
        self.app_worker = AppWorker(self.app_queue, self.cache, apps_executor, cluster.limits, wall, jitter)
        self.metrics = Metrics()
        self.metrics.watch_warm_pods(self.cache.survey_pools, lambda: True)
        self.worker = RunWorker(self.queue, self.cache, executor, cluster.limits, self.metrics, wall, jitter)
        self.pool_worker = PoolWorker(
            self.pool_queue, self.cache, PoolExecutor(fenced, self.cache, executor), self.worker,
            cluster.limits, self.metrics, wall, jitter,
        )  # fmt: skip
        self.informers = [
            Informer(
                api,
                self.cache,
                kind,
                resource,
                selector=f"{names.MANAGED_BY_LABEL}={names.MANAGED_BY}" if kind == "pods" else "",
                jitter=jitter,
                clock=wall,
            )
            for kind, resource in RESOURCES.items()
        ]

    def start(self) -> None:
        self._tasks = [asyncio.create_task(informer.run()) for informer in self.informers]
        self._tasks.append(asyncio.create_task(self._serve()))
        if self.elector is not None:
            self._tasks.append(asyncio.create_task(self.elector.run(self._api, self._sleep)))

    async def _sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)
        await self.frozen.wait()

    async def _serve(self) -> None:
        for informer in self.informers:
            await informer.synced.wait()
        await self.gate.run(self._work)

    async def _work(self) -> None:
        if self.elector is not None:
            await asyncio.gather(*(informer.resync() for informer in self.informers))
        self.worker.start_term()
        keys = self.cache.keys()
        for key in keys:
            self.queue.put(key)
        try:
            async with asyncio.TaskGroup() as group:
                for _ in range(3):
                    group.create_task(self.worker.run())
                self.app_worker.start_term()
                group.create_task(self.app_worker.run())
                self.pool_worker.start_term()
                group.create_task(self.pool_worker.run())
        finally:
            await self.pool_worker.stop()
            await self.worker.stop()

    async def stop(self) -> None:
        """It is gone from one moment to the next, with all that it knew."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self.pool_worker.stop()
        await self.worker.stop()
        self.queue.close()
        self.app_queue.close()
        self.pool_queue.close()
        self._tasks = []

    async def _reach(self, moment: str, request: str) -> None:
        await self.frozen.wait()
        while moment == "event" and request.rpartition("/")[2] in self.deaf:  # noqa: ASYNC110 (a set, not an event)
            await asyncio.sleep(0.1)
        await self.cluster.reach("operator", moment, request, None)
        await self.frozen.wait()


class RepeatingApi(FakeApi):
    """Whose watches tell old news again, now and then."""

    def __init__(self, cluster: Cluster, api: FakeApi) -> None:
        super().__init__(api._server, api._caller, api._fault)
        self._cluster = cluster

    async def watch(self, path: str, query: Mapping[str, str]) -> AsyncIterator[Sequence[Object]]:
        past: deque[Object] = deque(maxlen=20)
        async for batch in super().watch(path, query):
            yield batch
            past.extend(event for event in batch if event["type"] not in ("BOOKMARK", "ERROR"))
            if past and self._cluster.chance.random() < self._cluster.repeats:
                count = self._cluster.chance.randint(1, len(past))
                yield self._cluster.chance.sample(list(past), count)


@dataclass
class Cluster:
    """A namespace with runs, and all that makes them go."""

    chance: random.Random = field(default_factory=lambda: random.Random(0))
    limits: Limits = field(default_factory=lambda: Limits(runtime_image="runtime", node_lost_grace=3))
    node_count: int = 3
    hook: Hook = is_first_healthy_attempt
    elected: bool = False
    """Whether replicas take part in an election for a Lease; else each acts as if it were alone."""
    repeats: float = 0.0
    """How likely it is that a watch repeats old events after new ones."""
    jitter: float = 0.0
    """By how much everything's pace varies: 1 means between none and twice the usual time."""
    server: FakeServer = field(init=False)
    nodes: Nodes = field(init=False)
    invariants: Invariants = field(init=False)
    replicas: list[Replica] = field(default_factory=list)
    began: Counter[str] = field(default_factory=Counter)
    done: Counter[str] = field(default_factory=Counter)
    """How often each task body began, and did its work, by idempotency key."""
    warm_calls: list[tuple[str, str, int]] = field(default_factory=list)
    """Attempts that warm pods began: uid of the pod, uid of the AppTask, attempt."""
    errors: list[str] = field(default_factory=list)
    """What pods' processes raised, though nothing of theirs may."""
    _number: int = 0

    def __post_init__(self) -> None:
        self.server = FakeServer(wall, ClusterRules(), collects=False)
        self.invariants = Invariants(self.server)
        self.server.observers.append(self.invariants.observe)
        self.nodes = Nodes(self, self.node_count)

    @contextlib.asynccontextmanager
    async def living(self, operator: bool = True) -> AsyncIterator[Cluster]:
        """While it goes on. At the end all of it stops, and the invariants have held."""
        apps.witness = self._witness
        if operator:
            self.start_operator()
        try:
            yield self
            self.check()
        finally:
            for replica in self.replicas:
                await replica.stop()
            self.nodes.stop()
            await asyncio.sleep(0)
            await asyncio.sleep(0)

    def check(self) -> None:
        """Raise if an invariant was broken."""
        assert not self.invariants.broken, self.invariants.broken
        assert not self.errors, self.errors

    def call_began(self, pod_uid: str, call: tuple[str, int]) -> None:
        """A warm pod begins an attempt."""
        self.warm_calls.append((pod_uid, *call))
        if self.warm_calls.count((pod_uid, *call)) > 1:
            self.errors.append(f"pod {pod_uid} began attempt {call} twice")
        task = next((task for task in self.of("apptasks") if task["metadata"]["uid"] == call[0]), None)
        if task is not None and task.get("status", {}).get("phase") == "Succeeded":
            self.errors.append(f"pod {pod_uid} began attempt {call}, though the call has its result")

    def _witness(self, key: str, moment: str) -> None:
        (self.began if moment == "began" else self.done)[key] += 1

    def pace(self, seconds: float) -> float:
        return seconds if not self.jitter else seconds * (1 + self.jitter * (2 * self.chance.random() - 1))

    async def reach(self, party: str, moment: str, request: str, process: Process | None) -> None:
        await self.hook(party, moment, request, process)

    def process_ended(self, process: Process) -> None:
        self.errors.extend(f"{process.name}: {error!r}" for error in process.errors)

    # The operator

    def start_operator(self) -> Replica:
        self._number += 1
        replica = Replica(self, f"operator-{self._number}")
        self.replicas.append(replica)
        replica.start()
        return replica

    async def stop_operator(self, replica: Replica | None = None) -> None:
        for stopped in [replica] if replica else list(self.replicas):
            await stopped.stop()
            self.replicas.remove(stopped)

    # People

    def apply_run(self, name: str, app: str | Object = "Mixed", input: Object | None = None, **spec: object) -> Place:
        """`app`: one of `apps`, or what stands in the run's spec."""
        place = Place("appruns", NAMESPACE, name)
        body = {
            "apiVersion": names.API_VERSION,
            "kind": "AppRun",
            "metadata": {"name": name},
            "spec": {
                "app": app if isinstance(app, dict) else {"image": "app:1", "entry": f"{APPS}:{app}"},
                "input": input or {},
                **spec,
            },
        }
        self.server.create(PERSON, place, body)
        self.invariants.expect(name)
        return place

    def edit_spec(self, place: Place, **spec: object) -> None:
        self.server.patch(PERSON, place, {"spec": spec}, "")

    # Asking

    def status(self, place: Place) -> Object:
        status: Object = (self.server.objects.get(place) or {}).get("status") or {}
        return status

    def of(self, plural: str) -> list[Object]:
        return [item for place, item in self.server.objects.items() if place.plural == plural]

    def places(self, plural: str) -> list[Place]:
        return [place for place in self.server.objects if place.plural == plural]

    async def until(self, probe: Callable[[], bool], seconds: float = 900, what: str = "") -> None:
        """Let virtual time pass until `probe` holds. Fails when it doesn't within `seconds` of it."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + seconds
        while not probe():
            self.check()
            assert loop.time() < deadline, f"not within {seconds:g} s: {what}\n{self.describe()}"
            changed = self.server.changed
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(1.0):
                    await changed.wait()

    async def until_ended(self, *places: Place, seconds: float = 900) -> None:
        """Until these runs have ended, or all."""
        runs = places or tuple(self.places("appruns"))
        ended = lambda: all(self.status(run).get("phase") in TERMINAL for run in runs)  # noqa: E731
        await self.until(ended, seconds, f"every run of {[run.name for run in runs]} has ended")

    async def until_quiet(self, seconds: float = 900) -> None:
        """Until no pod is left, and no call is open."""
        await self.until(
            lambda: not self.of("pods") and all(outcome_of(t)["phase"] in TERMINAL for t in self.of("apptasks")),
            seconds,
            "no pod and no open call is left",
        )

    def entries(self, run: Place) -> list[Object]:
        return self.server.ledger(self.server.objects[run])

    def describe(self) -> str:
        """The state, for a failure's message."""
        lines = []
        for run in self.of("appruns"):
            status = run["status"]
            lines.append(f"run {run['metadata']['name']}: {status.get('phase')} {status.get('message', '')}")
        for item in self.of("apptasks"):
            status = outcome_of(item)
            if status["phase"] not in TERMINAL or item["spec"]["role"] == "driver":
                lines.append(f"  task {item['metadata']['name']}: {status}")
        for item in self.of("pods"):
            lines.append(f"  pod {item['metadata']['name']}: {item['spec'].get('nodeName')} {item['status']}"
                         f" {item['metadata'].get('deletionTimestamp', '')}")  # fmt: skip
        lines.append(f"  nodes {[(n.name, n.alive, n.reachable, n.registered) for n in self.nodes.nodes.values()]}")
        return "\n".join(lines)
