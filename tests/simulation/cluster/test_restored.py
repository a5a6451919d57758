"""Runs out of a backup: without their status they are held; a full backup brings their past back.

The backups are taken of clusters whose runs go on meanwhile, and imported into empty ones.
"""

from __future__ import annotations

import asyncio
import copy
import itertools
import json
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest
from tests.support.fake_api import TERMINAL, Object, Place
from tests.support.sim.access import EDITOR, PERSON
from tests.support.sim.backups import Gone, Into, backup_of
from tests.support.sim.cluster import NAMESPACE, Cluster, simulate, wall

from application_sdk.cli.cluster.backup_document import Backup
from application_sdk.cli.cluster.errors import TakenError
from application_sdk.cli.cluster.restore_backup import check, restore_apps, restore_run
from application_sdk.wire import names
from apprun_operator.kube.errors import ForbiddenError

RUN = Place("appruns", NAMESPACE, "r")
APPS: dict[str, tuple[str, Object]] = {
    "sequence": ("Mixed", {"width": 2, "rounds": 2}),
    "failures": ("Failing", {}),
    "state": ("Tally", {}),
    "heartbeats": ("Counting", {"seconds": 3}),
    "continuation": ("Link", {"rounds": 1}),
}


NUMBERS = itertools.count(1)


def elsewhere() -> Cluster:
    """A cluster whose uids no other one has."""
    cluster = Cluster()
    cluster.server.version = next(NUMBERS) * 100_000
    return cluster


def recorded(app: str, input: Object | None = None) -> tuple[Cluster, Object]:
    """A cluster whose run has ended, with its history; and how it ended."""
    cluster = elsewhere()

    async def story() -> None:
        async with cluster.living():
            cluster.apply_run("r", app, input or {})
            await cluster.until_ended()
            await cluster.until_ended()

    simulate(story())
    return cluster, ends(cluster)


def midway(source: Cluster, share: float) -> int:
    """The version of the server when so much of the first run's life was over."""
    life = [v for v, _, place, item, _ in source.server.log if place == RUN and "app" in (item.get("status") or {})]
    return life[0] + int((source.server.version - life[0]) * share)


def ends(cluster: Cluster) -> Object:
    """What the runs came to, and what their apps keep."""
    state = {key: entry["value"] for item in cluster.of("appstates") for key, entry in item["spec"]["entries"].items()}
    return {"runs": sorted((item["status"]["phase"], json.dumps(item["status"].get("output"), sort_keys=True))
                           for item in cluster.of("appruns")), "state": state}  # fmt: skip


def copied(item: Object) -> Object:
    """An object as a backup tool restores it: without its status, and what the server has noted."""
    metadata = {name: item["metadata"][name] for name in ("name", "labels", "annotations") if name in item["metadata"]}
    return {"apiVersion": item["apiVersion"], "kind": item["kind"], "metadata": metadata, "spec": item["spec"]}


def restore(cluster: Cluster, backup: Backup, **how: Any) -> None:
    into = Into(cluster.server, **how)
    check(into, backup)
    restore_apps(into, backup, lambda text: None)
    for saved in backup.runs:
        restore_run(into, saved, datetime.fromtimestamp(wall(), UTC))


def committed(backup: Backup) -> set[str]:
    """Idempotency keys of the calls that the backup has committed."""
    return {
        f"{saved.run['metadata']['uid']}/{entry['key']}"
        for saved in backup.runs
        for entry in [
            *(one for page in saved.pages for one in page["spec"]["checkpoints"]),
            *(saved.run["status"].get("checkpoints") or []),
        ]
    }


def a_copy(cluster: Cluster, change: Callable[[Object], None] = lambda body: None) -> Object:
    body = copied(cluster.server.objects[RUN])
    change(body)
    return body


# Without its status


def held(body: Object, then: Callable[[Cluster], None], phase: str) -> Cluster:
    """A cluster in which such a copy was held for a long time, and then something was done about it."""
    cluster = elsewhere()

    async def story() -> None:
        async with cluster.living():
            cluster.server.create(PERSON, RUN, body)
            await asyncio.sleep(120)
            status = cluster.status(RUN)
            reasons = {c["reason"] for c in status.get("conditions") or []}
            assert (status.get("phase"), reasons) == ("Stalled", {"Restored"}), cluster.describe()
            assert not cluster.of("apptasks")
            assert not cluster.of("pods")
            assert "apprun import" in status["message"]
            assert "began-as-" in status["message"]
            then(cluster)
            await cluster.until(lambda: cluster.status(RUN).get("phase") == phase, 200, phase)

    simulate(story())
    return cluster


