"""A cluster in virtual time around the real operator: kubelets that run scripted pods, drivers that follow a route.

`World.start_operator` runs the real informers, queue, planner, executor; `crash_operator` drops all of it at once. What
happened outside the ledger is written down too: which body ran, when, and whether its call was committed already.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from tests.support.fake_api import FakeApi, FakeServer, Fault, Object, Place, no_fault
from tests.support.virtual_time import wall

from application_sdk.wire import names
from application_sdk.wire.digest import digest
from application_sdk.wire.fields import CANCELLED, StateWrite
from apprun_operator.act.executor import RESOURCES, Executor
from apprun_operator.act.service_accounts import ServiceAccounts
from apprun_operator.kube.errors import AlreadyExistsError, ApiError
from apprun_operator.observe.cache import Cache
from apprun_operator.observe.informer import Informer
from apprun_operator.observe.times import rfc3339
from apprun_operator.plan.limits import Limits
from apprun_operator.reconcile.run_worker import RunWorker
from apprun_operator.reconcile.workqueue import KeyQueue
from apprun_operator.telemetry.metrics import Metrics

NAMESPACE = "default"
KUBELET_LAG = 1.5
"""Seconds until kubelet tells that a container has ended."""

Stages = Sequence[Sequence[str]]
"""A route: stages in order, each a set of task names that run side by side."""
Behaviour = Callable[[Object], "Outcome"]


@dataclass(frozen=True)
class Outcome:
    """What a task body does in one attempt. `die` ends the process without a report, with this exit code."""

    seconds: float = 1.0
    error: Object | None = None
    die: int | None = None
    saves: Sequence[StateWrite] = ()
    """What it wants kept of the app's state, if it succeeds."""


def succeed(call: Object) -> Outcome:
    return Outcome()


