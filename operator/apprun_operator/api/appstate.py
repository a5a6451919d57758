"""AppState: what an app keeps beyond its runs. Written by the operator for tasks, and by people who know better."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from application_sdk.wire.fields import MAX_STATE_KEYS
from apprun_operator.api.shapes import LIST_TYPE, FreeObject, Shape, Timestamp


class StateEntry(Shape):
    """What is kept under one key."""

    value: FreeObject
    """A JSON object that only the app knows."""
    saved_at: Timestamp | None = None
    """When it was saved."""
    run: str | None = None
    """The run that saved it."""
    task: str | None = None
    """The task that saved it."""


class AppStateSpec(Shape):
    """All state of one app. It may be corrected by hand: what a task has loaded before that, it can't save over it."""

    entries: Annotated[dict[str, StateEntry], Field(max_length=MAX_STATE_KEYS)] | None = None
    """What is kept, by the key of `save_state`. All values together may be 96 KiB long."""
    saved_at: Timestamp | None = None
    """When a task last saved any of it."""
    run: str | None = None
    """The run that did."""
    applied: Annotated[list[str], Field(max_length=1024, json_schema_extra={LIST_TYPE: "atomic"})] | None = None
    """The latest task calls whose state was saved, so that none is saved twice."""


class AppState(Shape):
    """What an app keeps beyond its runs with `save_state`. It stays when runs and App are deleted; deleting it has the
    app start from nothing."""

    spec: AppStateSpec