def test_a_run_restored_without_its_status_is_held() -> None:
    source, _ = recorded("Chain", {"width": 2})
    cluster = held(a_copy(source), lambda cluster: None, "Stalled")
    assert not cluster.began


@pytest.mark.parametrize("suspend", [True, False])
def test_it_is_held_however_it_is_suspended(suspend: bool) -> None:
    source, _ = recorded("Chain", {"width": 1})
    held(a_copy(source, lambda body: body["spec"].update(suspend=suspend)), lambda cluster: None, "Stalled")


def test_without_the_annotation_it_runs_from_the_start() -> None:
    source, _ = recorded("Chain", {"width": 2})

    def annotate(cluster: Cluster) -> None:
        cluster.server.patch(PERSON, RUN, {"metadata": {"annotations": {names.BEGAN_AS_ANNOTATION: None}}}, "")

    cluster = held(a_copy(source), annotate, "Succeeded")
    assert sorted(cluster.done.values()) == [1, 1]


def test_a_held_run_can_be_cancelled() -> None:
    source, _ = recorded("Chain", {"width": 1})
    held(a_copy(source), lambda cluster: cluster.edit_spec(RUN, cancel=True), "Cancelled")


def test_a_held_run_takes_its_past_from_a_full_backup() -> None:
    source, end = recorded("Chain", {"width": 2})
    cluster = held(a_copy(source), lambda cluster: restore(cluster, backup_of(source.server)), "Succeeded")
    assert not cluster.began
    assert ends(cluster) == end


def test_a_copied_run_without_progress_starts_normally() -> None:
    source = elsewhere()
    source.apply_run("r", "Chain", {"width": 1})
    cluster = elsewhere()

    async def story() -> None:
        async with cluster.living():
            cluster.server.create(PERSON, RUN, a_copy(source))
            await cluster.until_ended(RUN)

    simulate(story())
    assert cluster.status(RUN)["phase"] == "Succeeded"


# From a full backup


@pytest.mark.slow
@pytest.mark.parametrize("name", list(APPS))
def test_a_restored_run_goes_on_and_repeats_no_committed_call(name: str) -> None:
    source, end = recorded(*APPS[name])
    for number in range(12):
        backup = backup_of(source.server, midway(source, number / 11), seed=number)
        assert not [saved.problem() for saved in backup.runs if saved.problem()]
        cluster = elsewhere()

        async def story(cluster: Cluster = cluster, backup: Backup = backup) -> None:
            async with cluster.living():
                restore(cluster, backup)
                await cluster.until_ended()
                await cluster.until_ended()

        simulate(story())
        assert ends(cluster) == end, f"backup {number}"
        assert not committed(backup) & cluster.began.keys(), f"backup {number} has them committed"
        before = {key.partition("/")[2] for key in source.began}
        assert {key.partition("/")[2] for key in cluster.began} <= before, "no call that the original didn't make"


def test_a_backup_has_no_call_that_its_ledger_doesnt_lead_to() -> None:
    source, _ = recorded("Chain", {"width": 5, "seconds": 0.1})
    committed_at_birth, length = {}, 0
    for _, event, place, item, _ in source.server.log:
        if place == RUN:
            length = len(item["status"].get("checkpoints") or [])
        elif place.plural == "apptasks" and event == "ADDED":
            committed_at_birth[place.name] = length
    for number in range(60):
        for saved in backup_of(source.server, midway(source, number / 60), seed=number).runs:
            length = len(saved.run["status"].get("checkpoints") or [])
            early = {task["metadata"]["name"] for task in saved.tasks}
            assert all(committed_at_birth[name] <= length for name in early), f"backup {number}"


