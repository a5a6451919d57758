"""The real operator against an API server in memory, in virtual time: what becomes of whole runs."""

from __future__ import annotations

import asyncio
from collections import Counter

from tests.support import virtual_time
from tests.support.fake_api import Object
from tests.support.world import Outcome, World, living

from application_sdk.wire import names
from apprun_operator.plan.limits import Limits


def test_run_succeeds_and_leaves_no_pod() -> None:
    async def story() -> None:
        async with living(World([["a"], ["b", "c", "d"], ["e"]])) as world:
            world.start_operator()
            run = world.apply_run("r")
            status = await world.until_phase(run, "Succeeded")
            await world.until_quiet()
            assert status["output"] == {"committed": 5, "nothing": None}
            assert status["checkpoints"][0]["task"] == "a"
            assert [entry["sequence"] for entry in status["checkpoints"]] == [0, 1, 2, 3, 4]
            assert status["tasks"] == {
                "total": 5, "succeeded": 5, "failed": 0, "cancelled": 0, "active": 0, "waiting": 0,
                "queued": 0,
            }  # fmt: skip
            assert set(world.starts.values()) == {1}

    virtual_time.run(story())


def test_successful_task_costs_the_operator_three_writes() -> None:
    async def story() -> None:
        async with living(World([[f"t{i}"] for i in range(10)])) as world:
            world.start_operator()
            run = world.apply_run("r")
            await world.until_phase(run, "Succeeded")
            await world.until_quiet()
            own = [write for write in world.server.writes if write[0] == "operator"]
            tasks = [
                place for _, _, place in own if place.plural in ("pods", "apptasks") and "driver" not in place.name
            ]
            commits = [place for _, verb, place in own if place.plural == "appruns"]
            assert len(tasks) == 2 * 10
            # Of the run itself: the mark that it begins, its first status, its end.
            assert len(commits) == 10 + 3

    virtual_time.run(story())


def test_a_failing_task_is_retried_as_declared() -> None:
    def fails(call: Object) -> Outcome:
        return Outcome(error={"type": "ValueError", "message": "no"}) if call["task"] == "a" else Outcome()

    async def story() -> None:
        async with living(World([["a"]], behaviour=fails)) as world:
            world.start_operator()
            run = world.apply_run("r")
            status = await world.until_phase(run, "Succeeded")
            assert status["checkpoints"][0]["outcome"] == "Failed"
            assert status["checkpoints"][0]["attempts"] == 3
            task = world.tasks("r")["a"]["status"]
            assert task["phase"] == "Failed"
            assert [entry["budget"] for entry in task["attempts"]] == ["App", "App", "App"]

    virtual_time.run(story())


def test_lost_node_costs_no_retries_and_its_tasks_run_elsewhere() -> None:
    async def story() -> None:
        stages = [["a", "b", "c", "d"]]
        async with living(World(stages, behaviour=lambda call: Outcome(seconds=20))) as world:
            world.start_operator()
            run = world.apply_run("r")
            await world.until(lambda: sum(world.starts.values()) == 4)
            world.kill_node("node1")
            await world.until_phase(run, "Succeeded")
            attempts = [t["status"].get("attempts", []) for name, t in world.tasks("r").items() if name != "driver"]
            lost = [entry for entries in attempts for entry in entries]
            assert {(entry["reason"], entry["budget"]) for entry in lost} == {("NodeLost", "Disruption")}
            assert sum(world.starts.values()) == 4 + len(lost)
            assert not world.restarts_of_committed

    virtual_time.run(story())


def test_a_driver_pod_deleted_by_hand_is_replaced() -> None:
    async def story() -> None:
        async with living(World([["a"], ["b"], ["c"]])) as world:
            world.start_operator()
            run = world.apply_run("r")
            await world.until(lambda: len(world.status(run).get("checkpoints", [])) == 1)
            driver = next(place for place in world.server.objects if place.name.startswith("r-driver-1-"))
            world.server.delete("user", driver)
            await world.until_phase(run, "Succeeded")
            assert world.tasks("r")["driver"]["status"]["attempt"] == 2
            assert set(world.starts.values()) == {1}

    virtual_time.run(story())


def test_a_stalled_run_starts_when_its_spec_is_corrected() -> None:
    def unloadable(call: Object) -> Outcome:
        wrong = call["role"] == "driver" and call["entry"] == "app:Wrong"
        return Outcome(error={"type": "ImportError", "message": "no such", "stall": "LoadFailed"} if wrong else None)

    async def story() -> None:
        async with living(World([["a"]], behaviour=unloadable)) as world:
            world.start_operator()
            run = world.apply_run("r", app={"entry": "app:Wrong"})
            status = await world.until_phase(run, "Stalled")
            ready = {c["type"]: (c["status"], c["reason"]) for c in status["conditions"]}
            assert ready["Stalled"] == ("True", "LoadFailed")
            await asyncio.sleep(100)
            assert world.status(run)["phase"] == "Stalled"
            assert world.tasks("r")["driver"]["status"]["attempt"] > 2
            world.edit_spec(run, app={"entry": "app:Right"})
            corrected_at = virtual_time.wall()
            await world.until_phase(run, "Succeeded")
            assert virtual_time.wall() - corrected_at < 8

    virtual_time.run(story())


