"""What an App's code contains: one inspection of it whenever it may be another, and what the App says of it.

An inspection is an AppTask of its own, `<app>-inspect-<digits>`, whose pod imports the app and reports; so attempts,
fencing and the reading of failures are those of all tasks. Its name comes from the code and from the inspection before
it: a crash between any two writes finds it again, and never makes two. Pure, as all of the plan.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final, TypeAlias, cast

from application_sdk.wire import names
from application_sdk.wire.digest import JSON, JSONObject, digest
from application_sdk.wire.fields import Findings, RetryFields, TaskSpec
from apprun_operator.observe.apps import AppRecord, InspectionRecord, OngoingInspection
from apprun_operator.observe.observed import Observed
from apprun_operator.observe.records import Key, RunRecord, TaskRecord, inspection_of
from apprun_operator.observe.times import rfc3339
from apprun_operator.plan.actions import CreateTask, EnsureNamespace, ItemAction
from apprun_operator.plan.code_identity import code_of, may_move, template_of
from apprun_operator.plan.limits import WAITING_GRACE, Limits
from apprun_operator.plan.pod import pods
from apprun_operator.plan.run import attempts, retention
from apprun_operator.plan.run.commit import owner_reference

IMPORT_SECONDS: Final = 60.0
"""How long an import may take."""
ALL_SECONDS: Final = 900.0
"""How long an inspection may take in all, the wait for a place and the image included."""
RETRY: Final = RetryFields(maxAttempts=3, initialIntervalSeconds=1.0, maxIntervalSeconds=60.0, backoffCoefficient=2.0)
"""For pods that die without a report. What an import raises is never tried again: it would raise it again."""
AT_A_TIME: Final = 10
"""So many Apps are inspected at a time: a new operator must not start a pod for each App of the cluster at once."""
LOOK_AGAIN: Final = 2.0
FIRST_REPEAT: Final = 60.0
LAST_REPEAT: Final = 3600.0
"""Seconds after which a failed inspection is repeated though the App is the same: doubling, from the first on."""
DOUBT_SECONDS: Final = 30.0
"""Runs may cast doubt on what is published; not more often than this is it looked at anew for that."""
DIGEST_SECONDS: Final = 10.0
"""How long after a report kubelet may take to tell which image it has started."""
PUBLISHED: Final = frozenset(
    {"app", "version", "sdkVersion", "sourceDigest", "defaultEntrypoint", "entrypoints", "tasks", "schemas", "omitted"}
)
"""Fields of a report that the App's status has too."""
NOT_INSPECTED: Final = "NotInspected"
CONTRACT_REFUSED: Final = "ContractRefused"
TOLD_CHANGES: Final = 8
TRACEBACK_LINES: Final = 12
TRACEBACK_BYTES: Final = 8 * 1024
LONGEST_WORDS: Final = 2000
"""Characters of a change, or of what an import raised, that the App's status repeats: a report may be forged."""


@dataclass(frozen=True, slots=True)
class DeleteTask:
    """Delete an inspection's AppTask, whose pod goes with it."""

    task: Key
    uid: str


InspectionAction: TypeAlias = EnsureNamespace | DeleteTask | ItemAction


@dataclass(frozen=True, slots=True)
class Said:
    """One condition, as it should be."""

    status: str
    reason: str
    message: str = ""


@dataclass(frozen=True, slots=True)
class InspectionDecision:
    """What to do about an App's inspection, and what its status should say."""

    actions: Sequence[InspectionAction] = ()
    wake_at: float | None = None
    inspected: Said | None = None
    """None leaves the condition as it is."""
    compatible: Said | None = None
    stalled: bool = False
    """Whether a person has to correct something."""
    facts: JSONObject | None = None
    """Fields of the status to set."""


def inspect(app: AppRecord, seen: OngoingInspection, now: float, limits: Limits) -> InspectionDecision:
    """Decide about an App that isn't being deleted and can be read."""
    if len(app.meta.key.name) > names.APP_NAME_MAX_LENGTH:
        message = f"an App whose name has more than {names.APP_NAME_MAX_LENGTH} characters isn't inspected"
        return InspectionDecision(inspected=Said("Unknown", NOT_INSPECTED, message))
    due = _due(app, seen, limits)
    if now < due:
        return _rest(app, seen, due, now)
    # guard: inspection-name - a late pod of the previous inspection could report for this one
    key = digest([app.meta.uid, code_of(app, limits), "" if app.inspection is None else rfc3339(app.inspection.at)])
    name = names.inspection_name(app.meta.key.name, key)
    stale = _stale(seen, name)
    task = seen.tasks.get(name)
    if task is None:
        # guard: inspections-bounded - an upgrade of the operator would start a pod for every App of the cluster at once
        if seen.others >= AT_A_TIME:
            return InspectionDecision(stale, now + LOOK_AGAIN, inspected=_under_way(app, limits))
        first = [] if seen.namespace_ready else [_accounts(app, names.pod_name(name, 1, app.meta.uid))]
        return InspectionDecision([*stale, *first, _create(app, name, key)], inspected=_under_way(app, limits))
    if task.finished:
        return replace(_conclude(app, task, limits), actions=stale)
    return _go_on(app, task, seen, stale, now, limits)


