"""The main of every pod that the operator starts: reads the call, runs the main of its role, and
exits with its code.

`application_sdk.pod` is its entry. What all roles share is here: the import path, signals, logging
and the exit. Imports inside of functions load what the call's role needs, after the call is read:
each pod pays for them.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, NoReturn

from application_sdk.engines.kubernetes.startup import before_user_code
from application_sdk.wire import names
from application_sdk.wire.pod import (
    EXIT_NO_CALL,
    EXIT_TERMINATED,
    LOG_FORMAT_VARIABLE,
    LOG_LEVEL_VARIABLE,
    NODE_NAME_VARIABLE,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from application_sdk.engines.kubernetes.api import Api
    from application_sdk.wire.digest import JSONObject
    from application_sdk.wire.fields import Call


def main() -> NoReturn:
    """Run the pod's call and end the process."""
    # The kernel ignores SIGTERM for a PID 1 without a handler. Tasks install their own handler
    # later.
    signal.signal(signal.SIGTERM, _terminate)
    _exit(run(Path(names.POD_DIRECTORY), Path(names.SOURCE_DIRECTORY), time.time()))


def run(directory: Path, source: Path, started_at: float) -> int:
    """Do what the call in `directory` says, with the files in `source` importable; the exit code.

    `started_at` is when the process began, in seconds since the epoch.
    """
    import json

    try:
        call: Call = json.loads((directory / names.CALL_FILE).read_bytes())
        app_task, role, namespace = call["appTask"], call["role"], call["namespace"]
    except (OSError, ValueError, KeyError) as error:
        print(f"no readable call in {directory / names.CALL_FILE}: {error!r}", file=sys.stderr)  # noqa: T201
        return EXIT_NO_CALL

    import logging

    from application_sdk.engines.kubernetes.api import in_cluster
    from application_sdk.engines.kubernetes.mounted_secrets import register_mounted_secrets

    _set_up_log(call)
    # Before any of the user's code runs: it could read these files itself.
    # guard: mounted-secrets-known - user code may print or return a secret as soon as it runs
    register_mounted_secrets(directory, os.environ)
    logging.getLogger("apprun").info("%s %s, attempt %d", role, app_task, call["attempt"])
    api = in_cluster(os.environ, directory, namespace)
    # The TLS handshake takes a few milliseconds: it goes on while modules load.
    threading.Thread(target=_connect_ahead, args=(api,), name="connect", daemon=True).start()
    run_role = _load_role(call)
    before_user_code()
    _make_importable(source)
    return run_role(call, api, os.environ.get(NODE_NAME_VARIABLE, call.get("node", "")), started_at)


def _set_up_log(call: Call) -> None:
    """Have everything that this process logs and prints say which attempt it is of."""
    from application_sdk.execution import logs
    from application_sdk.wire import logs as log_fields

    context: JSONObject = {
        log_fields.NAMESPACE: call["namespace"],
        log_fields.RUN: call["run"],
        log_fields.ROLE: call["role"],
        log_fields.TASK: call["task"],
        log_fields.APP_TASK: call["appTask"],
        log_fields.ATTEMPT: call["attempt"],
    }
    as_json = os.environ.get(LOG_FORMAT_VARIABLE, "").lower() != "text"
    logs.set_up(context, as_json=as_json, level=os.environ.get(LOG_LEVEL_VARIABLE, "").upper())


def _load_role(call: Call) -> Callable[[Call, Api, str, float], int]:
    if call["role"] == "driver":
        from application_sdk.engines.kubernetes.driver_main import run_driver

        return run_driver
    if call["role"] == "inspect":
        from application_sdk.engines.kubernetes.inspect_main import run_inspection

        return run_inspection
    from application_sdk.engines.kubernetes.task_main import run_task

    return run_task


def _connect_ahead(api: Api) -> None:
    from application_sdk.engines.kubernetes.errors import Unreachable

    try:
        api.connect()
    except Unreachable:
        pass  # The first request connects again, and reports the failure.


def _make_importable(source: Path) -> None:
    """Put the user's files first on the import path: only now, so that none of them replaces a
    module of the SDK."""
    if source.is_dir():
        sys.path.insert(0, str(source))
        # A ConfigMap is mounted read-only, so bytecode can't be written beside the files.
        sys.dont_write_bytecode = True


def _terminate(number: int, frame: FrameType | None) -> None:
    # There is nothing to clean up yet, and the user's module, which may be loading, could catch an
    # exception.
    os._exit(EXIT_TERMINATED)


def _exit(code: int) -> NoReturn:
    """End at once: threads that a task has left must not delay a pod whose outcome is known."""
    from application_sdk.execution import logs

    logs.finish()
    os._exit(code)
