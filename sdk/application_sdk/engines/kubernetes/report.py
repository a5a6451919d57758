"""Delivers an attempt's outcome: one patch, sent until the API server has accepted it or refused it
for good.

The mains of all roles call it last. Once the patch is accepted the work is safe, whatever happens
to the pod. A crash before that loses the outcome, and the operator starts another attempt: so tries
go on as long as the pod may live.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from enum import Enum
from typing import TYPE_CHECKING, Final, cast

from application_sdk.engines.kubernetes.backoff import Backoff
from application_sdk.engines.kubernetes.errors import (
    ApiError,
    Busy,
    Conflict,
    Forbidden,
    Invalid,
    NotFound,
    Refused,
    Unauthorized,
    Unreachable,
)
from application_sdk.execution.logs import timestamp
from application_sdk.execution.redaction import redacted_error
from application_sdk.wire import names
from application_sdk.wire.pod import EXIT_FENCED, EXIT_NOT_ALLOWED, EXIT_REPORT_REFUSED, EXIT_REPORTED, REFUSED_FINISHED

if TYPE_CHECKING:
    from application_sdk.engines.kubernetes.api import Api
    from application_sdk.wire.digest import JSONObject
    from application_sdk.wire.fields import ContinuationFields, ErrorFields, Report

_log = logging.getLogger("apprun.report")

UNAUTHORIZED_SECONDS: Final = 30.0
"""How long a 401 counts as transient."""

# guard: report-retried - a busy API server must not cost a finished attempt
_MAY_PASS: Final = (Busy, Conflict, Forbidden, Unauthorized, Unreachable)
"""Forbidden too: the namespace's role binding is made together with its first pods, and takes a
moment to count."""


class Delivery(Enum):
    """What became of a report."""

    ACCEPTED = "accepted"
    FENCED = "fenced"
    """This pod no longer speaks for its task."""
    REFUSED = "refused"
    """The API server takes it in no form."""
    UNAUTHORIZED = "unauthorized"
    """The API server doesn't accept this pod's token any more."""


EXIT_CODES: Final = {
    Delivery.ACCEPTED: EXIT_REPORTED,
    Delivery.FENCED: EXIT_FENCED,
    Delivery.REFUSED: EXIT_REPORT_REFUSED,
    Delivery.UNAUTHORIZED: EXIT_NOT_ALLOWED,
}


def deliver(api: Api, app_task: str, report: Report, attempt: int, pause: Callable[[float], None]) -> Delivery:
    """Patch `report` into the AppTask's status. `pause` waits for that many seconds between two
    tries.

    A report that the API server calls invalid is replaced, once, by one that says so: the task then
    fails with the cause.
    """
    delivery, complaint = _until_answered(api, app_task, report, pause)
    if complaint is None:
        return delivery
    _log.error("the API server doesn't take the report of %s: %s", app_task, complaint)
    replacement = failure_report(_unreportable(complaint), attempt, like=report)
    delivery, complaint = _until_answered(api, app_task, replacement, pause)
    return delivery if complaint is None else Delivery.REFUSED


def success_report(output: JSONObject, started_at: float, node: str) -> Report:
    """The report of an attempt that did its work. It takes back the error of an earlier attempt."""
    report: Report = {"phase": "Succeeded", "output": output, "error": None}
    return _stamped(report, started_at, node)


def continuation_report(continuation: ContinuationFields, started_at: float, node: str) -> Report:
    """The report of a driver whose route ended with `continue_with`."""
    report: Report = {"phase": "Succeeded", "continueWith": continuation, "error": None}
    return _stamped(report, started_at, node)


def failure_report(
    error: ErrorFields, attempt: int, started_at: float = 0.0, node: str = "", *, like: Report | None = None
) -> Report:
    """The report of an attempt that failed; times and node may be taken from another report. What
    follows from it, a further attempt or the end, is the operator's decision."""
    report: Report = {"error": {**redacted_error(error), "attempt": attempt}}
    if like is None:
        return _stamped(report, started_at, node)
    for field in ("startedAt", "finishedAt", "node"):
        if field in like:
            report[field] = like[field]
    return report


def _stamped(report: Report, started_at: float, node: str) -> Report:
    report["startedAt"] = timestamp(started_at)
    report["finishedAt"] = timestamp(time.time())
    if node:
        report["node"] = node
    return report


def _until_answered(
    api: Api, app_task: str, report: Report, pause: Callable[[float], None]
) -> tuple[Delivery, Invalid | None]:
    backoff = Backoff()
    may_have_arrived = False
    unauthorized = 0.0
    fields = cast("JSONObject", report)
    while True:
        retry_after = 0.0
        try:
            api.set_status(names.APP_TASKS, app_task, fields)
        except _MAY_PASS as error:
            may_have_arrived = may_have_arrived or isinstance(error, Unreachable | Busy)
            retry_after = error.retry_after if isinstance(error, Busy) else 0.0
            delay = backoff.delay(at_least=retry_after)
            unauthorized = unauthorized + delay if isinstance(error, Unauthorized) else 0.0
            if unauthorized > UNAUTHORIZED_SECONDS:
                # Of a service account that was deleted: no later try would be accepted, and nobody
                # would know.
                _log.error("the outcome can't be reported, and is lost: %s", error)
                return Delivery.UNAUTHORIZED, None
            _log.warning("the report didn't get through, next try in %.1f s: %s", delay, error)
            pause(delay)
        except NotFound as error:
            _log.error("AppTask %s is gone, so is the run: %s", app_task, error)
            return Delivery.FENCED, None
        except Refused as error:
            # guard: lost-answer - the report came through, and only its answer was lost
            if may_have_arrived and REFUSED_FINISHED in error.message:
                # Only this attempt's pod could have finished the task, and the answer to an earlier
                # try was lost.
                _log.info("the report had come through before")
                return Delivery.ACCEPTED, None
            _log.error("this pod no longer speaks for %s: %s", app_task, error.message)
            return Delivery.FENCED, None
        except Invalid as error:
            return Delivery.REFUSED, error
        except ApiError as error:
            pause(backoff.delay())
            _log.warning("the API server's answer to the report makes no sense: %s", error)
        else:
            return Delivery.ACCEPTED, None


def _unreportable(complaint: Invalid) -> ErrorFields:
    return {
        "type": "ReportRefused",
        "message": f"the API server refused to store the task's outcome: {complaint.status} {complaint.message}",
        "retryable": False,
    }
