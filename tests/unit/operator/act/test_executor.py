"""What each action does to the API, and what a conflict or a namesake means for it."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any

import pytest
from tests.support import virtual_time
from tests.support.fake_api import FakeApi, FakeServer, Object, Place, raised
from tests.support.virtual_time import wall

from application_sdk.wire import names
from apprun_operator.act.executor import Executor, ReplanError
from apprun_operator.act.pod_rejections import classify_rejection
from apprun_operator.act.service_accounts import ServiceAccounts
from apprun_operator.kube.errors import (
    ApiError,
    ConflictError,
    ForbiddenError,
    InvalidError,
    NotFoundError,
    UnavailableError,
)
from apprun_operator.observe.cache import Cache
from apprun_operator.observe.records import Key
from apprun_operator.plan.actions import (
    Announce,
    CreatePage,
    CreatePod,
    CreateRun,
    CreateTask,
    DeletePod,
    DeleteRun,
    EnsureNamespace,
    FetchPage,
    FetchPodEvent,
    FetchTask,
    MarkRun,
    PatchRun,
    PatchTask,
)

RUN = Key("default", "r")
POD = Key("default", "r-driver-1")


class Bench:
    def __init__(self) -> None:
        self.server = FakeServer(wall)
        self.cache = Cache(lambda key: None, wall)
        self.executor = self.on(FakeApi(self.server, "operator"))
        created = self.server.create("user", Place("appruns", *RUN), {"metadata": {"name": "r"}, "spec": {"app": APP}})
        self.cache.apply("appruns", created)
        self.run_uid, self.version = created["metadata"]["uid"], int(created["metadata"]["resourceVersion"])

    def on(self, api: Any, cache: Cache | None = None, *, accounts_preinstalled: bool = False) -> Executor:
        accounts = ServiceAccounts(api, "driver-role", "task-role", preinstalled=accounts_preinstalled)
        return Executor(api, cache or self.cache, accounts)

    def driver(self) -> CreateTask:
        owner = {"kind": "AppRun", "name": "r", "uid": self.run_uid}
        spec = {"run": "r", "role": "driver", "key": "driver", "task": "run"}
        body = {"metadata": {"name": "r-driver", "namespace": "default", "ownerReferences": [owner]}, "spec": spec}
        return CreateTask(Key("default", "r-driver"), body)

    async def with_driver(self) -> str:
        await self.executor.execute(RUN, self.driver())
        uid: str = self.server.objects[Place("apptasks", "default", "r-driver")]["metadata"]["uid"]
        return uid

    def pod(self, owner_uid: str) -> CreatePod:
        owner = {"kind": "AppTask", "name": "r-driver", "uid": owner_uid}
        labels = {names.RUN_LABEL: "r", names.ATTEMPT_LABEL: "1"}
        body = {"metadata": {"name": POD.name, "labels": labels, "ownerReferences": [owner]}, "spec": {}}
        return CreatePod(POD, owner_uid, body)

    @property
    def pod_name(self) -> str:
        return names.pod_name("r-driver", 1, self.run_uid)

    @property
    def observed(self) -> Any:
        return self.cache.observe(RUN)

    def status(self, place: Place) -> Object:
        status: Object = self.server.objects[place]["status"]
        return status


APP = {"entry": "a:B"}


def scenario(told: Callable[[Bench], Coroutine[Any, Any, None]]) -> Callable[[], None]:
    """Make an async story about a bench into a test."""

    def test() -> None:
        async def play() -> None:
            await told(Bench())

        virtual_time.run(play())

    test.__name__ = told.__name__
    return test


@scenario
async def test_next_plan_sees_an_own_write_before_any_watch(bench: Bench) -> None:
    await bench.executor.execute(RUN, PatchRun(RUN, bench.version, {"phase": "Running"}))
    assert bench.observed.run.phase == "Running"
    assert bench.observed.run.meta.version > bench.version


@scenario
async def test_conflict_updates_the_cache_and_asks_for_another_plan(bench: Bench) -> None:
    bench.server.patch("user", Place("appruns", *RUN), {"spec": {"suspend": True}}, "")
    with pytest.raises(ReplanError):
        await bench.executor.execute(RUN, PatchRun(RUN, bench.version, {"phase": "Running"}))
    assert "phase" not in bench.status(Place("appruns", *RUN))
    assert bench.observed.run.suspend


@scenario
async def test_run_that_is_gone_is_forgotten(bench: Bench) -> None:
    bench.server.remove(Place("appruns", *RUN))
    with pytest.raises(ReplanError):
        await bench.executor.execute(RUN, PatchRun(RUN, bench.version, {"phase": "Running"}))
    assert bench.observed is None


@scenario
async def test_nulls_inside_an_output_survive_an_exact_write(bench: Bench) -> None:
    status = {"output": {"x": None}, "phase": "Succeeded"}
    await bench.executor.execute(RUN, PatchRun(RUN, bench.version, status, exact=True))
    assert bench.status(Place("appruns", *RUN))["output"] == {"x": None}


@scenario
async def test_exact_write_has_the_same_precondition(bench: Bench) -> None:
    bench.server.patch("user", Place("appruns", *RUN), {"spec": {"suspend": True}}, "")
    with pytest.raises(ReplanError):
        await bench.executor.execute(RUN, PatchRun(RUN, bench.version, {"phase": "Failed"}, exact=True))


@scenario
async def test_write_to_a_namesake_is_not_done(bench: Bench) -> None:
    place = Place("appruns", *RUN)
    created = bench.server.objects[place]
    bench.server.remove(place)
    bench.server.create("user", place, {"metadata": {"name": "r"}, "spec": created["spec"]})
    for exact in (True, False):
        with pytest.raises(ReplanError):
            await bench.executor.execute(RUN, PatchRun(RUN, bench.version, {"phase": "Failed"}, exact=exact))
    assert "phase" not in bench.status(place)


@scenario
async def test_task_that_an_earlier_life_created_is_adopted(bench: Bench) -> None:
    await bench.executor.execute(RUN, bench.driver())
    bench.cache.remove("apptasks", Key("default", "r-driver"))
    cache = Cache(lambda key: None, wall)
    await bench.on(FakeApi(bench.server, "operator"), cache).execute(RUN, bench.driver())
    assert cache.sizes()["apptasks"] == 1


@scenario
async def test_task_of_a_deleted_namesake_is_waited_for(bench: Bench) -> None:
    await bench.executor.execute(RUN, bench.driver())
    bench.run_uid = "newer"
    with pytest.raises(UnavailableError, match="waiting until it is gone"):
        await bench.executor.execute(RUN, bench.driver())


@scenario
async def test_report_that_came_first_wins_over_the_next_attempt(bench: Bench) -> None:
    await bench.with_driver()
    task = bench.observed.tasks["r-driver"]
    bench.server.report("default", bench.pod_name, "r-driver", {"phase": "Succeeded", "output": 1})
    with pytest.raises(ReplanError):
        await bench.executor.execute(RUN, PatchTask(task.meta.key, task.meta.version, {"attempt": 2}))
    assert bench.observed.tasks["r-driver"].phase == "Succeeded"


@scenario
async def test_error_of_an_attempt_replaces_the_one_before_it_whole(bench: Bench) -> None:
    await bench.with_driver()
    first = {"type": "ImportError", "message": "no", "attempt": 1, "traceback": "line 1", "stall": "LoadFailed"}
    bench.server.report("default", bench.pod_name, "r-driver", {"error": first})
    bench.cache.apply("apptasks", bench.server.read(Place("apptasks", "default", "r-driver")))
    task, final = bench.observed.tasks["r-driver"], {"type": "ProcessDied", "message": "killed", "attempt": 2}
    await bench.executor.execute(RUN, PatchTask(task.meta.key, task.meta.version, {"error": final, "message": None}))
    stored = bench.server.read(Place("apptasks", "default", "r-driver"))["status"]
    assert stored["error"] == final
    assert "message" not in stored


@scenario
async def test_task_left_by_a_deleted_run_is_told_as_a_refusal(bench: Bench) -> None:
    left = {"metadata": {"name": "r-driver"}, "spec": {"run": "r", "role": "driver", "key": "driver", "task": "run"}}
    bench.server.create("gc", Place("apptasks", "default", "r-driver"), left)
    with pytest.raises(ReplanError):
        await bench.executor.execute(RUN, bench.driver())
    assert bench.observed.rejections["r-driver"].kind == "NameTaken"


@scenario
async def test_committed_task_is_looked_up_and_its_loss_is_told(bench: Bench) -> None:
    entry = {"sequence": 0, "key": "0" * 32, "task": "t", "outcome": "Succeeded", "digest": "d"}
    place = Place("appruns", *RUN)
    bench.cache.apply("appruns", bench.server.patch("operator", place, {"status": {"checkpoints": [entry]}}, "status"))
    (name,) = bench.observed.unseen_tasks
    await bench.executor.execute(RUN, FetchTask(RUN, name))
    assert set(bench.observed.lost_tasks) == {name}


def happened(reason: str = "LoadFailed") -> Announce:
    body = {"metadata": {"name": "r.1"}, "eventTime": "2027-01-01T00:00:00.000000Z", "reason": reason}
    return Announce(Key("default", "r.1"), body)


@scenario
async def test_repeated_event_is_counted_in_the_first_one(bench: Bench) -> None:
    for _ in range(3):
        await bench.executor.execute(RUN, happened())
    event = bench.server.read(Place("events", "default", "r.1"))
    assert event["series"]["count"] == 3
    assert event["reportingInstance"] == "apprun-operator"
    assert sum(1 for place in bench.server.objects if place.plural == "events") == 1


@scenario
async def test_event_that_is_refused_holds_up_nothing(bench: Bench) -> None:
    async def refuse(moment: str, call: str) -> None:
        raise ForbiddenError("the namespace is being terminated", status=403)

    await bench.on(FakeApi(bench.server, "operator", refuse)).execute(RUN, happened())
    assert not any(place.plural == "events" for place in bench.server.objects)


def going_on(bench: Bench, uid: str = "uid-of-r") -> CreateRun:
    spec = {"app": APP, "continuedFrom": {"name": "r", "uid": uid, "first": "r", "number": 2}}
    return CreateRun(RUN, Key("default", "r-2"), {"metadata": {"name": "r-2"}, "spec": spec})


@scenario
async def test_successor_that_an_earlier_life_created_is_adopted(bench: Bench) -> None:
    await bench.executor.execute(RUN, going_on(bench))
    bench.cache.remove("appruns", Key("default", "r-2"))
    cache = Cache(lambda key: None, wall)
    await bench.on(FakeApi(bench.server, "operator"), cache).execute(RUN, going_on(bench))
    assert cache.keys() == [Key("default", "r-2")]
    assert [place.name for _, verb, place in bench.server.writes if verb == "create"].count("r-2") == 1


@scenario
async def test_successors_name_taken_by_another_run_is_a_refusal(bench: Bench) -> None:
    await bench.executor.execute(RUN, going_on(bench, uid="of another chain"))
    with pytest.raises(ReplanError):
        await bench.executor.execute(RUN, going_on(bench))
    assert bench.observed.rejections["r-2"].kind == "NameTaken"


@scenario
async def test_pod_that_an_earlier_life_created_is_adopted(bench: Bench) -> None:
    uid = await bench.with_driver()
    await bench.executor.execute(RUN, bench.pod(uid))
    bench.cache.remove("pods", POD)
    cache = Cache(lambda key: None, wall)
    await bench.on(FakeApi(bench.server, "operator"), cache).execute(RUN, bench.pod(uid))
    assert cache.sizes()["pods"] == 1


@scenario
async def test_pod_of_another_owner_is_told_as_a_refusal(bench: Bench) -> None:
    uid = await bench.with_driver()
    bench.server.create("user", Place("pods", *POD), {"metadata": {"name": POD.name}, "spec": {}})
    await bench.executor.execute(RUN, bench.pod(uid))
    assert bench.observed.rejections[POD.name].kind == "NameTaken"


@scenario
async def test_terminating_namesake_is_waited_for(bench: Bench) -> None:
    uid = await bench.with_driver()
    place = Place("pods", *POD)
    bench.server.create("user", place, {"metadata": {"name": POD.name}, "spec": {"nodeName": "n"}})
    bench.server.delete("user", place)
    await bench.executor.execute(RUN, bench.pod(uid))
    assert bench.observed.rejections[POD.name].kind == "Terminating"


@scenario
async def test_missing_own_service_account_makes_the_namespace_unready(bench: Bench) -> None:
    uid = await bench.with_driver()
    bench.cache.set_namespace_ready("default")
    words = 'error looking up service account default/apprun-driver: serviceaccount "apprun-driver" not found'
    await bench.on(FakeApi(bench.server, "o", raised(ForbiddenError(words)))).execute(RUN, bench.pod(uid))
    assert not bench.observed.namespace_ready
    assert bench.observed.rejections[POD.name].kind == "NoAccount"


@scenario
async def test_account_that_the_chart_should_have_made_is_told_as_such(bench: Bench) -> None:
    uid = await bench.with_driver()
    words = 'error looking up service account default/apprun-driver: serviceaccount "apprun-driver" not found'
    api = FakeApi(bench.server, "o", raised(ForbiddenError(words)))
    await bench.on(api, accounts_preinstalled=True).execute(RUN, bench.pod(uid))
    assert bench.observed.rejections[POD.name].message.endswith(
        "the chart makes it in the namespaces that it is given: helm upgrade"
    )


@scenario
async def test_trouble_on_the_way_is_no_refusal(bench: Bench) -> None:
    uid = await bench.with_driver()
    with pytest.raises(UnavailableError):
        await bench.on(FakeApi(bench.server, "o", raised(UnavailableError("down")))).execute(RUN, bench.pod(uid))
    assert not bench.observed.rejections


@scenario
async def test_webhook_that_does_not_answer_is_told_as_a_refusal(bench: Bench) -> None:
    uid = await bench.with_driver()
    down = UnavailableError('failed calling webhook "w": context deadline exceeded', status=500)
    await bench.on(FakeApi(bench.server, "o", raised(down))).execute(RUN, bench.pod(uid))
    assert bench.observed.rejections[POD.name].kind == "Webhook"


@scenario
async def test_fight_for_a_quotas_count_is_no_refusal(bench: Bench) -> None:
    uid = await bench.with_driver()
    conflict = ConflictError('Operation cannot be fulfilled on resourcequotas "q"', status=409)
    with pytest.raises(UnavailableError):
        await bench.on(FakeApi(bench.server, "o", raised(conflict))).execute(RUN, bench.pod(uid))
    assert not bench.observed.rejections


@scenario
async def test_deleting_a_pod_that_is_gone_is_done(bench: Bench) -> None:
    uid = await bench.with_driver()
    await bench.executor.execute(RUN, bench.pod(uid))
    pod = bench.observed.pods[POD.name]
    bench.server.remove(Place("pods", *POD))
    await bench.executor.execute(RUN, DeletePod(POD, pod.meta.uid))
    assert not [p for p in bench.observed.pods.values() if not p.gone]


@scenario
async def test_only_the_pod_that_was_planned_with_is_deleted(bench: Bench) -> None:
    uid = await bench.with_driver()
    await bench.executor.execute(RUN, bench.pod(uid))
    await bench.executor.execute(RUN, DeletePod(POD, "an-older-one"))
    assert Place("pods", *POD) in bench.server.objects


@scenario
async def test_page_is_adopted_when_it_has_the_same_content(bench: Bench) -> None:
    action = page(bench, "a")
    await bench.executor.execute(RUN, action)
    await bench.executor.execute(RUN, action)
    assert bench.cache.sizes()["appledgers"] == 1


@scenario
async def test_page_with_other_content_is_never_taken_for_ours(bench: Bench) -> None:
    await bench.executor.execute(RUN, page(bench, "a"))
    with pytest.raises(InvalidError, match="altered by hand"):
        await bench.executor.execute(RUN, page(bench, "b"))


def page(bench: Bench, key: str) -> CreatePage:
    owner = {"kind": "AppRun", "name": "r", "uid": bench.run_uid}
    spec = {"run": "r", "number": 0, "checkpoints": [{"sequence": 0, "key": key}]}
    return CreatePage(Key("default", "r-0"), {"metadata": {"name": "r-0", "ownerReferences": [owner]}, "spec": spec})


@scenario
async def test_lost_page_is_remembered(bench: Bench) -> None:
    await bench.executor.execute(RUN, FetchPage(RUN, 0))
    assert bench.observed.lost_pages == {0}


@scenario
async def test_namespace_gets_two_accounts_and_two_bindings_once(bench: Bench) -> None:
    await bench.executor.execute(RUN, EnsureNamespace(RUN, POD.name))
    await bench.executor.execute(RUN, EnsureNamespace(RUN, POD.name))
    created = [place for place in bench.server.objects if place.plural in ("serviceaccounts", "rolebindings")]
    assert sorted(place.name for place in created) == ["apprun-driver", "apprun-driver", "apprun-task", "apprun-task"]
    anyone = bench.server.objects[Place("rolebindings", "default", "apprun-task")]
    assert anyone["subjects"][0]["name"] == "system:serviceaccounts:default"
    assert bench.observed.namespace_ready


@scenario
async def test_accounts_and_bindings_go_with_the_definition_of_runs(bench: Bench) -> None:
    name = "appruns.apprun.dev"
    crd = bench.server.create("helm", Place("customresourcedefinitions", "", name), {"metadata": {"name": name}})
    await bench.executor.execute(RUN, EnsureNamespace(RUN, POD.name))
    created = [
        item for place, item in bench.server.objects.items() if place.plural in ("serviceaccounts", "rolebindings")
    ]
    assert len(created) == 4
    for item in created:
        (owner,) = item["metadata"]["ownerReferences"]
        assert owner == {
            "apiVersion": "apiextensions.k8s.io/v1",
            "kind": "CustomResourceDefinition",
            "name": name,
            "uid": crd["metadata"]["uid"],
        }


@scenario
async def test_accounts_that_the_chart_makes_are_not_touched(bench: Bench) -> None:
    untouchable = FakeApi(bench.server, "o", raised(ForbiddenError("no right to")))
    await bench.on(untouchable, accounts_preinstalled=True).execute(RUN, EnsureNamespace(RUN, POD.name))
    assert bench.observed.namespace_ready


@scenario
async def test_expired_run_is_deleted_and_forgotten(bench: Bench) -> None:
    await bench.executor.execute(RUN, DeleteRun(RUN, bench.run_uid))
    assert Place("appruns", *RUN) not in bench.server.objects
    assert bench.observed is None


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (ForbiddenError('pods "x" is forbidden: exceeded quota: q, requested: pods=1, used: pods=1'), "Quota"),
        (ForbiddenError('pods "x" is forbidden: violates PodSecurity "restricted:latest"'), "Forbidden"),
        (ForbiddenError('admission webhook "w" denied the request: no'), "Forbidden"),
        (ApiError('admission webhook "w" denied the request: teapot', status=418), "Forbidden"),
        (ForbiddenError('pods "x" is forbidden: maximum memory usage per Container is 256Mi'), "Forbidden"),
        (ForbiddenError('pods "x" is forbidden: no PriorityClass with name y was found'), "Forbidden"),
        (UnavailableError('Internal error occurred: failed calling webhook "w": connection refused'), "Webhook"),
        (ForbiddenError('pods "x" is forbidden: serviceaccount "y" not found'), "NoAccount"),
        (ForbiddenError('pods "x" is forbidden: namespace "n" is being terminated'), "Terminating"),
        (ForbiddenError('pods is forbidden: User "o" cannot create resource "pods" in API group ""'), "NotAllowed"),
        (
            ForbiddenError("ValidatingAdmissionPolicy 'p' with binding 'b' denied request: no pods on Fridays"),
            "Forbidden",
        ),
        (InvalidError("ValidatingAdmissionPolicy 'p' with binding 'b' denied request: a quota is needed"), "Forbidden"),
        (InvalidError('Pod "x" is invalid: spec.containers[0].image: Required value'), "Invalid"),
        (NotFoundError('namespaces "n" not found'), "Terminating"),
    ],
)
def test_refusals_are_told_apart_by_the_api_servers_words(error: Any, kind: str) -> None:
    rejection, message = classify_rejection(error)
    assert rejection == kind
    if kind != "NotAllowed":
        assert message == error.message


class Events:
    """An API server that has Events of one pod, or doesn't want to show them."""

    def __init__(self, notes: list[str], error: ApiError | None = None) -> None:
        self.notes = notes
        self.error = error
        self.asked: list[tuple[str, Any]] = []

    async def get(self, path: str, query: Any = None) -> Object:
        self.asked.append((path, query))
        if self.error is not None:
            raise self.error
        return {"items": [{"note": note} for note in self.notes]}


