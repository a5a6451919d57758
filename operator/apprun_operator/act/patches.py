"""Patches of an object's status that fail with a conflict if the object has changed since it was read."""

from __future__ import annotations

from application_sdk.wire.digest import JSONObject


def status_merge_patch(version: int, status: JSONObject) -> JSONObject:
    """A merge patch of an object's status, with its resourceVersion as the precondition."""
    # guard: commit-precondition - two leaders that overlap for a moment must not both append to the
    # ledger
    return {"metadata": {"resourceVersion": str(version)}, "status": status}


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
