"""Whether a run that began goes on, waits, or needs a person: `Stalled` comes and goes here.

A stall is a state of the run that stays until something proves it over. The driver's report sets it; a corrected App or
spec, a commit, or a driver that lives clears it. So slow retries in between don't make the condition flicker.
"""

from __future__ import annotations

from typing import Final

from application_sdk.wire.digest import JSONObject
from application_sdk.wire.fields import STALL_REASONS, ErrorFields
from application_sdk.wire.reasons import NO_CONTACT
from application_sdk.wire.waiting import is_of_calls
from apprun_operator.observe.observed import Observed
from apprun_operator.observe.records import TaskRecord
from apprun_operator.plan.conditions import RunCondition, standing_of
from apprun_operator.plan.limits import PROOF_OF_LIFE, WAITING_GRACE, Limits
from apprun_operator.plan.run.app_resolution import changed, resolve
from apprun_operator.plan.run.attempts import CallDecision
from apprun_operator.plan.run.pod_status import SDK_NOT_FOUND

RUNNING = RunCondition("Running", "Running")
SHORT_LIVED = STALL_REASONS | {SDK_NOT_FOUND}
"""Stalls whose driver starts, and ends at once: that it runs proves little."""
CODE_CHANGED: Final = "CodeChanged"
STALLING_HOLDS = frozenset({"ImagePullFailed", "ContainerNotStarted"})
"""Holds of a driver's pod that a person has to end, even if waiting might help."""


def standing(
    seen: Observed, driver: TaskRecord, judged: CallDecision, commits: bool, now: float, limits: Limits
) -> tuple[RunCondition, JSONObject | None, float | None]:
    """What the status should say; the app to write when it is resolved anew; when to look again."""
    run = seen.run
    resolved = resolve(seen, now, limits) if run.phase == "Stalled" and changed(seen, limits) else None
    if isinstance(resolved, dict):
        return _going(seen), resolved, None
    if resolved is not None and not commits:
        # What a person reads is about the App as it is now; while it is too early to tell, as before.
        early = resolved.until is not None or resolved.waits
        said = standing_of(run) if early else RunCondition("Stalled", resolved.reason, resolved.message)
        return said, None, resolved.until
    reported = driver.reported_error
    if reported is not None and "stall" in reported:
        return RunCondition("Stalled", reported["stall"], reported["message"] + _origin(seen, reported)), None, None
    held, said = judged.held, standing_of(run)
    if held is not None and said.reason == held.reason and not is_of_calls(said.message):
        # The words of kubelet and scheduler change from try to try. The first ones stay.
        return said, None, None
    if held is not None and (held.permanent or held.reason in STALLING_HOLDS):
        return RunCondition("Stalled", held.reason, held.message), None, None
    if held is not None:
        due = held.since + WAITING_GRACE
        return (
            (RunCondition("Running", held.reason, held.message), None, None) if now >= due else (_kept(seen), None, due)
        )
    if run.phase != "Stalled" or commits:
        return _going(seen), None, None
    return _until_proven(seen, driver, now)


def with_changed_code(seen: Observed, wanted: RunCondition) -> RunCondition:
    """A run whose tasks find other code than it began with needs a person, though its driver lives."""
    if wanted != RUNNING:
        return wanted
    for _, task in sorted(seen.tasks.items()):
        last = task.attempts[-1] if task.attempts and not task.finished else None
        if last is not None and last["reason"] == CODE_CHANGED:
            return RunCondition("Stalled", CODE_CHANGED, last.get("message", ""))
    return wanted


def _until_proven(
    seen: Observed, driver: TaskRecord, now: float
) -> tuple[RunCondition, JSONObject | None, float | None]:
    """Stalled, and nothing says that it is over but, perhaps, that the driver runs."""
    pod = seen.pods.get(driver.pod_name)
    if pod is None or pod.ended or pod.running_since is None:
        return standing_of(seen.run), None, None
    if standing_of(seen.run).reason == NO_CONTACT:
        # That it runs proves nothing: the one before it ran as well. It has to be heard.
        # guard: driver-contact-after-restart - a restarted driver is healthy when it has been heard, not when its pod
        # runs
        return (_going(seen) if driver.started_at else standing_of(seen.run)), None, None
    if standing_of(seen.run).reason not in SHORT_LIVED or now >= pod.running_since + PROOF_OF_LIFE:
        return _going(seen), None, None
    return standing_of(seen.run), None, pod.running_since + PROOF_OF_LIFE


def _origin(seen: Observed, reported: ErrorFields) -> str:
    """Where code that can't be loaded came from. A ConfigMap that is missing looks like an empty one to the driver."""
    source = (seen.run.app or {}).get("source")
    config_map = source.get("configMap") if isinstance(source, dict) else None
    if reported.get("stall") != "LoadFailed" or not isinstance(config_map, dict):
        return ""
    return f" (its source is ConfigMap {config_map.get('name')!r})"


def _kept(seen: Observed) -> RunCondition:
    return standing_of(seen.run) if seen.run.phase == "Stalled" else _going(seen)


def _going(seen: Observed) -> RunCondition:
    if seen.run.suspend:
        return RunCondition("Suspended", "Suspended", "spec.suspend is set: no further pods are started")
    return RUNNING
