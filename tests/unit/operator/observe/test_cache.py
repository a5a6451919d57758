"""What the store keeps: the newest of everything, whoever brought it."""

from __future__ import annotations

from typing import Any

import pytest

from application_sdk.wire import names
from application_sdk.wire.digest import digest
from apprun_operator.observe.cache import Cache
from apprun_operator.observe.parse import Unreadable
from apprun_operator.observe.records import Key

RUN = Key("default", "r")
NOW = 1_800_000_000.0


class Known:
    """A store, the keys that it woke, and a clock."""

    def __init__(self) -> None:
        self.woken: list[Key] = []
        self.now = NOW
        self.cache = Cache(self.woken.append, lambda: self.now)

    def wakes(self) -> int:
        count = len(self.woken)
        self.woken.clear()
        return count


@pytest.fixture
def known() -> Known:
    return Known()


def metadata(name: str, version: int, owner: str = "", **fields: Any) -> dict[str, Any]:
    item = {
        "name": name,
        "namespace": "default",
        "uid": f"uid-{name}",
        "resourceVersion": str(version),
        "creationTimestamp": "2027-01-01T00:00:00Z",
        "generation": 1,
        **fields,
    }
    if owner:
        item["ownerReferences"] = [{"kind": "AppTask", "name": owner, "uid": f"uid-{owner}"}]
    return item


def run(version: int = 1, *keys: str, **status: Any) -> dict[str, Any]:
    entries = [{"sequence": n, "key": key, "task": "t"} for n, key in enumerate(keys)]
    spec = {"app": {"entry": "a:B"}}
    return {"metadata": metadata("r", version), "spec": spec, "status": {"checkpoints": entries, **status}}


def key(letter: str) -> str:
    return letter.ljust(32, "0")


def task(letter: str, version: int, **status: Any) -> dict[str, Any]:
    name = names.task_name("r", key(letter))
    item = metadata(name, version, ownerReferences=[{"kind": "AppRun", "name": "r", "uid": "uid-r"}])
    return {"metadata": item, "spec": {"run": "r", "role": "task", "key": key(letter), "task": "t"}, "status": status}


def pod(letter: str, version: int, attempt: int = 1, **status: Any) -> dict[str, Any]:
    owner = names.task_name("r", key(letter))
    labels = {names.RUN_LABEL: "r", names.ATTEMPT_LABEL: str(attempt)}
    item = metadata(names.pod_name(owner, attempt, "uid-r"), version, owner, labels=labels)
    return {"metadata": item, "spec": {}, "status": status}


def observe(known: Known) -> Any:
    observed = known.cache.observe(RUN)
    assert observed is not None
    return observed


def test_newer_version_wins_whatever_the_order(known: Known) -> None:
    known.cache.apply("appruns", run(5, phase="Running"))
    known.cache.apply("appruns", run(4, phase="Stalled"))
    assert observe(known).run.phase == "Running"


def test_same_version_twice_wakes_nobody(known: Known) -> None:
    known.cache.apply("appruns", run(5))
    known.wakes()
    known.cache.apply("appruns", run(5))
    assert known.wakes() == 0


def test_change_without_news_wakes_nothing_but_updates_version(known: Known) -> None:
    known.cache.apply("appruns", run(1))
    known.cache.apply("apptasks", task("a", 2))
    known.wakes()
    known.cache.apply("apptasks", task("a", 3, heartbeat={"n": 1}))
    assert known.wakes() == 0
    (kept,) = observe(known).tasks.values()
    assert kept.meta.version == 3


def test_late_response_to_a_write_revives_no_deleted_object(known: Known) -> None:
    known.cache.apply("appruns", run(1))
    item = pod("a", 2)
    known.cache.apply("pods", item)
    known.cache.remove("pods", Key("default", item["metadata"]["name"]))
    known.cache.apply("pods", pod("a", 3))
    assert not observe(known).pods


def test_committed_call_shrinks_to_its_name(known: Known) -> None:
    known.cache.apply("apptasks", task("a", 2, phase="Succeeded"))
    known.cache.apply("appruns", run(3, key("a")))
    observed = observe(known)
    assert not observed.tasks
    assert observed.committed_tasks == {names.task_name("r", key("a"))}
    assert key("a") in observed.committed_keys


def test_committed_call_stays_committed_whatever_its_task_says(known: Known) -> None:
    known.cache.apply("appruns", run(3, key("a")))
    known.cache.apply("apptasks", task("a", 9, phase="Active"))
    assert not observe(known).tasks


def committed_run(version: int, **status: Any) -> dict[str, Any]:
    """A run whose ledger has the call `a` with output 1."""
    entry = {"sequence": 0, "key": key("a"), "task": "t", "outcome": "Succeeded", "digest": digest(1)}
    return run(version, **{"checkpoints": [entry], **status})