def test_the_same_call_has_the_same_idempotency_key() -> None:
    source, _ = recorded("Chain", {"width": 6})
    backup, cluster = backup_of(source.server, midway(source, 0.4)), elsewhere()

    async def story() -> None:
        async with cluster.living():
            restore(cluster, backup)
            await cluster.until_ended()

    simulate(story())
    assert cluster.began
    assert cluster.began.keys() <= source.began.keys()


def test_a_run_restored_twice_keeps_its_first_identity() -> None:
    source, end = recorded("Mixed", {"width": 2, "rounds": 2})
    second = elsewhere()
    first = backup_of(source.server, midway(source, 0.6))

    async def story() -> None:
        async with second.living():
            restore(second, first)
            await asyncio.sleep(1)

    simulate(story())
    third, again = elsewhere(), backup_of(second.server)

    async def sequel() -> None:
        async with third.living():
            restore(third, again)
            await third.until_ended()

    simulate(sequel())
    assert ends(third) == end
    assert third.status(RUN)["restoredFrom"]["uid"] == source.server.objects[RUN]["metadata"]["uid"]
    assert third.began.keys() <= source.began.keys()


def test_a_finished_run_stays_finished_and_says_so_of_itself() -> None:
    source, end = recorded("Mixed", {"width": 2})
    cluster = elsewhere()

    async def story() -> None:
        async with cluster.living():
            restore(cluster, backup_of(source.server))
            await asyncio.sleep(300)

    simulate(story())
    found = cluster.server.objects[RUN]
    assert ends(cluster) == end
    assert not cluster.began
    assert not cluster.of("pods")
    assert found["status"]["observedGeneration"] == found["metadata"]["generation"]
    assert {c["observedGeneration"] for c in found["status"]["conditions"]} == {found["metadata"]["generation"]}


@pytest.mark.slow
def test_a_long_ledger_comes_back_with_its_pages() -> None:
    source, end = recorded("Wide", {"width": 300, "seconds": 0.1})
    backup, cluster = backup_of(source.server), elsewhere()
    assert len(backup.runs[0].pages) >= 1

    async def story() -> None:
        async with cluster.living():
            restore(cluster, backup)
            await asyncio.sleep(60)

    simulate(story())
    assert ends(cluster) == end
    assert not cluster.began
    assert len(cluster.of("appledgers")) == len(backup.runs[0].pages)


def test_a_timer_fires_when_it_was_due() -> None:
    source = elsewhere()

    async def story() -> None:
        async with source.living():
            source.apply_run("r", "Mixed", {"width": 1, "timer": 600})
            await source.until(lambda: any(t["spec"]["role"] == "timer" for t in source.of("apptasks")), 120)
            await asyncio.sleep(200)

    simulate(story())
    backup, cluster = backup_of(source.server), elsewhere()

    async def sequel() -> None:
        made = datetime.fromisoformat(next(t["metadata"]["creationTimestamp"] for t in source.of("apptasks")
                                           if t["spec"]["role"] == "timer"))  # fmt: skip
        await asyncio.sleep(max(made.timestamp() + 300 - wall(), 0))
        async with cluster.living():
            restore(cluster, backup)
            await cluster.until_ended()
        fired = next(t["status"]["finishedAt"] for t in cluster.of("apptasks") if t["spec"]["role"] == "timer")
        assert 600 <= datetime.fromisoformat(fired).timestamp() - made.timestamp() < 610

    simulate(sequel())


# An import that is interrupted


@pytest.mark.slow
@pytest.mark.parametrize("done", [False, True], ids=["before", "after"])
def test_an_import_interrupted_at_any_write_holds_the_run(done: bool) -> None:
    source, end = recorded("Mixed", {"width": 2, "rounds": 1})
    backup = backup_of(source.server, midway(source, 0.6))
    saved, number = backup.runs[0], 0
    while True:
        cluster, interrupted = elsewhere(), False

        async def story(cluster: Cluster = cluster, number: int = number) -> None:
            nonlocal interrupted
            async with cluster.living():
                try:
                    restore_run(Into(cluster.server, writes=number, done=done), saved, datetime.now(UTC))
                except Gone:
                    interrupted = True
                    await asyncio.sleep(60)
                    status = cluster.status(RUN)
                    if "restoredFrom" not in status:
                        assert not cluster.of("pods")
                        assert not cluster.began
                        assert not status.get("checkpoints")
                        assert status.get("phase") in (None, "Pending")
                        assert "import" in status.get("message", "import")
                    restore_run(Into(cluster.server), saved, datetime.now(UTC))
                await cluster.until_ended()

        simulate(story())
        assert ends(cluster) == end
        assert not committed(backup) & cluster.began.keys()
        if not interrupted:
            break
        number += 1
    assert number > 2 * len(saved.tasks)


