"""Explains in sentences why a run waits or fails, and what to do. Pure; `commands.describe` prints them.

The most urgent finding comes first. Equal causes of many calls are one finding with their count.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final, Literal, TypeAlias

from application_sdk.cli.sources.records import POOL_AT_MAXIMUM, Attempt, Call, Run, RunDetails
from application_sdk.cli.views.reason_help import CAUGHT, RAISED, RAISED_HERE, Remedy, of_attempt, of_run
from application_sdk.engines.local.render import duration, progress_text
from application_sdk.wire.containers import IMAGE_REASONS
from application_sdk.wire.logs import plain
from application_sdk.wire.reasons import COMPLETED, NO_CONTACT, PARKED, ROUTE_NOT_YIELDING
from application_sdk.wire.waiting import is_of_calls

Weight: TypeAlias = Literal["problem", "waiting", "fine"]
_TASK_FAILED: Final = "TaskFailedError"
_LONG_START_SECONDS: Final = 20.0
_LAST_LINES: Final = 15
_LONG_SILENCE_SECONDS: Final = 120.0
"""How long a task may run without a heartbeat before a finding says so. It may be at work all the same."""
_SLOW_OPERATOR_SECONDS: Final = 20.0
"""How long a step of the operator, usually done within a second, may take before a finding points to it."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One fact about a run with its cause and its remedy."""

    weight: Weight
    what: str
    cause: str = ""
    remedy: str = ""
    details: str = ""
    """Evidence: a traceback, or the end of a log."""


def explain(details: RunDetails, now: float, *, local: bool) -> list[Finding]:
    """Returns the findings on a run, the most urgent first. Never empty."""
    run = details.run
    findings = list(_of_run(details, now, local=local))
    if not run.finished:
        findings += _of_driver(details, now, local=local)
        findings += _of_open_calls(details, now, local=local)
        if not local:
            findings += _of_uncommitted_calls(details, now)
    findings += _of_failed_calls(details, local=local)
    findings += _of_repeated_calls(details)
    if not findings:
        findings.append(_nothing(run, details, now, local=local))
    order = ("problem", "waiting", "fine")
    return sorted(findings, key=lambda finding: order.index(finding.weight))


def _of_run(details: RunDetails, now: float, *, local: bool) -> Iterator[Finding]:
    run = details.run
    if run.phase == "Pending":
        remedy = of_run(run.reason)
        age = duration(max(now - run.created_at, 0))
        yield _finding("waiting", f"The run is Pending, {age} after it was submitted.", remedy, run, quoted=run.message)
    elif run.phase in ("Interrupted", "Suspended", "Cancelling"):
        yield _finding("waiting", f"The run is {run.phase}.", of_run(run.phase), run)
    elif run.phase == "Stalled":
        text = run.error["message"] if run.error else run.message
        traceback = run.error.get("traceback", "") if run.error else ""
        remedy = of_run(run.reason)
        if local:
            remedy = Remedy(remedy.cause if remedy else "", "Correct that, then `apprun resume {run}`.")
        yield _finding("problem", f"The run is stalled, {run.reason}: {text}", remedy, run, details=traceback)
    elif run.phase == "Failed":
        yield _of_failure(details, local=local)
    elif run.phase == "Cancelled":
        yield _finding("fine", "The run was cancelled.", of_run("Cancelled"), run)
    elif run.phase == "Running" and run.reason in (NO_CONTACT, ROUTE_NOT_YIELDING):
        what = "is silent" if run.reason == NO_CONTACT else "doesn't yield"
        yield _finding("problem", f"The route {what}, {run.reason}: {run.message}", of_run(run.reason), run)
    elif run.phase == "Running" and run.reason == PARKED:
        yield _finding("fine", f"The run is parked: {run.message}.", of_run(PARKED), run)
    elif run.phase == "Running" and run.reason not in ("", "Running") and not is_of_calls(run.message):
        yield _finding("waiting", f"The route can't start, {run.reason}: {run.message}", of_run(run.reason), run)


def _of_failure(details: RunDetails, *, local: bool) -> Finding:
    run = details.run
    error = run.error
    if error is None:
        return _finding("problem", f"The run failed: {run.message or run.reason}.", of_run(run.reason), run)
    what = f"The run failed with {error['type']}: {error['message']}"
    if error["type"] == _TASK_FAILED:
        return Finding("problem", what, "A task failed for good, and the route didn't catch it.")
    remedy = of_run(error["type"]) if error["type"] == "TimedOut" else of_attempt(error["type"])
    if remedy is None:
        new_connection = "then `apprun retry {run}`." if local else "deploy again, and submit a new run."
        remedy = Remedy(
            "The route itself raised it; trying again would raise it again.", f"Correct the code, {new_connection}"
        )
    return _finding("problem", what, remedy, run, details=error.get("traceback", ""))