def test_committed_call_whose_apptask_is_as_committed_is_settled(known: Known) -> None:
    known.cache.apply("appruns", committed_run(3))
    assert observe(known).unseen_tasks == (names.task_name("r", key("a")),)
    known.cache.apply("apptasks", task("a", 2, phase="Succeeded", output=1))
    assert observe(known).unseen_tasks == ()
    assert observe(known).committed_tasks


def test_committed_call_whose_apptask_vanishes_is_unseen(known: Known) -> None:
    known.cache.apply("apptasks", task("a", 2, phase="Succeeded", output=1))
    known.cache.apply("appruns", committed_run(3))
    name = names.task_name("r", key("a"))
    known.cache.remove("apptasks", Key("default", name))
    observed = observe(known)
    assert (observed.unseen_tasks, set(observed.lost_tasks)) == ((name,), set())
    known.cache.verify_task(Key("default", "r"), name, None)
    assert set(observe(known).lost_tasks) == {name}


def test_old_news_of_a_committed_call_is_no_alteration(known: Known) -> None:
    known.cache.apply("apptasks", task("a", 2))
    known.cache.apply("appruns", committed_run(3))
    name = names.task_name("r", key("a"))
    assert observe(known).unseen_tasks == (name,)
    known.cache.verify_task(Key("default", "r"), name, task("a", 2, phase="Succeeded", output=1))
    observed = observe(known)
    assert (observed.unseen_tasks, set(observed.altered_tasks)) == ((), set())


def test_altered_result_is_reported_until_it_is_put_back(known: Known) -> None:
    known.cache.apply("apptasks", task("a", 2, phase="Succeeded", output=1))
    known.cache.apply("appruns", committed_run(3))
    altered = task("a", 4, phase="Succeeded", output=2)
    known.cache.apply("apptasks", altered)
    name = names.task_name("r", key("a"))
    assert observe(known).unseen_tasks == (name,)
    known.cache.verify_task(Key("default", "r"), name, altered)
    assert set(observe(known).altered_tasks) == {name}
    known.cache.apply("apptasks", task("a", 5, phase="Succeeded", output=1))
    observed = observe(known)
    assert (observed.unseen_tasks, set(observed.altered_tasks)) == ((), set())


def test_cancellation_of_the_ledger_has_no_apptask(known: Known) -> None:
    entry = {"sequence": 0, "key": "cancel", "task": "cancel", "outcome": "Cancelled", "digest": ""}
    known.cache.apply("appruns", run(3, checkpoints=[entry]))
    assert observe(known).unseen_tasks == ()


def test_calls_on_pages_are_committed_too(known: Known) -> None:
    known.cache.apply("apptasks", task("a", 2, phase="Succeeded"))
    tail = [{"sequence": 128, "key": key("z"), "task": "t"}]
    known.cache.apply("appruns", run(3, ledgerPages=1, checkpoints=tail))
    assert observe(known).missing_pages == (0,)
    spec = {"run": "r", "number": 0, "checkpoints": [{"sequence": 0, "key": key("a")}]}
    known.cache.apply("appledgers", {"metadata": metadata("r-0", 4), "spec": spec})
    observed = observe(known)
    assert observed.missing_pages == ()
    assert not observed.tasks


def test_pod_that_vanished_unanswered_leaves_a_trace(known: Known) -> None:
    known.cache.apply("appruns", run(1))
    known.cache.apply("apptasks", task("a", 2))
    item = pod("a", 3, phase="Running")
    known.cache.apply("pods", item)
    known.cache.remove("pods", Key("default", item["metadata"]["name"]))
    (trace,) = observe(known).pods.values()
    assert trace.gone


def test_trace_goes_when_the_attempt_is_answered(known: Known) -> None:
    test_pod_that_vanished_unanswered_leaves_a_trace(known)
    known.cache.apply("apptasks", task("a", 9, attempt=2))
    assert not observe(known).pods


def test_vanished_pod_is_forgotten_with_its_task(known: Known) -> None:
    """A deleted run whose pod's end was seen before its task's: the run that is made anew mustn't
    wait for that pod."""
    test_pod_that_vanished_unanswered_leaves_a_trace(known)
    known.cache.remove("apptasks", Key("default", task("a", 2)["metadata"]["name"]))
    assert not observe(known).pods


def test_pod_of_a_reported_attempt_leaves_no_trace(known: Known) -> None:
    known.cache.apply("appruns", run(1))
    known.cache.apply("apptasks", task("a", 2, phase="Succeeded"))
    item = pod("a", 3)
    known.cache.apply("pods", item)
    known.cache.remove("pods", Key("default", item["metadata"]["name"]))
    assert not observe(known).pods


