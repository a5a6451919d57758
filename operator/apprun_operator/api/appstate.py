"""AppState: what an app keeps across its runs. The operator writes it for tasks; people may correct
it."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from application_sdk.wire.fields import MAX_STATE_KEYS
from apprun_operator.api.shapes import LIST_TYPE, FreeObject, Shape, Timestamp


class StateEntry(Shape):
    """The value of one key."""

    value: FreeObject
    """A JSON object; only the app knows its fields."""
    saved_at: Timestamp | None = None
    """When it was saved."""
    run: str | None = None
    """The run that saved it."""
    task: str | None = None
    """The task that saved it."""


class AppStateSpec(Shape):
    """The whole state of one app. People may correct it: a task that has loaded a value before
    can't overwrite it."""

    entries: Annotated[dict[str, StateEntry], Field(max_length=MAX_STATE_KEYS)] | None = None
    """The values by the keys of `save_state`, at most 96 KiB of JSON together."""
    saved_at: Timestamp | None = None
    """When a task last saved a value."""
    run: str | None = None
    """The run of that task."""
    applied: Annotated[list[str], Field(max_length=1024, json_schema_extra={LIST_TYPE: "atomic"})] | None = None
    """The latest task calls whose changes were applied, so that none is applied twice."""


class AppState(Shape):
    """What an app keeps across its runs with `save_state`. It stays when runs and App are deleted.
    Delete it to let the app start without state."""

    spec: AppStateSpec
