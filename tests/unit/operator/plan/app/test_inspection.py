"""When an App's code is inspected, and what the App says of it. Crashes in between: tests/simulation."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, cast

from tests.support.records import LIMITS, NOW, a_pod, meta, packed

from application_sdk.wire import names
from application_sdk.wire.digest import JSONObject
from application_sdk.wire.fields import ErrorFields
from apprun_operator.observe.apps import AppRecord, InspectionRecord, OngoingInspection
from apprun_operator.observe.packed_json import Contracts
from apprun_operator.observe.pods import PodRecord, Rejection
from apprun_operator.observe.records import INSPECTING, AppSpecRecord, Condition, TaskRecord
from apprun_operator.observe.times import rfc3339
from apprun_operator.plan.actions import CreatePod, CreateTask, DeleteTask, EnsureNamespace, PatchApp, PatchTask
from apprun_operator.plan.app.inspection import AT_A_TIME
from apprun_operator.plan.app.reconcile import plan_app
from apprun_operator.plan.code_identity import code_of

TEMPLATE = {"entry": "app:Shop", "source": {"configMap": {"name": "code"}}, "secrets": [{"name": "db"}],
            "serviceAccountName": "cloud"}  # fmt: skip
FOUND: JSONObject = {
    "app": "shop",
    "version": "2",
    "sdkVersion": "0.1.0",
    "defaultEntrypoint": "run",
    "entrypoints": [{"name": "run", "takes": [], "returns": []}],
    "tasks": [],
    "schemas": {"entrypoints": {"run": {"input": {"type": "object"}}}, "tasks": {}},
    "changes": [],
}


def an_app(**fields: Any) -> AppRecord:
    if "contracts" in fields:
        fields["contracts"] = Contracts.of(fields["contracts"])
    return AppRecord(**{"meta": meta("shop"), "spec": AppSpecRecord({**TEMPLATE}), "observed_generation": 1, **fields})


CODE = code_of(an_app(), LIMITS)


def inspected(result: str = "Published", **fields: Any) -> dict[str, Any]:
    """Of an App: an inspection that is over, and what it published."""
    last = InspectionRecord(**{"code": CODE, "at": NOW - 100, "result": result, **fields})
    return {"inspection": last, "contracts": {"code": CODE, "imageDigest": "sha256:1"}}


def a_task(app: AppRecord, **fields: Any) -> TaskRecord:
    """The AppTask of the App's next inspection."""
    (created,) = (a for a in plan_app(app, None, NOW, LIMITS, OngoingInspection()).actions if isinstance(a, CreateTask))
    spec = cast("Any", created.body)["spec"]
    defaults: dict[str, Any] = {
        "meta": meta(created.task.name, owner_uid="uid-shop"),
        "run": f"{INSPECTING}shop",
        "role": "inspect",
        "key": spec["key"],
        "task": "inspect",
        "policy": spec["policy"],
        "started_at": NOW - 3,
        "seen_at": NOW - 5,
    }
    return TaskRecord(**{**defaults, **packed(fields)})


def seen(*things: TaskRecord | PodRecord, **fields: Any) -> OngoingInspection:
    return OngoingInspection(
        tasks={one.meta.key.name: one for one in things if isinstance(one, TaskRecord)},
        pods={one.meta.key.name: one for one in things if isinstance(one, PodRecord)},
        **{"namespace_ready": True, **fields},
    )


def actions(app: AppRecord, found: OngoingInspection, now: float = NOW) -> list[Any]:
    return list(plan_app(app, None, now, LIMITS, found).actions)


def status(app: AppRecord, found: OngoingInspection, now: float = NOW) -> Any:
    (patch,) = (one for one in actions(app, found, now) if isinstance(one, PatchApp))
    return patch.status


def said(app: AppRecord, found: OngoingInspection, now: float = NOW) -> dict[str, tuple[str, str]]:
    return {one["type"]: (one["status"], one["reason"]) for one in status(app, found, now)["conditions"]}


def test_a_new_app_is_inspected_and_says_that_it_is_in_progress() -> None:
    patch, namespace, create = actions(an_app(), OngoingInspection())
    assert isinstance(patch, PatchApp)
    assert isinstance(namespace, EnsureNamespace)
    assert isinstance(create, CreateTask)
    assert create.body["spec"]["role"] == "inspect"  # type: ignore[index,call-overload]
    assert said(an_app(), OngoingInspection()) == {
        "Ready": ("False", "Inspecting"),
        "Reconciling": ("True", "Inspecting"),
        "Stalled": ("False", "Inspecting"),
        "Inspected": ("Unknown", "Inspecting"),
    }


