"""The tasks that every app has without declaring them: upload and download called in a route, and clean-up at its end.

They are calls like any other, with checkpoints, retries and pods of their own, so a route needs no store. Their names
can't be those of an app's own tasks, which are identifiers.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Annotated, Any, Final, Literal, TypeAlias

from pydantic import Field

from application_sdk.contracts.base import Input, MaxItems, Output
from application_sdk.contracts.storage import DownloadInput, DownloadOutput, UploadInput, UploadOutput
from application_sdk.errors import AppNotFoundError
from application_sdk.execution import current
from application_sdk.execution.current import TaskRequest
from application_sdk.execution.definition import TaskDefinition, TaskSettings

if TYPE_CHECKING:
    from application_sdk.storage.files import FileStorage

FileTask: TypeAlias = Literal["apprun.upload", "apprun.download", "apprun.cleanup"]
UPLOAD: Final = "apprun.upload"
DOWNLOAD: Final = "apprun.download"
CLEANUP: Final = "apprun.cleanup"
_HOUR: Final = 3600.0


class CleanupInput(Input):
    """Which of the run's transient files stay."""

    keep: Annotated[list[str], MaxItems(10_000)] = Field(default_factory=list)
    """Keys of files that the run's output, or the run that it continues as, refers to."""


class CleanupOutput(Output):
    """What was deleted."""

    objects: int = 0
    size_bytes: int = 0


async def _upload(app: object, given: UploadInput) -> UploadOutput:
    return await _storage().upload(given)


async def _download(app: object, given: DownloadInput) -> DownloadOutput:
    return await _storage().download(given)


async def _cleanup(app: object, given: CleanupInput) -> CleanupOutput:
    cleared = await _storage().clear_run(given.keep)
    return CleanupOutput(objects=cleared.objects, size_bytes=cleared.size)


def _storage() -> FileStorage:
    runtime: Any = current.get()
    storage: FileStorage = runtime.storage
    return storage


def _defined(
    name: str, function: Callable[..., object], takes: type[Input], gives: type[Output], description: str
) -> TaskDefinition:
    return TaskDefinition(
        name=name,
        input_type=takes,
        output_type=gives,
        function=function,
        is_async=True,
        settings=TaskSettings(timeout_seconds=None if function is not _cleanup else _HOUR),
        line="application_sdk",
        description=description,
    )


_TASKS: Final = {
    task.name: task
    for task in (
        _defined(UPLOAD, _upload, UploadInput, UploadOutput, "Store a file."),
        _defined(DOWNLOAD, _download, DownloadInput, DownloadOutput, "Fetch a stored file."),
        _defined(CLEANUP, _cleanup, CleanupInput, CleanupOutput, "Delete the run's transient files."),
    )
}


def file_task(name: str) -> TaskDefinition:
    """The task of that name. Raises AppNotFoundError."""
    if name not in _TASKS:
        raise AppNotFoundError(f"this SDK has no task {name!r}; it has {', '.join(sorted(_TASKS))}")
    return _TASKS[name]


def request(name: FileTask, given: Input, line: str) -> TaskRequest:
    """A call of such a task, made by a route."""
    return TaskRequest(file_task(name), given, line)


def cleanup(keep: Iterable[str]) -> TaskRequest:
    """The call that ends a run whose tasks have stored files."""
    return request(CLEANUP, CleanupInput(keep=sorted(set(keep))), "the end of the route")
