"""The main of an inspection pod: imports the app once and reports what it contains.

`pod` calls it. No code of the app runs but its import. The pod has no secrets, no store and no
state, and may do what a task pod may: report, once, on its own AppTask.
"""

from __future__ import annotations

import contextlib
import faulthandler
import logging
import os
import tempfile
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, cast

from application_sdk import __version__
from application_sdk.app.loading import AppLoadError, load_app
from application_sdk.app.publication import findings_of
from application_sdk.engines.kubernetes.report import EXIT_CODES, deliver, failure_report, success_report
from application_sdk.engines.kubernetes.source import source_digest
from application_sdk.execution.error_info import error_fields
from application_sdk.execution.logs import kept_log
from application_sdk.wire import names
from application_sdk.wire.fields import MAX_CONTRACTS_BYTES, ErrorFields, Findings

if TYPE_CHECKING:
    from application_sdk.engines.kubernetes.api import Api
    from application_sdk.wire.digest import JSONObject
    from application_sdk.wire.fields import Call, Report

_log = logging.getLogger("apprun.inspection")


def run_inspection(call: Call, api: Api, node: str, started_at: float) -> int:
    """Import the call's app and report it. Returns the pod's exit code."""
    outcome_lock = threading.Lock()

    def deliver_report(outcome: Findings | ErrorFields) -> int:
        report = _report(outcome, call["attempt"], started_at, node)
        return EXIT_CODES[deliver(api, call["appTask"], report, call["attempt"], time.sleep)]

    def enforce_limit(seconds: float) -> None:
        # An import can't be interrupted, and has to be in the main thread: so the process ends in
        # its middle.
        if outcome_lock.acquire(timeout=seconds):
            outcome_lock.release()
            return
        os._exit(deliver_report(_timed_out(call["entry"], seconds)))

    limit = call.get("policy", {}).get("timeoutSeconds")
    outcome_lock.acquire()
    if limit:
        threading.Thread(target=enforce_limit, args=(limit,), name="time limit", daemon=True).start()
    outcome = _inspect(call)
    outcome_lock.release()
    return deliver_report(outcome)


def _report(outcome: Findings | ErrorFields, attempt: int, started_at: float, node: str) -> Report:
    if "schemas" in outcome:
        return success_report(cast("JSONObject", outcome), started_at, node)
    log = kept_log(attempt)
    _log.error("the inspection failed: %s: %s\n%s", outcome["type"], outcome["message"], outcome.get("traceback", ""))
    return {**failure_report(outcome, attempt, started_at, node), "log": log}


def _inspect(call: Call) -> Findings | ErrorFields:
    try:
        source = source_digest(Path(names.SOURCE_DIRECTORY))
        definition = load_app(call["entry"]).definition
        published = call["input"].get("published")
        published_before = published if isinstance(published, dict) else None
        findings = findings_of(definition, published_before, __version__, MAX_CONTRACTS_BYTES)
    except AppLoadError as error:
        return ErrorFields(type="LoadFailed", message=str(error), traceback=error.traceback, retryable=False)
    except Exception as error:  # noqa: BLE001 - whatever is odd about the app's contracts
        return {**error_fields(error), "retryable": False}
    if source:
        findings["sourceDigest"] = source
    return findings


def _timed_out(entry: str, seconds: float) -> ErrorFields:
    return ErrorFields(
        type="TimedOut",
        message=f"importing {entry!r} takes longer than {seconds:g} s: do nothing there but define things",
        traceback=_stacks(),
        retryable=False,
    )


def _stacks() -> str:
    """Where all threads are."""
    with contextlib.suppress(OSError), tempfile.TemporaryFile("w+") as file:
        faulthandler.dump_traceback(file)
        file.seek(0)
        return file.read()
    return ""
