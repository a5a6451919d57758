"""The secrets of a pod as volumes, and what kubelet says of volumes that it can't mount.

A pod is given what its App declares and its task asks for, mounted by the kubelet: neither pods nor
operator may read a Secret. `plan.pod.pods` and whatever else makes pods of an app call it.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final, cast

from application_sdk.wire import names
from application_sdk.wire.digest import JSON, JSONObject
from apprun_operator.plan.pod.pod_template import READ_ONLY

VOLUME_PREFIX: Final = "secret-"
NO_SECRET: Final = re.compile(r'secret "(?:[^"/]*/)?([^"/]+)" not found')
NO_KEY: Final = re.compile(r"references non-existent secret key: ?(\S*)")


def declared(app: JSONObject) -> list[JSONObject]:
    """The entries of `spec.secrets` of a resolved app."""
    return [entry for entry in cast("list[JSON]", app.get("secrets") or []) if isinstance(entry, dict)]


def for_driver(app: JSONObject) -> list[str]:
    """Names of the secrets that the app's driver is given, for its driver tasks."""
    return [str(entry.get("name")) for entry in declared(app) if entry.get("driver") is True]


def undeclared(app: JSONObject, requested: Sequence[str] | None) -> str:
    """What is wrong with the secrets that a task asks for; empty when the app declares them all."""
    declared_names = [str(entry.get("name")) for entry in declared(app)]
    missing = sorted(set(requested or ()) - set(declared_names))
    if not missing:
        return ""
    listed = ", ".join(declared_names) or "none"
    return (
        f"the task asks for the secrets {', '.join(missing)} (@task, spec.tasks), but the App declares {listed}: add it"
        " to spec.secrets of the App"
    )


def volumes(app: JSONObject, requested: Sequence[str] | None) -> tuple[list[JSON], list[JSON]]:
    """Volumes and mounts of the app's secrets; of those in `wanted` only, unless that is None."""
    made: list[JSON] = []
    mounts: list[JSON] = []
    for number, entry in enumerate(declared(app)):
        name = str(entry.get("name"))
        if requested is not None and name not in requested:
            continue
        volume = f"{VOLUME_PREFIX}{number}"
        made.append({"name": volume, **_source(entry, name)})
        # A folder, never a single file of it: only whole volumes are brought up to date when a
        # Secret changes.
        mounts.append({"name": volume, "mountPath": f"{names.SECRETS_DIRECTORY}/{name}", "readOnly": True})
    return made, mounts


def _source(entry: JSONObject, name: str) -> JSONObject:
    csi = entry.get("csi")
    if isinstance(csi, dict):
        return {"csi": {**csi, "readOnly": True}}
    secret = entry.get("secret")
    source: JSONObject = {
        "secretName": secret.get("name") if isinstance(secret, dict) else name,
        "defaultMode": READ_ONLY,
    }
    keys = entry.get("keys")
    if isinstance(keys, list):
        source["items"] = [{"key": key, "path": key} for key in keys]
    if entry.get("optional"):
        source["optional"] = True
    return {"secret": source}


def explained(words: str, namespace: str) -> tuple[str, str]:
    """Reason and remedy for what kubelet says of a volume that it can't mount."""
    key = NO_KEY.search(words)
    if key is not None:
        return "SecretKeyNotFound", (
            f"a Secret lacks the key {key[1] or '(see below)'} that spec.secrets of the App lists in keys: add the key"
            f" to the Secret, or correct keys. The pod starts by itself then. Kubelet says: {words}"
        )
    missing = NO_SECRET.search(words)
    if missing is not None:
        return "SecretNotFound", (
            f"Secret {missing[1]!r} isn't there in namespace {namespace!r}, and a volume of the pod needs it"
            " (spec.secrets or spec.storage.secretRef of the App, or volumes): create it, or set optional: true in"
            " spec.secrets. The pod starts by itself once it is there"
        )
    return "VolumeNotMounted", f"a volume of the pod can't be mounted. Kubelet says: {words}"
