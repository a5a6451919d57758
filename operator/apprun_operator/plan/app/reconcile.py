"""`plan_app(app, served, inspecting, now) -> actions`: what an App itself needs. Its runs are `plan.run.reconcile`'s.

Level-triggered like that one: what serves the app is applied again and again, which changes nothing that is as it
should be; what its code contains is `plan.app.inspection`'s. The status is written once a pass, for both.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, TypeAlias

from application_sdk.wire import names
from application_sdk.wire.digest import JSON, JSONObject
from apprun_operator.observe.apps import AppRecord, HandlerDeployment, OngoingInspection
from apprun_operator.observe.records import Key
from apprun_operator.observe.times import rfc3339
from apprun_operator.plan.app import handler
from apprun_operator.plan.app.inspection import NOT_INSPECTED, InspectionAction, InspectionDecision, Said, inspect
from apprun_operator.plan.limits import Limits
from apprun_operator.plan.run.attempts import earliest

LOOK_SOON: Final = 2.0
LOOK_LATER: Final = 60.0
"""Seconds until what serves the app is applied again: while it starts, and once it is up."""
SLOW_START: Final = 30.0
"""After so many seconds without an answer the App says where to look."""
NAME_MAX: Final = 63
"""A Service's name is a DNS label."""


@dataclass(frozen=True, slots=True)
class ApplyHandler:
    """Have Service and Deployment of that name be like this, if they are this App's or aren't there yet. What becomes
    of that is a `HandlerDeployment`."""

    app: Key
    app_uid: str
    name: str
    generation: int
    service: JSONObject
    deployment: JSONObject


@dataclass(frozen=True, slots=True)
class RemoveHandler:
    """Delete Service and Deployment of that name, as far as they are this App's."""

    app: Key
    app_uid: str
    name: str


@dataclass(frozen=True, slots=True)
class PatchApp:
    """Set these fields of the App's status, if it is still the version that was planned with. None removes one."""

    app: Key
    version: int
    status: JSONObject


AppAction: TypeAlias = ApplyHandler | RemoveHandler | PatchApp | InspectionAction


@dataclass(frozen=True, slots=True)
class AppPlan:
    """What to do now, in this order, and when to look again."""

    actions: Sequence[AppAction] = ()
    wake_at: float | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "actions", tuple(self.actions))


@dataclass(frozen=True, slots=True)
class _AppCondition:
    ready: str
    reason: str
    message: str
    stalled: bool = False

    @property
    def fine(self) -> bool:
        return self.ready == "True"


@dataclass(frozen=True, slots=True)
class _Serving:
    """What is to be done about a handler. Without `condition` it isn't known yet what to say of it."""

    actions: Sequence[AppAction] = ()
    wake_at: float | None = None
    condition: _AppCondition | None = None
    facts: JSONObject | None = None


def plan_app(
    app: AppRecord,
    served: HandlerDeployment | None,
    now: float,
    limits: Limits,
    inspecting: OngoingInspection | None = None,
) -> AppPlan:
    """What to do for this App, now. Same input, same actions. `served` is what was last seen of its Deployment.

    Without `inspecting` its code isn't looked at.
    """
    if app.meta.deleting or app.spec is None:
        # What belongs to it goes with it.
        return AppPlan()
    inspection = None if inspecting is None else inspect(app, inspecting, now, limits)
    serving = _serve(app, app.spec.template, served, now, limits)
    actions: list[AppAction] = [*serving.actions]
    status = _status(app, serving, inspection, now)
    if status:
        # After the handler's removal, which nobody would think of any more; before an inspection's AppTask goes, since
        # its report is nowhere else.
        actions.append(PatchApp(app.meta.key, app.meta.version, status))
    if inspection is None:
        return AppPlan(actions, serving.wake_at)
    return AppPlan([*actions, *inspection.actions], earliest(serving.wake_at, inspection.wake_at))


def _serve(
    app: AppRecord, template: JSONObject, served: HandlerDeployment | None, now: float, limits: Limits
) -> _Serving:
    if app.handler is None:
        if app.handler_status is None:
            return _Serving(condition=_AppCondition("True", "NotServed", ""))
        removing = RemoveHandler(app.meta.key, app.meta.uid, names.handler_name(app.meta.key.name))
        return _Serving([removing], condition=_AppCondition("True", "NotServed", ""), facts={"handler": None})
    name = names.handler_name(app.meta.key.name)
    if len(name) > NAME_MAX:
        message = (
            f"the name of an App with a handler may have {NAME_MAX - len(name) + len(app.meta.key.name)} characters"
        )
        return _Serving(condition=_AppCondition("False", "NameTooLong", message, stalled=True))
    pause = LOOK_SOON if served is None or not _is_up(app, served) else LOOK_LATER
    if served is None or served.generation != app.meta.generation or now >= served.at + pause:
        applying = ApplyHandler(
            app.meta.key,
            app.meta.uid,
            name,
            app.meta.generation,
            handler.service(app),
            handler.deployment(app, {**template}, limits),
        )
        known = served is not None and served.generation == app.meta.generation
        said = _handler_condition(app, served, now) if served is not None and known else None
        return _Serving([applying], None if served is None else now + pause, said)
    facts: JSONObject = {"service": name, "replicas": served.replicas, "ready": served.ready}
    return _Serving(
        wake_at=served.at + pause,
        condition=_handler_condition(app, served, now),
        facts={} if app.handler_status == facts else {"handler": facts},
    )


