"""Kubernetes, simulated: the real operator, drivers and task pods around a fake API server, in virtual time."""

from __future__ import annotations

import asyncio
from typing import cast

from tests.support.engines.catalog import Program
from tests.support.engines.differences import SIMULATED
from tests.support.engines.observed import Attempt, Completion, Failure, Observed, observed
from tests.support.fake_api import Object, Place
from tests.support.sim.cluster import NAMESPACE, Cluster, simulate
from tests.support.sim.invariants import outcome_of

from application_sdk.wire import names
from application_sdk.wire.fields import ErrorFields

APP = {"image": "app:1", "entry": "tests.support.engines.programs:Programs"}


class Simulated:
    name = SIMULATED

    def observe(self, program: Program, *, kill_driver: bool = False) -> Observed:
        return simulate(_story(program, kill_driver))


async def _story(program: Program, kill_driver: bool) -> Observed:
    cluster = Cluster()
    async with cluster.living():
        run = cluster.apply_run("r", app=APP, entrypoint=program.name, input=program.input)
        if kill_driver or program.cancel:
            await cluster.until(lambda: bool(cluster.entries(run)), what="a completion is committed")
        if program.cancel:
            await asyncio.sleep(2)  # so that the second call runs
            cluster.edit_spec(run, cancel=True)
        if kill_driver:
            uid = cluster.server.objects[run]["metadata"]["uid"]
            pod = names.pod_name(names.driver_task_name("r"), 1, uid)
            assert cluster.nodes.container(Place("pods", NAMESPACE, pod)), f"{program.name} has ended before"
            cluster.nodes.end_container(Place("pods", NAMESPACE, pod), "Error")
        if program.outcome == "Stalled":
            await cluster.until(lambda: cluster.status(run).get("phase") == "Stalled", what="the run is stalled")
        else:
            await cluster.until_ended(run)
        return read(cluster.server.objects[run], cluster.entries(run), cluster.of("apptasks"))


def read(run: Object, entries: list[Object], tasks: list[Object]) -> Observed:
    """What the objects of a run show, on this cluster or a real one."""
    status = run["status"]
    # In the order of the ledger, as on a laptop, and not in the order in which an API server lists.
    order = {entry["key"]: place for place, entry in enumerate(entries)}
    calls = {task["spec"]["key"]: task for task in tasks if task["spec"]["role"] != "driver"}
    calls = dict(sorted(calls.items(), key=lambda call: order.get(call[0], len(order))))
    return observed(
        status["phase"],
        status.get("output"),
        _stall(status) if status["phase"] == "Stalled" else cast("ErrorFields | None", status.get("error")),
        [_completion(entry, calls.get(entry["key"])) for entry in entries],
        [
            Attempt(task["spec"]["task"], attempt["attempt"], attempt["reason"], attempt["budget"])
            for task in calls.values()
            for attempt in outcome_of(task).get("attempts", [])
        ],
        run["metadata"]["uid"],
    )


def _stall(status: Object) -> ErrorFields:
    """What the condition says: a run that can go on once it is corrected has no error yet."""
    condition = next(condition_ for condition_ in status["conditions"] if condition_["type"] == "Stalled")
    return ErrorFields(type=condition["reason"], message=condition["message"], retryable=False)


def _completion(entry: Object, task: Object | None) -> Completion:
    error = None
    if task is not None and entry["outcome"] == "Failed":
        error = cast("ErrorFields | None", outcome_of(task).get("error"))
    return Completion(entry["key"], entry["task"], entry["outcome"], entry["attempts"], Failure.of(error))