def heard(events: Events) -> str:
    cache = Cache(lambda key: None, wall)
    bench = Bench()
    cache.apply("appruns", bench.server.read(Place("appruns", *RUN)))
    executor = bench.on(events, cache)
    virtual_time.run(executor.execute(RUN, FetchPodEvent(RUN, "p-1", "uid-p")))
    observed = cache.observe(RUN)
    assert observed is not None
    return observed.pod_events["p-1"].message


def test_event_that_names_the_cause_is_preferred_to_a_summary() -> None:
    plain = 'MountVolume.SetUp failed for volume "secret-0" : secret "payments" not found'
    events = Events(["Unable to attach or mount volumes: timed out waiting for the condition", plain])
    assert heard(events) == plain
    assert events.asked == [
        (
            "/apis/events.k8s.io/v1/namespaces/default/events",
            {"fieldSelector": "regarding.uid=uid-p,reason=FailedMount"},
        )
    ]


def test_events_that_may_not_be_read_hold_nothing_up() -> None:
    assert heard(Events([], ForbiddenError("no", status=403))) == ""


@scenario
async def test_a_run_is_marked_in_one_write_to_the_run_itself(bench: Bench) -> None:
    await bench.executor.execute(RUN, MarkRun(RUN, bench.version, bench.run_uid))
    assert bench.server.writes[-1] == ("operator", "patch", Place("appruns", *RUN))
    assert bench.observed.run.began_as == bench.run_uid


