"""Whether a run that began goes on, waits, or needs a person: `Stalled` comes and goes here.

A stall is a state of the run that stays until something proves it over. The driver's report sets
it; a corrected App or spec, a commit, or a driver that lives clears it. So slow retries in between
don't make the condition flicker.
"""

from __future__ import annotations

from typing import Final

from application_sdk.wire.digest import JSONObject
from application_sdk.wire.fields import STALL_REASONS, ErrorFields
from application_sdk.wire.reasons import NO_CONTACT
from application_sdk.wire.waiting import is_of_calls
from apprun_operator.observe.observed import Observed
from apprun_operator.observe.records import TaskRecord
from apprun_operator.plan.call.attempts import CallDecision
from apprun_operator.plan.call.pod_status import SDK_NOT_FOUND
from apprun_operator.plan.conditions import RunCondition, current_condition
from apprun_operator.plan.limits import PROOF_OF_LIFE, WAITING_GRACE, Limits
from apprun_operator.plan.run.app_resolution import changed, resolve

RUNNING = RunCondition("Running", "Running")
SHORT_LIVED = STALL_REASONS | {SDK_NOT_FOUND}
"""Stalls whose driver starts, and ends at once: that it runs proves little."""
CODE_CHANGED: Final = "CodeChanged"
STALLING_HOLDS = frozenset({"ImagePullFailed", "ContainerNotStarted"})
"""Holds of a driver's pod that a person has to end, even if waiting might help."""


def driver_condition(
    observed: Observed, driver: TaskRecord, decision: CallDecision, commits: bool, now: float, limits: Limits
) -> tuple[RunCondition, JSONObject | None, float | None]:
    """The condition of the run; its app, if it was resolved again; when to look again."""
    run = observed.run
    resolved = resolve(observed, now, limits) if run.phase == "Stalled" and changed(observed, limits) else None
    if isinstance(resolved, dict):
        return _going(observed), resolved, None
    if resolved is not None and not commits:
        # What a person reads is about the App as it is now; while it is too early to tell, as
        # before.
        early = resolved.until is not None or resolved.waits
        current = current_condition(run) if early else RunCondition("Stalled", resolved.reason, resolved.message)
        return current, None, resolved.until
    reported = driver.reported_error
    if reported is not None and "stall" in reported:
        return RunCondition("Stalled", reported["stall"], reported["message"] + _origin(observed, reported)), None, None
    blocked, current = decision.blocked, current_condition(run)
    if blocked is not None and current.reason == blocked.reason and not is_of_calls(current.message):
        # The words of kubelet and scheduler change from try to try. The first ones stay.
        return current, None, None
    if blocked is not None and (blocked.permanent or blocked.reason in STALLING_HOLDS):
        return RunCondition("Stalled", blocked.reason, blocked.message), None, None
    if blocked is not None:
        due = blocked.since + WAITING_GRACE
        return (
            (RunCondition("Running", blocked.reason, blocked.message), None, None)
            if now >= due
            else (_kept(observed), None, due)
        )
    if run.phase != "Stalled" or commits:
        return _going(observed), None, None
    return _until_proven(observed, driver, now)


def with_changed_code(observed: Observed, condition: RunCondition) -> RunCondition:
    """`Stalled` if tasks found other code than the run began with, else `condition`. A person has
    to decide about that, even if the driver runs."""
    if condition != RUNNING:
        return condition
    # Only those that are concerned are put in order: there may be thousands of others.
    changed = [
        (name, task.attempts[-1].get("message", ""))
        for name, task in observed.tasks.items()
        if task.attempts and not task.finished and task.attempts[-1]["reason"] == CODE_CHANGED
    ]
    return RunCondition("Stalled", CODE_CHANGED, min(changed)[1]) if changed else condition


def _until_proven(
    observed: Observed, driver: TaskRecord, now: float
) -> tuple[RunCondition, JSONObject | None, float | None]:
    """Stalled, and nothing says that it is over but, perhaps, that the driver runs."""
    pod = observed.pods.get(driver.pod_name)
    if pod is None or pod.ended or pod.running_since is None:
        return current_condition(observed.run), None, None
    if current_condition(observed.run).reason == NO_CONTACT:
        # That it runs proves nothing: the one before it ran as well. It has to be heard.
        # guard: driver-contact-after-restart - a restarted driver is healthy when it has been
        # heard, not when its pod runs
        return (_going(observed) if driver.started_at else current_condition(observed.run)), None, None
    if current_condition(observed.run).reason not in SHORT_LIVED or now >= pod.running_since + PROOF_OF_LIFE:
        return _going(observed), None, None
    return current_condition(observed.run), None, pod.running_since + PROOF_OF_LIFE


def _origin(observed: Observed, reported: ErrorFields) -> str:
    """Where code that can't be loaded came from. A ConfigMap that is missing looks like an empty
    one to the driver."""
    source = (observed.run.app or {}).get("source")
    config_map = source.get("configMap") if isinstance(source, dict) else None
    if reported.get("stall") != "LoadFailed" or not isinstance(config_map, dict):
        return ""
    return f" (its source is ConfigMap {config_map.get('name')!r})"


def _kept(observed: Observed) -> RunCondition:
    return current_condition(observed.run) if observed.run.phase == "Stalled" else _going(observed)


def _going(observed: Observed) -> RunCondition:
    if observed.run.suspend:
        return RunCondition("Suspended", "Suspended", "spec.suspend is set: no further pods are started")
    return RUNNING