def _is_up(app: AppRecord, served: HandlerDeployment) -> bool:
    return not (served.problem or served.waits) and served.current and served.ready >= handler.replicas(app)


def _handler_condition(app: AppRecord, served: HandlerDeployment, now: float) -> _AppCondition:
    name = names.handler_name(app.meta.key.name)
    if served.problem:
        return _AppCondition("False", "HandlerRefused", f"the handler can't be served: {served.problem}", stalled=True)
    if served.waits:
        return _AppCondition("False", "HandlerStarting", served.waits)
    if _is_up(app, served):
        return _AppCondition("True", "HandlerReady", f"served by Service {name}")
    before = app.condition("Ready")
    waits = before is not None and before.reason == "HandlerSlow"
    if before is not None and before.reason == "HandlerStarting" and before.since:
        waits = rfc3339(now - SLOW_START) > before.since
    if waits:
        message = (
            f"{served.ready} of {handler.replicas(app)} pods of Deployment {name} answer. See why with `kubectl logs -n"
            f" {app.meta.key.namespace} deployment/{name}` and `kubectl describe pod -l {names.APP_LABEL}="
            f"{app.meta.key.name}`"
        )
        return _AppCondition("False", "HandlerSlow", message)
    return _AppCondition("False", "HandlerStarting", f"Deployment {name} starts")


def _status(app: AppRecord, serving: _Serving, inspection: InspectionDecision | None, now: float) -> JSONObject:
    """The fields to write; none when the status says it all."""
    facts: JSONObject = {**(serving.facts or {}), **(inspection.facts or {} if inspection else {})}
    said: dict[str, Said] = {}
    if inspection is not None:
        for kind, new in (("Inspected", inspection.inspected), ("ContractsCompatible", inspection.compatible)):
            old = app.condition(kind)
            kept = None if old is None else Said(old.status, old.reason, old.message)
            if new or kept:
                said[kind] = new or kept or Said("Unknown", "")
    condition = _ready(app, serving.condition, said.get("Inspected"), inspection)
    if condition is None and not facts:
        return {}
    if condition is not None and not (inspection is None and not serving.facts and app.handler is None):
        moving = not condition.fine and not condition.stalled
        truths: Mapping[str, str] = {
            "Ready": condition.ready,
            "Reconciling": "True" if moving else "False",
            "Stalled": "True" if condition.stalled else "False",
        }
        said = {**{kind: Said(truth, condition.reason, condition.message) for kind, truth in truths.items()}, **said}
        if app.observed_generation != app.meta.generation or _differs(app, said):
            facts |= {"observedGeneration": app.meta.generation, "conditions": _conditions(app, said, now)}
    return facts


def _ready(
    app: AppRecord, serving: _AppCondition | None, inspected: Said | None, inspection: InspectionDecision | None
) -> _AppCondition | None:
    """What to say of the App as a whole: the first thing that is the matter with it, of its code before its handler."""
    if inspection is None or inspected is None:
        return serving
    if inspected.status == "True" and app.handler is None:
        return _AppCondition("True", inspected.reason, inspected.message)
    if inspected.reason == NOT_INSPECTED and app.handler is None:
        # It isn't wrong, but what is missing is worth more than the news that it isn't served.
        return _AppCondition("True", inspected.reason, inspected.message)
    if inspected.status == "True" or inspected.reason == NOT_INSPECTED:
        return serving or _AppCondition("False", "HandlerStarting", "the Deployment is made")
    stalled = inspection.stalled
    before = app.condition("Stalled")
    if inspection.inspected is None and before is not None:
        stalled = before.status == "True"
    return _AppCondition("False", inspected.reason, inspected.message, stalled)


def _differs(app: AppRecord, said: Mapping[str, Said]) -> bool:
    """Whether the status says anything else. Times don't count."""
    found = {one.type: Said(one.status, one.reason, one.message) for one in app.conditions}
    return any(found.get(kind) != wanted for kind, wanted in said.items())


def _conditions(app: AppRecord, said: Mapping[str, Said], now: float) -> list[JSON]:
    listed: list[JSON] = []
    for kind, wanted in said.items():
        before = app.condition(kind)
        same = before is not None and (before.status, before.reason) == (wanted.status, wanted.reason)
        listed.append(
            {
                "type": kind,
                "status": wanted.status,
                "reason": wanted.reason,
                "message": wanted.message,
                "lastTransitionTime": before.since if before is not None and same and before.since else rfc3339(now),
                "observedGeneration": app.meta.generation,
            }
        )
    return listed