def test_its_pod_has_the_code_and_nothing_else_of_the_apps() -> None:
    (created,) = (one for one in actions(an_app(), seen(a_task(an_app()))) if isinstance(one, CreatePod))
    body = cast("Any", created.body)
    mounts = {mount["mountPath"] for mount in body["spec"]["containers"][0]["volumeMounts"]}
    assert mounts == {names.POD_DIRECTORY, names.SOURCE_DIRECTORY, "/tmp"}
    assert body["spec"]["serviceAccountName"] == names.TASK_SERVICE_ACCOUNT
    assert body["spec"]["activeDeadlineSeconds"] > 0
    assert names.RUN_LABEL not in body["metadata"]["labels"]
    assert body["metadata"]["labels"][names.APP_LABEL] == "shop"


def test_a_name_tells_code_from_code_and_inspection_from_inspection() -> None:
    other = replace(an_app(), spec=AppSpecRecord({**TEMPLATE, "image": "other:1"}))
    wished = an_app(inspect_request="again")
    again = an_app(**inspected("Refused"))
    found = {a_task(app).meta.key.name for app in (an_app(), other, wished, again)}
    assert len(found) == 4
    settings_only = replace(an_app(), spec=AppSpecRecord({**TEMPLATE}, parallelism=3), meta=meta("shop", generation=7))
    assert a_task(settings_only).meta.key.name == a_task(an_app()).meta.key.name


def test_a_report_is_published_before_its_apptask_goes() -> None:
    task = a_task(an_app(), phase="Succeeded", output=FOUND, finished_at=NOW - 1)
    (patch,) = actions(an_app(), seen(task))
    assert isinstance(patch, PatchApp)
    contracts = cast("Any", patch.status)["contracts"]
    assert contracts == {**{k: v for k, v in FOUND.items() if k != "changes"}, "code": CODE, "image": "runtime:1"}
    assert said(an_app(), seen(task))["Ready"] == ("True", "Inspected")
    assert said(an_app(), seen(task))["ContractsCompatible"] == ("True", "FirstVersion")


def test_the_apptask_stays_until_kubelet_has_told_which_image_it_was() -> None:
    first = an_app()
    task = a_task(first, phase="Succeeded", output=FOUND, finished_at=NOW - 1)
    app = an_app(inspection=InspectionRecord(CODE, NOW - 3, "Published"), contracts={"code": CODE})
    pod = a_pod(task)
    assert [one for one in actions(app, seen(task, pod)) if isinstance(one, DeleteTask)] == []
    told = status(app, seen(task, replace(pod, image_id="repo@sha256:1")))
    assert told["contracts"]["imageDigest"] == "repo@sha256:1"
    known = replace(app, contracts=Contracts.of({"code": CODE, "imageDigest": "repo@sha256:1"}))
    for found, now in ((seen(task, pod), NOW), (seen(task), NOW)):
        assert any(isinstance(one, DeleteTask) for one in actions(known, found, now))
    assert any(isinstance(one, DeleteTask) for one in actions(app, seen(task, pod), NOW + 60))


def test_code_that_fails_is_told_of_with_the_end_of_its_traceback_and_keeps_what_was_published() -> None:
    error = ErrorFields(type="LoadFailed", message="importing 'app' failed", traceback="\n".join(map(str, range(50))))
    app = an_app(contracts={"code": "earlier"}, inspection=InspectionRecord("earlier", NOW - 100, "Published"))
    task = a_task(app, phase="Failed", error=error)
    found = status(app, seen(task))
    assert found["inspection"] == {"code": CODE, "at": rfc3339(NOW - 3), "result": "Failed", "failures": 1}
    assert "contracts" not in found
    by_type = {one["type"]: one for one in found["conditions"]}
    assert by_type["Stalled"]["status"] == "True"
    assert by_type["Inspected"]["message"].endswith("\n47\n48\n49")
    assert "\n37\n" not in by_type["Inspected"]["message"]


def test_a_failed_inspection_is_repeated_ever_more_seldom_and_at_once_when_the_code_changes() -> None:
    for failures, due in ((1, 60.0), (2, 120.0), (20, 3600.0)):
        app = an_app(**inspected("Failed", failures=failures, at=NOW))
        assert plan_app(app, None, NOW + 1, LIMITS, seen()).wake_at == NOW + due
        assert any(isinstance(one, CreateTask) for one in actions(app, seen(), NOW + due))
    changed = replace(an_app(**inspected("Failed", failures=9)), inspect_request="now")
    assert any(isinstance(one, CreateTask) for one in actions(changed, seen()))