def test_timer_fires_not_before_its_time() -> None:
    async def story() -> None:
        async with living(World([["sleep"]])) as world:
            world.start_operator()
            run = world.apply_run("r")
            await world.until(lambda: "sleep" in world.tasks("r"))
            created = virtual_time.wall()
            await world.until_phase(run, "Succeeded")
            assert 2.0 <= virtual_time.wall() - created < 4

    virtual_time.run(story())


def test_long_ledger_moves_to_pages() -> None:
    async def story() -> None:
        stages = [[f"t{stage}-{i}" for i in range(size)] for stage, size in enumerate((200, 100, 20))]
        async with living(World(stages)) as world:
            world.start_operator()
            run = world.apply_run("r", parallelism=500)
            status = await world.until_phase(run, "Succeeded")
            assert status["ledgerPages"] == 2
            entries = world.server.ledger(world.server.objects[run])
            assert [entry["sequence"] for entry in entries] == list(range(320))
            assert len({entry["key"] for entry in entries}) == 320

    virtual_time.run(story())


def test_cancelled_run_ends_its_pods() -> None:
    async def story() -> None:
        async with living(World([["a"], ["b"]], behaviour=lambda call: Outcome(seconds=1000))) as world:
            world.start_operator()
            run = world.apply_run("r")
            await world.until(lambda: sum(world.starts.values()) == 1)
            world.edit_spec(run, cancel=True)
            status = await world.until_phase(run, "Cancelled")
            await world.until_quiet()
            assert status["conditions"][0]["reason"] == "Cancelled"
            await world.until(lambda: world.tasks("r")["a"]["status"]["phase"] == "Cancelled")

    virtual_time.run(story())


def test_run_ends_as_failed_when_its_time_is_over() -> None:
    async def story() -> None:
        async with living(World([["a"]], behaviour=lambda call: Outcome(seconds=1000))) as world:
            world.start_operator()
            run = world.apply_run("r", timeoutSeconds=20)
            began = virtual_time.wall()
            status = await world.until_phase(run, "Failed")
            assert status["error"]["type"] == "TimedOut"
            assert virtual_time.wall() - began < 25

    virtual_time.run(story())


def test_suspended_run_starts_nothing_until_it_is_resumed() -> None:
    async def story() -> None:
        async with living(World([["a"], ["b"]])) as world:
            world.start_operator()
            run = world.apply_run("r")
            await world.until(lambda: sum(world.starts.values()) == 1)
            world.edit_spec(run, suspend=True)
            await asyncio.sleep(60)
            assert world.status(run)["phase"] == "Suspended"
            assert len(world.status(run)["checkpoints"]) == 1
            assert sum(world.starts.values()) == 1
            world.edit_spec(run, suspend=False)
            await world.until_phase(run, "Succeeded")

    virtual_time.run(story())


def task_pods(world: World) -> Counter[str]:
    """How many task pods each run has."""
    return Counter(
        item["metadata"]["labels"][names.RUN_LABEL]
        for place, item in world.server.objects.items()
        if place.plural == "pods" and item["metadata"]["labels"][names.ROLE_LABEL] == "task"
        and "deletionTimestamp" not in item["metadata"]
    )  # fmt: skip


def test_a_large_run_shares_the_pod_limit_with_a_later_one() -> None:
    stage = [f"t{n}" for n in range(40)]
    limits = Limits(runtime_image="runtime", node_lost_grace=3, max_pods=4)

    async def story() -> None:
        most = 0
        async with living(World([stage], lambda call: Outcome(10), limits=limits)) as world:
            world.start_operator()
            large = world.apply_run("large")
            await world.until(lambda: task_pods(world) == {"large": 4})
            small = world.apply_run("small")
            await world.until(lambda: task_pods(world) == {"large": 2, "small": 2})
            assert "allows 4 task pods" in world.status(small)["message"]
            await world.stop_operator()
            world.start_operator()
            while world.status(small).get("phase") != "Succeeded":
                most = max(most, task_pods(world).total())
                await asyncio.sleep(0.5)
            await world.until_phase(large, "Succeeded")
            assert most == 4

    virtual_time.run(story())


def test_pods_of_a_deleted_run_occupy_places_until_gone() -> None:
    limits = Limits(runtime_image="runtime", node_lost_grace=3, max_pods=2)

    async def story() -> None:
        most = 0
        async with living(World([["a", "b"]], lambda call: Outcome(30), limits=limits)) as world:
            world.start_operator()
            deleted = world.apply_run("deleted")
            await world.until(lambda: task_pods(world) == {"deleted": 2})
            later = world.apply_run("later")
            await world.until(lambda: "allows 2 task pods" in world.status(later).get("message", ""))
            world.server.delete("user", deleted)
            while world.status(later)["tasks"].get("succeeded", 0) == 0:
                most = max(most, len([name for name in world.live_pods() if "-driver-" not in name]))
                await asyncio.sleep(0.1)
            assert most == 2

    virtual_time.run(story())
