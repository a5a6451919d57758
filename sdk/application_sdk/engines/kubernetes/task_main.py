"""The main of a task pod: loads the app, runs one attempt and reports its outcome.

`pod` calls it. A task pod reads nothing from the API server. Its imports are overhead of every
task, so tests/unit/test_import_budget.py limits them.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
import signal
import time
from pathlib import Path
from typing import TYPE_CHECKING

from application_sdk.app.loading import AppLoadError, load_app
from application_sdk.attempt.attempt import Attempt, AttemptResult
from application_sdk.attempt.forked_child import restore_signals_in_forked_children
from application_sdk.attempt.heartbeat import NoWatchdog, ProcessWatchdog
from application_sdk.attempt.state import AttemptState, StateSnapshot
from application_sdk.attempt.task_context import AttemptInfo
from application_sdk.engines.kubernetes.heartbeat_writer import HeartbeatWriter
from application_sdk.engines.kubernetes.report import EXIT_CODES, deliver, failure_report, success_report
from application_sdk.engines.kubernetes.source import CODE_CHANGED, source_digest
from application_sdk.engines.kubernetes.startup import freeze_gc
from application_sdk.errors import AppNotFoundError
from application_sdk.execution.error_info import error_fields
from application_sdk.execution.logs import kept_log
from application_sdk.wire import reasons
from application_sdk.wire.fields import MAX_PAYLOAD_BYTES, ErrorFields
from application_sdk.wire.names import SOURCE_DIRECTORY, STATE_VARIABLE
from application_sdk.wire.pod import EXIT_FENCED, EXIT_TERMINATED

if TYPE_CHECKING:
    from collections.abc import Mapping

    from application_sdk.engines.kubernetes.api import Api
    from application_sdk.execution.definition import TaskDefinition
    from application_sdk.wire.digest import JSONObject
    from application_sdk.wire.fields import Call, Report

_log = logging.getLogger("apprun.pod")


def run_task(call: Call, api: Api, node: str, started_at: float) -> int:
    """Run the call's task once and report the outcome. Returns the pod's exit code."""
    state = _take_state()
    fence = _Fence()
    heartbeats = HeartbeatWriter(api, call["appTask"], fence.close)
    # Never closed: `close` waits for threads that the task has left behind, and the report must
    # not.
    runner = asyncio.Runner()
    result = _attempt(call, state, heartbeats, fence, runner)
    if fence.closed:
        return EXIT_FENCED
    if result.cancelled:
        _log.warning("stopped before the task was done; nothing is reported, the cluster decides what follows")
        heartbeats.flush()
        return EXIT_TERMINATED
    # From here on a SIGTERM is ignored: the work is done, and only its report is left. Until that
    # is accepted, the end of the pod would cost another attempt.
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    report: Report
    if result.output is not None:
        report = success_report(result.output, started_at, node)
        if result.state:
            # The operator writes the state into the AppState first, then the success: a crash in
            # between repeats both.
            report["phase"], report["state"] = "Saving", list(result.state)
    else:
        error = result.error or ErrorFields(type="Unknown", message="")
        log = kept_log(call["attempt"])  # before the error itself, which is reported apart
        _log.error("attempt %d failed: %s: %s\n%s", call["attempt"], error["type"], error["message"],
                   error.get("traceback", ""))  # fmt: skip
        report = {**failure_report(error, call["attempt"], started_at, node), "log": log}
    unwritten = heartbeats.stop()
    if "heartbeat" in unwritten:
        report["heartbeat"] = unwritten["heartbeat"]
    if "progress" in unwritten:
        report["progress"] = unwritten["progress"]
    # guard: report-before-exit - work whose report isn't acknowledged is lost with the pod
    return EXIT_CODES[deliver(api, call["appTask"], report, call["attempt"], time.sleep)]


class _Fence:
    """Ends the attempt when the API server has said that another one took over. Closed from any
    thread."""

    def __init__(self) -> None:
        self.closed = False
        self._loop: asyncio.AbstractEventLoop | None = None
        self._attempt: Attempt | None = None

    def guard(self, attempt: Attempt) -> None:
        self._loop, self._attempt = asyncio.get_running_loop(), attempt

    def close(self) -> None:
        self.closed = True
        if self._loop is not None and self._attempt is not None:
            self._loop.call_soon_threadsafe(self._attempt.cancel)


def _attempt(
    call: Call, state: Mapping[str, JSONObject], heartbeats: HeartbeatWriter, fence: _Fence, runner: asyncio.Runner
) -> AttemptResult:
    expected = call.get("sourceDigest")
    # guard: task-source-digest - a ConfigMap that changes under a run would mix two versions of the
    # code
    if expected and expected != source_digest(Path(SOURCE_DIRECTORY)):
        return AttemptResult(error={"type": "CodeChanged", "message": CODE_CHANGED, "stall": "CodeChanged"})
    try:
        app_class = load_app(call["entry"])
        definition = app_class.definition.task(call["task"])
        app = app_class()
    except AppLoadError as error:
        return AttemptResult(error={"type": reasons.LOAD_FAILED, "message": str(error), "traceback": error.traceback})
    except AppNotFoundError as error:
        return AttemptResult(error={"type": reasons.TASK_NOT_FOUND, "message": str(error), "retryable": False})
    except Exception as error:  # noqa: BLE001 - the app's own __init__
        return AttemptResult(error=error_fields(error))
    freeze_gc()
    return runner.run(_run_body(call, definition, app, state, heartbeats, fence))


def _take_state() -> dict[str, JSONObject]:
    """The app's state. It is removed from the environment, so that processes of the task don't
    inherit it."""
    values: dict[str, JSONObject] = json.loads(os.environ.pop(STATE_VARIABLE, "{}"))
    return values


async def _run_body(
    call: Call,
    definition: TaskDefinition,
    app: object,
    state: Mapping[str, JSONObject],
    heartbeats: HeartbeatWriter,
    fence: _Fence,
) -> AttemptResult:
    policy = call.get("policy") or definition.settings.to_policy()
    heartbeat_timeout = policy.get("heartbeatTimeoutSeconds")
    attempt = Attempt(
        definition,
        app,
        AttemptInfo(
            run_id=call["run"],
            correlation_id=call["correlationId"],
            task=call["task"],
            attempt=call["attempt"],
            idempotency_key=call["idempotencyKey"],
            policy=policy,
            max_output_bytes=MAX_PAYLOAD_BYTES,
            heartbeat=call.get("heartbeat"),
            namespace=call["namespace"],
            run_uid=call.get("originUid", call["runUid"]),
        ),
        heartbeats,
        ProcessWatchdog(heartbeat_timeout) if heartbeat_timeout else NoWatchdog(),
        AttemptState(StateSnapshot(state)),
    )
    fence.guard(attempt)
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, attempt.cancel)
    restore_signals_in_forked_children()
    return await attempt.run(call["input"])