def test_what_a_repeated_inspection_does_shows_only_when_it_is_over() -> None:
    conditions = (Condition("Inspected", "False", "LoadFailed", "no", rfc3339(NOW - 90)),
                  Condition("Stalled", "True", "LoadFailed", "no", rfc3339(NOW - 90)))  # fmt: skip
    app = an_app(**inspected("Failed", failures=1), conditions=conditions)
    assert said(app, seen())["Stalled"] == ("True", "LoadFailed")


def test_published_code_is_looked_at_anew_only_where_a_run_casts_doubt_on_it_and_it_can_have_moved() -> None:
    app = an_app(**inspected())
    assert plan_app(app, None, NOW, LIMITS, seen()).wake_at is None
    doubtful = seen(stale_since=NOW - 1)
    assert any(isinstance(one, CreateTask) for one in actions(app, doubtful))
    just_now = replace(app, inspection=InspectionRecord(CODE, NOW - 5, "Published"))
    assert plan_app(just_now, None, NOW, LIMITS, doubtful).wake_at == NOW + 25
    fixed = {"entry": "app:Shop", "image": "shop@sha256:1"}
    pinned = replace(app, spec=AppSpecRecord(fixed))
    pinned = replace(pinned, inspection=InspectionRecord(code_of(pinned, LIMITS), NOW - 100, "Published"))
    assert not any(isinstance(one, CreateTask) for one in actions(pinned, doubtful))


def test_an_inspection_of_earlier_code_is_given_up() -> None:
    stale = a_task(an_app())
    changed = replace(an_app(), inspect_request="now")
    deleted = [one.task for one in actions(changed, seen(stale)) if isinstance(one, DeleteTask)]
    assert deleted == [stale.meta.key]


def test_incompatible_code_is_published_with_a_warning_or_refused_as_the_app_says() -> None:
    output = {**FOUND, "changes": ["entry point 'run', input: city: is new and has no default. Give it one."]}
    app = an_app(contracts={"code": "earlier"}, inspection=InspectionRecord("earlier", NOW - 100, "Published"))
    task = a_task(app, phase="Succeeded", output=output, finished_at=NOW)
    assert said(app, seen(task))["ContractsCompatible"] == ("False", "ContractChanged")
    assert said(app, seen(task))["Ready"] == ("True", "Inspected")
    assert status(app, seen(task))["contracts"]["version"] == "2"
    strict = replace(app, refuses_changes=True)
    assert said(strict, seen(task)) == {
        "Ready": ("False", "ContractRefused"),
        "Reconciling": ("False", "ContractRefused"),
        "Stalled": ("True", "ContractRefused"),
        "Inspected": ("False", "ContractRefused"),
        "ContractsCompatible": ("False", "ContractRefused"),
    }
    assert "contracts" not in status(strict, seen(task))
    assert status(strict, seen(task))["inspection"]["result"] == "Refused"


def test_code_that_was_refused_is_inspected_anew_when_changes_are_allowed() -> None:
    app = an_app(**inspected("Refused"), refuses_changes=True)
    assert not any(isinstance(one, CreateTask) for one in actions(app, seen()))
    assert any(isinstance(one, CreateTask) for one in actions(replace(app, refuses_changes=False), seen()))


def test_what_a_pod_cant_start_for_is_the_apps_condition() -> None:
    task = a_task(an_app())
    rejection = Rejection(task.pod_name, "Quota", "exceeded quota: pods", NOW - 10, NOW + 5)
    found = seen(task, rejections={task.pod_name: rejection})
    assert said(an_app(), found)["Inspected"] == ("False", "QuotaExceeded")
    assert said(an_app(), found)["Reconciling"] == ("True", "QuotaExceeded")


def test_a_pod_that_never_will_start_is_given_up_and_tried_again_later() -> None:
    task = a_task(an_app())
    waiting = replace(a_pod(task), phase="Pending", running_since=None, waiting_reason="InvalidImageName")
    assert said(an_app(), seen(task, waiting))["Stalled"] == ("True", "ImagePullFailed")
    last = status(an_app(), seen(task, waiting))["inspection"]
    assert last == {"code": CODE, "at": rfc3339(NOW), "result": "Failed", "failures": 1}
    app = an_app(**inspected("Failed", failures=1, at=NOW))
    assert [one.task for one in actions(app, seen(task, waiting)) if isinstance(one, DeleteTask)] == [task.meta.key]
    assert plan_app(app, None, NOW, LIMITS, seen(task, waiting)).wake_at == NOW + 60


