"""Random faults on a whole cluster, from one seed: what people, clusters and API servers do, all at once.

`STEPS` are the single faults, each a coroutine function of a `Storm`; the hypothesis machine draws from them too.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable
from contextlib import suppress

from tests.support.fake_api import TERMINAL, Object, Place
from tests.support.sim.access import PERSON
from tests.support.sim.cluster import NAMESPACE, Cluster
from tests.support.sim.greenlets import Process, _hub
from tests.support.sim.nodes import Node

from apprun_operator.kube.errors import (
    ApiError,
    ConflictError,
    ForbiddenError,
    GoneError,
    ThrottledError,
    UnauthorizedError,
    UnavailableError,
)
from apprun_operator.plan.limits import Limits

CALM_SECONDS = 4000.0
"""How long a cluster without faults may take to bring every run to its end: stalls and disruptions back off."""

RUNS: tuple[tuple[str, Object], ...] = (
    ("Mixed", {"width": 3, "rounds": 2}),
    ("Mixed", {"width": 5, "seconds": 4}),
    ("Chain", {"width": 5}),
    ("Wide", {"width": 8, "seconds": 6}),
    ("Failing", {}),
    ("Broken", {}),
    ("Tidy", {"width": 3}),
    ("Link", {"rounds": 2}),
    ("Counting", {"seconds": 6}),
    ("Beside", {"width": 3}),
    ("Leaving", {}),
)


class Chaos:
    """Faults on every wire while it lasts, and `step` for those that happen to the cluster."""

    def __init__(self, seed: int, rate: float | None = None) -> None:
        self.chance = random.Random(seed)
        self.rate = self.chance.choice([0.0, 0.02, 0.1, 0.2]) if rate is None else rate
        self.lag = self.chance.choice([0.0, 0.1, 2.0, 8.0])
        self.over = False
        self.outage_until = 0.0
        self.events: list[str] = []
        """What was done, in words."""
        self.made = 0
        self.cluster = Cluster(
            chance=self.chance,
            limits=Limits(runtime_image="runtime", node_lost_grace=3, max_pods=self.chance.choice([0, 0, 3])),
            hook=self._reach,
            jitter=0.9,
            elected=self.chance.random() < 0.5,
            repeats=self.chance.choice([0.0, 0.1]),
        )

    async def _reach(self, party: str, moment: str, request: str, process: Process | None) -> None:
        if self.over:
            return
        if moment == "event":
            await asyncio.sleep(self.chance.random() * self.lag)
        else:
            await asyncio.sleep(self.chance.random() * 0.05)
        if _hub().time() < self.outage_until:
            raise UnavailableError("connection refused")
        if self.chance.random() < self.rate:
            raise self._error(request)

    def _error(self, request: str) -> ApiError:
        errors: list[ApiError] = [
            UnavailableError("503", status=503, reason="ServiceUnavailable"),
            UnavailableError("500", status=500, reason="InternalError"),
            UnavailableError("404 page not found", status=404),
            UnavailableError("no answer in time"),
            UnavailableError("the answer breaks off in the middle"),
            ThrottledError("429", status=429, reason="TooManyRequests", retry_after=1),
            UnauthorizedError("401", status=401, reason="Unauthorized"),
            ForbiddenError('User "x" cannot create resource "pods"', status=403, reason="Forbidden"),
        ]
        if request.startswith("PATCH"):
            errors.append(ConflictError("409", status=409, reason="Conflict"))
        if request.startswith("WATCH") or request.endswith("s"):
            errors.append(GoneError("410", status=410, reason="Expired"))
        return self.chance.choice(errors)

    def note(self, what: str) -> None:
        self.events.append(f"{_hub().time():.1f} {what}")

    # The course of events

    async def run(self, steps: int = 25) -> None:
        """The whole story: runs, faults, calm, and what must hold in the end."""
        async with self.cluster.living():
            await self.begin()
            for _ in range(steps):
                await self.step(self.chance.choice(list(STEPS)))
                await asyncio.sleep(self.chance.random() * self.chance.choice([0.5, 5, 20]))
                self.cluster.check()
            await self.end()

    async def begin(self) -> None:
        if self.cluster.elected:
            self.cluster.start_operator()
        for _ in range(self.chance.randint(1, 3)):
            self.apply()

    def apply(self) -> None:
        app, input = self.chance.choice(RUNS)
        self.made += 1
        spec: Object = {}
        if self.chance.random() < 0.3:
            spec["parallelism"] = self.chance.randint(1, 3)
        if self.chance.random() < 0.1:
            spec["timeoutSeconds"] = self.chance.randint(5, 90)
        self.note(f"run r{self.made}: {app} {input} {spec}")
        self.cluster.apply_run(f"r{self.made}", app, input, **spec)

    async def step(self, name: str) -> None:
        self.note(name)
        with suppress(ApiError):
            await STEPS[name](self)

    async def end(self) -> None:
        """The chaos is over: everything works again. Each run ends, and nothing is left over."""
        cluster, self.over = self.cluster, True
        self.note("calm")
        cluster.nodes.unschedulable = cluster.nodes.no_image = False
        for node in cluster.nodes.nodes.values():
            cluster.nodes.heal(node)
        for replica in cluster.replicas:
            replica.frozen.set()
        for run in cluster.places("appruns"):
            if cluster.server.objects[run]["spec"].get("suspend"):
                cluster.edit_spec(run, suspend=False)
        await asyncio.sleep(5)
        for place in cluster.places("apptasks"):
            # As the message of a run says that has the name of one that was deleted without its tasks.
            if not cluster.server.objects[place]["metadata"].get("ownerReferences"):
                cluster.server.delete(PERSON, place)
        await cluster.until_ended(seconds=CALM_SECONDS)
        for run in cluster.places("appruns"):  # continuations that came meanwhile
            await cluster.until_ended(run, seconds=CALM_SECONDS)
        await cluster.until_quiet()
        self.judge()
        for run in cluster.places("appruns"):
            cluster.server.delete(PERSON, run)
        orphans = {i["metadata"]["uid"] for i in cluster.of("apptasks") if not i["metadata"].get("ownerReferences")}
        await cluster.until(
            lambda: all(i["metadata"]["uid"] in orphans for i in [*cluster.of("apptasks"), *cluster.of("pods")]),
            what="nothing is left of a deleted run",
        )

    def judge(self) -> None:
        """What was committed as done was done."""
        cluster = self.cluster
        for run in cluster.of("appruns"):
            status = run["status"]
            for entry in cluster.server.ledger(run):
                if entry["outcome"] == "Succeeded" and entry["task"] in ("step", "blocking", "counting"):
                    assert cluster.done[f"{run['metadata']['uid']}/{entry['key']}"], f"{entry} was never done"
            if status["phase"] == "Succeeded" and not status.get("continuedAs"):
                assert "output" in status, status
            conditions = {c["type"]: c["status"] for c in status["conditions"]}
            assert conditions["Reconciling"] == "False", status
            assert (conditions["Succeeded"] == "True") == (status["phase"] == "Succeeded"), status

    # Choices

    def any_pod(self) -> Place:
        pods = self.cluster.places("pods")
        if not pods:
            raise ApiError("no pod")
        return self.chance.choice(sorted(pods, key=lambda p: p.name))

    def any_run(self) -> Place:
        runs = self.cluster.places("appruns")
        if not runs:
            raise ApiError("no run")
        return self.chance.choice(sorted(runs, key=lambda p: p.name))

    def any_node(self) -> Node:
        return self.chance.choice(list(self.cluster.nodes.nodes.values()))


Step = Callable[[Chaos], Awaitable[None]]
STEPS: dict[str, Step] = {}


def step(function: Step) -> Step:
    STEPS[function.__name__.replace("_", " ")] = function
    return function


@step
async def a_node_dies(chaos: Chaos) -> None:
    chaos.cluster.nodes.kill(chaos.any_node())


@step
async def a_node_is_cut_off(chaos: Chaos) -> None:
    chaos.cluster.nodes.cut(chaos.any_node())


@step
async def a_node_is_deleted(chaos: Chaos) -> None:
    chaos.cluster.nodes.delete_node(chaos.any_node())


@step
async def all_nodes_come_back(chaos: Chaos) -> None:
    for node in chaos.cluster.nodes.nodes.values():
        if not node.ready:
            chaos.cluster.nodes.heal(node)


@step
async def a_node_comes_back(chaos: Chaos) -> None:
    node = chaos.any_node()
    if not node.ready:
        chaos.cluster.nodes.heal(node)


@step
async def a_pod_is_deleted(chaos: Chaos) -> None:
    chaos.cluster.server.delete(PERSON, chaos.any_pod())


@step
async def a_pod_is_deleted_by_force(chaos: Chaos) -> None:
    chaos.cluster.server.delete(PERSON, chaos.any_pod(), grace=0)


@step
async def a_pod_is_evicted(chaos: Chaos) -> None:
    chaos.cluster.nodes.disrupt(chaos.any_pod(), "EvictionByEvictionAPI")


@step
async def a_pod_is_preempted(chaos: Chaos) -> None:
    chaos.cluster.nodes.disrupt(chaos.any_pod(), "PreemptionByScheduler")


@step
async def a_node_evicts_a_pod(chaos: Chaos) -> None:
    chaos.cluster.nodes.evict_by_kubelet(chaos.any_pod())


@step
async def a_container_is_killed(chaos: Chaos) -> None:
    chaos.cluster.nodes.end_container(chaos.any_pod(), chaos.chance.choice(["OOMKilled", "Error"]))


@step
async def an_apptask_is_deleted(chaos: Chaos) -> None:
    tasks = sorted(chaos.cluster.places("apptasks"), key=lambda p: p.name)
    if tasks:
        propagation = chaos.chance.choice(["Background", "Background", "Foreground"])
        chaos.cluster.server.delete(PERSON, chaos.chance.choice(tasks), propagation=propagation)


@step
async def a_replica_of_the_operator_crashes(chaos: Chaos) -> None:
    replica = chaos.chance.choice(chaos.cluster.replicas)
    await chaos.cluster.stop_operator(replica)
    await asyncio.sleep(chaos.chance.random() * 5)
    chaos.cluster.start_operator()


@step
async def the_operator_is_away(chaos: Chaos) -> None:
    count = len(chaos.cluster.replicas)
    await chaos.cluster.stop_operator()
    await asyncio.sleep(chaos.chance.random() * 60)
    for _ in range(count):
        chaos.cluster.start_operator()


@step
async def the_operator_freezes(chaos: Chaos) -> None:
    replica = chaos.chance.choice(chaos.cluster.replicas)
    replica.frozen.clear()
    await asyncio.sleep(chaos.chance.random() * 20)
    replica.frozen.set()


@step
async def the_api_server_is_away(chaos: Chaos) -> None:
    chaos.outage_until = _hub().time() + chaos.chance.random() * chaos.chance.choice([3, 30])


@step
async def old_versions_are_forgotten(chaos: Chaos) -> None:
    chaos.cluster.server.compact()


@step
async def the_clock_jumps(chaos: Chaos) -> None:
    _hub().drift += chaos.chance.choice([-40, -3, 3, 40])  # type: ignore[attr-defined]


@step
async def nothing_can_be_scheduled(chaos: Chaos) -> None:
    chaos.cluster.nodes.unschedulable = not chaos.cluster.nodes.unschedulable


@step
async def images_cannot_be_pulled(chaos: Chaos) -> None:
    chaos.cluster.nodes.no_image = not chaos.cluster.nodes.no_image


@step
async def a_run_is_applied(chaos: Chaos) -> None:
    if chaos.made < 8:
        chaos.apply()


@step
async def a_run_is_cancelled(chaos: Chaos) -> None:
    if chaos.chance.random() < 0.5:
        chaos.cluster.edit_spec(chaos.any_run(), cancel=True)


@step
async def a_run_is_suspended_or_resumed(chaos: Chaos) -> None:
    run = chaos.any_run()
    suspended = bool(chaos.cluster.server.objects[run]["spec"].get("suspend"))
    chaos.cluster.edit_spec(run, suspend=not suspended)


@step
async def a_run_gets_another_parallelism(chaos: Chaos) -> None:
    chaos.cluster.edit_spec(chaos.any_run(), parallelism=chaos.chance.randint(1, 6))


@step
async def a_run_is_deleted(chaos: Chaos) -> None:
    if chaos.chance.random() < 0.5:
        return
    run = chaos.any_run()
    item = chaos.cluster.server.objects[run]
    chaos.cluster.server.delete(
        PERSON, run, propagation=chaos.chance.choice(["Background", "Background", "Foreground", "Orphan"])
    )
    if chaos.chance.random() < 0.5:
        await asyncio.sleep(chaos.chance.random() * 3)
        if run not in chaos.cluster.server.objects:
            chaos.note(f"{run.name} is created again")
            spec = {name: value for name, value in item["spec"].items() if name not in ("cancel", "suspend")}
            body = {"apiVersion": item["apiVersion"], "kind": "AppRun", "metadata": {"name": run.name}, "spec": spec}
            chaos.cluster.server.create(PERSON, Place("appruns", NAMESPACE, run.name), body)


def ended(run: Object) -> bool:
    return run["status"].get("phase") in TERMINAL
