"""An app's state as one attempt of a task sees it: what it loads, and what it wants saved once it has succeeded.

Engines make one for each attempt, over what is kept, and take `writes` along with the output: both count, or neither.
Nothing is written here.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Final, Protocol

from typing_extensions import override

from application_sdk.errors import NonRetryableError
from application_sdk.execution import secret_leaks
from application_sdk.wire.digest import JSONObject, canonical_json, digest
from application_sdk.wire.fields import MAX_STATE_BYTES, StateWrite
from application_sdk.wire.state import NOTHING

KEY_LENGTH: Final = 253


class StateError(NonRetryableError):
    """State that can't be kept: its key, its value or its size."""


class SavedState(Protocol):
    """What is kept of an app's state, from before this attempt."""

    async def load(self, key: str) -> JSONObject | None: ...

    async def list_keys(self, prefix: str = "") -> list[str]: ...


class StateSnapshot:
    """State that was handed over with the call."""

    def __init__(self, values: Mapping[str, JSONObject]) -> None:
        self._values = values

    async def load(self, key: str) -> JSONObject | None:
        return self._values.get(key)

    async def list_keys(self, prefix: str = "") -> list[str]:
        return sorted(key for key in self._values if key.startswith(prefix))


class AttemptState:
    """Implements `infrastructure.StateStore` for one attempt.

    A key that was loaded is saved on condition that nobody else has saved it by then.
    """

    def __init__(self, saved: SavedState) -> None:
        self._saved = saved
        self._seen: dict[str, str] = {}
        """Digests of what was loaded, by key."""
        self._changes: dict[str, JSONObject | None] = {}

    async def save(self, key: str, value: JSONObject) -> None:
        """Have the value kept when the task succeeds. Raises StateError, SecretLeakError."""
        _check_key(key)
        fields: object = value
        if not isinstance(fields, dict):
            raise StateError(f"save_state({key!r}) takes a JSON object (a dict), not a {type(fields).__name__}")
        try:
            size = len(canonical_json(value))
        except (TypeError, ValueError) as error:
            raise StateError(f"save_state({key!r}) takes what JSON can say: {error}") from error
        if size > MAX_STATE_BYTES:
            raise StateError(
                f"save_state({key!r}): the value is {size} bytes long, and all state of an app together may have "
                f"{MAX_STATE_BYTES}. Keep large data in files or in a store of your own, and its place here"
            )
        secret_leaks.check(value, f"the state {key!r}")
        self._changes[key] = copy.deepcopy(value)

    async def load(self, key: str) -> JSONObject | None:
        """What was saved last under that key, by this attempt or before it; None if nothing was."""
        _check_key(key)
        if key in self._changes:
            return copy.deepcopy(self._changes[key])
        value = await self._saved.load(key)
        self._seen.setdefault(key, NOTHING if value is None else digest(value))
        return copy.deepcopy(value)

    async def delete(self, key: str) -> bool:
        """Have the key forgotten when the task succeeds. False if there is nothing."""
        there = await self.load(key) is not None
        if there:
            self._changes[key] = None
        return there

    async def list_keys(self, prefix: str = "") -> list[str]:
        """The keys that begin with a prefix, by alphabet."""
        kept = {key for key in await self._saved.list_keys(prefix) if key not in self._changes}
        return sorted(kept | {k for k, v in self._changes.items() if v is not None and k.startswith(prefix)})

    def writes(self) -> list[StateWrite]:
        """What is to be kept, for the engine."""
        found: list[StateWrite] = []
        for key, value in self._changes.items():
            write = StateWrite(key=key)
            if value is not None:
                write["value"] = value
            if key in self._seen:
                write["basedOn"] = self._seen[key]
            found.append(write)
        return found


NO_STATE: Final = 'a driver task keeps no state: leave out runs_in="driver", or hand the value over in its input'


class NoState(AttemptState):
    """In place of an app's state. The operator keeps that for what a pod reports, and a driver task reports nothing."""

    def __init__(self) -> None:
        super().__init__(StateSnapshot({}))

    @override
    async def save(self, key: str, value: JSONObject) -> None:
        raise StateError(f"save_state({key!r}): {NO_STATE}")

    @override
    async def load(self, key: str) -> JSONObject | None:
        raise StateError(f"load_state({key!r}): {NO_STATE}")

    @override
    async def list_keys(self, prefix: str = "") -> list[str]:
        raise StateError(f"list_state_keys({prefix!r}): {NO_STATE}")


def _check_key(key: str) -> None:
    given: object = key
    if not isinstance(given, str) or not 0 < len(key) <= KEY_LENGTH or not key.isprintable():
        raise StateError(f"a key of the state is a printable text of 1 to {KEY_LENGTH} characters, not {key!r}")
