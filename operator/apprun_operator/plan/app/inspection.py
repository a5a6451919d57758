"""What an App's code contains: one inspection of it whenever it may be another, and what the App
says of it.

An inspection is an AppTask of its own, `<app>-inspect-<digits>`, whose pod imports the app and
reports; so attempts, fencing and the reading of failures are those of all tasks. Its name comes
from the code and from the inspection before it: a crash between any two writes finds it again, and
never makes two. Pure, as all of the plan.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final, cast

from application_sdk.wire import names
from application_sdk.wire.digest import JSON, JSONObject, digest
from application_sdk.wire.fields import Findings, RetryFields, TaskSpec
from application_sdk.wire.task_names import unknown_tasks
from apprun_operator.observe.apps import AppRecord, InspectionRecord, OngoingInspection
from apprun_operator.observe.observed import Observed
from apprun_operator.observe.packed_json import Contracts
from apprun_operator.observe.records import Key, RunRecord, TaskRecord, inspection_of
from apprun_operator.observe.times import rfc3339
from apprun_operator.plan.actions import CreateTask, DeleteTask, EnsureNamespace, InspectionAction
from apprun_operator.plan.call import attempts
from apprun_operator.plan.code_identity import code_of, may_move, template_of
from apprun_operator.plan.limits import WAITING_GRACE, Limits
from apprun_operator.plan.metadata import owner_reference
from apprun_operator.plan.pod import pods
from apprun_operator.plan.run import retention
from apprun_operator.plan.times import earliest

IMPORT_SECONDS: Final = 60.0
"""How long an import may take."""
ALL_SECONDS: Final = 900.0
"""How long an inspection may take in all, the wait for a place and the image included."""
RETRY: Final = RetryFields(maxAttempts=3, initialIntervalSeconds=1.0, maxIntervalSeconds=60.0, backoffCoefficient=2.0)
"""For pods that die without a report. What an import raises is never tried again: it would raise it
again."""
AT_A_TIME: Final = 10
"""So many Apps are inspected at a time: a new operator must not start a pod for each App of the
cluster at once."""
LOOK_AGAIN: Final = 2.0
FIRST_REPEAT: Final = 60.0
LAST_REPEAT: Final = 3600.0
"""Seconds after which a failed inspection is repeated though the App is the same: doubling, from
the first on."""
DOUBT_SECONDS: Final = 30.0
"""Runs may show that published contracts are stale. An App is inspected again for that no more
often than this, in seconds."""
DIGEST_SECONDS: Final = 10.0
"""How long after a report kubelet may take to tell which image it has started."""
PUBLISHED: Final = frozenset(
    {"app", "version", "sdkVersion", "sourceDigest", "defaultEntrypoint", "entrypoints", "tasks", "schemas", "omitted"}
)
"""Fields of a report that the App's status has too."""
NOT_INSPECTED: Final = "NotInspected"
CONTRACT_REFUSED: Final = "ContractRefused"
CHANGES_SHOWN: Final = 8
TRACEBACK_LINES: Final = 12
TRACEBACK_BYTES: Final = 8 * 1024
TEXT_LIMIT: Final = 2000
"""Characters of a change, or of what an import raised, that the App's status repeats: a report may
be forged."""


@dataclass(frozen=True, slots=True)
class AppCondition:
    """One condition, as it should be."""

    status: str
    reason: str
    message: str = ""


@dataclass(frozen=True, slots=True)
class InspectionDecision:
    """What to do about an App's inspection, and what its status should say."""

    actions: Sequence[InspectionAction] = ()
    wake_at: float | None = None
    inspected: AppCondition | None = None
    """None leaves the condition as it is."""
    compatible: AppCondition | None = None
    stalled: bool = False
    """Whether a person has to correct something."""
    fields: JSONObject | None = None
    """Fields of the status to set."""


