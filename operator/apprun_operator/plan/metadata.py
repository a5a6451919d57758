"""Metadata of the objects that the operator creates."""

from __future__ import annotations

from application_sdk.wire import names
from application_sdk.wire.digest import JSONObject


def owner_reference(kind: str, name: str, uid: str) -> JSONObject:
    """A controller reference, by which Kubernetes deletes an object together with its owner.

    It doesn't block the owner's deletion, so no finalizer of another controller can hang on it.
    """
    return {
        "apiVersion": names.API_VERSION,
        "kind": kind,
        "name": name,
        "uid": uid,
        "controller": True,
        "blockOwnerDeletion": False,
    }
