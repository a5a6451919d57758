"""The plan of a pool, one rule at a time: inboxes, pods and calls as they are, and what is asked for."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import cast

from application_sdk.wire.digest import JSONObject
from application_sdk.wire.fields import MAX_INBOX_BYTES, MAX_INBOX_CALLS, ReplicaFields, ReuseFields
from apprun_operator.observe.packed_json import Packed
from apprun_operator.observe.pods import PodRecord
from apprun_operator.observe.records import Key, Meta, RunRecord, TaskRecord
from apprun_operator.observe.workers import (
    InboxEntry,
    Offer,
    PendingAssignment,
    PoolCall,
    PoolMemory,
    PoolObserved,
    PoolShape,
    WorkerRecord,
    pool_key,
)
from apprun_operator.plan.actions import CreatePod, DeletePod
from apprun_operator.plan.limits import Limits
from apprun_operator.plan.pool import inbox, worker_pods
from apprun_operator.plan.pool.actions import CreateWorker, PatchCall, PoolPlan, WriteInbox
from apprun_operator.plan.pool.reconcile import plan_pool
from apprun_operator.plan.pool.shape import annotation_of, shape_from

LIMITS = Limits(runtime_image="runtime")
NOW = 10_000.0
POOL = "shop-w-00000000"
REUSE = ReuseFields(
    replicas=ReplicaFields(min=0, max=2), idleTtl=60.0, scaledownTtl=30.0, concurrency=1, mode="process"
)
SHAPE = PoolShape(
    POOL, "App", "shop", "app-uid",
    Packed.of({"entry": "app:Shop", "image": "shop:1", "pod": {}, "account": "apprun-worker-shop",
               "mode": "process", "concurrency": 1}),
    REUSE,
)  # fmt: skip
RUN = RunRecord(Meta(Key("ns", "r"), "run-uid", 1), app={"entry": "app:Shop", "name": "shop"})


def task(number: int, pod: str = "", **fields: object) -> TaskRecord:
    """A call; assigned to the pod of that name, if one is given."""
    place = (
        {"assigned_name": pod, "assigned_uid": f"uid-of-{pod}", "assigned_at": NOW - 1 + number / 100} if pod else {}
    )
    meta = Meta(Key("ns", f"r-{number}"), f"task-{number}", 50 + number, created=NOW - 5, owner_uid="run-uid")
    given = {"reuse": REUSE, "sequence": number, **place, **fields}
    return TaskRecord(meta, "r", "task", f"{number:032x}", "step", **given)  # type: ignore[arg-type]


def entry(call: TaskRecord) -> InboxEntry:
    told = cast("JSONObject", inbox.entry_of(PoolCall(RUN, call)))
    return InboxEntry(call.meta.key.name, call.meta.uid, call.attempt, Packed.of(told))


def worker(slot: int, *told: TaskRecord, **fields: object) -> WorkerRecord:
    name = f"{POOL}-{slot}"
    place = {"pod_name": name, "pod_uid": f"uid-of-{name}"} if told or fields.get("drain") else {}
    meta = Meta(Key("ns", name), f"worker-{slot}", 30 + slot, owner_uid="app-uid")
    given = {"calls": tuple(map(entry, told)), **place, **fields}
    return WorkerRecord(meta, POOL, "shop", slot, **given)  # type: ignore[arg-type]


def pod(slot: int, **fields: object) -> PodRecord:
    name = f"{POOL}-{slot}"
    meta = Meta(Key("ns", name), f"uid-of-{name}", 20 + slot, created=NOW - 100, owner_uid=f"worker-{slot}")
    given = {"phase": "Running", "running_since": NOW - 90, **fields}
    return PodRecord(meta, f"pool/{POOL}", name, 0, **given)  # type: ignore[arg-type]


def seen(*waiting: TaskRecord, workers: list[WorkerRecord] | None = None, pods: list[PodRecord] | None = None,
         assigned: list[TaskRecord] | None = None, **fields: object) -> PoolObserved:  # fmt: skip
    by_pod: dict[str, tuple[PoolCall, ...]] = {}
    for call in assigned or []:
        by_pod[call.assigned_name] = (*by_pod.get(call.assigned_name, ()), PoolCall(RUN, call))
    offers = tuple(
        (Offer(RUN.meta.key, one.meta.key.name, one.meta.uid, one.attempt, SHAPE), PoolCall(RUN, one))
        for one in waiting
    )
    observed = PoolObserved(
        key=pool_key("ns", POOL),
        workers={one.meta.key.name: one for one in workers or []},
        pods={one.meta.key.name: one for one in pods or []},
        assigned=by_pod,
        offers=offers,
        shape=SHAPE,
        accounts_ready=4,
    )
    return replace(observed, **fields)  # type: ignore[arg-type]


def of(planned: PoolPlan, kind: type) -> list[object]:
    return [action for action in planned.then if isinstance(action, kind)]


def assigning(call: TaskRecord) -> PendingAssignment:
    """The request that gives the call to the first pod."""
    return PendingAssignment(RUN.meta.key, call.meta.key, f"uid-of-{NAME}", 100)


def assignments(planned: PoolPlan) -> dict[str, object]:
    """Pods by AppTask."""
    return {
        action.patch.task.name: cast("JSONObject", action.patch.status["pod"])["name"]
        for action in planned.then
        if isinstance(action, PatchCall) and action.patch.status.get("pod")
    }


def ended(planned: PoolPlan) -> dict[str, tuple[object, object]]:
    """Reason and budget of each attempt that ends, by AppTask."""
    found = {}
    for action in planned.then:
        if isinstance(action, PatchCall) and "attempts" in action.patch.status:
            last = cast("list[JSONObject]", action.patch.status["attempts"])[-1]
            found[action.patch.task.name] = (last["reason"], last["budget"])
    return found


NAME = f"{POOL}-0"


def test_a_first_call_asks_for_an_account_and_an_inbox() -> None:
    planned = plan_pool(seen(task(1), accounts_ready=0), NOW, LIMITS)
    assert planned.ensure is not None
    assert (planned.ensure.account, planned.ensure.places) == ("apprun-worker-shop", 4)
    assert [action.worker.name for action in of(planned, CreateWorker)] == [NAME]  # type: ignore[attr-defined]


def test_an_inbox_is_followed_by_its_pod() -> None:
    planned = plan_pool(seen(task(1), workers=[worker(0)]), NOW, LIMITS)
    (action,) = planned.then
    assert isinstance(action, CreatePod)
    assert (action.pod.name, action.task_uid) == (NAME, "worker-0")


LEAKY = replace(SHAPE, reuse=ReuseFields(**REUSE, maxCalls=3))


def test_a_pod_is_given_no_more_calls_than_it_may_execute() -> None:
    uid = f"uid-of-{NAME}"
    of_three = seen(task(1), task(2), workers=[worker(0)], pods=[pod(0)], shape=LEAKY, proven={uid}, given={uid: 2})
    assert assignments(plan_pool(of_three, NOW, LIMITS)) == {"r-1": NAME}


def test_a_pod_that_was_given_its_last_call_is_replaced() -> None:
    uid = f"uid-of-{NAME}"
    last = seen(task(1), workers=[worker(0)], pods=[pod(0)], shape=LEAKY, given={uid: 3})
    planned = plan_pool(last, NOW, LIMITS)
    assert assignments(planned) == {}
    assert [action.worker.name for action in of(planned, CreateWorker)] == [f"{POOL}-1"]  # type: ignore[attr-defined]


def test_there_are_never_more_pods_than_the_maximum() -> None:
    calls = [task(n) for n in range(9)]
    planned = plan_pool(seen(*calls, workers=[worker(0)], pods=[pod(0)]), NOW, LIMITS)
    assert len(of(planned, CreateWorker)) == 1


def test_a_call_is_assigned_with_name_uid_and_version_and_told_later() -> None:
    planned = plan_pool(seen(task(1), workers=[worker(0)], pods=[pod(0)]), NOW, LIMITS)
    (action,) = planned.then
    assert isinstance(action, PatchCall)
    assert action.patch.version == 51
    assert action.patch.status["pod"] == {"name": NAME, "uid": f"uid-of-{NAME}"}


def test_what_is_assigned_is_told() -> None:
    call = task(1, NAME)
    (action,) = plan_pool(seen(workers=[worker(0)], pods=[pod(0)], assigned=[call]), NOW, LIMITS).then
    assert isinstance(action, WriteInbox)
    assert (action.version, action.status["pod"]) == (30, {"name": NAME, "uid": f"uid-of-{NAME}"})
    (told,) = cast("list[JSONObject]", action.status["calls"])
    assert (told["appTask"], told["uid"], told["attempt"]) == ("r-1", "task-1", 1)


def test_a_further_call_is_told_beside_those_that_were() -> None:
    calls = [task(1, NAME), task(2, NAME)]
    told = seen(workers=[worker(0, calls[0])], pods=[pod(0)], assigned=calls)
    (action,) = of(plan_pool(told, NOW, LIMITS), WriteInbox)
    assert isinstance(action, WriteInbox)
    assert len(cast("list[JSONObject]", action.status["calls"])) == 2


def test_an_inbox_that_is_as_it_should_be_is_left_alone() -> None:
    call = task(1, NAME)
    assert plan_pool(seen(workers=[worker(0, call)], pods=[pod(0)], assigned=[call]), NOW, LIMITS).then == []


def test_an_altered_inbox_is_written_again() -> None:
    call = task(1, NAME)
    told = entry(call)
    forged = {**told.entry.object(), "call": {**cast("JSONObject", told.entry.object()["call"]), "input": {"n": 2}}}
    other = replace(worker(0, call), calls=(replace(told, entry=Packed.of(forged)),))
    planned = plan_pool(seen(workers=[other], pods=[pod(0)], assigned=[call]), NOW, LIMITS)
    assert len(of(planned, WriteInbox)) == 1


def test_a_pod_of_another_owner_is_given_nothing() -> None:
    stranger = replace(pod(0), meta=replace(pod(0).meta, owner_uid="somebody"))
    planned = plan_pool(seen(task(1), workers=[worker(0)], pods=[stranger]), NOW, LIMITS)
    assert assignments(planned) == {}


def test_one_call_waits_ahead_in_a_pod_that_has_answered_before() -> None:
    first, calls = task(1, NAME), [task(n) for n in (2, 3)]
    full = [worker(0, first)]
    proven = seen(*calls, workers=full, pods=[pod(0)], assigned=[first], proven={f"uid-of-{NAME}"})
    assert assignments(plan_pool(proven, NOW, LIMITS)) == {"r-2": NAME}
    assert assignments(plan_pool(replace(proven, proven=frozenset()), NOW, LIMITS)) == {}


def test_no_call_waits_behind_one_that_takes_long() -> None:
    first = task(1, NAME, started_at=NOW - 3)
    observed = seen(task(2), workers=[worker(0, first)], pods=[pod(0)], assigned=[first], proven={f"uid-of-{NAME}"})
    assert assignments(plan_pool(observed, NOW, LIMITS)) == {}


def test_a_pod_that_says_nothing_loses_its_call_charged_to_nobody() -> None:
    call = task(1, NAME)
    observed = seen(
        workers=[worker(0, call)], pods=[pod(0)], assigned=[call], proven={f"uid-of-{NAME}"},
        memory=PoolMemory(waits={("task-1", 1, True): NOW - 5.0}),
    )  # fmt: skip
    assert ended(plan_pool(observed, NOW, LIMITS)) == {"r-1": ("NotAcknowledged", "None")}
    assert ended(plan_pool(observed, NOW - 0.1, LIMITS)) == {}


def test_a_call_that_was_taken_out_of_an_inbox_while_it_ran_is_replaced() -> None:
    call = task(1, NAME, started_at=NOW - 9)
    emptied = worker(0, pod_name=NAME, pod_uid=f"uid-of-{NAME}")
    observed = seen(workers=[emptied], pods=[pod(0)], assigned=[call])
    first = plan_pool(observed, NOW, LIMITS)
    assert (ended(first), first.wake_at) == ({}, NOW + 3.0)
    later = replace(observed, memory=PoolMemory(dropped={("task-1", 1): NOW - 3.0}))
    assert ended(plan_pool(later, NOW, LIMITS)) == {"r-1": ("NotAcknowledged", "None")}


def test_memory_of_a_pod_with_one_call_at_a_time_is_the_apps() -> None:
    calls = [task(1, NAME), task(2, NAME)]
    killed = pod(0, phase="Failed", exit_code=137, exit_reason="OOMKilled")
    observed = seen(workers=[worker(0, *calls)], pods=[killed], assigned=calls)
    assert ended(plan_pool(observed, NOW, LIMITS)) == {"r-1": ("OOMKilled", "App"), "r-2": ("NotAcknowledged", "None")}


def test_memory_of_a_shared_pod_is_a_disruption() -> None:
    shared: ReuseFields = {**REUSE, "concurrency": 2}
    calls = [task(n, NAME, reuse=shared) for n in (1, 2)]
    killed = pod(0, phase="Failed", exit_code=137, exit_reason="OOMKilled")
    observed = seen(workers=[worker(0, *calls)], pods=[killed], assigned=calls)
    assert {budget for _, budget in ended(plan_pool(observed, NOW, LIMITS)).values()} == {"Disruption"}


def test_a_call_of_a_pod_that_is_gone_is_assigned_elsewhere() -> None:
    call = task(1, NAME)
    observed = seen(workers=[worker(0, call)], assigned=[call])
    (action,) = of(plan_pool(observed, NOW, LIMITS), PatchCall)
    assert isinstance(action, PatchCall)
    assert (action.patch.status["attempt"], action.patch.status["pod"]) == (2, None)


def test_an_idle_pod_drains_before_it_is_deleted() -> None:
    idle = seen(
        workers=[worker(0)], pods=[pod(0)], memory=PoolMemory(idle={f"uid-of-{NAME}": NOW - 30.0}, called_at=NOW)
    )
    (write,) = plan_pool(idle, NOW, LIMITS).then
    assert isinstance(write, WriteInbox)
    assert write.status["drain"] is True
    (delete,) = plan_pool(seen(workers=[worker(0, drain=True)], pods=[pod(0)]), NOW, LIMITS).then
    assert delete == DeletePod(Key("ns", NAME), f"uid-of-{NAME}")


def test_no_call_is_assigned_to_a_pod_that_is_being_told_to_drain() -> None:
    memory = PoolMemory(idle={f"uid-of-{NAME}": NOW - 30.0}, called_at=NOW)
    drained = plan_pool(seen(workers=[worker(0)], pods=[pod(0)], memory=memory), NOW, LIMITS)
    told = {"workers": [worker(0)], "pods": [pod(0)], "memory": drained.memory}
    during = plan_pool(seen(task(1), in_flight={NAME}, **told), NOW, LIMITS)  # type: ignore[arg-type]
    assert assignments(during) == {}
    # The write has failed: the pod is as good as before.
    after = plan_pool(seen(task(1), **{**told, "memory": during.memory}), NOW, LIMITS)  # type: ignore[arg-type]
    assert assignments(after) == {task(1).meta.key.name: NAME}


def test_a_draining_pod_with_an_open_call_is_not_deleted() -> None:
    call = task(1, NAME)
    draining = seen(workers=[worker(0, call, drain=True)], pods=[pod(0)], assigned=[call])
    assert of(plan_pool(draining, NOW, LIMITS), DeletePod) == []


def test_a_pools_minimum_stays_unless_a_later_one_has_taken_over() -> None:
    reuse: ReuseFields = {**REUSE, "replicas": ReplicaFields(min=1, max=2)}
    idle = seen(
        workers=[worker(0)], pods=[pod(0)], shape=replace(SHAPE, reuse=reuse),
        memory=PoolMemory(idle={f"uid-of-{NAME}": NOW - 900.0}, called_at=NOW - 900.0),
    )  # fmt: skip
    assert plan_pool(idle, NOW, LIMITS).then == []
    assert len(of(plan_pool(replace(idle, latest=False), NOW, LIMITS), WriteInbox)) == 1


def test_pod_that_does_not_run_yet_is_not_idle() -> None:
    call = task(1, pod=NAME)
    pods = [pod(0), pod(1), pod(2, phase="Pending", running_since=None)]
    observed = seen(workers=[worker(0, call), worker(1), worker(2)], pods=pods, assigned=[call])
    summary = plan_pool(observed, NOW, LIMITS).summary or {}
    assert [summary.get(name) for name in ("size", "busy", "idle", "draining")] == [3, 1, 1, 0]


def test_an_inbox_stays_within_what_etcd_takes() -> None:
    big = Packed.of({"text": "x" * 200_000})
    calls = [task(n, NAME, input=big) for n in range(8)]
    (write,) = of(plan_pool(seen(workers=[worker(0)], pods=[pod(0)], assigned=calls), NOW, LIMITS), WriteInbox)
    assert isinstance(write, WriteInbox)
    assert 4 <= len(cast("list[JSONObject]", write.status["calls"])) < 8
    assert len(json.dumps(write.status)) < MAX_INBOX_BYTES + 10_000


def test_an_inbox_has_no_more_calls_than_the_api_server_takes() -> None:
    calls = [task(n, NAME) for n in range(200)]
    (write,) = of(plan_pool(seen(workers=[worker(0)], pods=[pod(0)], assigned=calls), NOW, LIMITS), WriteInbox)
    assert isinstance(write, WriteInbox)
    assert len(cast("list[JSONObject]", write.status["calls"])) == MAX_INBOX_CALLS


def test_a_full_inbox_is_not_written_again() -> None:
    calls = [task(n, NAME) for n in range(200)]
    full = worker(0, *calls[:MAX_INBOX_CALLS])
    assert of(plan_pool(seen(workers=[full], pods=[pod(0)], assigned=calls), NOW, LIMITS), WriteInbox) == []


def test_an_assignment_in_flight_takes_its_place() -> None:
    first, second = task(1), task(2)
    observed = seen(
        first, second, workers=[worker(0)], pods=[pod(0)],
        tasks_in_flight={first.meta.key}, assigning=[assigning(first)],
    )  # fmt: skip
    assert assignments(plan_pool(observed, NOW, LIMITS)) == {}


def test_an_assignment_that_is_seen_before_its_answer_counts_once() -> None:
    call, reuse = task(1, pod=NAME), ReuseFields({**REUSE, "concurrency": 2})
    observed = seen(
        task(2), workers=[worker(0, call)], pods=[pod(0)], assigned=[call], shape=replace(SHAPE, reuse=reuse),
        tasks_in_flight={call.meta.key}, assigning=[assigning(call)],
    )  # fmt: skip
    assert assignments(plan_pool(observed, NOW, LIMITS)) == {"r-2": NAME}


def test_an_idle_pod_that_is_being_assigned_a_call_stays() -> None:
    call = task(1)
    observed = seen(
        call, workers=[worker(0)], pods=[pod(0)], tasks_in_flight={call.meta.key}, assigning=[assigning(call)],
        memory=PoolMemory(idle={f"uid-of-{NAME}": NOW - 900.0}, called_at=NOW - 900.0),
    )  # fmt: skip
    assert of(plan_pool(observed, NOW, LIMITS), WriteInbox) == []


def test_an_inbox_remembers_its_shape_and_an_altered_one_counts_for_nothing() -> None:
    made = worker_pods.inbox("ns", replace(SHAPE, pool="x"), 0)
    assert cast("JSONObject", made.body["spec"])["slot"] == 0
    kept = replace(worker(0), shape=Packed.of(annotation_of(SHAPE)))
    assert shape_from(kept) is None  # The pool's name isn't that of its digest.
    altered = {**annotation_of(SHAPE), "body": {"image": "evil:1"}}
    assert shape_from(replace(kept, shape=Packed.of(altered))) is None
