"""What serves an App over HTTP, as data: a Deployment and a Service. Same input, same bytes.

The pods meet Pod Security `restricted`. They have the app's code and secrets, as its task pods do, and a service
account of their own, which may start and read runs.
"""

from __future__ import annotations

from typing import Final

from application_sdk.wire import names
from application_sdk.wire.digest import JSON, JSONObject
from application_sdk.wire.pod import (
    HANDLER_APP_VARIABLE,
    HANDLER_ENTRY_VARIABLE,
    HANDLER_NAMESPACE_VARIABLE,
    HANDLER_PORT,
)
from apprun_operator.observe.records import AppRecord
from apprun_operator.plan.commit import owner_reference
from apprun_operator.plan.limits import Limits
from apprun_operator.plan.pods import READ_ONLY, TOKEN_SECONDS, USER
from apprun_operator.plan.secrets import volumes as secret_volumes

COMMAND: Final = ("python3", "-m", "application_sdk.server.pod")
SERVICE_PORT: Final = 80
GRACE: Final = 20
"""Seconds for requests under way to end."""


def deployment(app: AppRecord, template: JSONObject, limits: Limits) -> JSONObject:
    """The Deployment of an App with `spec.handler`; `template` is its spec."""
    handler = app.handler or {}
    key = app.meta.key
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": _metadata(app),
        "spec": {
            "replicas": replicas(app),
            "selector": {"matchLabels": _labels(app)},
            "strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": 0, "maxSurge": 1}},
            "template": {
                "metadata": {"labels": _labels(app)},
                "spec": _pod(key.namespace, key.name, template, handler, limits),
            },
        },
    }


def service(app: AppRecord) -> JSONObject:
    """The Service before those pods."""
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": _metadata(app),
        "spec": {
            "selector": _labels(app),
            "ports": [{"name": "http", "port": SERVICE_PORT, "targetPort": HANDLER_PORT, "protocol": "TCP"}],
        },
    }


def replicas(app: AppRecord) -> int:
    """How many pods are wanted."""
    wanted = (app.handler or {}).get("replicas")
    return wanted if isinstance(wanted, int) else 1


def _labels(app: AppRecord) -> JSONObject:
    # Not `managed-by`: that label is what the informer of task pods selects.
    return {names.APP_LABEL: app.meta.key.name, names.ROLE_LABEL: "handler"}


def _metadata(app: AppRecord) -> JSONObject:
    key = app.meta.key
    return {
        "name": names.handler_name(key.name),
        "namespace": key.namespace,
        "labels": {**_labels(app), names.MANAGED_BY_LABEL: names.MANAGED_BY},
        "ownerReferences": [owner_reference(names.APP_KIND, key.name, app.meta.uid)],
    }


def _pod(namespace: str, app: str, template: JSONObject, handler: JSONObject, limits: Limits) -> JSONObject:
    source = template.get("source")
    config_map = source.get("configMap") if isinstance(source, dict) else None
    secrets, secret_mounts = secret_volumes(template, None)
    mounts: list[JSON] = [
        {"name": "pod", "mountPath": names.POD_DIRECTORY, "readOnly": True},
        {"name": "tmp", "mountPath": "/tmp"},
        *secret_mounts,
    ]
    volumes: list[JSON] = [*_volumes(), *secrets]
    if isinstance(config_map, dict):
        mounts.append({"name": "source", "mountPath": names.SOURCE_DIRECTORY, "readOnly": True})
        volumes.append({"name": "source", "configMap": {"name": config_map.get("name"), "defaultMode": READ_ONLY}})
    spec: JSONObject = {
        "serviceAccountName": names.HANDLER_SERVICE_ACCOUNT,
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "terminationGracePeriodSeconds": GRACE,
        "securityContext": {
            "runAsNonRoot": True,
            "runAsUser": USER,
            "runAsGroup": USER,
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        "containers": [_container(namespace, app, template, handler, mounts, limits)],
        "volumes": volumes,
    }
    defaults = template.get("pod")
    for name in ("nodeSelector", "tolerations", "priorityClassName"):
        if isinstance(defaults, dict) and defaults.get(name):
            spec[name] = defaults[name]
    return spec


def _container(
    namespace: str, app: str, template: JSONObject, handler: JSONObject, mounts: list[JSON], limits: Limits
) -> JSONObject:
    env = {
        HANDLER_APP_VARIABLE: app,
        HANDLER_ENTRY_VARIABLE: template["entry"],
        HANDLER_NAMESPACE_VARIABLE: namespace,
    }
    container: JSONObject = {
        "name": "handler",
        "image": template.get("image") or limits.runtime_image,
        "command": list(COMMAND),
        "env": [{"name": name, "value": value} for name, value in env.items()],
        "ports": [{"name": "http", "containerPort": HANDLER_PORT, "protocol": "TCP"}],
        "readinessProbe": _probe("/ready", period=5, failures=3),
        "livenessProbe": _probe("/health", period=10, failures=3),
        # Importing an app may take its time; the liveness probe begins after that.
        "startupProbe": _probe("/health", period=1, failures=120),
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "capabilities": {"drop": ["ALL"]},
            "readOnlyRootFilesystem": True,
        },
        "volumeMounts": mounts,
        "terminationMessagePolicy": "FallbackToLogsOnError",
    }
    policy = template.get("imagePullPolicy") or limits.image_pull_policy
    if policy:
        container["imagePullPolicy"] = policy
    amounts: JSONObject = {name: handler[name] for name in ("cpu", "memory") if handler.get(name) is not None}
    if amounts:
        container["resources"] = {"requests": amounts, "limits": amounts}
    return container


def _probe(path: str, *, period: int, failures: int) -> JSONObject:
    return {
        "httpGet": {"path": path, "port": HANDLER_PORT},
        "periodSeconds": period,
        "failureThreshold": failures,
        "timeoutSeconds": 5,
    }


def _volumes() -> list[JSON]:
    namespace: JSONObject = {"path": "namespace", "fieldRef": {"fieldPath": "metadata.namespace"}}
    sources: list[JSON] = [
        {"serviceAccountToken": {"path": "token", "expirationSeconds": TOKEN_SECONDS}},
        {"configMap": {"name": "kube-root-ca.crt", "items": [{"key": "ca.crt", "path": "ca.crt"}]}},
        {"downwardAPI": {"items": [namespace]}},
    ]
    return [
        {"name": "pod", "projected": {"defaultMode": READ_ONLY, "sources": sources}},
        {"name": "tmp", "emptyDir": {}},
    ]