def test_list_tells_what_vanished_while_nobody_watched(known: Known) -> None:
    known.cache.apply("appruns", run(1))
    known.cache.apply("apptasks", task("a", 2))
    known.cache.apply("apptasks", task("b", 8))
    known.cache.replace("apptasks", [], 5)
    assert [t.key for t in observe(known).tasks.values()] == [key("b")], "b is newer than the list"


def test_list_of_one_namespace_says_nothing_of_others(known: Known) -> None:
    known.cache.apply("appruns", run(1))
    known.cache.replace("appruns", [], 9, "other")
    assert known.cache.observe(RUN) is not None


def test_namesake_starts_with_an_empty_ledger(known: Known) -> None:
    known.cache.apply("apptasks", task("a", 2, phase="Succeeded"))
    known.cache.apply("appruns", run(3, key("a")))
    again = run(10)
    again["metadata"]["uid"] = "uid-new"
    known.cache.apply("appruns", again)
    observed = observe(known)
    assert not observed.committed_keys
    assert not observed.tasks, "the old run's calls are not the new one's"


def test_deletion_of_an_older_namesake_changes_nothing(known: Known) -> None:
    known.cache.apply("appruns", run(3))
    known.cache.remove("appruns", RUN, "uid-older")
    assert known.cache.observe(RUN) is not None


def test_nothing_is_kept_of_a_run_that_is_gone(known: Known) -> None:
    known.cache.apply("appruns", run(1))
    known.cache.apply("apptasks", task("a", 2))
    known.cache.apply("pods", pod("a", 3))
    for kind, name in (("appruns", "r"), ("apptasks", task("a", 0)["metadata"]["name"])):
        known.cache.remove(kind, Key("default", name))  # type: ignore[arg-type]
    known.cache.remove("pods", Key("default", pod("a", 0)["metadata"]["name"]))
    assert not known.cache.keys()
    assert not known.cache._runs


def test_finished_run_lets_go_of_what_nobody_asks_for_again(known: Known) -> None:
    known.cache.apply("appruns", run(1, key("a"), phase="Succeeded"))
    observed = observe(known)
    assert observed.run.checkpoints == ()
    assert key("a") in observed.committed_keys


def test_refusals_back_off_and_end_with_the_pod(known: Known) -> None:
    known.cache.apply("appruns", run(1))
    known.cache.apply("apptasks", task("a", 2))
    name = pod("a", 0)["metadata"]["name"]
    delays = []
    for _ in range(8):
        known.cache.record_rejection(RUN, name, "Quota", "exceeded")
        delays.append(observe(known).rejections[name].retry_at - NOW)
    assert delays == [1, 2, 4, 8, 16, 32, 60, 60]
    known.cache.apply("pods", pod("a", 3))
    assert not observe(known).rejections


def test_corrected_app_is_tried_at_once(known: Known) -> None:
    known.cache.apply("appruns", run(1, app={"entry": "a:Wrong"}))
    known.cache.record_rejection(RUN, names.pod_name("r-driver", 1, "uid-r"), "Invalid", "no")
    known.cache.apply("appruns", run(2, app={"entry": "a:Right"}))
    assert not observe(known).rejections


def test_first_sight_of_a_call_is_kept(known: Known) -> None:
    known.cache.apply("appruns", run(1))
    known.cache.apply("apptasks", task("a", 2))
    known.now += 10
    known.cache.apply("apptasks", task("a", 3, attempt=2))
    (kept,) = observe(known).tasks.values()
    assert kept.seen_at == NOW


def test_app_wakes_the_runs_that_name_it(known: Known) -> None:
    waiting = {**run(1), "spec": {"appRef": {"name": "app"}}}
    known.cache.apply("appruns", waiting)
    known.wakes()
    known.cache.apply("apps", {"metadata": metadata("app", 2), "spec": {"entry": "a:B"}})
    assert known.wakes() == 1
    assert observe(known).app is not None


@pytest.mark.parametrize(
    ("kind", "raw"),
    [
        ("apps", {"spec": {"entry": "a:B"}}),
        ("apptasks", {"metadata": metadata("x", 1), "spec": {"role": "chief"}}),
        ("apptasks", {"metadata": metadata("x", 1), "spec": {"run": 7, "role": "task", "key": "k", "task": "t"}}),
        ("pods", {"metadata": metadata("x", 1, labels={names.RUN_LABEL: "r"})}),
        ("appledgers", {"metadata": metadata("x", 1), "spec": {"run": "r", "number": 0, "checkpoints": "none"}}),
    ],
)
def test_odd_object_is_refused_and_leaves_nothing_behind(known: Known, kind: Any, raw: Any) -> None:
    with pytest.raises(Unreadable):
        known.cache.apply(kind, raw)
    assert not known.cache._runs