@dataclass
class World:
    """One namespace, one API server, one operator at a time."""

    stages: Stages
    behaviour: Behaviour = succeed
    clean_up: Stages = ()
    """What the route does when it is cancelled."""
    continue_with: Object | None = None
    """Input with which the route of the first run has it go on as a new one."""
    limits: Limits = field(default_factory=lambda: Limits(runtime_image="runtime", node_lost_grace=3))
    nodes: int = 2
    server: FakeServer = field(default_factory=lambda: FakeServer(wall))
    starts: Counter[str] = field(default_factory=Counter)
    """How often each task body began, by key."""
    restarts_of_committed: list[str] = field(default_factory=list)
    """Keys whose body began though the ledger had them: must stay empty."""
    dead_nodes: set[str] = field(default_factory=set)
    metrics: Metrics = field(default_factory=Metrics)
    """What its operators tell, one after the other."""
    _pods: dict[str, asyncio.Task[None]] = field(default_factory=dict)
    _operator: list[asyncio.Task[Any]] = field(default_factory=list)
    _worker: RunWorker | None = None
    _queue: KeyQueue | None = None
    _scheduled: int = 0

    # The operator

    def start_operator(self, fault: Fault = no_fault) -> Cache:
        api = FakeApi(self.server, "operator", fault)
        queue = KeyQueue()
        cache = Cache(queue.put, wall)
        executor = Executor(api, cache, ServiceAccounts(api, "apprun-driver", "apprun-task"))
        worker = RunWorker(queue, cache, executor, self.limits, self.metrics, wall, lambda: 0.5)
        informers = [
            Informer(
                api,
                cache,
                kind,
                resource,
                selector=f"{names.MANAGED_BY_LABEL}={names.MANAGED_BY}" if kind == "pods" else "",
                jitter=lambda: 0.5,
                clock=wall,
            )
            for kind, resource in RESOURCES.items()
        ]

        async def work() -> None:
            for informer in informers:
                await informer.synced.wait()
            worker.start_term()
            await asyncio.gather(*(worker.run() for _ in range(3)))

        self._operator = [asyncio.create_task(informer.run()) for informer in informers]
        self._operator.append(asyncio.create_task(work()))
        self._worker, self._queue = worker, queue
        return cache

    async def stop_operator(self) -> None:
        """It is gone from one moment to the next, with all that it knew."""
        for task in self._operator:
            task.cancel()
        await asyncio.gather(*self._operator, return_exceptions=True)
        if self._worker is not None and self._queue is not None:
            await self._worker.stop()
            self._queue.close()
        self._operator = []

    # Kubelets, the scheduler, the garbage collector's end of a deletion

    async def kubelets(self) -> None:
        """Schedule pods, run them, end them. Until cancelled."""
        handled = 0
        while True:
            for _, event, place, item, _ in self.server.log[handled:]:
                if place.plural == "pods":
                    self._on_pod(event, place, item)
            handled = len(self.server.log)
            if len(self.server.log) > handled:
                continue
            await self.server.changed.wait()

    def _on_pod(self, event: str, place: Place, item: Object) -> None:
        name = place.name
        if event == "ADDED":
            self._scheduled += 1
            alive = [f"node{n + 1}" for n in range(self.nodes) if f"node{n + 1}" not in self.dead_nodes]
            node = alive[self._scheduled % len(alive)]
            self._pods[name] = asyncio.create_task(self._pod_life(place, node))
        elif event == "MODIFIED" and "deletionTimestamp" in item["metadata"]:
            node = item["spec"].get("nodeName", "")
            if node not in self.dead_nodes and name in self._pods:
                self._pods.pop(name).cancel()
                asyncio.get_running_loop().call_later(0.5, self._vanish, place, item["metadata"]["uid"])
        elif event == "DELETED" and name in self._pods:
            self._pods.pop(name).cancel()

    def _vanish(self, place: Place, uid: str) -> None:
        item = self.server.objects.get(place)
        if item is not None and item["metadata"]["uid"] == uid:
            self.server.remove(place)

    async def _pod_life(self, place: Place, node: str) -> None:
        await asyncio.sleep(0.2)
        if place not in self.server.objects or node in self.dead_nodes:
            return
        self._edit_pod(place, spec={"nodeName": node})
        await asyncio.sleep(0.3)
        call = json.loads(self.server.read(place)["metadata"]["annotations"][names.CALL_ANNOTATION])
        name = names.container_name(call["role"])
        running = {"name": name, "state": {"running": {"startedAt": rfc3339(wall())}}}
        self._edit_pod(place, status={"phase": "Running", "containerStatuses": [running]})
        code = await (self._driver(place, call) if call["role"] == "driver" else self._body(place, call, node))
        await asyncio.sleep(KUBELET_LAG)
        if node not in self.dead_nodes and place in self.server.objects:
            end = {"exitCode": code, "reason": "Error" if code else "Completed"}
            terminated = {"name": name, "state": {"terminated": end}}
            phase = "Failed" if code else "Succeeded"
            self._edit_pod(place, status={"phase": phase, "containerStatuses": [terminated]})

    def _edit_pod(self, place: Place, spec: Object | None = None, status: Object | None = None) -> None:
        item = self.server.read(place)
        changed = {"spec": {**item["spec"], **(spec or {})}, "status": {**item["status"], **(status or {})}}
        self.server.put("MODIFIED", place, {**item, **changed})

    def kill_node(self, node: str) -> None:
        """Everything on it stops at once; later the cluster marks its pods, which then stay forever."""
        self.dead_nodes.add(node)
        for place, item in list(self.server.objects.items()):
            if place.plural == "pods" and item["spec"].get("nodeName") == node and place.name in self._pods:
                self._pods.pop(place.name).cancel()
        asyncio.get_running_loop().call_later(4 + self.limits.node_lost_grace, self._evict, node)

    def _evict(self, node: str) -> None:
        for place, item in list(self.server.objects.items()):
            if place.plural == "pods" and item["spec"].get("nodeName") == node:
                lost = {"type": "DisruptionTarget", "status": "True", "reason": "DeletionByTaintManager"}
                self._edit_pod(place, status={"conditions": [lost]})
                self.server.delete("taint-manager", place)

    # Pods' programs

    async def _body(self, place: Place, call: Object, node: str) -> int:
        run = self.server.read(Place("appruns", NAMESPACE, call["run"]))
        self.starts[call["key"]] += 1
        if call["key"] in [entry["key"] for entry in self.server.ledger(run)]:
            self.restarts_of_committed.append(call["key"])
        environment = {e["name"]: e.get("value") for e in self.server.read(place)["spec"]["containers"][0]["env"]}
        state = json.loads(environment.get(names.STATE_VARIABLE) or "{}")
        outcome, began = self.behaviour({**call, "state": state}), rfc3339(wall())
        await asyncio.sleep(outcome.seconds)
        if outcome.die is not None:
            return outcome.die
        finished = {"node": node, "startedAt": began, "finishedAt": rfc3339(wall())}
        report: Object = {**finished, "phase": "Succeeded", "output": {"of": call["task"]}, "error": None}
        if outcome.saves:
            report |= {"phase": "Saving", "state": list(outcome.saves)}
        if outcome.error is not None:
            report = {**finished, "error": {"attempt": call["attempt"], **outcome.error}}
        return self._report(place, call, report)

    async def _driver(self, place: Place, call: Object) -> int:
        """Create the calls of each stage, wait until the ledger has them, then report the output."""
        run = Place("appruns", NAMESPACE, call["run"])
        outcome = self.behaviour(call)
        if outcome.error is not None:
            return self._report(place, call, {"error": {"attempt": call["attempt"], **outcome.error}})
        committed = await self._follow(call, run, self.stages, cleanup=False)
        if committed == CANCELLED:
            if await self._follow(call, run, self.clean_up, cleanup=True) is None:
                return 1
            return self._report(place, call, {"error": {"type": CANCELLED, "message": "", "attempt": call["attempt"]}})
        if committed is None:
            return 1
        if self.continue_with is not None and call["correlationId"] == call["runUid"]:
            request = {"input": self.continue_with, "entrypoint": "run"}
            return self._report(place, call, {"phase": "Succeeded", "continueWith": request, "error": None})
        output = {"committed": committed, "nothing": None}
        return self._report(place, call, {"phase": "Succeeded", "output": output, "finishedAt": rfc3339(wall())})

    async def _follow(self, call: Object, run: Place, stages: Stages, *, cleanup: bool) -> int | str | None:
        """Length of the ledger when the stages are through; or that the run was cancelled; None when it is gone."""
        outcomes: dict[str, str] = {}
        for number, stage in enumerate(stages):
            keys = [digest({"stage": number, "task": task, "cleanup": cleanup}) for task in stage]
            for task, key in zip(stage, keys, strict=True):
                self._call(call, task, key, number, cleanup)
            while not outcomes.keys() >= set(keys):
                changed = self.server.changed
                if run not in self.server.objects:
                    return None
                outcomes = {e["key"]: e["outcome"] for e in self.server.ledger(self.server.objects[run])}
                if names.CANCEL_KEY in outcomes and not cleanup:
                    return CANCELLED
                if not outcomes.keys() >= set(keys):
                    await changed.wait()
        return len(outcomes)

    def _call(self, call: Object, task: str, key: str, number: int, cleanup: bool) -> None:
        role: Literal["timer", "task"] = "timer" if task == "sleep" else "task"
        owner = {"kind": "AppRun", "name": call["run"], "uid": call["runUid"], "controller": True}
        spec = {"run": call["run"], "role": role, "key": key, "task": task, "sequence": number, "input": {"n": number}}
        if role == "timer":
            spec["seconds"] = 2.0
        if cleanup:
            spec["cleanup"] = True
        retry = {"maxAttempts": 3, "initialIntervalSeconds": 1, "maxIntervalSeconds": 8, "backoffCoefficient": 2}
        name = names.task_name(call["run"], key)
        body = {"metadata": {"name": name, "ownerReferences": [owner]}, "spec": {**spec, "policy": {"retry": retry}}}
        with contextlib.suppress(AlreadyExistsError):
            self.server.create("driver", Place("apptasks", NAMESPACE, name), body)

    def _report(self, place: Place, call: Object, status: Object) -> int:
        try:
            self.server.report(NAMESPACE, place.name, call["appTask"], status)
        except ApiError:
            return 3
        return 0

    # What a test does and asks

    def apply_run(self, name: str, **spec: object) -> Place:
        place = Place("appruns", NAMESPACE, name)
        body = {"metadata": {"name": name}, "spec": {"app": {"entry": "app:Sim"}, "input": {}, **spec}}
        self.server.create("user", place, body)
        return place

    def edit_spec(self, place: Place, **spec: object) -> None:
        self.server.patch("user", place, {"spec": spec}, "")

    def status(self, place: Place) -> Object:
        status: Object = self.server.objects[place].get("status") or {}
        return status

    async def until(self, probe: Callable[[], bool], seconds: float = 600) -> None:
        """Let virtual time pass until `probe` holds. Fails when it doesn't within `seconds` of it."""
        deadline = wall() + seconds
        while not probe():
            assert wall() < deadline, "not within the time"
            changed = self.server.changed
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(1.0):
                    await changed.wait()

    async def until_phase(self, place: Place, *phases: str, seconds: float = 600) -> Object:
        await self.until(lambda: self.status(place).get("phase") in phases, seconds)
        return self.status(place)

    async def until_quiet(self) -> None:
        """No pod left, but those on dead nodes."""
        await self.until(lambda: not self.live_pods())

    def runs(self) -> list[Place]:
        return [place for place in self.server.objects if place.plural == "appruns"]

    def live_pods(self) -> list[str]:
        return [
            place.name
            for place, item in self.server.objects.items()
            if place.plural == "pods" and item["spec"].get("nodeName") not in self.dead_nodes
        ]

    def kept(self) -> Object:
        """What apps keep beyond their runs, by key."""
        return {
            key: entry["value"]
            for place, item in self.server.objects.items()
            if place.plural == "appstates"
            for key, entry in item["spec"]["entries"].items()
        }

    def tasks(self, run: str) -> dict[str, Object]:
        """AppTasks of a run by task name; the driver's is `driver`."""
        return {
            "driver" if item["spec"]["role"] == "driver" else item["spec"]["task"]: item
            for place, item in self.server.objects.items()
            if place.plural == "apptasks" and item["spec"]["run"] == run
        }


@contextlib.asynccontextmanager
async def living(world: World) -> Any:
    """A world whose kubelets run; at the end nothing of it goes on."""
    kubelets = asyncio.create_task(world.kubelets())
    try:
        yield world
    finally:
        await world.stop_operator()
        for task in [kubelets, *world._pods.values()]:
            task.cancel()
        await asyncio.gather(kubelets, *world._pods.values(), return_exceptions=True)