def _due(app: AppRecord, seen: OngoingInspection, limits: Limits) -> float:
    """From when on the App is to be inspected: 0 for now, infinity for never as far as one can see."""
    last = app.inspection
    if last is None or last.code != code_of(app, limits):
        return 0.0
    if last.result == "Refused" and not app.refuses_changes:
        return 0.0
    dues = [float("inf")]
    if last.result == "Failed":
        dues.append(last.at + min(FIRST_REPEAT * 2.0 ** min(last.failures - 1, 16), LAST_REPEAT))
    if seen.stale_since > last.at and may_move(app, limits):
        dues.append(max(seen.stale_since, last.at + DOUBT_SECONDS))
    return min(dues)


def _rest(app: AppRecord, seen: OngoingInspection, due: float, now: float) -> InspectionDecision:
    """Nothing to inspect for now. The AppTask that was goes, once its pod has told all that there is to tell."""
    wake_at = None if due == float("inf") else due
    last, contracts = app.inspection, app.contracts
    if last is None or last.result != "Published" or contracts is None or contracts.image_digest:
        return InspectionDecision(_stale(seen, ""), wake_at)
    # The report is there a second before kubelet tells which image it has started.
    done = next((task for task in seen.tasks.values() if rfc3339(_at(task)) == rfc3339(last.at)), None)
    pod = None if done is None else seen.pods.get(done.pod_name)
    if done is None or pod is None:
        return InspectionDecision(_stale(seen, ""), wake_at)
    if pod.image_id:
        facts: JSONObject = {"contracts": {**contracts.packed.object(), "imageDigest": pod.image_id}}
        return InspectionDecision(_stale(seen, done.meta.key.name), wake_at, facts=facts)
    late = done.finished_at + DIGEST_SECONDS
    if pod.ended or pod.deletion_at is not None or now >= late:
        return InspectionDecision(_stale(seen, ""), wake_at)
    return InspectionDecision(_stale(seen, done.meta.key.name), attempts.earliest(wake_at, late))


