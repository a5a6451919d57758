"""`self.context`: who runs, and the secrets, credentials and state that a task may use.

The stores behind it are the infrastructure's, loaded when they are first asked for. In a route it knows ids only: what
a store says may be something else in a replay.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar, overload

from application_sdk.errors import MisuseError
from application_sdk.execution import current
from application_sdk.execution.secret_leaks import register_secret
from application_sdk.execution.source_lines import user_line

if TYPE_CHECKING:
    import logging
    from datetime import datetime

    from application_sdk.infrastructure import InfrastructureContext, StateStore
    from application_sdk.storage.files import FileStorage
    from application_sdk.wire.digest import JSONObject

Kind = TypeVar("Kind")


class AppContext:
    """What an app instance knows of its surroundings. Made by `App.context`."""

    __slots__ = ("app_name", "app_version", "correlation_id", "run_id")

    def __init__(self, app_name: str, app_version: str = "", *, run_id: str = "", correlation_id: str = "") -> None:
        self.app_name = app_name
        self.app_version = app_version
        self.run_id = run_id
        """Name of the run; empty outside of one."""
        self.correlation_id = correlation_id or run_id
        """Shared by a run and those that it continued as."""

    @property
    def workflow_id(self) -> str:
        """Name of the run, under the App Framework's word for it."""
        return self.run_id

    @property
    def started_at(self) -> datetime:
        """When the run began, in a route; when this attempt began, in a task. Elsewhere the time now."""
        from datetime import UTC, datetime

        started: float | None = getattr(current.get(), "started_at", None)
        return datetime.now(UTC) if started is None else datetime.fromtimestamp(started, UTC)

    @property
    def logger(self) -> logging.LoggerAdapter[logging.Logger]:
        """The same as `self.logger` of the app."""
        from application_sdk.app.log import app_logger

        return app_logger(self.app_name)

    def is_cancelled(self) -> bool:
        """In a task: whether this attempt should come to an end. False in a route, which gets a CancelledError."""
        runtime = current.get()
        return runtime is not None and not runtime.in_route and runtime.task_context.is_cancelled()  # type: ignore[attr-defined]

    async def get_secret(self, name: str) -> str:
        """The secret of that name, masked from now on in logs and errors. In tasks. Raises what the store raises when
        there is none, and SecretNotGivenError when the task asks for others with `secrets=`."""
        store = self._infrastructure("get_secret").require_secret_store()
        refusal = _not_given(name)
        if refusal:
            from application_sdk.infrastructure import SecretNotGivenError

            raise SecretNotGivenError(refusal)
        value = await store.get(name)
        register_secret(name, value)
        return value

    async def get_secret_optional(self, name: str) -> str | None:
        """The secret of that name, masked as by `get_secret`, or None when there is none. In tasks."""
        store = self._infrastructure("get_secret_optional").require_secret_store()
        value = None if _not_given(name) else await store.get_optional(name)
        if value is not None:
            register_secret(name, value)
        return value

    @overload
    async def resolve_credential(self, ref: object) -> object: ...

    @overload
    async def resolve_credential(self, ref: object, kind: type[Kind]) -> Kind: ...

    async def resolve_credential(self, ref: object, kind: type[Kind] | None = None) -> object:
        """The credential that a reference (`basic_ref`, …) stands for, its secret fields masked from now on in logs and
        errors; with `kind`, the class that it has to be of. In tasks. Raises CredentialError, SecretStoreError."""
        infrastructure = self._infrastructure("resolve_credential")
        _check_given(ref)
        # Task pods that resolve no credential never import this.
        from application_sdk.credentials.resolver import of_kind, resolve_credential

        credential = await resolve_credential(infrastructure, ref)
        return credential if kind is None else of_kind(credential, ref, kind)

    async def resolve_credential_raw(self, ref: object) -> JSONObject:
        """All that is stored under a credential's reference, as it is. In tasks. Raises CredentialError,
        SecretStoreError."""
        infrastructure = self._infrastructure("resolve_credential_raw")
        _check_given(ref)
        from application_sdk.credentials.resolver import resolve_credential_raw

        return await resolve_credential_raw(infrastructure, ref)

    async def save_state(self, key: str, value: JSONObject) -> None:
        """Have a JSON object kept under a key of this app, beyond this run. In tasks.

        It counts when the task succeeds, together with its output; an attempt that fails leaves nothing. If the task
        had loaded that key and another one has saved it since, the attempt fails with StateConflict and the next one
        starts from what is there then. Raises StateError, SecretLeakError.
        """
        store, key = self._state("save_state", key)
        await store.save(key, value)

    async def load_state(self, key: str) -> JSONObject | None:
        """What was last saved under a key of this app, or None. In tasks: as of the attempt's start, and what it saved
        itself."""
        store, key = self._state("load_state", key)
        return await store.load(key)

    async def delete_state(self, key: str) -> bool:
        """Have a key of this app forgotten, as `save_state` has one kept. In tasks. False if there is nothing."""
        store, key = self._state("delete_state", key)
        return await store.delete(key)

    def _state(self, action: str, key: str) -> tuple[StateStore, str]:
        infrastructure = self._infrastructure(action)
        state: StateStore | None = getattr(current.get(), "state", None)
        if infrastructure.state_store is None and state is not None:
            return state, key
        # One store for all apps.
        return infrastructure.require_state_store(), f"{self.app_name}/{key}"

    @property
    def storage(self) -> FileStorage:
        """The file store, to read, write and list by hand. In tasks; MisuseError in a route."""
        runtime = current.get()
        if runtime is None:
            from application_sdk.app.standalone import detached_storage

            return detached_storage(self.app_name)
        found: FileStorage = runtime.storage  # type: ignore[assignment] # the slot doesn't import what fills it
        return found

    def _infrastructure(self, action: str) -> InfrastructureContext:
        runtime = current.get()
        if runtime is not None and runtime.in_route:
            raise MisuseError(
                f"{user_line()}: context.{action}() in the route. A replay may get another answer: move it into a @task"
            )
        from application_sdk.infrastructure import get_infrastructure

        return get_infrastructure()


def _not_given(name: str) -> str:
    """Why the task that runs isn't given this secret; empty when nothing speaks against it."""
    given: object = getattr(current.get(), "secrets", None)
    if not isinstance(given, list) or name.partition("/")[0] in given:
        return ""
    listed = ", ".join(given) or "none"
    return f"secret {name!r} isn't among those that the task asks for with secrets=: {listed}. Add it there"


def _check_given(ref: object) -> None:
    refusal = _not_given(str(getattr(ref, "name", "")))
    if refusal:
        from application_sdk.infrastructure import SecretNotGivenError

        raise SecretNotGivenError(refusal)
