"""The main of a driver pod: loads the app, executes its route on the engine and reports how it
ended.

`pod` calls it. All that a driver knows is in the ledger, so a SIGTERM ends it at once: there is
nothing to clean up.
"""

from __future__ import annotations

import logging
import time
from pathlib import Path
from typing import TYPE_CHECKING

from application_sdk.app.loading import AppLoadError, load_app
from application_sdk.engines.kubernetes.app_tasks import NameConflict, Owner
from application_sdk.engines.kubernetes.driver import DriverParked, KubernetesEngine
from application_sdk.engines.kubernetes.driver_heartbeat import DriverHeartbeat
from application_sdk.engines.kubernetes.errors import ApiError, Forbidden, Refused, Unauthorized
from application_sdk.engines.kubernetes.ledger import LedgerUnreadable, seconds
from application_sdk.engines.kubernetes.report import (
    EXIT_CODES,
    continuation_report,
    deliver,
    failure_report,
    success_report,
)
from application_sdk.engines.kubernetes.run_watch import RunGone
from application_sdk.engines.kubernetes.source import CODE_CHANGED, source_digest
from application_sdk.engines.kubernetes.startup import freeze_gc
from application_sdk.errors import AppDefinitionError
from application_sdk.execution.definition import RunInfo
from application_sdk.execution.logs import kept_log
from application_sdk.replay.result import RouteResult, stalled
from application_sdk.replay.run import run_route
from application_sdk.wire import names
from application_sdk.wire.fields import CANCELLED, MAX_PAYLOAD_BYTES, ContinuationFields, ErrorFields, ParkedFields
from application_sdk.wire.pod import EXIT_FENCED, EXIT_NOT_ALLOWED
from application_sdk.wire.task_names import unknown_tasks

if TYPE_CHECKING:
    from application_sdk.app.base import App
    from application_sdk.engines.kubernetes.api import Api
    from application_sdk.engines.processes.executor_protocol import Executor
    from application_sdk.execution.definition import TaskDefinition
    from application_sdk.replay.yielding import YieldWatch
    from application_sdk.wire.fields import Call, Report

_log = logging.getLogger("apprun.driver")


def run_driver(call: Call, api: Api, node: str, started_at: float) -> int:
    """Execute the run's route to its end and report it. Returns the pod's exit code."""
    heartbeat = DriverHeartbeat(api, call["appTask"], node, started_at)
    heartbeat.start()
    try:
        result = _execute(call, api, heartbeat.watch, node)
    except DriverParked as parked:
        heartbeat.stop()
        return _park(call, api, parked)
    except (RunGone, Refused) as error:
        _log.error("this driver has nothing more to say: %s", error)
        return EXIT_FENCED
    except NotAllowedError as error:
        _log.error("%s", error)
        return EXIT_NOT_ALLOWED
    finally:
        heartbeat.stop()
    if result.outcome == "Succeeded" and result.output is not None:
        report = success_report(result.output, started_at, node)
    elif result.outcome == "Continued" and result.input is not None:
        report = continuation_report(ContinuationFields(input=result.input, entrypoint=result.entrypoint),
                                     started_at, node)  # fmt: skip
    else:
        error_found = _error(result)
        log = kept_log(call["attempt"])
        _log.error("the route ended: %s: %s\n%s", error_found["type"], error_found["message"],
                   error_found.get("traceback", ""))  # fmt: skip
        report = {**failure_report(error_found, call["attempt"], started_at, node), "log": log}
    return EXIT_CODES[deliver(api, call["appTask"], report, call["attempt"], time.sleep)]


def _park(call: Call, api: Api, parked: DriverParked) -> int:
    """Say that this driver leaves. Returns the pod's exit code.

    The operator starts the next one when the ledger is longer than this driver has seen it. A crash
    before the write is one of a driver: the next one starts at once, and parks in its turn.
    """
    report: Report = {
        "parked": ParkedFields(attempt=call["attempt"], ledgerLength=parked.ledger_length, openCalls=parked.open_calls)
    }
    _log.info("the route waits: this driver leaves, and the next result starts another one")
    return EXIT_CODES[deliver(api, call["appTask"], report, call["attempt"], time.sleep)]


class NotAllowedError(Exception):
    """The API server has answered nothing but 401 or 403 for too long."""


