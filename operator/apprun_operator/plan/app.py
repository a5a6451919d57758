"""`plan_app(app, served, now) -> actions`: what an App itself needs. Its runs are `plan.run`'s.

Level-triggered like that one: what serves the app is applied again and again, which changes nothing that is as it
should be.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, TypeAlias

from application_sdk.wire import names
from application_sdk.wire.digest import JSON, JSONObject
from apprun_operator.observe.records import AppRecord, Key, ServedRecord
from apprun_operator.observe.times import rfc3339
from apprun_operator.plan import handler
from apprun_operator.plan.limits import Limits

LOOK_SOON: Final = 2.0
LOOK_LATER: Final = 60.0
"""Seconds until what serves the app is applied again: while it starts, and once it is up."""
SLOW_START: Final = 30.0
"""After so many seconds without an answer the App says where to look."""
NAME_MAX: Final = 63
"""A Service's name is a DNS label."""


@dataclass(frozen=True, slots=True)
class ApplyHandler:
    """Have Service and Deployment be like this. What becomes of that is a `ServedRecord`."""

    app: Key
    generation: int
    service: JSONObject
    deployment: JSONObject


@dataclass(frozen=True, slots=True)
class RemoveHandler:
    """Delete Service and Deployment of this App."""

    app: Key
    name: str


@dataclass(frozen=True, slots=True)
class PatchApp:
    """Merge `status` into the App's, if it is still the version that was planned with."""

    app: Key
    uid: str
    version: int
    status: JSONObject


AppAction: TypeAlias = ApplyHandler | RemoveHandler | PatchApp


@dataclass(frozen=True, slots=True)
class AppPlan:
    """What to do now, in this order, and when to look again."""

    actions: Sequence[AppAction] = ()
    wake_at: float | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "actions", tuple(self.actions))


def plan_app(app: AppRecord, served: ServedRecord | None, now: float, limits: Limits) -> AppPlan:
    """What to do for this App, now. Same input, same actions. `served` is what was last seen of its Deployment."""
    if app.meta.deleting or app.spec is None:
        # What belongs to it goes with it.
        return AppPlan()
    if app.handler is None:
        if app.served is None:
            return AppPlan()
        status: JSONObject = {"handler": None, **_conditions(app, _Standing("True", "NotServed", ""), now)}
        return AppPlan([RemoveHandler(app.meta.key, names.handler_name(app.meta.key.name)), _patch(app, status)])
    name = names.handler_name(app.meta.key.name)
    if len(name) > NAME_MAX:
        message = (
            f"the name of an App with a handler may have {NAME_MAX - len(name) + len(app.meta.key.name)} characters"
        )
        return AppPlan(_say(app, None, _Standing("False", "NameTooLong", message, stalled=True), now))
    pause = LOOK_SOON if served is None or not _is_up(app, served) else LOOK_LATER
    if served is None or served.generation != app.meta.generation or now >= served.at + pause:
        template = {**app.spec.template}
        applying = ApplyHandler(
            app.meta.key, app.meta.generation, handler.service(app), handler.deployment(app, template, limits)
        )
        return AppPlan([applying], None if served is None else now + pause)
    wanted = _standing(app, served, now)
    facts: JSONObject = {"service": name, "replicas": served.replicas, "ready": served.ready}
    return AppPlan(_say(app, facts, wanted, now), served.at + pause)


@dataclass(frozen=True, slots=True)
class _Standing:
    ready: str
    reason: str
    message: str
    stalled: bool = False


def _is_up(app: AppRecord, served: ServedRecord) -> bool:
    return not served.problem and served.current and served.ready >= handler.replicas(app)


def _standing(app: AppRecord, served: ServedRecord, now: float) -> _Standing:
    name = names.handler_name(app.meta.key.name)
    if served.problem:
        return _Standing("False", "HandlerRefused", f"the handler can't be served: {served.problem}", stalled=True)
    if _is_up(app, served):
        return _Standing("True", "HandlerReady", f"served by Service {name}")
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
        return _Standing("False", "HandlerSlow", message)
    return _Standing("False", "HandlerStarting", f"Deployment {name} starts")


def _say(app: AppRecord, facts: JSONObject | None, wanted: _Standing, now: float) -> list[AppAction]:
    """Write it, unless the status says so."""
    ready = app.condition("Ready")
    same = ready is not None and (ready.status, ready.reason, ready.message) == (
        wanted.ready, wanted.reason, wanted.message
    )  # fmt: skip
    if same and app.observed_generation == app.meta.generation and app.served == facts:
        return []
    status: JSONObject = _conditions(app, wanted, now)
    if facts is not None:
        status["handler"] = facts
    return [_patch(app, status)]


def _conditions(app: AppRecord, wanted: _Standing, now: float) -> JSONObject:
    moving = wanted.ready != "True" and not wanted.stalled
    truths = {
        "Ready": wanted.ready,
        "Reconciling": "True" if moving else "False",
        "Stalled": "True" if wanted.stalled else "False",
    }
    listed: list[JSON] = []
    for kind, truth in truths.items():
        before = app.condition(kind)
        same = before is not None and (before.status, before.reason) == (truth, wanted.reason)
        listed.append(
            {
                "type": kind,
                "status": truth,
                "reason": wanted.reason,
                "message": wanted.message,
                "lastTransitionTime": before.since if before is not None and same and before.since else rfc3339(now),
                "observedGeneration": app.meta.generation,
            }
        )
    return {"observedGeneration": app.meta.generation, "conditions": listed}


def _patch(app: AppRecord, status: JSONObject) -> PatchApp:
    return PatchApp(app.meta.key, app.meta.uid, app.meta.version, status)
