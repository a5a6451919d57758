"""Where an attempt meets files: what its input refers to is fetched before its body, what it returns is stored after.

Nothing of the storage layer is loaded before there is a reference to a file.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Final, TypeVar

from application_sdk.errors import NonRetryableError
from application_sdk.execution.redaction import hide

if TYPE_CHECKING:
    from application_sdk.attempt.task_context import AttemptInfo, TaskContext
    from application_sdk.storage.files import FileStorage

T = TypeVar("T")
NO_STORE: Final = 'a driver task has no file store: leave out runs_in="driver", or let a task in a pod move the file'


def references_possible() -> bool:
    """Whether any object of this process can hold a reference to a file: its class is loaded by those who use it."""
    return "application_sdk.contracts.types" in sys.modules


class AttemptFiles:
    """The files of one attempt."""

    def __init__(self, app: object, info: AttemptInfo, context: TaskContext, *, has_store: bool = True) -> None:
        self._app = app
        self._info = info
        self._context = context
        self._has_store = has_store
        self._storage: FileStorage | None = None
        slot = sys.modules.get("application_sdk.storage.current_storage")
        if slot is not None:
            # The app uses the functions of `storage`, which have no `self`.
            slot.fill(self.storage)

    def storage(self) -> FileStorage:
        """The store, as this attempt may use it. Made when it is first asked for."""
        if not self._has_store:
            # On every engine, since a driver's pod isn't given the store.
            raise NonRetryableError(NO_STORE)
        if self._storage is None:
            from application_sdk.storage.files import FileStorage, Place
            from application_sdk.storage.keys import Scope

            info = self._info
            scope = Scope(info.namespace, getattr(self._app, "name", ""), info.run_uid, info.correlation_id)
            place = Place(**info.files) if info.files is not None else None
            self._storage = FileStorage(scope, place, self._context.transferred, hide=hide)
        return self._storage

    async def fetch(self, given: T) -> T:
        """An input whose files are on this disk."""
        return await self.storage().fetch_all(given) if _refers(given) else given

    async def store(self, returned: T) -> T:
        """An output whose files are in the store."""
        return await self.storage().store_all(returned) if _refers(returned) else returned

    def close(self) -> None:
        """Remove the copies on this disk, where others go on using it."""
        if self._storage is not None and self._info.files is not None:
            self._storage.close()


def _refers(value: object) -> bool:
    if not references_possible():
        return False
    from application_sdk.contracts.references import references

    return bool(references(value))
