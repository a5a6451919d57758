"""The state that an app has saved: its values, and the environment variable that shows them to task
pods."""

from __future__ import annotations

import json
from typing import cast

from application_sdk.wire import names
from application_sdk.wire.digest import JSON, JSONObject
from apprun_operator.observe.records import StateRecord


def saved_values(state: StateRecord | None) -> dict[str, JSON]:
    """The saved values by their keys; empty if the app has saved nothing yet."""
    entries = {} if state is None else cast("dict[str, JSONObject]", state.spec.object().get("entries") or {})
    return {key: entry["value"] for key, entry in entries.items()}


def state_variables(state: StateRecord | None) -> list[JSON]:
    """The environment variable that shows a task pod the saved state; none if there is no state."""
    values = saved_values(state)
    if not values:
        return []
    text = json.dumps(values, separators=(",", ":"), ensure_ascii=False)
    # The kubelet expands `$(…)` and `$$` in values. JSON has another way to write a dollar sign,
    # and outside of strings it has none.
    return [{"name": names.STATE_VARIABLE, "value": text.replace("$", "\\u0024")}]
