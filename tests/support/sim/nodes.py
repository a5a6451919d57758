"""What runs beside the API server: scheduler, kubelets with their containers, the controllers that clean up.

Each can fail as the real ones do: nodes die, are cut off, come back, are deleted; pods are evicted, preempted, killed.
"""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from tests.support.fake_api import FakeServer, Object, Place, User
from tests.support.sim import greenlets
from tests.support.sim.collector import Collector
from tests.support.sim.connections import PodConnection
from tests.support.sim.warm import WarmPod
from tests.support.virtual_time import wall

from application_sdk.engines.kubernetes.api import Api
from application_sdk.engines.kubernetes.connection import Address
from application_sdk.engines.kubernetes.driver_main import run_driver
from application_sdk.engines.kubernetes.inspect_main import run_inspection
from application_sdk.engines.kubernetes.task_main import run_task
from application_sdk.wire import names, pod_rules
from application_sdk.wire.containers import container_of, declared, status_of
from application_sdk.wire.pod import EXIT_TERMINATED, WORKER_CONCURRENCY_VARIABLE, WORKER_MAX_CALLS_VARIABLE
from apprun_operator.kube.errors import UnavailableError
from apprun_operator.observe.times import rfc3339

if TYPE_CHECKING:
    from tests.support.sim.cluster import Cluster

CONTROLLER = User("system:kube-controller-manager")
NODE_MONITOR_GRACE = 4.0
KUBELET_LAG = 1.5
"""Seconds until kubelet tells that a container has ended."""
POD_GC_SECONDS = 20.0
SIDECAR = "a-proxy"
QUEUE_GATE = "kueue.x-k8s.io/admission"


@dataclass
class Container:
    """A container of a pod, as its kubelet knows it."""

    place: Place
    uid: str
    process: greenlets.Process
    reason: str = ""
    """Why it ended, when its exit code doesn't say."""
    stopping: bool = False


@dataclass
class Node:
    name: str
    alive: bool = True
    """The machine runs."""
    reachable: bool = True
    """It and the API server hear of one another."""
    registered: bool = True
    """There is a Node object."""
    containers: dict[str, Container] = field(default_factory=dict)
    """By the pod's uid."""
    lost_since: float | None = None

    @property
    def ready(self) -> bool:
        return self.alive and self.reachable and self.registered


