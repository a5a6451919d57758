"""A simulated warm pod: it speaks the interface of `application_sdk.worker`, with the SDK's own attempts and reports.

Each call runs in a process of its own that dies with the pod's. What is begun is kept by the cluster, which finds an
attempt that its pod begins twice.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, cast

from tests.support.sim import greenlets

from application_sdk.app.loading import load_app
from application_sdk.attempt.attempt import Attempt
from application_sdk.attempt.state import AttemptState, StateSnapshot
from application_sdk.attempt.task_context import AttemptInfo
from application_sdk.engines.kubernetes.api import Api
from application_sdk.engines.kubernetes.errors import ApiError, NotFound, Refused, Unreachable
from application_sdk.engines.kubernetes.report import deliver, failure_report, success_report
from application_sdk.execution.logs import timestamp
from application_sdk.wire import names, reasons
from application_sdk.wire.fields import MAX_PAYLOAD_BYTES, Call, ErrorFields, Report

ACKNOWLEDGE_AFTER = 2.0
CallId = tuple[str, int]


@dataclass
class WarmPod:
    """One life of a pod. `began` is told of each attempt that it begins."""

    make_api: Callable[[], Api]
    name: str
    uid: str
    concurrency: int
    max_calls: int
    node: str
    began: Callable[[str, CallId], None]
    queue: list[dict[str, Any]] = field(default_factory=list)
    known: set[CallId] = field(default_factory=set)
    """Attempts that were begun, or wait to be."""
    running: dict[CallId, greenlets.Process] = field(default_factory=dict)
    reporting: set[CallId] = field(default_factory=set)
    """Those among them whose body has ended. Their outcome is delivered however long that takes."""
    draining: bool = False
    count: int = 0
    ended: bool = False

    def run(self) -> int:
        """Watch the inbox until there is nothing more to do. Returns the exit code."""
        self.changed = greenlets.Condition()
        self.process = greenlets.current().process
        self.process.spawn(self._watch, "inbox")
        while True:
            with self.changed:
                self.changed.wait_for(self._has_work, None)
            if self.draining and not self.running and not self.queue:
                return 0
            if self.max_calls and self.count >= self.max_calls:
                if not self.running:
                    return 0
                greenlets.sleep(0.05)
                continue
            while self._startable() and len(self.running) < self.concurrency:
                if self.max_calls and self.count >= self.max_calls:
                    break
                self._begin(self.queue.pop(self.queue.index(self._startable()[0])))

    def _has_work(self) -> bool:
        ready = bool(self._startable()) and len(self.running) < self.concurrency
        used_up = bool(self.max_calls) and self.count >= self.max_calls
        return ready or used_up or (self.draining and not self.running and not self.queue)

    def _startable(self) -> list[dict[str, Any]]:
        """The waiting calls no other attempt of which is at work or reports."""
        busy = {uid for uid, _ in self.running}
        return [call for call in self.queue if call["uid"] not in busy]

    def _watch(self) -> None:
        api = self.make_api()
        while True:
            try:
                worker = api.get(names.APP_WORKERS, self.name)
                self._take(worker)
                version = str(cast("dict[str, Any]", worker["metadata"])["resourceVersion"])
                for event in api.watch(names.APP_WORKERS, self.name, version, 300, 90):
                    if event.get("type") in ("ADDED", "MODIFIED"):
                        self._take(cast("Any", event["object"]))
                    elif event.get("type") == "DELETED":
                        self._take({})
            except NotFound:
                self._take({})
                greenlets.sleep(1)
            except (ApiError, Refused, Unreachable):
                greenlets.sleep(0.5)

    def _take(self, worker: Any) -> None:
        status = worker.get("status") or {}
        if (status.get("pod") or {}).get("uid") != self.uid:
            return
        self.draining = status.get("drain") is True
        entries = {(call["uid"], call["attempt"]): call for call in status.get("calls") or []}
        self.queue = [call for call in self.queue if (call["uid"], call["attempt"]) in entries]
        for gone in [call for call in self.running if call not in entries and call not in self.reporting]:
            # What left the inbox while it runs is no longer wanted.
            self.running.pop(gone).kill()
        for call_id, call in entries.items():
            if call_id not in self.known:
                self.known.add(call_id)
                self.queue.append(call)
        self.changed.notify_all()

    def _begin(self, entry: dict[str, Any]) -> None:
        call_id = entry["uid"], entry["attempt"]
        self.count += 1
        self.began(self.uid, call_id)
        process = greenlets.Process(f"{self.name}/{entry['attempt']}")
        self.process.children.append(process)
        self.running[call_id] = process
        call: Call = entry["call"]
        process.start(lambda: self._execute(call, entry))
        self.process.spawn(lambda: self._follow(call_id, entry, process), "call")

    def _execute(self, call: Call, entry: dict[str, Any]) -> int:
        api, started = self.make_api(), greenlets.now()
        app_class = load_app(call["entry"])
        definition = app_class.definition.task(call["task"])
        attempt = Attempt(
            definition,
            app_class(),
            AttemptInfo(
                run_id=call["run"],
                correlation_id=call["correlationId"],
                task=call["task"],
                attempt=call["attempt"],
                idempotency_key=call["idempotencyKey"],
                policy=call.get("policy") or definition.settings.to_policy(),
                max_output_bytes=MAX_PAYLOAD_BYTES,
                heartbeat=call.get("heartbeat"),
                namespace=call["namespace"],
                run_uid=call.get("originUid", call["runUid"]),
            ),
            state=AttemptState(StateSnapshot(cast("Any", call.get("state") or {}))),
        )
        with asyncio.Runner(loop_factory=greenlets.GreenletLoop) as runner:
            result = runner.run(attempt.run(call["input"]))
        report: Report
        if result.output is not None:
            report = success_report(result.output, started, self.node)
            report["reportedAttempt"] = call["attempt"]
            if result.state:
                report["phase"], report["state"] = "Saving", list(result.state)
        else:
            error = result.error or ErrorFields(type="Unknown", message="")
            report = failure_report(error, call["attempt"], started, self.node)
        self.reporting.add((entry["uid"], entry["attempt"]))
        deliver(api, entry["appTask"], report, call["attempt"], greenlets.sleep)
        return 0

    def _follow(self, call_id: CallId, entry: dict[str, Any], process: greenlets.Process) -> None:
        """Acknowledge a call that takes long, and report the death of its process."""
        started = greenlets.now()
        greenlets.block(greenlets._wait(process.ended, ACKNOWLEDGE_AFTER))
        if not process.dead and call_id in self.running:
            try:
                self.make_api().set_status(names.APP_TASKS, entry["appTask"], {"startedAt": timestamp(started)})
            except (ApiError, Refused, Unreachable):
                pass  # It reports later, or was replaced.
        greenlets.block(process.ended.wait())  # type: ignore[arg-type]
        wanted = self.running.pop(call_id, None) is not None
        self.reporting.discard(call_id)
        if wanted and process.exit_code != 0:
            error = ErrorFields(type=reasons.PROCESS_DIED, message="the call's process ended", retryable=True)
            report = failure_report(error, entry["attempt"], started, self.node)
            deliver(self.make_api(), entry["appTask"], report, entry["attempt"], greenlets.sleep)
        self.changed.notify_all()