@scenario
async def test_a_run_that_has_changed_is_not_marked(bench: Bench) -> None:
    bench.server.patch("user", Place("appruns", *RUN), {"spec": {"suspend": True}}, "")
    with pytest.raises(ReplanError):
        await bench.executor.execute(RUN, MarkRun(RUN, bench.version, bench.run_uid))
    assert (bench.observed.run.began_as, bench.observed.run.suspend) == ("", True)


@scenario
async def test_a_mark_that_is_refused_is_a_fact_about_the_run(bench: Bench) -> None:
    async def refuse(moment: str, call: str) -> None:
        raise ForbiddenError("denied", status=403)

    executor = bench.on(FakeApi(bench.server, "operator", refuse))
    with pytest.raises(ReplanError):
        await executor.execute(RUN, MarkRun(RUN, bench.version, bench.run_uid))
    assert "denied" in bench.observed.rejections["r"].message


@scenario
async def test_a_mark_that_a_webhook_takes_off_is_a_fact_too(bench: Bench) -> None:
    class Stripping(FakeApi):
        async def patch(self, path: str, body: Any, content_type: str = "") -> Object:
            return await self.get(path)

    with pytest.raises(ReplanError):
        await bench.on(Stripping(bench.server, "operator")).execute(RUN, MarkRun(RUN, bench.version, bench.run_uid))
    assert "webhook removes" in bench.observed.rejections["r"].message


@pytest.mark.parametrize("answer", [{}, {"metadata": {"name": "r"}}])
def test_a_write_whose_answer_can_not_be_read_is_done(answer: Object) -> None:
    class Unclear(FakeApi):
        async def patch(self, path: str, body: Any, content_type: str = "") -> Object:
            await super().patch(path, body, content_type)
            return answer

    async def scenario() -> None:
        bench = Bench()
        executor = bench.on(Unclear(bench.server, "operator"))
        await executor.execute(RUN, PatchRun(RUN, bench.version, {"phase": "Running"}))
        assert bench.server.read(Place("appruns", *RUN))["status"]["phase"] == "Running"

    virtual_time.run(scenario())