class Nodes:
    """Scheduler, kubelets and controllers of one cluster."""

    def __init__(self, cluster: Cluster, count: int) -> None:
        self._cluster = cluster
        self._server: FakeServer = cluster.server
        self._collector = Collector(cluster.server)
        self.nodes = {f"node{n + 1}": Node(f"node{n + 1}") for n in range(count)}
        self.unschedulable = False
        self.no_image = False
        self.queue = False
        """Whether a queue as Kueue holds pods back that name one, and opens their gates on request."""
        self.sidecar: Object | None = None
        """The state of the container that a mesh adds to each pod; None without a mesh."""
        cluster.server.mutate = self._inject
        self._turn = 0
        self._tasks: set[asyncio.Task[Any]] = set()
        self._server.observers.append(self._observe)

    def stop(self) -> None:
        for node in self.nodes.values():
            for container in node.containers.values():
                container.process.kill()
            node.containers.clear()
        for task in self._tasks:
            task.cancel()

    def later(self, seconds: float, action: Callable[[], None]) -> None:
        """Do something soon: every part of a cluster has its own pace."""

        async def wait() -> None:
            await asyncio.sleep(self._cluster.pace(seconds))
            action()

        task = greenlets._hub().create_task(wait())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    # Who reacts to what

    def _observe(self, event: str, place: Place, item: Object, before: Object | None) -> None:
        uid = item["metadata"]["uid"]
        if event == "ADDED" and item["metadata"].get("ownerReferences"):
            self.later(0.5, lambda: self._collector.collect_if_left(place, uid))
        if place.plural != "pods":
            if event == "DELETED":
                self.later(0.3, lambda: self._collector.collect(uid))
            elif "deletionTimestamp" in item["metadata"]:
                self.later(0.2, lambda: self._collector.finalize(place, uid))
            return
        if event == "ADDED":
            self.later(0.2, lambda: self._schedule(place, uid))
            return
        node = self.nodes.get(item["spec"].get("nodeName", ""))
        if node is not None and node.reachable and node.alive:
            self.later(0.1, lambda: self._sync(node, place, uid))

    # The scheduler

    def _pod(self, place: Place, uid: str) -> Object | None:
        item = self._server.objects.get(place)
        return item if item is not None and item["metadata"]["uid"] == uid else None

    def _schedule(self, place: Place, uid: str) -> None:
        item = self._pod(place, uid)
        if item is None or item["spec"].get("nodeName") or "deletionTimestamp" in item["metadata"]:
            return
        if item["spec"].get("schedulingGates"):
            return
        ready = [node for node in self.nodes.values() if node.ready]
        if self.unschedulable or not ready:
            condition = {"type": "PodScheduled", "status": "False", "reason": "Unschedulable",
                         "message": "0/2 nodes are available"}  # fmt: skip
            if item["status"].get("conditions") != [condition]:
                self.edit(place, status={"conditions": [condition]})
            self.later(2.0, lambda: self._schedule(place, uid))
            return
        self._turn += 1
        node = ready[self._turn % len(ready)]
        self.edit(place, spec={"nodeName": node.name}, status={"conditions": []})

    def edit(self, place: Place, spec: Object | None = None, status: Object | None = None) -> None:
        item = self._server.read(place)
        changed = {"spec": {**item["spec"], **(spec or {})}, "status": {**item["status"], **(status or {})}}
        if {**item, **changed} != item:
            self._server.put("MODIFIED", place, {**item, **changed})

    # A queue

    def admit(self, place: Place) -> None:
        """Open the gate of a queued pod."""
        item = self._server.read(place)
        self.edit(place, spec={"schedulingGates": []}, status={"conditions": []})
        self.later(0.2, lambda: self._schedule(place, item["metadata"]["uid"]))

    def take_back(self, place: Place, words: str) -> None:
        """End an admitted pod for another workload, as Kueue does: a condition first, then the deletion."""
        mark = {"type": "TerminationTarget", "status": "True", "reason": "WorkloadEvicted", "message": words}
        self.edit(place, status={"conditions": [mark]})
        self._server.delete(CONTROLLER, place)

    # Kubelets

    def _sync(self, node: Node, place: Place, uid: str) -> None:
        """What a kubelet does when it looks at a pod."""
        if not (node.alive and node.reachable):
            return
        item, container = self._pod(place, uid), node.containers.get(uid)
        if item is None:
            if container is not None:
                self._stop(node, container, grace=0)
            return
        if "deletionTimestamp" in item["metadata"]:
            if container is None:
                self._vanish(place, uid)
            else:
                grace = item["metadata"].get("deletionGracePeriodSeconds", 30)
                self._stop(node, container, grace)
            return
        if container is None and item["status"].get("phase", "Pending") == "Pending":
            self._start(node, place, item)

    def _start(self, node: Node, place: Place, item: Object) -> None:
        if self.no_image:
            waiting = {"waiting": {"reason": "ErrImagePull", "message": "connection refused"}}
            self.edit(place, status=self._status(item, waiting))
            uid = item["metadata"]["uid"]
            self.later(3.0, lambda: self._sync(node, place, uid))
            return
        uid = item["metadata"]["uid"]
        process = greenlets.Process(place.name)
        container = node.containers[uid] = Container(place, uid, process)
        self._spawn(self._watch(node, container))
        account = item["spec"]["serviceAccountName"]
        user = User(f"system:serviceaccount:{place.namespace}:{account}", place.name, uid)
        warm = names.POOL_LABEL in item["metadata"]["labels"]
        call = {} if warm else json.loads(item["metadata"]["annotations"][names.CALL_ANNOTATION])
        party = "worker" if warm else f"task {call['key']}" if call["role"] == "task" else call["role"]

        async def reach(moment: str, request: str) -> None:
            if not node.reachable:
                await asyncio.sleep(5)
                raise UnavailableError("the node is cut off")
            await self._cluster.reach(party, moment, request, process)

        def connected() -> Api:
            return Api(
                Address("api", 443, None), lambda: "token", place.namespace,
                connect=lambda address, timeout: PodConnection(self._server, user, reach, timeout),
            )  # fmt: skip

        def work() -> int:
            env = {entry["name"]: entry.get("value", "") for entry in declared(item, container_of(item))["env"]}
            most = int(env.get(WORKER_MAX_CALLS_VARIABLE) or 0)
            concurrency = int(env[WORKER_CONCURRENCY_VARIABLE])
            return WarmPod(connected, place.name, uid, concurrency, most, node.name, self._cluster.call_began).run()

        def main() -> int:
            api = connected()
            for variable in declared(item, container_of(item))["env"]:
                if variable["name"] == names.STATE_VARIABLE:
                    os.environ[variable["name"]] = variable["value"]
            run = {"driver": run_driver, "inspect": run_inspection}.get(call["role"], run_task)
            return run(call, api, node.name, wall())

        self.later(0.3, lambda: self._run(node, place, uid, process, work if warm else main))

    def _run(self, node: Node, place: Place, uid: str, process: greenlets.Process, main: Callable[[], int]) -> None:
        if process.dead or not node.alive:
            return
        process.start(main)
        item = self._pod(place, uid)
        if node.reachable and item is not None:
            image = declared(item, container_of(item))["image"]
            running = {"running": {"startedAt": rfc3339(wall())}}
            self.edit(place, status=self._status(item, running, imageID=f"{image}@sha256:0"))

    def _spawn(self, coroutine: Any) -> None:
        task = greenlets._hub().create_task(coroutine)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _watch(self, node: Node, container: Container) -> None:
        """Tell how it ended, as soon as the API server can be told."""
        await container.process.ended.wait()
        self._cluster.process_ended(container.process)
        await asyncio.sleep(self._cluster.pace(KUBELET_LAG))
        while not node.reachable:  # noqa: ASYNC110 (in virtual time)
            await asyncio.sleep(1)
        if not node.alive or container.uid not in node.containers:
            return
        del node.containers[container.uid]
        item = self._pod(container.place, container.uid)
        if item is None:
            return
        code = container.process.exit_code
        code = 137 if code is None else code
        reason = container.reason or ("Error" if code else "Completed")
        words = {"message": container.process.last_words} if code and container.process.last_words else {}
        terminated = {"terminated": {"exitCode": code, "reason": reason, **words}}
        if item["status"].get("phase") not in ("Failed", "Succeeded"):
            self.edit(container.place, status=self._status(item, terminated))
        if "deletionTimestamp" in item["metadata"]:
            self.later(0.1, lambda: self._vanish(container.place, container.uid))

    # A mesh

    def _inject(self, place: Place, item: Object) -> Object:
        """A proxy beside the call's container, and before it by name: so kubelet shows it first."""
        if self.queue and place.plural == "pods" and pod_rules.QUEUE_LABEL in item["metadata"]["labels"]:
            gated = {"type": "PodScheduled", "status": "False", "reason": "SchedulingGated"}
            spec = {**item["spec"], "schedulingGates": [{"name": QUEUE_GATE}]}
            item = {**item, "spec": spec, "status": {**item.get("status", {}), "conditions": [gated]}}
        if place.plural != "pods" or self.sidecar is None:
            return item
        containers = [*item["spec"]["containers"], {"name": SIDECAR, "image": "proxy:1"}]
        return {**item, "spec": {**item["spec"], "containers": containers}}

    def _status(self, item: Object, state: Object, **more: Any) -> Object:
        """A pod's status while its own container is in this state: the phase is that of all its containers together."""
        statuses = [{"name": container_of(item), "state": state, **more}]
        if declared(item, SIDECAR):
            statuses.insert(0, {"name": SIDECAR, "state": self.sidecar or {"running": {}}})
        states = [status["state"] for status in statuses]
        if any("waiting" in one for one in states):
            return {"phase": "Pending", "containerStatuses": statuses}
        if any("running" in one for one in states):
            return {"phase": "Running", "containerStatuses": statuses}
        failed = any(one["terminated"]["exitCode"] for one in states)
        return {"phase": "Failed" if failed else "Succeeded", "containerStatuses": statuses}

    def _stop(self, node: Node, container: Container, grace: float) -> None:
        if container.stopping and grace:
            return
        container.stopping = True
        process = container.process
        if process.dead:
            return
        if not grace:
            process.kill()
        elif process.on_sigterm is not None:
            process.on_sigterm()
            self.later(grace, process.kill)
        else:
            process.exit(EXIT_TERMINATED)

    def _vanish(self, place: Place, uid: str) -> None:
        if self._pod(place, uid) is not None:
            self._server.remove(place)

    # Faults

    def _lose(self, node: Node) -> None:
        """The node controller marks the pods of a node that stays silent for too long."""
        since = node.lost_since = wall()

        def look() -> None:
            if node.lost_since == since:
                for place, item in list(self._server.objects.items()):
                    if place.plural == "pods" and item["spec"].get("nodeName") == node.name:
                        self.disrupt(place, "DeletionByTaintManager")

        self.later(NODE_MONITOR_GRACE + self._cluster.limits.node_lost_grace, look)

    def disrupt(self, place: Place, reason: str) -> None:
        """Mark a pod as the cluster's own doing, and delete it: as taints, evictions and preemptions do."""
        item = self._server.objects.get(place)
        if item is None or "deletionTimestamp" in item["metadata"]:
            return
        if item["status"].get("phase") not in ("Succeeded", "Failed"):
            mark = {"type": "DisruptionTarget", "status": "True", "reason": reason, "message": "by the cluster"}
            self.edit(place, status={"conditions": [mark]})
        self._server.delete(CONTROLLER, place)

    def kill(self, node: Node) -> None:
        """The machine is off, from one moment to the next."""
        node.alive = False
        for container in node.containers.values():
            container.process.kill()
        node.containers.clear()
        if node.reachable:
            self._lose(node)

    def cut(self, node: Node) -> None:
        """Nobody hears of it; what runs there runs on."""
        if node.reachable:
            node.reachable = False
            if node.alive:
                self._lose(node)

    def heal(self, node: Node) -> None:
        """Back, with what still runs there; a machine that was off has forgotten its containers."""
        rebooted = not node.alive
        node.alive = node.reachable = node.registered = True
        node.lost_since = None
        for place, item in list(self._server.objects.items()):
            if place.plural != "pods" or item["spec"].get("nodeName") != node.name:
                continue
            uid = item["metadata"]["uid"]
            own = status_of(item, container_of(item))
            if rebooted and "running" in own.get("state", {}) and "deletionTimestamp" not in item["metadata"]:
                gone = {"name": own["name"], "state": {"terminated": {"exitCode": 255, "reason": "Unknown"}}}
                self.edit(place, status={"phase": "Failed", "containerStatuses": [gone]})
            self.later(0.1, lambda place=place, uid=uid: self._sync(node, place, uid))  # type: ignore[misc]
        for container in list(node.containers.values()):
            self.later(0.1, lambda c=container: self._sync(node, c.place, c.uid))  # type: ignore[misc]

    def delete_node(self, node: Node) -> None:
        """An autoscaler takes the machine away, Node object and all."""
        self.kill(node)
        node.registered = False

        def collect_pods() -> None:
            if node.registered:
                return
            for place, item in list(self._server.objects.items()):
                if place.plural == "pods" and item["spec"].get("nodeName") == node.name:
                    if item["status"].get("phase") not in ("Succeeded", "Failed"):
                        mark = {"type": "DisruptionTarget", "status": "True", "reason": "DeletionByPodGC"}
                        self.edit(place, status={"phase": "Failed", "conditions": [mark]})
                    self._server.delete(CONTROLLER, place, grace=0)

        self.later(POD_GC_SECONDS, collect_pods)

    def end_container(self, place: Place, reason: str) -> None:
        """A container is killed from outside: by the kernel (OOMKilled), or by somebody on the node."""
        container = self.container(place)
        if container is not None and not container.process.dead:
            container.reason = reason
            container.process.kill()

    def evict_by_kubelet(self, place: Place) -> None:
        """The node is short of something: the pod fails, and stays as it is."""
        container = self.container(place)
        if container is None or place not in self._server.objects:
            return
        node = next(node for node in self.nodes.values() if container.uid in node.containers)
        if not node.ready:
            return
        if self._server.objects[place]["status"].get("phase") in ("Succeeded", "Failed"):
            return
        del node.containers[container.uid]
        container.process.kill()
        self.edit(place, status={"phase": "Failed", "reason": "Evicted", "message": "the node was low on memory",
                                 "containerStatuses": []})  # fmt: skip

    def container(self, place: Place) -> Container | None:
        for node in self.nodes.values():
            for container in node.containers.values():
                if container.place == place:
                    return container
        return None
