"""A task context for a task that is called on a bare instance, as in a unit test: attempt 1, heartbeats to nobody.

A test that wants to see or give heartbeats puts its own context in place with `replace_task_context`.
"""

from __future__ import annotations

from contextvars import ContextVar, Token
from typing import TYPE_CHECKING
from weakref import WeakKeyDictionary

from application_sdk.attempt.heartbeat import NoWatchdog
from application_sdk.attempt.task_context import AttemptInfo, NullSink, TaskContext
from application_sdk.execution.retry import DEFAULT_RETRY
from application_sdk.wire.digest import JSONObject
from application_sdk.wire.fields import MAX_PAYLOAD_BYTES, Policy

if TYPE_CHECKING:
    from pathlib import Path

    from application_sdk.storage.files import FileStorage, Place

_storage: Place | None = None
_scratches: WeakKeyDictionary[object, Path] = WeakKeyDictionary()
_replacement: ContextVar[TaskContext | None] = ContextVar("application_sdk.detached_task_context", default=None)


def detached_task_context(app: object) -> TaskContext:
    """The context that `app.task_context` gives where nothing runs the app."""
    info = detached_info(type(app).__name__)
    return _replacement.get() or TaskContext(info, NullSink(), NoWatchdog(), lambda: _scratch_of(app))


def detached_storage(app_name: str) -> FileStorage:
    """The file store that a bare instance uses: the environment's, or a folder that goes with this process."""
    global _storage
    import os

    from application_sdk.storage import current_storage
    from application_sdk.storage.files import FileStorage, Place
    from application_sdk.storage.keys import Scope
    from application_sdk.wire.names import STORE_URL_VARIABLE

    scope = Scope("", app_name, "", "")
    if current_storage.Default.store is not None:
        return FileStorage(scope, store=current_storage.Default.store)
    if os.environ.get(STORE_URL_VARIABLE):
        return FileStorage(scope)
    if _storage is None:
        folder = _folder_of_this_process()
        _storage = Place((folder / "store").as_uri(), str(folder / "scratch"))
    return FileStorage(scope, _storage)


def _scratch_of(app: object) -> Path:
    """The folder of a bare instance for files that its tasks make."""
    if app not in _scratches:
        _scratches[app] = _folder_of_this_process()
    return _scratches[app]


def _folder_of_this_process() -> Path:
    import atexit
    import shutil
    import tempfile
    from pathlib import Path

    folder = Path(tempfile.mkdtemp(prefix="apprun-detached-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return folder


def replace_task_context(context: TaskContext) -> Token[TaskContext | None]:
    """Have all bare instances give this context, until the token goes to `restore_task_context`."""
    return _replacement.set(context)


def restore_task_context(token: Token[TaskContext | None]) -> None:
    _replacement.reset(token)


def detached_info(name: str, heartbeat: JSONObject | None = None) -> AttemptInfo:
    """What such an attempt is told of itself; `heartbeat` are details that an earlier attempt left."""
    return AttemptInfo(
        run_id="",
        correlation_id="",
        task=name,
        attempt=1,
        idempotency_key="",
        policy=Policy(retry=DEFAULT_RETRY.to_fields()),
        max_output_bytes=MAX_PAYLOAD_BYTES,
        heartbeat=heartbeat,
        own_disk=True,
    )