def inspect(app: AppRecord, ongoing: OngoingInspection, now: float, limits: Limits) -> InspectionDecision:
    """Decide about an App that isn't being deleted and can be read."""
    if len(app.meta.key.name) > names.APP_NAME_MAX_LENGTH:
        message = f"an App whose name has more than {names.APP_NAME_MAX_LENGTH} characters isn't inspected"
        return InspectionDecision(inspected=AppCondition("Unknown", NOT_INSPECTED, message))
    due = _due(app, ongoing, limits)
    if now < due:
        return _idle(app, ongoing, due, now)
    # guard: inspection-name - a late pod of the previous inspection could report for this one
    key = digest([app.meta.uid, code_of(app, limits), "" if app.inspection is None else rfc3339(app.inspection.at)])
    name = names.inspection_name(app.meta.key.name, key)
    stale = _stale(ongoing, name)
    task = ongoing.tasks.get(name)
    if task is None:
        # guard: inspections-bounded - an upgrade of the operator would start a pod for every App of
        # the cluster at once
        if ongoing.others >= AT_A_TIME:
            return InspectionDecision(stale, now + LOOK_AGAIN, inspected=_under_way(app, limits))
        first = [] if ongoing.namespace_ready else [_accounts(app, names.pod_name(name, 1, app.meta.uid))]
        return InspectionDecision([*stale, *first, _create(app, name, key)], inspected=_under_way(app, limits))
    if task.finished:
        return replace(_conclude(app, task, limits), actions=stale)
    return _advance(app, task, ongoing, stale, now, limits)


def unknown_tasks_of(app: AppRecord, decision: InspectionDecision, limits: Limits) -> str:
    """What is wrong with a name in `spec.tasks`, once the tasks of the App's present code are known."""
    published = (decision.fields or {}).get("contracts")
    contracts = Contracts.of(published) if isinstance(published, dict) else app.contracts
    named = app.spec.template.get("tasks") if app.spec is not None else None
    # guard: unknown-tasks-of-this-code - contracts of other code don't say which tasks this one has
    if not isinstance(named, dict) or contracts is None or contracts.code != code_of(app, limits):
        return ""
    return "" if contracts.tasks is None else unknown_tasks(named, contracts.tasks)


def _due(app: AppRecord, ongoing: OngoingInspection, limits: Limits) -> float:
    """From when on the App is to be inspected: 0 for now, infinity for never as far as one can
    see."""
    last = app.inspection
    if last is None or last.code != code_of(app, limits):
        return 0.0
    if last.result == "Refused" and not app.refuses_changes:
        return 0.0
    dues = [float("inf")]
    if last.result == "Failed":
        dues.append(last.at + min(FIRST_REPEAT * 2.0 ** min(last.failures - 1, 16), LAST_REPEAT))
    if ongoing.stale_since > last.at and may_move(app, limits):
        dues.append(max(ongoing.stale_since, last.at + DOUBT_SECONDS))
    return min(dues)


def _idle(app: AppRecord, ongoing: OngoingInspection, due: float, now: float) -> InspectionDecision:
    """Nothing to inspect at present. The AppTask of the last inspection is deleted once its pod has
    shown the image's digest."""
    wake_at = None if due == float("inf") else due
    last, contracts = app.inspection, app.contracts
    if last is None or last.result != "Published" or contracts is None or contracts.image_digest:
        return InspectionDecision(_stale(ongoing, ""), wake_at)
    # The report is there a second before kubelet tells which image it has started.
    task = next((task for task in ongoing.tasks.values() if rfc3339(_at(task)) == rfc3339(last.at)), None)
    pod = None if task is None else ongoing.pods.get(task.pod_name)
    if task is None or pod is None:
        return InspectionDecision(_stale(ongoing, ""), wake_at)
    if pod.image_id:
        fields: JSONObject = {"contracts": {**contracts.packed.object(), "imageDigest": pod.image_id}}
        return InspectionDecision(_stale(ongoing, task.meta.key.name), wake_at, fields=fields)
    late = task.finished_at + DIGEST_SECONDS
    if pod.ended or pod.deletion_at is not None or now >= late:
        return InspectionDecision(_stale(ongoing, ""), wake_at)
    return InspectionDecision(_stale(ongoing, task.meta.key.name), earliest(wake_at, late))


def _stale(ongoing: OngoingInspection, name: str) -> list[InspectionAction]:
    """AppTasks of inspections of which nobody waits any more: all but `name`."""
    return [
        DeleteTask(task.meta.key, task.meta.uid)
        for other, task in sorted(ongoing.tasks.items())
        if other != name and not task.meta.deleting
    ]


