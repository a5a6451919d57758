"""Turns the calls of a warm pod's inbox into attempts for an executor, and their ends into reports.

`worker` calls it. Each report is delivered by a thread of its own, until it is accepted or refused
for good.
"""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Final, Protocol

from application_sdk.attempt.task_context import AttemptInfo
from application_sdk.engines.kubernetes.heartbeat_writer import HeartbeatFields, HeartbeatWriter
from application_sdk.engines.kubernetes.report import Delivery, deliver, failure_report, success_report
from application_sdk.engines.kubernetes.source import CODE_CHANGED, source_digest
from application_sdk.engines.processes.executor_protocol import AttemptSpec
from application_sdk.wire import logs
from application_sdk.wire.fields import MAX_PAYLOAD_BYTES, ErrorFields, LogFields, Policy, Report

if TYPE_CHECKING:
    from application_sdk.engines.kubernetes.api import Api
    from application_sdk.engines.kubernetes.worker_calls import OpenCall
    from application_sdk.engines.processes.executor_protocol import AttemptEnded
    from application_sdk.wire.digest import JSONObject

_log = logging.getLogger("apprun.worker")

NO_POLICY: Final = Policy(
    retry={"maxAttempts": 1, "initialIntervalSeconds": 0, "maxIntervalSeconds": 0, "backoffCoefficient": 1}
)
UNKNOWN: Final = ErrorFields(type="Unknown", message="")


class Listener(Protocol):
    """Receives the results of this module's threads."""

    def fence(self, key: str) -> None: ...

    def delivered(self, key: str, delivery: Delivery) -> None: ...

    def dropped(self, key: str) -> None: ...

    def fail(self, error: BaseException) -> None: ...


class Attempts:
    """Prepares the attempts of a pod's calls, and reports how they ended.

    Args:
        api: The API server.
        source: Where the app's files are mounted. The folder doesn't exist if the image contains
            them.
        folder: For the tracebacks of processes that their watchdog ended.
        node: Name of the node; empty if it isn't known.
        pause: Waits for a number of seconds, between two tries of a report.
    """

    def __init__(self, api: Api, source: Path, folder: Path, node: str, pause: Callable[[float], None]) -> None:
        self._api = api
        self._source = source
        self._imported = source_digest(source)
        """Digest of the files as they were when the app was imported."""
        self._folder = folder
        self._node = node
        self._pause = pause

    def refusal(self, call: OpenCall) -> ErrorFields | None:
        """Why this pod can't execute a call; None if it can."""
        expected = call.entry["call"].get("sourceDigest")
        # guard: worker-source-digest - a ConfigMap that changes under a run would mix two versions
        # of the code
        if expected and not expected == self._imported == source_digest(self._source):
            return {"type": "CodeChanged", "message": CODE_CHANGED, "stall": "CodeChanged"}
        return None

    def prepare(self, call: OpenCall, listener: Listener) -> None:
        """Give the call a writer for its heartbeats and its acknowledgement."""
        key = call.key
        call.heartbeats = HeartbeatWriter(self._api, call.entry["appTask"], lambda: listener.fence(key))

    def work(self, call: OpenCall) -> AttemptSpec:
        """The attempt at a call, for an executor."""
        fields, entry = call.entry["call"], call.entry
        info = AttemptInfo(
            run_id=fields["run"],
            correlation_id=fields["correlationId"],
            task=fields["task"],
            attempt=entry["attempt"],
            idempotency_key=fields["idempotencyKey"],
            policy=fields.get("policy", NO_POLICY),
            max_output_bytes=MAX_PAYLOAD_BYTES,
            heartbeat=fields.get("heartbeat"),
            namespace=fields["namespace"],
            run_uid=fields.get("originUid", fields["runUid"]),
        )
        return AttemptSpec(
            call.key,
            fields["input"],
            info,
            log=self._log(call),
            app_state=fields.get("state", {}),
            context=_context(call),
        )

    def write_heartbeats(self, call: OpenCall) -> None:
        """Have the latest heartbeats of a call written to its AppTask soon."""
        unwritten, call.unwritten = call.unwritten, HeartbeatFields()
        if call.heartbeats is None:
            return
        if "heartbeat" in unwritten:
            call.heartbeats.heartbeat(unwritten["heartbeat"])
        if "progress" in unwritten:
            call.heartbeats.progress(unwritten["progress"])

    def drop(self, call: OpenCall, listener: Listener) -> None:
        """End a call that has no outcome.

        Its last heartbeats are written once, for the next attempt.
        """
        self._tidy(call)
        if not call.fenced:
            self.write_heartbeats(call)

        def flush() -> None:
            if call.heartbeats is not None and not call.fenced:
                call.heartbeats.flush()
            listener.dropped(call.key)

        threading.Thread(target=flush, name="last heartbeats", daemon=True).start()

    def report(self, call: OpenCall, ended: AttemptEnded, listener: Listener) -> None:
        """Deliver the outcome of a call, however long that takes."""
        self._tidy(call)

        def send() -> None:
            try:
                report = self._report(call, ended)
                delivery = deliver(self._api, call.entry["appTask"], report, call.entry["attempt"], self._pause)
                listener.delivered(call.key, delivery)
            except BaseException as error:  # noqa: BLE001 - the worker's own thread raises it
                listener.fail(error)

        threading.Thread(target=send, name="report", daemon=True).start()

    def _report(self, call: OpenCall, ended: AttemptEnded) -> Report:
        attempt, started_at = call.entry["attempt"], call.started_at or time.time()
        report: Report
        if ended.output is not None:
            report = success_report(ended.output, started_at, self._node)
            # guard: worker-names-attempt - the result of an attempt that was passed over would be
            # taken for that of the next one, which this pod would execute all the same
            report["reportedAttempt"] = attempt
            if ended.state:
                # The call has succeeded once the operator has saved the state.
                report["phase"], report["state"] = "Saving", list(ended.state)
        else:
            error = call.killed_for or ended.error or UNKNOWN
            if ended.exit_code is not None:
                # A process that ends with an outcome has logged its failure itself.
                _log.error("attempt %d failed: %s: %s\n%s", attempt, error["type"], error["message"],
                           error.get("traceback", ""), extra=_context(call))  # fmt: skip
            report = failure_report(error, attempt, started_at, self._node)
            if ended.log:
                report["log"] = LogFields(attempt=attempt, tail=ended.log)
        # Stop the writer first: a heartbeat that is written after the report would be refused.
        unwritten = HeartbeatFields() if call.heartbeats is None else call.heartbeats.stop()
        latest: HeartbeatFields = {**unwritten, **call.unwritten}
        if "heartbeat" in latest:
            report["heartbeat"] = latest["heartbeat"]
        if "progress" in latest:
            report["progress"] = latest["progress"]
        return report

    def _log(self, call: OpenCall) -> Path:
        return self._folder / call.key.replace("/", "-")

    def _tidy(self, call: OpenCall) -> None:
        try:
            os.unlink(self._log(call))  # noqa: PTH108
        except OSError:
            pass  # It left no file.


def _context(call: OpenCall) -> JSONObject:
    """The fields of the call's log lines."""
    fields = call.entry["call"]
    return {
        logs.NAMESPACE: fields["namespace"],
        logs.RUN: fields["run"],
        logs.ROLE: fields["role"],
        logs.TASK: fields["task"],
        logs.APP_TASK: call.entry["appTask"],
        logs.ATTEMPT: call.entry["attempt"],
    }
