"""The main program of a warm pod: follows the inbox of the pod's name, executes the calls in it,
and exits when it is no longer needed.

`application_sdk.worker` is its entry. Another process imports the app's code, and executes calls or
forks them, so none of that code runs here.
"""

from __future__ import annotations

import logging
import os
import signal
import sys
import tempfile
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn, cast, get_args

from application_sdk.engines.kubernetes.api import Api, in_cluster
from application_sdk.engines.kubernetes.attempt_processes import environment, source_of
from application_sdk.engines.kubernetes.errors import Forbidden, Unauthorized
from application_sdk.engines.kubernetes.mounted_secrets import register_mounted_secrets
from application_sdk.engines.kubernetes.startup import before_user_code, freeze_gc
from application_sdk.engines.kubernetes.worker import Worker
from application_sdk.engines.kubernetes.worker_attempts import Attempts
from application_sdk.engines.kubernetes.worker_calls import Calls
from application_sdk.engines.kubernetes.worker_inbox import InboxGone, follow_inbox
from application_sdk.execution import logs
from application_sdk.wire import logs as words
from application_sdk.wire import names
from application_sdk.wire.fields import PodReference, ReuseMode
from application_sdk.wire.pod import (
    EXIT_FENCED,
    EXIT_NO_CALL,
    EXIT_NOT_ALLOWED,
    EXIT_TERMINATED,
    LOG_FORMAT_VARIABLE,
    LOG_LEVEL_VARIABLE,
    NODE_NAME_VARIABLE,
    POD_NAME_VARIABLE,
    POD_NAMESPACE_VARIABLE,
    POD_UID_VARIABLE,
    WORKER_CONCURRENCY_VARIABLE,
    WORKER_ENTRY_VARIABLE,
    WORKER_MAX_CALLS_VARIABLE,
    WORKER_MODE_VARIABLE,
)

if TYPE_CHECKING:
    from collections.abc import Mapping
    from types import FrameType

    from application_sdk.engines.processes.executor_protocol import Executor

_log = logging.getLogger("apprun.worker")


@dataclass(frozen=True, slots=True)
class WorkerSettings:
    """The settings of a warm pod, from its environment."""

    pod: PodReference
    namespace: str
    node: str
    entry: str
    mode: ReuseMode
    concurrency: int
    max_calls: int | None


def settings_from(variables: Mapping[str, str]) -> WorkerSettings:
    """The settings of this pod.

    Raises KeyError for a missing one, and ValueError for an invalid one.
    """
    mode = variables[WORKER_MODE_VARIABLE]
    if mode not in get_args(ReuseMode):
        raise ValueError(f"{WORKER_MODE_VARIABLE} is {mode!r}")
    most = variables.get(WORKER_MAX_CALLS_VARIABLE)
    return WorkerSettings(
        pod=PodReference(name=variables[POD_NAME_VARIABLE], uid=variables[POD_UID_VARIABLE]),
        namespace=variables[POD_NAMESPACE_VARIABLE],
        node=variables.get(NODE_NAME_VARIABLE, ""),
        entry=variables[WORKER_ENTRY_VARIABLE],
        mode=cast("ReuseMode", mode),
        concurrency=int(variables[WORKER_CONCURRENCY_VARIABLE]),
        max_calls=int(most) if most else None,
    )


def main() -> NoReturn:
    """Run the pod, and end the process with its exit code."""
    # The kernel ignores SIGTERM for a PID 1 without a handler. Until there is a worker, no call has
    # to end first.
    signal.signal(signal.SIGTERM, lambda *_: os._exit(EXIT_TERMINATED))
    code = run(Path(names.POD_DIRECTORY))
    logs.finish()
    os._exit(code)


def run(directory: Path) -> int:
    """Execute calls as the environment says, with the pod's files in `directory`.

    Returns the exit code.
    """
    try:
        settings = settings_from(os.environ)
    except (KeyError, ValueError) as error:
        print(f"the settings of this warm pod are missing or invalid: {error!r}", file=sys.stderr)  # noqa: T201
        return EXIT_NO_CALL
    _set_up_log(settings)
    # Before anything else is logged: errors may quote a secret.
    register_mounted_secrets(directory, os.environ)
    before_user_code()
    api = in_cluster(os.environ, directory, settings.namespace)
    folder = Path(tempfile.mkdtemp(prefix="apprun-worker-"))
    # Before the app is imported: if the mounted files change in between, calls find another digest.
    attempts = Attempts(api, Path(names.SOURCE_DIRECTORY), folder, settings.node, time.sleep)
    executor = _executor(settings, folder)
    worker = Worker(executor, Calls(settings.concurrency, settings.max_calls), attempts, settings.node)

    def terminate(number: int, frame: FrameType | None) -> None:
        worker.terminate()

    signal.signal(signal.SIGTERM, terminate)
    freeze_gc()
    threading.Thread(target=_follow, args=(api, settings, worker), name="inbox", daemon=True).start()
    _log.info("pod %s waits for calls of %s", settings.pod["name"], settings.entry)
    return worker.run()


def _follow(api: Api, settings: WorkerSettings, worker: Worker) -> None:
    try:
        follow_inbox(api, settings.pod, worker.take_inbox, time.sleep)
    except InboxGone as error:
        _log.error("%s", error)
        worker.stop(EXIT_FENCED)
    except (Forbidden, Unauthorized) as error:
        _log.error("this pod may not read its inbox: %s", error)
        worker.stop(EXIT_NOT_ALLOWED)
    except BaseException as error:  # noqa: BLE001 - the worker's own thread raises it
        worker.fail(error)


def _executor(settings: WorkerSettings, folder: Path) -> Executor:
    source, variables = source_of(settings.entry), environment()
    if settings.mode == "actor":
        from application_sdk.engines.kubernetes.worker_actor import MODULE as ACTOR
        from application_sdk.engines.processes.actor_executor import ActorExecutor

        return ActorExecutor(source, ACTOR, variables, folder / "actor")
    from application_sdk.engines.kubernetes.worker_fork_server import MODULE
    from application_sdk.engines.processes.executor import ProcessExecutor

    return ProcessExecutor(source, MODULE, variables, ahead=True, own_log=False)


def _set_up_log(settings: WorkerSettings) -> None:
    as_json = os.environ.get(LOG_FORMAT_VARIABLE, "").lower() != "text"
    context = {words.NAMESPACE: settings.namespace, words.ROLE: "worker"}
    logs.set_up(context, as_json=as_json, level=os.environ.get(LOG_LEVEL_VARIABLE, "").upper())