def _create(app: AppRecord, name: str, key: str) -> CreateTask:
    spec = TaskSpec(
        app=app.meta.key.name,
        role="inspect",
        key=key,
        task=names.INSPECT_TASK,
        policy={"timeoutSeconds": IMPORT_SECONDS, "scheduleToCloseSeconds": ALL_SECONDS, "retry": RETRY},
    )
    if app.contracts is not None:
        published = app.contracts.packed.object()
        spec["input"] = {"published": {field: published.get(field) for field in ("defaultEntrypoint", "schemas")}}
    metadata: JSONObject = {
        "name": name,
        "namespace": app.meta.key.namespace,
        "labels": {
            names.MANAGED_BY_LABEL: names.MANAGED_BY,
            names.APP_LABEL: app.meta.key.name,
            names.ROLE_LABEL: "inspect",
            names.KEY_LABEL: key,
        },
        "ownerReferences": [owner_reference(names.APP_KIND, app.meta.key.name, app.meta.uid)],
    }
    body: JSONObject = {
        "apiVersion": names.API_VERSION,
        "kind": names.APP_TASK_KIND,
        "metadata": metadata,
        "spec": cast("JSON", spec),
    }
    return CreateTask(Key(app.meta.key.namespace, name), body)


def _accounts(app: AppRecord, pod: str) -> EnsureNamespace:
    return EnsureNamespace(inspection_of(app.meta.key), pod)


def _advance(
    app: AppRecord,
    task: TaskRecord,
    ongoing: OngoingInspection,
    stale: Sequence[InspectionAction],
    now: float,
    limits: Limits,
) -> InspectionDecision:
    """An inspection under way: its pod, its next attempt, or what it waits for."""
    run = _as_run(app, limits)
    observed = Observed(run, app, {task.meta.key.name: task}, ongoing.pods, (), rejections=ongoing.rejections)
    decision = attempts.decide(observed, task, now, limits)
    actions: list[InspectionAction] = [*stale, *retention.delete_unneeded(observed)[0], *decision.actions]
    if decision.wants_pod:
        actions += [] if ongoing.namespace_ready else [_accounts(app, task.pod_name)]
        actions.append(pods.pod(run, task, limits))
    blocked = decision.blocked
    if blocked is None or now < blocked.since + WAITING_GRACE:
        soon = None if blocked is None else blocked.since + WAITING_GRACE
        return InspectionDecision(actions, earliest(decision.wake_at, soon), inspected=_under_way(app, limits))
    if blocked.permanent:
        # Given up, so that its pod takes no place: it is tried again, as code that can't be
        # imported is.
        return replace(_failed(app, code_of(app, limits), now, blocked.reason, blocked.message), actions=stale)
    condition = app.condition("Inspected")
    if condition is not None and (condition.status, condition.reason) == ("False", blocked.reason):
        # The words of kubelet and scheduler change from try to try. The first ones stay.
        blocked = replace(blocked, message=condition.message)
    return InspectionDecision(
        actions, decision.wake_at, inspected=AppCondition("False", blocked.reason, blocked.message)
    )


def _as_run(app: AppRecord, limits: Limits) -> RunRecord:
    """What pods and attempts have to know of whom they work for, in the form in which runs tell
    it."""
    assert app.spec is not None
    template = template_of(app.spec, app.meta.key.name, app.meta.generation, limits)
    return RunRecord(replace(app.meta, key=inspection_of(app.meta.key)), app=template)


def _under_way(app: AppRecord, limits: Limits) -> AppCondition | None:
    """What the App says during an inspection; a repeated inspection of the same code changes
    nothing before its end."""
    if app.inspection is not None and app.inspection.code == code_of(app, limits):
        return None
    return AppCondition("Unknown", "Inspecting", "a pod imports the code, to find out what it contains")