def _of_driver(details: RunDetails, now: float, *, local: bool) -> Iterator[Finding]:
    run, driver = details.run, details.driver
    if local or run.phase in ("Pending", "Stalled", "Suspended"):
        return
    if driver is None:
        yield Finding("waiting", "The run's driver isn't there.", "The operator makes it again.", _SEE_OPERATOR)
        return
    long = _since(driver, now)
    if driver.state == "Queued" and long > _SLOW_OPERATOR_SECONDS:
        yield Finding("waiting", f"The route's pod hasn't been made for {duration(long)}.", "", _SEE_OPERATOR)
    if driver.state == "Running" and driver.message:
        yield _finding("waiting", f"The route isn't at work: {driver.message}.", of_run(_reason_in(driver)), run)
    elif driver.state == "Running" and run.reason != NO_CONTACT and not (driver.has_reported or details.calls) and (
        long > _SLOW_OPERATOR_SECONDS
    ):  # fmt: skip
        what = f"The route's pod has been running for {duration(long)} without a sign from it so far."
        yield Finding("waiting", what, "It may not reach the API server.", _SEE_LOG.replace("{run}", run.name))
    if driver.state == "Starting" and (driver.message or _since(driver, now) > _LONG_START_SECONDS):
        yield _starting("The route's pod", [driver], details.run, now)
    ended = [attempt for attempt in driver.attempts if attempt.reason not in (None, COMPLETED)]
    if ended and not details.run.finished:
        last = ended[-1]
        what = f"The route's pod was started {driver.attempt} times; attempt {last.number} ended with {last.reason}."
        yield _finding("fine", what, of_attempt(last.reason or ""), details.run, quoted=last.message)


def _of_open_calls(details: RunDetails, now: float, *, local: bool) -> Iterator[Finding]:
    run = details.run
    waiting = [call for call in details.calls if call.state == "Waiting"]
    for reason, calls in _by(waiting, lambda call: call.message.partition(":")[0]):
        what = f"{_calls(calls)} can't start: {calls[0].message}"
        if calls[0].max_pods and not calls[0].pod:
            wait = "waits" if len(calls) == 1 else "wait"
            what = f"{_calls(calls)} {wait} for a warm pod, and none of the pool can start: {calls[0].message}"
        yield _finding("waiting", what, of_run(reason), run)
    retrying = [call for call in details.calls if call.state == "Retrying"]
    for reason, calls in _by(retrying, _last_reason):
        last = _last(calls[0])
        due = min((call.due_at for call in calls if call.due_at), default=None)
        when = f"; again in {duration(max(due - now, 0))}" if due else ""
        message = last.message.partition("\n")[0] if last else ""
        what = f"{_calls(calls)} failed with {reason} and {'is' if len(calls) == 1 else 'are'} retried{when}: {message}"
        yield _attempt_finding("waiting", what, last, calls[0], run, local=local)
    queued = [call for call in details.calls if call.state == "Queued" and not call.message]
    yield from _of_pooled_calls(details)
    if queued and run.phase not in ("Suspended", "Interrupted", "Stalled"):
        # The run's message says what for, when it is for more than a moment.
        message = run.message if "wait for their turn" in run.message else "its turn"
        what = f"{_calls(queued)} {'waits' if len(queued) == 1 else 'wait'} to be started: {message}."
        remedy = "Raise `parallelism` if that is the limit; else wait." if message == run.message else ""
        yield Finding("waiting", what, "", remedy)
    troubled = [call for call in details.calls if call.state == "Running" and call.message]
    for reason, calls in _by(troubled, _reason_in):
        what = f"{_calls(calls)} {'is' if len(calls) == 1 else 'are'} not at work: {calls[0].message}."
        yield _finding("waiting", what, of_run(reason) or of_attempt(reason), run)
    starting = [call for call in details.calls if call.state == "Starting"]
    slow = [call for call in starting if call.message or _since(call, now) > _LONG_START_SECONDS]
    for _, calls in _by(slow, lambda call: call.message.partition(":")[0]):
        yield _starting(_calls(calls), calls, run, now)