@pytest.mark.parametrize(
    ("status", "words"),
    [
        ({"phase": "Frozen"}, "'Frozen'"),
        ({"checkpoints": [{"sequence": 0, "key": "a"}, {"sequence": 2, "key": "b"}]}, "where 1 should follow"),
        ({"checkpoints": [{"sequence": 0}]}, "has no key"),
        ({"checkpoints": [{"sequence": 0, "key": "a", "digest": 7}]}, "digest"),
        ({"checkpoints": [{"sequence": 0, "key": "a", "at": "noon"}]}, "at is 'noon'"),
        ({"checkpoints": [{"sequence": 3, "key": "a"}]}, "begins with 3 where 0 should"),
        ({"checkpoints": [{"sequence": 0, "key": "a"}], "ledgerPages": 1}, "begins with 0 where 128 should"),
        ({"ledgerPages": 1}, "begins with None where 128 should"),
        ({"ledgerPages": 0.5}, "not a count"),
        ({"app": {"image": "x"}}, "status.app"),
        ({"startedAt": "yesterday"}, "startedAt"),
        ({"conditions": [1]}, ""),
    ],
)
def test_odd_run_becomes_a_record_that_says_what_is_wrong(known: Known, status: Any, words: str) -> None:
    known.cache.apply("appruns", {**run(1), "status": status})
    problem = observe(known).run.problem
    assert words in problem
    assert bool(problem) == bool(words)


def test_unreadable_app_has_a_problem_and_wakes_its_runs(known: Known) -> None:
    known.cache.apply("appruns", {**run(1), "spec": {"appRef": {"name": "x"}}})
    known.wakes()
    known.cache.apply("apps", {"metadata": metadata("x", 1), "spec": {"parallelism": 3}})
    assert known.wakes() == 1
    assert observe(known).app.problem == "spec.entry is missing"


NEWER = {"phase": "Hibernating"}
"""A status that this version doesn't know."""


def spoil(known: Known, raw: dict[str, Any]) -> None:
    with pytest.raises(Unreadable):
        known.cache.apply("apptasks", raw)


def test_run_knows_of_its_task_that_cannot_be_read(known: Known) -> None:
    known.cache.apply("appruns", run(1))
    known.wakes()
    spoil(known, task("a", 2, **NEWER))
    assert known.wakes() == 1
    ((what, problem),) = observe(known).unreadable.items()
    assert what == f"AppTask {names.task_name('r', key('a'))}"
    assert "'Hibernating'" in problem


def test_page_that_cannot_be_read_is_told_as_well(known: Known) -> None:
    known.cache.apply("appruns", run(1))
    owned = metadata("r-0", 2, ownerReferences=[{"kind": "AppRun", "name": "r", "uid": "uid-r"}])
    with pytest.raises(Unreadable):
        known.cache.apply("appledgers", {"metadata": owned, "spec": {"run": "r", "checkpoints": []}})
    assert observe(known).unreadable == {"AppLedger r-0": "spec.number is not a number"}


@pytest.mark.parametrize("first", ["odd", "sound"])
def test_task_that_can_be_read_again_is_no_problem_any_more(known: Known, first: str) -> None:
    known.cache.apply("appruns", run(1))
    if first == "sound":
        known.cache.apply("apptasks", task("a", 2))
    spoil(known, task("a", 3, **NEWER))
    known.cache.apply("apptasks", task("a", 2))
    assert observe(known).unreadable, "an older version mends nothing"
    known.cache.apply("apptasks", task("a", 4))
    assert not observe(known).unreadable
    assert observe(known).tasks


def test_task_that_cannot_be_read_is_forgotten_when_it_is_deleted(known: Known) -> None:
    known.cache.apply("appruns", run(1))
    spoil(known, task("a", 2, **NEWER))
    known.wakes()
    known.cache.replace("apptasks", [], 3)
    assert not observe(known).unreadable
    assert known.wakes() == 1


def test_odd_task_of_a_runs_namesake_concerns_nobody(known: Known) -> None:
    known.cache.apply("appruns", run(1))
    raw = task("a", 2, **NEWER)
    raw["metadata"]["ownerReferences"][0]["uid"] = "uid-of-its-predecessor"
    spoil(known, raw)
    assert not observe(known).unreadable


def test_last_pod_of_a_deleted_run_wakes_it_when_it_goes(known: Known) -> None:
    known.cache.apply("appruns", run(1))
    known.cache.apply("pods", pod("a", 2))
    known.cache.remove("appruns", RUN)
    assert [record.task for record in known.cache.pods_of(RUN)] == [names.task_name("r", key("a"))]
    known.wakes()
    known.cache.remove("pods", Key("default", names.pod_name(names.task_name("r", key("a")), 1, "uid-r")))
    assert known.wakes() == 1
    assert not known.cache.pods_of(RUN)