def _conclude(app: AppRecord, task: TaskRecord, limits: Limits) -> InspectionDecision:
    """What follows from a finished inspection."""
    code, at = code_of(app, limits), _at(task)
    findings = _findings(task.output.decode()) if task.phase == "Succeeded" and task.output is not None else None
    if findings is None:
        error = task.error or {"type": "NoReport", "message": "the inspection ended without a report that can be read"}
        return _failed(app, code, at, error["type"], _failure(error["message"], error.get("traceback", "")))
    changes = findings.get("changes", [])
    if changes and app.refuses_changes:
        message = f"the new code isn't run, since contractChanges is Refuse: {_listed(changes)}"
        return InspectionDecision(
            inspected=AppCondition("False", CONTRACT_REFUSED, message),
            compatible=AppCondition("False", CONTRACT_REFUSED, message),
            stalled=True,
            fields={"inspection": _ended(InspectionRecord(code, at, "Refused"))},
        )
    contracts: JSONObject = {
        name: value for name, value in cast("JSONObject", findings).items() if name in PUBLISHED and value is not None
    }
    contracts |= {"code": code, "image": _image(app, limits)}
    compatible = AppCondition("True", "Compatible", "what the version before took and returned still fits")
    if app.contracts is None:
        compatible = AppCondition("True", "FirstVersion", "there is no version before this one")
    elif changes:
        compatible = AppCondition(
            "False", "ContractChanged", f"this version isn't compatible with the one before: {_listed(changes)}"
        )
    return InspectionDecision(
        inspected=AppCondition("True", "Inspected", _counted(findings)),
        compatible=_kept(app, code, compatible),
        fields={"inspection": _ended(InspectionRecord(code, at, "Published")), "contracts": contracts},
    )


def _failed(app: AppRecord, code: str, at: float, reason: str, message: str) -> InspectionDecision:
    """What is said of code that can't be looked at, until that is tried again."""
    failures = 1 if app.inspection is None or app.inspection.result != "Failed" else app.inspection.failures + 1
    return InspectionDecision(
        inspected=AppCondition("False", reason, message),
        stalled=True,
        fields={"inspection": _ended(InspectionRecord(code, at, "Failed", failures))},
    )


def _findings(output: JSON) -> Findings | None:
    """A report, as far as decisions rest on it; None when it isn't one. The app's code runs where
    it is written."""
    if not isinstance(output, dict) or not isinstance(output.get("schemas"), dict):
        return None
    for kind in ("entrypoints", "tasks"):
        listed = output.get(kind)
        if not isinstance(listed, list) or not all(isinstance(entry, dict) and "name" in entry for entry in listed):
            return None
    changes = output.get("changes", [])
    if not isinstance(changes, list) or not all(isinstance(change, str) for change in changes):
        return None
    return cast("Findings", output)


def _kept(app: AppRecord, code: str, compatible: AppCondition) -> AppCondition | None:
    """The condition to write: another inspection of the published code doesn't hide an incompatible
    change that was reported when it came."""
    repeated = app.contracts is not None and app.contracts.code == code
    condition = app.condition("ContractsCompatible")
    refused = condition is not None and condition.reason == CONTRACT_REFUSED
    return None if repeated and condition is not None and not refused and compatible.status == "True" else compatible


def _at(task: TaskRecord) -> float:
    """When an inspection's pod looked at the code."""
    return task.started_at or task.meta.created


def _ended(record: InspectionRecord) -> JSONObject:
    made: JSONObject = {"code": record.code, "at": rfc3339(record.at), "result": cast("JSON", record.result)}
    return {**made, "failures": record.failures} if record.failures else made


def _image(app: AppRecord, limits: Limits) -> JSON:
    assert app.spec is not None
    return app.spec.template.get("image") or limits.runtime_image


def _counted(findings: Findings) -> str:
    parts = []
    for count, word in ((len(findings["entrypoints"]), "entry point"), (len(findings["tasks"]), "task")):
        parts.append(f"{count} {word}{'' if count == 1 else 's'}")
    left_out = f"; {findings['omitted']} are too large to be published" if findings.get("omitted") else ""
    return f"{' and '.join(parts)}{left_out}"


def _listed(changes: Sequence[str]) -> str:
    more = f" … and {len(changes) - CHANGES_SHOWN} more" if len(changes) > CHANGES_SHOWN else ""
    return " ".join(change[:TEXT_LIMIT] for change in changes[:CHANGES_SHOWN]) + more


def _failure(message: str, traceback: str) -> str:
    """What went wrong, and below it the last lines of the traceback."""
    lines = traceback[-TRACEBACK_BYTES:].rstrip().splitlines()[-TRACEBACK_LINES:]
    return "\n".join([message[:TEXT_LIMIT], *lines])
