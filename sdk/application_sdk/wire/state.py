"""What becomes of an app's state by the writes of a task: the rules that operator and local engine
share."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final, cast

from application_sdk.wire.digest import JSON, canonical_json, digest
from application_sdk.wire.fields import MAX_STATE_BYTES, MAX_STATE_KEYS, StateWrite

NOTHING: Final = ""
"""Digest of what isn't there."""
CONFLICT: Final = "StateConflict"
"""Error type of an attempt whose state somebody else has saved meanwhile."""
TOO_LARGE: Final = "StateTooLarge"
"""Error type of an attempt after which the app would keep more than it may."""


def conflicts(writes: Sequence[StateWrite], values: Mapping[str, JSON]) -> list[str]:
    """Keys that somebody else saved after the attempt had loaded them."""
    return [
        write["key"]
        for write in writes
        if "basedOn" in write
        and write["basedOn"] != (digest(values[write["key"]]) if write["key"] in values else NOTHING)
    ]


def applied(writes: Sequence[StateWrite], values: Mapping[str, JSON]) -> dict[str, JSON]:
    """The values after the writes."""
    changed = dict(values)
    for write in writes:
        if "value" in write:
            changed[write["key"]] = cast("JSON", write["value"])
        else:
            changed.pop(write["key"], None)
    return changed


def excess(values: Mapping[str, JSON]) -> str:
    """Why an app may not keep all of that; empty when it may."""
    size = len(canonical_json(dict(values)))
    if size > MAX_STATE_BYTES:
        return f"the app's state would be {size} bytes long, and {MAX_STATE_BYTES} is the limit of all of it together"
    if len(values) > MAX_STATE_KEYS:
        return f"the app's state would have {len(values)} keys, and {MAX_STATE_KEYS} is the limit"
    return ""


def conflict_message(keys: Sequence[str]) -> str:
    """What to say of a conflict."""
    listed = ", ".join(repr(key) for key in keys)
    return (
        f"another task saved the state {listed} after this one had loaded it: nothing of this attempt is kept, and the"
        " next one starts from what is there now"
    )
