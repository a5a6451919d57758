"""Patches of an object's status that fail with a conflict if the object has changed since it was read."""

from __future__ import annotations

from typing import Final

from application_sdk.wire.digest import JSONObject

WHOLE_FIELDS: Final = frozenset({"checkpoints", "tasks", "phase", "message", "observedGeneration", "conditions"})
"""Fields of a run's status that a plan always writes whole, so that merging one is replacing it."""


def status_merge_patch(version: int, status: JSONObject) -> JSONObject:
    """A merge patch of an object's status, with its resourceVersion as the precondition."""
    # guard: commit-precondition - two leaders that overlap for a moment must not both append to the
    # ledger
    return {"metadata": {"resourceVersion": str(version)}, "status": status}


def append_patch(version: int, status: JSONObject, commits: int) -> list[JSONObject] | None:
    """The JSON patch that appends the last `commits` entries of `status.checkpoints`, and replaces the
    other fields; None where it wouldn't do what `status_merge_patch` does.

    The API server handles it faster: a merge patch would carry the whole list, which is as long as
    a page of the ledger. The entries before the new ones are those of the version that the patch
    requires.
    """
    entries = status.get("checkpoints")
    # guard: append-to-known-tail - without a tail, or with entries that moved to a page, the list
    # would become another one
    if not isinstance(entries, list) or not 0 < commits < len(entries) or not status.keys() <= WHOLE_FIELDS:
        return None
    others = {name: value for name, value in status.items() if name != "checkpoints"}
    operations = status_patch(version, others)
    operations += [{"op": "add", "path": "/status/checkpoints/-", "value": entry} for entry in entries[-commits:]]
    return operations


def status_patch(version: int, status: JSONObject) -> list[JSONObject]:
    """A JSON patch of an object's status, with its resourceVersion as the precondition.

    Writing another version than the current one is a conflict. Each field is replaced, not merged;
    a field whose value is None is removed.
    """
    # guard: update-precondition - a decision holds for the version that it was made on
    operations: list[JSONObject] = [
        {"op": "replace", "path": "/metadata/resourceVersion", "value": str(version)},
    ]
    for name, value in status.items():
        path = f"/status/{name}"
        operations.append({"op": "add", "path": path, "value": value})
        if value is None:
            # Removing a field that doesn't exist is an error, so it is added first.
            operations.append({"op": "remove", "path": path})
    return operations