def test_a_pod_that_dies_without_a_report_is_tried_again_and_then_given_up() -> None:
    task = a_task(an_app())
    died = replace(a_pod(task), phase="Failed", exit_code=137, exit_reason="OOMKilled", running_since=None)
    (patch,) = (one for one in actions(an_app(), seen(task, died)) if isinstance(one, PatchTask))
    assert patch.status["attempt"] == 2
    history = tuple(cast("Any", patch.status["attempts"]) * 2)
    last = replace(task, attempt=3, attempts=history)
    (patch,) = (one for one in actions(an_app(), seen(last, replace(a_pod(last), phase="Failed", exit_code=137,
                exit_reason="OOMKilled", running_since=None))) if isinstance(one, PatchTask))  # fmt: skip
    assert patch.status["phase"] == "Failed"


def test_not_every_app_is_inspected_at_the_same_time() -> None:
    decided = plan_app(an_app(), None, NOW, LIMITS, seen(others=AT_A_TIME))
    assert not any(isinstance(one, CreateTask) for one in decided.actions)
    assert decided.wake_at == NOW + 2


def test_an_app_whose_name_is_too_long_for_a_label_is_ready_all_the_same() -> None:
    app = an_app(meta=meta("s" * 64))
    assert said(app, OngoingInspection())["Inspected"] == ("Unknown", "NotInspected")
    assert said(app, OngoingInspection())["Ready"] == ("True", "NotInspected")


def test_a_status_that_says_so_already_isnt_written_again() -> None:
    app, task = an_app(), a_task(an_app())
    listed = status(app, seen(task, a_pod(task)))["conditions"]
    conditions = tuple(
        Condition(one["type"], one["status"], one["reason"], one["message"], one["lastTransitionTime"])
        for one in listed
    )
    assert actions(replace(app, conditions=conditions), seen(task, a_pod(task))) == []


def test_a_report_that_isnt_one_is_a_failure() -> None:
    for output in (None, 3, {}, {**FOUND, "tasks": None}, {**FOUND, "entrypoints": ["run"]}, {**FOUND, "changes": "x"}):
        task = a_task(an_app(), phase="Succeeded", output=output)
        assert said(an_app(), seen(task))["Inspected"] == ("False", "NoReport")


# Names in spec.tasks


def named(*tasks: str, code: str = CODE, published: Sequence[str] = ("charge",), **fields: Any) -> AppRecord:
    """An App whose spec.tasks names `tasks`, and whose contracts list those that are published."""
    contracts = {"code": code, "imageDigest": "sha256:1", "tasks": [{"name": name} for name in published]}
    condition = Condition("Inspected", "True", "Inspected", "1 task", "")
    spec = AppSpecRecord({**TEMPLATE, "tasks": {name: {"memory": "1Gi"} for name in tasks}})
    return an_app(**inspected() | {"contracts": contracts, "spec": spec, "conditions": (condition,)} | fields)


def test_app_that_sets_a_task_of_its_code_is_ready() -> None:
    assert said(named("charge"), seen())["Ready"] == ("True", "Inspected")


def test_app_that_sets_a_task_that_is_not_there_says_so() -> None:
    ready = status(named("charge", "typo"), seen())["conditions"][0]
    assert (ready["type"], ready["status"], ready["reason"]) == ("Ready", "False", "UnknownTask")
    assert ready["message"].startswith("spec.tasks.typo of the App: the app has no task of that name; it has charge.")
    assert said(named("typo"), seen())["Stalled"] == ("True", "UnknownTask")


def test_wrong_name_is_told_with_the_inspection_that_finds_it() -> None:
    app = an_app(spec=AppSpecRecord({**TEMPLATE, "tasks": {"typo": {}}}))
    done = seen(a_task(app, phase="Succeeded", finished_at=NOW, output=FOUND))
    assert said(app, done)["Ready"] == ("False", "UnknownTask")


def test_contracts_of_other_code_judge_no_name() -> None:
    """While an inspection of new code is under way, it may well have the task."""
    patches = [one for one in actions(named("typo", code="older"), seen()) if isinstance(one, PatchApp)]
    assert all("UnknownTask" not in str(patch.status) for patch in patches)


def test_contracts_without_names_judge_none() -> None:
    app = replace(named("typo"), contracts=Contracts.of({"code": CODE, "imageDigest": "sha256:1"}))
    assert said(app, seen())["Ready"] == ("True", "Inspected")