def _stale(seen: OngoingInspection, name: str) -> list[InspectionAction]:
    """AppTasks of inspections of which nobody waits any more: all but `name`."""
    return [
        DeleteTask(task.meta.key, task.meta.uid)
        for other, task in sorted(seen.tasks.items())
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


def _go_on(
    app: AppRecord,
    task: TaskRecord,
    seen: OngoingInspection,
    stale: Sequence[InspectionAction],
    now: float,
    limits: Limits,
) -> InspectionDecision:
    """An inspection under way: its pod, its next attempt, or what it waits for."""
    run = _as_run(app, limits)
    observed = Observed(run, app, {task.meta.key.name: task}, seen.pods, (), refusals=seen.refusals)
    judged = attempts.decide(observed, task, now, limits)
    actions: list[InspectionAction] = [*stale, *retention.delete_unneeded(observed)[0], *judged.actions]
    if judged.wants_pod:
        actions += [] if seen.namespace_ready else [_accounts(app, task.pod_name)]
        actions.append(pods.pod(run, task, limits))
    held = judged.held
    if held is None or now < held.since + WAITING_GRACE:
        soon = None if held is None else held.since + WAITING_GRACE
        return InspectionDecision(actions, attempts.earliest(judged.wake_at, soon), inspected=_under_way(app, limits))
    if held.permanent:
        # Given up, so that its pod takes no place: it is tried again, as code that can't be imported is.
        return replace(_failed(app, code_of(app, limits), now, held.reason, held.message), actions=stale)
    said = app.condition("Inspected")
    if said is not None and (said.status, said.reason) == ("False", held.reason):
        # The words of kubelet and scheduler change from try to try. The first ones stay.
        held = replace(held, message=said.message)
    return InspectionDecision(actions, judged.wake_at, inspected=Said("False", held.reason, held.message))


def _as_run(app: AppRecord, limits: Limits) -> RunRecord:
    """What pods and attempts have to know of whom they work for, in the form in which runs tell it."""
    assert app.spec is not None
    template = template_of(app.spec, app.meta.key.name, app.meta.generation, limits)
    return RunRecord(replace(app.meta, key=inspection_of(app.meta.key)), app=template)


def _under_way(app: AppRecord, limits: Limits) -> Said | None:
    """A repeated look at the same code says nothing before it is over."""
    if app.inspection is not None and app.inspection.code == code_of(app, limits):
        return None
    return Said("Unknown", "Inspecting", "a pod imports the code, to find out what it contains")


def _conclude(app: AppRecord, task: TaskRecord, limits: Limits) -> InspectionDecision:
    """What follows from a finished inspection."""
    code, at = code_of(app, limits), _at(task)
    found = _findings(task.output.decode()) if task.phase == "Succeeded" and task.output is not None else None
    if found is None:
        error = task.error or {"type": "NoReport", "message": "the inspection ended without a report that can be read"}
        return _failed(app, code, at, error["type"], _failure(error["message"], error.get("traceback", "")))
    changes = found.get("changes", [])
    if changes and app.refuses_changes:
        told = f"the new code isn't run, since contractChanges is Refuse: {_listed(changes)}"
        return InspectionDecision(
            inspected=Said("False", CONTRACT_REFUSED, told),
            compatible=Said("False", CONTRACT_REFUSED, told),
            stalled=True,
            facts={"inspection": _ended(InspectionRecord(code, at, "Refused"))},
        )
    contracts: JSONObject = {
        name: value for name, value in cast("JSONObject", found).items() if name in PUBLISHED and value is not None
    }
    contracts |= {"code": code, "image": _image(app, limits)}
    compatible = Said("True", "Compatible", "what the version before took and returned still fits")
    if app.contracts is None:
        compatible = Said("True", "FirstVersion", "there is no version before this one")
    elif changes:
        compatible = Said(
            "False", "ContractChanged", f"this version isn't compatible with the one before: {_listed(changes)}"
        )
    return InspectionDecision(
        inspected=Said("True", "Inspected", _counted(found)),
        compatible=_kept(app, code, compatible),
        facts={"inspection": _ended(InspectionRecord(code, at, "Published")), "contracts": contracts},
    )


def _failed(app: AppRecord, code: str, at: float, reason: str, message: str) -> InspectionDecision:
    """What is said of code that can't be looked at, until that is tried again."""
    failures = 1 if app.inspection is None or app.inspection.result != "Failed" else app.inspection.failures + 1
    return InspectionDecision(
        inspected=Said("False", reason, message),
        stalled=True,
        facts={"inspection": _ended(InspectionRecord(code, at, "Failed", failures))},
    )


def _findings(output: JSON) -> Findings | None:
    """A report, as far as decisions rest on it; None when it isn't one. The app's code runs where it is written."""
    if not isinstance(output, dict) or not isinstance(output.get("schemas"), dict):
        return None
    for kind in ("entrypoints", "tasks"):
        listed = output.get(kind)
        if not isinstance(listed, list) or not all(isinstance(one, dict) and "name" in one for one in listed):
            return None
    changes = output.get("changes", [])
    if not isinstance(changes, list) or not all(isinstance(change, str) for change in changes):
        return None
    return cast("Findings", output)


def _kept(app: AppRecord, code: str, compatible: Said) -> Said | None:
    """Another look at the published code makes no change undone that was told of when it came."""
    repeated = app.contracts is not None and app.contracts.code == code
    said = app.condition("ContractsCompatible")
    refused = said is not None and said.reason == CONTRACT_REFUSED
    return None if repeated and said is not None and not refused and compatible.status == "True" else compatible


def _at(task: TaskRecord) -> float:
    """When an inspection's pod looked at the code."""
    return task.started_at or task.meta.created


def _ended(record: InspectionRecord) -> JSONObject:
    made: JSONObject = {"code": record.code, "at": rfc3339(record.at), "result": cast("JSON", record.result)}
    return {**made, "failures": record.failures} if record.failures else made


def _image(app: AppRecord, limits: Limits) -> JSON:
    assert app.spec is not None
    return app.spec.template.get("image") or limits.runtime_image


def _counted(found: Findings) -> str:
    parts = []
    for count, word in ((len(found["entrypoints"]), "entry point"), (len(found["tasks"]), "task")):
        parts.append(f"{count} {word}{'' if count == 1 else 's'}")
    left_out = f"; {found['omitted']} are too large to be published" if found.get("omitted") else ""
    return f"{' and '.join(parts)}{left_out}"


def _listed(changes: Sequence[str]) -> str:
    more = f" … and {len(changes) - TOLD_CHANGES} more" if len(changes) > TOLD_CHANGES else ""
    return " ".join(change[:LONGEST_WORDS] for change in changes[:TOLD_CHANGES]) + more


def _failure(message: str, traceback: str) -> str:
    """What went wrong, and below it the last lines of the traceback."""
    lines = traceback[-TRACEBACK_BYTES:].rstrip().splitlines()[-TRACEBACK_LINES:]
    return "\n".join([message[:LONGEST_WORDS], *lines])
