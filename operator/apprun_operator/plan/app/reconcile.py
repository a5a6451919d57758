"""`plan_app(app, served, inspecting, now) -> actions`: what an App itself needs. Its runs are
`plan.run.reconcile`'s.

Level-triggered like that one: what serves the app is applied again and again, which changes nothing
that is as it should be; what its code contains is `plan.app.inspection`'s. The status is written
once a pass, for both.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from application_sdk.wire import names
from application_sdk.wire.digest import JSON, JSONObject
from apprun_operator.observe.apps import AppRecord, HandlerDeployment, OngoingInspection
from apprun_operator.observe.times import rfc3339
from apprun_operator.plan.actions import AppAction, ApplyHandler, AppPlan, PatchApp, RemoveHandler
from apprun_operator.plan.app import handler
from apprun_operator.plan.app.inspection import (
    NOT_INSPECTED,
    AppCondition,
    InspectionDecision,
    inspect,
    unknown_tasks_of,
)
from apprun_operator.plan.limits import Limits
from apprun_operator.plan.times import earliest

UNKNOWN_TASK: Final = "UnknownTask"
LOOK_SOON: Final = 2.0
LOOK_LATER: Final = 60.0
"""Seconds until what serves the app is applied again: while it starts, and once it is up."""
SLOW_START: Final = 30.0
"""After so many seconds without an answer the App says where to look."""
NAME_MAX: Final = 63
"""A Service's name is a DNS label."""


@dataclass(frozen=True, slots=True)
class _Readiness:
    ready: str
    reason: str
    message: str
    stalled: bool = False

    @property
    def is_ready(self) -> bool:
        return self.ready == "True"


@dataclass(frozen=True, slots=True)
class _HandlerDecision:
    """What to do about a handler. Without `readiness` nothing is known about its pods yet."""

    actions: Sequence[AppAction] = ()
    wake_at: float | None = None
    readiness: _Readiness | None = None
    fields: JSONObject | None = None


def plan_app(
    app: AppRecord,
    deployment: HandlerDeployment | None,
    now: float,
    limits: Limits,
    ongoing: OngoingInspection | None = None,
) -> AppPlan:
    """What to do for this App, now. Same input, same actions. `deployment` is the last known state
    of its Deployment.

    Without `ongoing` its code isn't looked at.
    """
    if app.meta.deleting or app.spec is None:
        # What belongs to it goes with it.
        return AppPlan()
    inspection = None if ongoing is None else inspect(app, ongoing, now, limits)
    decision = _decide_handler(app, app.spec.template, deployment, now, limits)
    actions: list[AppAction] = [*decision.actions]
    # Its runs stall, so it isn't ready: who sees only the App would take the setting for accepted.
    unknown = "" if inspection is None else unknown_tasks_of(app, inspection, limits)
    status = _status(app, decision, inspection, unknown, now)
    if status:
        # After the handler's removal, which nobody would think of any more; before an inspection's
        # AppTask goes, since its report is nowhere else.
        actions.append(PatchApp(app.meta.key, app.meta.version, status))
    if inspection is None:
        return AppPlan(actions, decision.wake_at)
    return AppPlan([*actions, *inspection.actions], earliest(decision.wake_at, inspection.wake_at))


def _decide_handler(
    app: AppRecord, template: JSONObject, deployment: HandlerDeployment | None, now: float, limits: Limits
) -> _HandlerDecision:
    if app.handler is None:
        if app.handler_status is None:
            return _HandlerDecision(readiness=_Readiness("True", "NotServed", ""))
        removing = RemoveHandler(app.meta.key, app.meta.uid, names.handler_name(app.meta.key.name))
        return _HandlerDecision([removing], readiness=_Readiness("True", "NotServed", ""), fields={"handler": None})
    name = names.handler_name(app.meta.key.name)
    if len(name) > NAME_MAX:
        message = (
            f"the name of an App with a handler may have {NAME_MAX - len(name) + len(app.meta.key.name)} characters"
        )
        return _HandlerDecision(readiness=_Readiness("False", "NameTooLong", message, stalled=True))
    pause = LOOK_SOON if deployment is None or not _is_up(app, deployment) else LOOK_LATER
    if deployment is None or deployment.generation != app.meta.generation or now >= deployment.at + pause:
        applying = ApplyHandler(
            app.meta.key,
            app.meta.uid,
            name,
            app.meta.generation,
            handler.service(app),
            handler.deployment(app, {**template}, limits),
        )
        known = deployment is not None and deployment.generation == app.meta.generation
        readiness = _handler_readiness(app, deployment, now) if deployment is not None and known else None
        return _HandlerDecision([applying], None if deployment is None else now + pause, readiness)
    fields: JSONObject = {"service": name, "replicas": deployment.replicas, "ready": deployment.ready}
    return _HandlerDecision(
        wake_at=deployment.at + pause,
        readiness=_handler_readiness(app, deployment, now),
        fields={} if app.handler_status == fields else {"handler": fields},
    )