def _of_pooled_calls(details: RunDetails) -> Iterator[Finding]:
    """Calls that wait for a place in their pool of warm pods."""
    pooled = [call for call in details.calls if call.state == "Queued" and call.message]
    for message, calls in _by(pooled, lambda call: call.message):
        what = f"{_calls(calls)} {'waits' if len(calls) == 1 else 'wait'} for a warm pod: {message}."
        if message.startswith(POOL_AT_MAXIMUM):
            cause = "The next one is begun when a call of the pool ends."
            remedy = "Wait, or raise `replicas` of the task's `reuse`, in the code or in the App's `spec.tasks`."
        else:
            cause, remedy = "The operator starts more pods, as far as quotas and its own limits let it.", "Wait."
        yield Finding("waiting", what, cause, remedy)


def _of_uncommitted_calls(details: RunDetails, now: float) -> Iterator[Finding]:
    """Calls that have ended, of which the ledger knows nothing. That takes milliseconds while an operator works."""
    late = [
        call
        for call in details.calls
        if call.state in ("Succeeded", "Failed")
        and call.sequence is None
        and now - (call.committed_at or now) > _SLOW_OPERATOR_SECONDS
    ]
    if late:
        has = "has" if len(late) == 1 else "have"
        what = f"{_calls(late) if len(late) == 1 else f'{len(late)} calls'} {has} ended and {has} not been committed."
        yield Finding("problem", what, "Only the operator commits, and it doesn't.", _SEE_OPERATOR)
    overdue = [
        call
        for call in details.calls
        if call.state == "Sleeping" and call.due_at and now - call.due_at > _SLOW_OPERATOR_SECONDS
    ]
    if overdue:
        late_by = duration(now - min(call.due_at or now for call in overdue))
        yield Finding(
            "problem", f"A timer of the route is {late_by} late.", "Only the operator ends it.", _SEE_OPERATOR
        )


def _reason_in(call: Call) -> str:
    return call.message.partition(":")[0]


_SEE_OPERATOR: Final = "`apprun doctor` says whether an operator is at work."
_SEE_LOG: Final = "`apprun doctor` looks for the cause; `apprun logs {run}` shows what the pod says."


def _starting(who: str, calls: Sequence[Call], run: Run, now: float) -> Finding:
    first = calls[0]
    reason = first.message.partition(":")[0]
    if not first.message:
        node = f" on node {first.node}" if first.node else ""
        return Finding(
            "waiting",
            f"{who} has been starting{node} for {duration(_since(first, now))}.",
            "The image is being pulled, or a volume attached.",
            "`kubectl describe pod` of it lists what the node does.",
        )
    remedy = of_run(_SAME.get(reason, reason))
    return _finding("waiting", f"{who} can't start: {first.message}", remedy, run)


_SAME: Final = {
    **dict.fromkeys(IMAGE_REASONS, "ImagePullFailed"),
    "CreateContainerConfigError": "ContainerNotStarted",
    "CreateContainerError": "ContainerNotStarted",
    "RunContainerError": "ContainerNotStarted",
}


def _of_failed_calls(details: RunDetails, *, local: bool) -> Iterator[Finding]:
    failed = [call for call in details.calls if call.state == "Failed"]
    for reason, calls in _by(failed, lambda call: call.error["type"] if call.error else "?"):
        call = calls[0]
        times = f"after {call.attempt} attempt{'s' if call.attempt > 1 else ''}" if call.attempt else "for good"
        message = call.error["message"].partition("\n")[0] if call.error else ""
        caught = "" if details.run.phase == "Failed" else " The route caught it, and went on."
        called = f", called at {call.line}," if call.line and len(calls) == 1 else ""
        what = f"{_calls(calls)}{called} failed {times}: {reason}: {message}.{caught}"
        weight: Weight = "problem" if details.run.phase == "Failed" else "fine"
        yield _attempt_finding(weight, what, _last(call), call, details.run, local=local)


def _of_repeated_calls(details: RunDetails) -> Iterator[Finding]:
    """Attempts of calls that went well in the end, or still may."""
    reasons: Counter[str] = Counter()
    for call in details.calls:
        if call.state in ("Failed", "Retrying"):
            continue
        reasons.update(attempt.reason for attempt in call.attempts if attempt.reason not in (None, COMPLETED))
    for reason, count in sorted(reasons.items()):
        ending = "attempts ended" if count > 1 else "attempt ended"
        what = f"{count} {ending} with {reason} and {'was' if count == 1 else 'were'} made again."
        yield _finding("fine", what, of_attempt(reason), details.run)


