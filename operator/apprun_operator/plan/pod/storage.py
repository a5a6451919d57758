"""What a task's pod is given to reach the file store: the part of `plan.pod.pods` that
`App.spec.storage` decides.

Drivers get none of it: a route sees references and never bytes.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Final

from application_sdk.wire import names
from application_sdk.wire.digest import JSON, JSONObject
from apprun_operator.plan.pod.pod_template import READ_ONLY

FILE: Final = "file://"


@dataclass(frozen=True, slots=True)
class StoreParts:
    """What is added to a pod."""

    env: tuple[JSON, ...] = ()
    env_from: tuple[JSON, ...] = ()
    mounts: tuple[JSON, ...] = ()
    volumes: tuple[JSON, ...] = ()
    on_volume: bool = False
    """Whether the store is a volume, which the pod's group must be able to write to."""


def store_parts(storage: JSON) -> StoreParts:
    """The parts for `App.spec.storage`; None stands for the namespace's store."""
    if not isinstance(storage, dict):
        return _NAMESPACE_STORE
    url, options, secret = str(storage.get("url")), storage.get("options"), _name(storage.get("secretRef"))
    claim = _name(storage.get("volumeClaim")) if url.startswith(FILE) else None
    mounts: list[JSON] = []
    volumes: list[JSON] = []
    if claim is not None:
        url = f"{FILE}{names.VOLUME_DIRECTORY}/{url.removeprefix(FILE).strip('/')}".rstrip("/")
        mounts.append({"name": "files", "mountPath": names.VOLUME_DIRECTORY})
        volumes.append({"name": "files", "persistentVolumeClaim": {"claimName": claim}})
    if secret is not None:
        # A missing Secret is reported before a pod starts, as those of spec.secrets are.
        source: JSONObject = {"secretName": secret, "defaultMode": READ_ONLY}
        mounts.append({"name": "store", "mountPath": names.STORE_DIRECTORY, "readOnly": True})
        volumes.append({"name": "store", "secret": source})
    env: list[JSON] = [{"name": names.STORE_URL_VARIABLE, "value": url}]
    if options:
        env.append({"name": names.STORE_OPTIONS_VARIABLE, "value": json.dumps(options, sort_keys=True)})
    return StoreParts(tuple(env), (), tuple(mounts), tuple(volumes), on_volume=claim is not None)


_NAMESPACE_STORE: Final = StoreParts(
    env_from=(
        {"configMapRef": {"name": names.NAMESPACE_STORE, "optional": True}},
        {"secretRef": {"name": names.NAMESPACE_STORE, "optional": True}},
    )
)


def _name(reference: JSON) -> str | None:
    name = reference.get("name") if isinstance(reference, dict) else None
    return str(name) if name else None