def _execute(call: Call, api: Api, watch: YieldWatch, node: str) -> RouteResult:
    source = source_digest(Path(names.SOURCE_DIRECTORY))
    # guard: driver-source-digest - replaying with other source files would diverge, or worse, agree
    # by chance
    if source != call.get("sourceDigest", source):
        return stalled("CodeChanged", CODE_CHANGED)
    watch.enter(f"the import of {call['entry'].partition(':')[0]!r}")
    try:
        app_class = load_app(call["entry"])
    except AppLoadError as error:
        return stalled("LoadFailed", str(error), error.traceback)
    finally:
        watch.leave()
    freeze_gc()
    engine: KubernetesEngine | None = None
    # Started before the run's past is read: the fork server of driver tasks imports the app
    # meanwhile.
    executor = _task_executor(call) if _has_driver_tasks(app_class) else None
    try:
        engine = KubernetesEngine.open(api, Owner(call["run"], call["runUid"], source), time.sleep)
        info = RunInfo(
            run_id=call["run"],
            uid=call.get("originUid", call["runUid"]),
            started_at=seconds(engine.started_at),
            correlation_id=call["correlationId"],
            max_payload_bytes=MAX_PAYLOAD_BYTES,
            # Recorded calls decide, then what operators before 0.2 wrote into the call, else the
            # newest rules.
            replay_rules=engine.replay_rules or call.get("replayRules"),
        )
        _place_tasks(engine, app_class, executor, call, info, node)
        return run_route(app_class, call.get("entrypoint"), call["input"], engine, info, watch)
    except AppDefinitionError as error:
        return stalled("LoadFailed", str(error))
    except LedgerUnreadable as error:
        return stalled("LedgerUnreadable", str(error))
    except NameConflict as error:
        return RouteResult("Failed", error=ErrorFields(type="NameTaken", message=str(error), retryable=False))
    except Refused:
        raise
    except (Forbidden, Unauthorized) as error:
        raise NotAllowedError(str(error)) from error
    except ApiError as error:
        message = f"the API server refused what the route needs: {error}"
        return RouteResult("Failed", error=ErrorFields(type=type(error).__name__, message=message, retryable=False))
    finally:
        if engine is not None:
            # The report may wait long for the API server, and driver tasks must not go on without
            # their route.
            engine.stop_driver_tasks()


def _has_driver_tasks(app_class: type[App]) -> bool:
    return any(task.settings.runs_in == "driver" for task in app_class.definition.tasks.values())


def _task_executor(call: Call) -> Executor:
    # Only drivers of apps with driver tasks load what executes them.
    from application_sdk.engines.kubernetes.attempt_processes import environment, source_of
    from application_sdk.engines.kubernetes.task_fork_server import MODULE
    from application_sdk.engines.processes.executor import ProcessExecutor

    return ProcessExecutor(source_of(call["entry"]), MODULE, environment(), ahead=True, own_log=False)


def _place_tasks(
    engine: KubernetesEngine, app_class: type[App], executor: Executor | None, call: Call, info: RunInfo, node: str
) -> None:
    """Start driver tasks, and place all tasks where their code or the App wants them. Raises
    AppDefinitionError."""
    # guard: task-names-known - a task would silently run without what the App says of it
    problem = unknown_tasks(engine.overrides, app_class.definition.tasks)
    if problem:
        raise AppDefinitionError(problem)
    wanted = engine.placement_overrides
    moved: dict[str, TaskDefinition] = {}
    if wanted:
        from application_sdk.app.driver_tasks import deployed

        moved = deployed(app_class.definition.tasks, wanted, app_class.driver_secrets)
    if engine.wanted_reuse:
        from application_sdk.app.warm_tasks import deployed_reuse

        moved |= deployed_reuse(app_class.definition.tasks, engine.wanted_reuse)
    if moved:
        engine.override_tasks(moved)
    if executor is None and any(task.settings.runs_in == "driver" for task in moved.values()):
        executor = _task_executor(call)
    if executor is None:
        return
    from application_sdk.attempt.task_context import AttemptInfo
    from application_sdk.engines.kubernetes.driver_calls import CallContext
    from application_sdk.wire.fields import Policy, RetryFields

    attempt = AttemptInfo(
        run_id=info.run_id,
        correlation_id=info.correlation_id,
        task="",
        attempt=0,
        idempotency_key="",
        policy=Policy(retry=RetryFields(maxAttempts=1, initialIntervalSeconds=0, maxIntervalSeconds=0,
                                        backoffCoefficient=1)),
        max_output_bytes=info.max_payload_bytes,
        namespace=call["namespace"],
        run_uid=info.uid,
    )  # fmt: skip
    engine.start_driver_tasks(executor, CallContext(attempt, call["run"], node))


def _error(result: RouteResult) -> ErrorFields:
    if result.error is not None:
        return result.error
    return ErrorFields(type=CANCELLED, message="the route ended by cancellation", retryable=False)