def test_a_cancelled_run_isnt_ended_before_its_import_is() -> None:
    source = elsewhere()

    async def story() -> None:
        async with source.living():
            source.apply_run("r", "Tidy", {"width": 1})
            await asyncio.sleep(8)
            source.edit_spec(RUN, cancel=True)
            await source.until_ended()

    simulate(story())
    backup, cluster = backup_of(source.server), elsewhere()

    async def sequel() -> None:
        async with cluster.living():
            with pytest.raises(Gone):
                restore_run(Into(cluster.server, writes=2), backup.runs[0], datetime.now(UTC))
            await asyncio.sleep(60)
            assert cluster.status(RUN)["phase"] == "Pending"
            restore(cluster, backup)
            await asyncio.sleep(60)

    simulate(sequel())
    assert ends(cluster) == ends(source)
    assert not cluster.began


# Who may


def test_a_name_that_another_run_has_is_refused() -> None:
    source, _ = recorded("Chain", {"width": 1})
    backup = backup_of(source.server)
    with pytest.raises(TakenError, match="never lost"):
        check(Into(source.server), backup)
    other = elsewhere()
    other.apply_run("r", "Chain", {"width": 1})
    with pytest.raises(TakenError, match="is another one"):
        check(Into(other.server), backup)


def test_nobody_writes_a_past_without_the_verb_restore() -> None:
    source, _ = recorded("Chain", {"width": 1})
    backup, cluster = backup_of(source.server), elsewhere()
    with pytest.raises(ForbiddenError):
        restore(cluster, backup, user=EDITOR)
    assert not cluster.status(RUN).get("checkpoints")


def test_the_past_of_a_run_that_has_one_is_never_rewritten() -> None:
    source, _ = recorded("Chain", {"width": 2})
    uid, status = source.server.objects[RUN]["metadata"]["uid"], copy.deepcopy(source.status(RUN))
    into = Into(source.server)
    into.annotate("appruns", "r", {names.RESTORED_FROM_ANNOTATION: uid})
    with pytest.raises(ForbiddenError):
        into.write_status("appruns", "r", {**status, "restoredFrom": {"uid": uid}, "output": {"forged": 1}})
    for item in source.of("apptasks"):
        with pytest.raises(ForbiddenError):
            into.write_status(
                "apptasks", item["metadata"]["name"], {**item["status"], "restoredAt": "2026-01-01T00:00:00Z"}
            )
    assert source.status(RUN)["phase"] in TERMINAL


def test_no_result_is_planted_in_a_run_that_goes_on() -> None:
    source, _ = recorded("Chain", {"width": 3})
    last = max(source.of("apptasks"), key=lambda item: item["spec"].get("sequence") or 0)
    cluster = elsewhere()

    async def story() -> None:
        async with cluster.living():
            cluster.apply_run("r", "Chain", {"width": 3})
            await cluster.until(lambda: "app" in cluster.status(RUN), 120)
            run, into = cluster.server.objects[RUN], Into(cluster.server)
            owner = {"apiVersion": names.API_VERSION, "kind": "AppRun", "name": "r", "uid": run["metadata"]["uid"]}
            planted = copied(last)
            planted["metadata"] |= {
                "ownerReferences": [owner],
                "annotations": {names.RESTORED_FROM_ANNOTATION: run["metadata"]["uid"]},
            }
            into.create("apptasks", planted)
            into.write_status(
                "apptasks", planted["metadata"]["name"], {**last["status"], "restoredAt": "2026-01-01T00:00:00Z"}
            )
            await asyncio.sleep(120)
            status = cluster.status(RUN)
            assert status["phase"] == "Stalled", cluster.describe()
            assert planted["metadata"]["name"] in status["message"]
            assert last["spec"]["key"] not in {entry["key"] for entry in status.get("checkpoints") or []}

    simulate(story())