def _is_up(app: AppRecord, deployment: HandlerDeployment) -> bool:
    failing = deployment.problem or deployment.waits
    return not failing and deployment.current and deployment.ready >= handler.replicas(app)


def _handler_readiness(app: AppRecord, deployment: HandlerDeployment, now: float) -> _Readiness:
    name = names.handler_name(app.meta.key.name)
    if deployment.problem:
        return _Readiness("False", "HandlerRefused", f"the handler can't be served: {deployment.problem}", stalled=True)
    if deployment.waits:
        return _Readiness("False", "HandlerStarting", deployment.waits)
    if _is_up(app, deployment):
        return _Readiness("True", "HandlerReady", f"served by Service {name}")
    before = app.condition("Ready")
    waits = before is not None and before.reason == "HandlerSlow"
    if before is not None and before.reason == "HandlerStarting" and before.since:
        waits = rfc3339(now - SLOW_START) > before.since
    if waits:
        message = (
            f"{deployment.ready} of {handler.replicas(app)} pods of Deployment {name} answer. See why with `kubectl"
            f" logs -n {app.meta.key.namespace} deployment/{name}` and `kubectl describe pod -l {names.APP_LABEL}="
            f"{app.meta.key.name}`"
        )
        return _Readiness("False", "HandlerSlow", message)
    return _Readiness("False", "HandlerStarting", f"Deployment {name} starts")


def _status(
    app: AppRecord, decision: _HandlerDecision, inspection: InspectionDecision | None, unknown: str, now: float
) -> JSONObject:
    """The fields to write; none when the status says it all."""
    fields: JSONObject = {**(decision.fields or {}), **(inspection.fields or {} if inspection else {})}
    conditions: dict[str, AppCondition] = {}
    if inspection is not None:
        for name, new in (("Inspected", inspection.inspected), ("ContractsCompatible", inspection.compatible)):
            old = app.condition(name)
            kept = None if old is None else AppCondition(old.status, old.reason, old.message)
            if new or kept:
                conditions[name] = new or kept or AppCondition("Unknown", "")
    readiness = _ready(app, decision.readiness, conditions.get("Inspected"), inspection)
    if unknown and conditions["Inspected"].status == "True":
        readiness = _Readiness("False", UNKNOWN_TASK, unknown, stalled=True)
    if readiness is None and not fields:
        return {}
    if readiness is not None and not (inspection is None and not decision.fields and app.handler is None):
        moving = not readiness.is_ready and not readiness.stalled
        truths: Mapping[str, str] = {
            "Ready": readiness.ready,
            "Reconciling": "True" if moving else "False",
            "Stalled": "True" if readiness.stalled else "False",
        }
        summary = {name: AppCondition(truth, readiness.reason, readiness.message) for name, truth in truths.items()}
        conditions = summary | conditions
        if app.observed_generation != app.meta.generation or _differs(app, conditions):
            fields |= {"observedGeneration": app.meta.generation, "conditions": _conditions(app, conditions, now)}
    return fields


def _ready(
    app: AppRecord, handler: _Readiness | None, inspected: AppCondition | None, inspection: InspectionDecision | None
) -> _Readiness | None:
    """What to say of the App as a whole: the first thing that is the matter with it, of its code
    before its handler."""
    if inspection is None or inspected is None:
        return handler
    if inspected.status == "True" and app.handler is None:
        return _Readiness("True", inspected.reason, inspected.message)
    if inspected.reason == NOT_INSPECTED and app.handler is None:
        # It isn't wrong, but what is missing is worth more than the news that it isn't served.
        return _Readiness("True", inspected.reason, inspected.message)
    if inspected.status == "True" or inspected.reason == NOT_INSPECTED:
        return handler or _Readiness("False", "HandlerStarting", "the Deployment is made")
    stalled = inspection.stalled
    before = app.condition("Stalled")
    if inspection.inspected is None and before is not None:
        stalled = before.status == "True"
    return _Readiness("False", inspected.reason, inspected.message, stalled)


def _differs(app: AppRecord, conditions: Mapping[str, AppCondition]) -> bool:
    """Whether the status says anything else. Times don't count."""
    current = {entry.type: AppCondition(entry.status, entry.reason, entry.message) for entry in app.conditions}
    return any(current.get(name) != condition for name, condition in conditions.items())


def _conditions(app: AppRecord, conditions: Mapping[str, AppCondition], now: float) -> list[JSON]:
    listed: list[JSON] = []
    for name, condition in conditions.items():
        before = app.condition(name)
        same = before is not None and (before.status, before.reason) == (condition.status, condition.reason)
        listed.append(
            {
                "type": name,
                "status": condition.status,
                "reason": condition.reason,
                "message": condition.message,
                "lastTransitionTime": before.since if before is not None and same and before.since else rfc3339(now),
                "observedGeneration": app.meta.generation,
            }
        )
    return listed
