"""What all pods of an app have in common, as data: Pod Security `restricted`, token, scratch
folder, source, resources.

The modules that make a kind of pod (`plan.pod.pods`, `plan.app.handler`) add what is theirs.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, cast

from application_sdk.wire import names
from application_sdk.wire.digest import JSON, JSONObject
from apprun_operator.plan.pod import amounts

TOKEN_SECONDS: Final = 3607
READ_ONLY: Final = 0o444
"""Pods run as a user of their own, and the kubelet writes as root."""


def spec(
    account: str, grace: int, container: JSONObject, volumes: Sequence[JSON], asked: JSONObject, user: int | None
) -> JSONObject:
    """A pod's spec of one container; `asked` is what its user wants of the place where it runs.

    Without a `user`, the cluster chooses one, as OpenShift does.
    """
    identity: JSONObject = {} if user is None else {"runAsUser": user, "runAsGroup": user}
    made: JSONObject = {
        "serviceAccountName": account,
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "terminationGracePeriodSeconds": grace,
        "securityContext": {
            "runAsNonRoot": True,
            **identity,
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        "containers": [container],
        "volumes": list(volumes),
    }
    for name in ("nodeSelector", "priorityClassName"):
        if asked.get(name):
            made[name] = asked[name]
    return made


def container(name: str, image: JSON, command: Sequence[str], mounts: Sequence[JSON], asked: JSONObject) -> JSONObject:
    """The one container; of `asked` it takes `imagePullPolicy` and the amounts."""
    made: JSONObject = {
        "name": name,
        "image": image,
        "command": list(command),
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "capabilities": {"drop": ["ALL"]},
            "readOnlyRootFilesystem": True,
        },
        "volumeMounts": list(mounts),
        # When the process ends badly, the log's tail is in the pod's status: the cause of a death
        # without a report.
        "terminationMessagePolicy": "FallbackToLogsOnError",
    }
    if asked.get("imagePullPolicy"):
        made["imagePullPolicy"] = asked["imagePullPolicy"]
    resources = amounts.resources_of(asked)
    if resources:
        made["resources"] = resources
    return made


def volumes(
    app: JSONObject, tmp_size_limit: str, files: Sequence[JSON] = (), *, source_optional: bool
) -> tuple[list[JSON], list[JSON]]:
    """Volumes and mounts: token, the cluster's CA, namespace and `files` in one, /tmp, the app's
    source."""
    namespace: JSONObject = {"path": "namespace", "fieldRef": {"fieldPath": "metadata.namespace"}}
    sources: list[JSON] = [
        {"serviceAccountToken": {"path": "token", "expirationSeconds": TOKEN_SECONDS}},
        {"configMap": {"name": "kube-root-ca.crt", "items": [{"key": "ca.crt", "path": "ca.crt"}]}},
        {"downwardAPI": {"items": [namespace, *files]}},
    ]
    # guard: tmp-size-limit - a task that fills /tmp without a limit takes the node's disk with it
    made: list[JSON] = [
        {"name": "pod", "projected": {"defaultMode": READ_ONLY, "sources": sources}},
        # Without a limit, a pod that fills the node's disk has the kubelet evict its neighbours.
        {"name": "tmp", "emptyDir": {"sizeLimit": tmp_size_limit} if tmp_size_limit else {}},
    ]
    mounts: list[JSON] = [
        {"name": "pod", "mountPath": names.POD_DIRECTORY, "readOnly": True},
        {"name": "tmp", "mountPath": "/tmp"},
    ]
    source = app.get("source")
    config_map = source.get("configMap") if isinstance(source, dict) else None
    if isinstance(config_map, dict):
        code: JSONObject = {"name": config_map.get("name"), "defaultMode": READ_ONLY}
        if source_optional:
            code["optional"] = True
        made.append({"name": "source", "configMap": code})
        mounts.append({"name": "source", "mountPath": names.SOURCE_DIRECTORY, "readOnly": True})
    return made, mounts


def hand_over(spec: JSONObject, user: int | None) -> None:
    """Give volumes of the pod to its group; the cluster does that where it chooses the user."""
    if user is not None:
        security = cast("JSONObject", spec["securityContext"])
        security |= {"fsGroup": user, "fsGroupChangePolicy": "OnRootMismatch"}