def _attempt_finding(weight: Weight, what: str, last: Attempt | None, call: Call, run: Run, *, local: bool) -> Finding:
    reason = (last.reason if last else None) or (call.error["type"] if call.error else "")
    remedy = of_attempt(reason) or (RAISED_HERE if local else RAISED)
    if remedy in (RAISED_HERE, RAISED) and run.phase not in ("Failed", "Cancelled"):
        remedy = CAUGHT  # There is no failure of the run to take back.
    traceback = call.error.get("traceback", "") if call.error is not None else ""
    if last is not None and last.log:
        tail = "\n".join(plain(last.log).rstrip().splitlines()[-_LAST_LINES:])
        traceback = f"{traceback.rstrip()}\n\nthe end of its log:\n{tail}".strip()
    return _finding(weight, what, remedy, run, task=call.task, details=traceback)


def _nothing(run: Run, details: RunDetails, now: float, *, local: bool) -> Finding:
    if run.phase == "Succeeded":
        return Finding("fine", "The run succeeded, and nothing went wrong on the way.")
    starting = [call for call in details.calls if call.state == "Starting"]
    at_work = [call for call in details.calls if call.state == "Running"]
    asleep = [call for call in details.calls if call.state == "Sleeping"]
    if at_work:
        longest = max(at_work, key=lambda call: _since(call, now))
        node = f" on {longest.node}" if longest.node else ""
        node += f" in warm pod {longest.pod}" if longest.pod else ""
        progress = f", and says: {progress_text(longest.progress)}" if longest.progress else ""
        rest = f" {len(at_work) - 1} more are at work." if len(at_work) > 1 else ""
        so_long = duration(_since(longest, now))
        if not local and not longest.has_reported and _since(longest, now) > _LONG_SILENCE_SECONDS:
            text = (
                f"{longest.task} ({longest.key[:8]}) has been running{node} for {so_long}, without a sign from its pod"
                " so far: a task reports when it ends, and before that only what it declares (heartbeats, progress)."
                f"{rest}"
            )
            return Finding("fine", text, remedy=f"Its log: `apprun logs {run.name} {longest.task}`.")
        text = f"Nothing is wrong: {longest.task} has been at work{node} for {so_long}{progress}.{rest}"
        return Finding("fine", text, remedy=f"`apprun watch {run.name}` shows how it goes on.")
    if asleep:
        due = min((call.due_at for call in asleep if call.due_at), default=None)
        when = f", for another {duration(max(due - now, 0))}" if due else ""
        return Finding("fine", f"Nothing is wrong: the route sleeps{when}.")
    if starting:
        who = f"{_calls(starting)} {'is' if len(starting) == 1 else 'are'}"
        return Finding("fine", f"Nothing is wrong: {who} being started.")
    if details.driver is not None and details.driver.state in ("Queued", "Starting"):
        return Finding("fine", "Nothing is wrong: the route is being started.")
    return Finding("fine", "Nothing is wrong: the route is at work.")


def _finding(
    weight: Weight, what: str, remedy: Remedy | None, run: Run, *, quoted: str = "", task: str = "", details: str = ""
) -> Finding:
    cause = remedy.cause if remedy else ""
    if quoted and quoted not in what:
        cause = f"{cause} {quoted}".strip()
    action = (
        remedy.action.replace("{run}", run.name).replace("{app}", run.app).replace("{task}", task) if remedy else ""
    )
    return Finding(weight, what, cause, action, details)


def _by(calls: Sequence[Call], reason: Callable[[Call], str]) -> Iterator[tuple[str, list[Call]]]:
    groups: dict[tuple[str, str], list[Call]] = {}
    for call in calls:
        groups.setdefault((call.task, reason(call)), []).append(call)
    for (_, group_reason), group in groups.items():
        yield group_reason, group


def _calls(calls: Sequence[Call]) -> str:
    first = calls[0]
    if len(calls) == 1:
        return f"{first.task} ({first.key[:8]}{', in the driver' if first.role == 'local' else ''})"
    return f"{len(calls)} calls of {first.task}{' in the driver' if first.role == 'local' else ''}"


def _last(call: Call) -> Attempt | None:
    return next((attempt for attempt in reversed(call.attempts) if attempt.reason not in (None, COMPLETED)), None)


def _last_reason(call: Call) -> str:
    last = _last(call)
    return (last.reason if last else None) or "an error"


def _since(call: Call, now: float) -> float:
    return max(now - (call.started_at or call.called_at or now), 0.0)
