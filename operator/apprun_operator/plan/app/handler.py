"""What serves an App over HTTP, as data: a Deployment and a Service. Same input, same bytes.

The pods meet Pod Security `restricted`. They have the app's code and secrets, as its task pods do,
and a service account of their own, which may start and read runs.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from application_sdk.wire import names
from application_sdk.wire.digest import JSON, JSONObject
from application_sdk.wire.pod import (
    HANDLER_APP_VARIABLE,
    HANDLER_ENTRY_VARIABLE,
    HANDLER_NAMESPACE_VARIABLE,
    HANDLER_PORT,
)
from apprun_operator.observe.apps import AppRecord
from apprun_operator.plan.limits import Limits
from apprun_operator.plan.metadata import owner_reference
from apprun_operator.plan.pod import pod_additions, pod_fields, pod_template
from apprun_operator.plan.pod.secrets import volumes as secret_volumes

COMMAND: Final = ("python3", "-m", "application_sdk.server.pod")
SERVICE_PORT: Final = 80
GRACE: Final = 20
"""Seconds for requests under way to end."""


def deployment(app: AppRecord, template: JSONObject, limits: Limits) -> JSONObject:
    """The Deployment of an App with `spec.handler`; `template` is its spec."""
    handler = app.handler or {}
    key = app.meta.key
    pod: JSONObject = {
        "metadata": {"labels": _labels(app)},
        "spec": _pod(key.namespace, key.name, template, handler, limits),
    }
    pod_additions.add(pod, pod_fields.of_app(template))
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": _metadata(app),
        "spec": {
            "replicas": replicas(app),
            "selector": {"matchLabels": _labels(app)},
            "strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": 0, "maxSurge": 1}},
            "template": pod,
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
    secrets, secret_mounts = secret_volumes(template, None)
    volumes, mounts = pod_template.volumes(template, limits.tmp_size_limit, source_optional=False)
    asked = pod_fields.of_app(template)
    container = _container(template, handler, [*mounts, *secret_mounts], limits)
    env = {
        HANDLER_APP_VARIABLE: app,
        HANDLER_ENTRY_VARIABLE: template["entry"],
        HANDLER_NAMESPACE_VARIABLE: namespace,
    }
    container["env"] = [{"name": name, "value": value} for name, value in env.items()]
    spec = pod_template.spec(
        names.HANDLER_SERVICE_ACCOUNT, GRACE, container, [*volumes, *secrets], asked, limits.run_as_user
    )
    if asked.get("tolerations"):
        spec["tolerations"] = asked["tolerations"]
    return spec


def _container(template: JSONObject, handler: JSONObject, mounts: Sequence[JSON], limits: Limits) -> JSONObject:
    image = template.get("image") or limits.runtime_image
    policy = template.get("imagePullPolicy") or limits.image_pull_policy
    return {
        **pod_template.container("handler", image, COMMAND, mounts, {**handler, "imagePullPolicy": policy}),
        "ports": [{"name": "http", "containerPort": HANDLER_PORT, "protocol": "TCP"}],
        "readinessProbe": _probe("/ready", period=5, failures=3),
        "livenessProbe": _probe("/health", period=10, failures=3),
        # Importing an app may take its time; the liveness probe begins after that.
        "startupProbe": _probe("/health", period=1, failures=120),
    }


def _probe(path: str, *, period: int, failures: int) -> JSONObject:
    return {
        "httpGet": {"path": path, "port": HANDLER_PORT},
        "periodSeconds": period,
        "failureThreshold": failures,
        "timeoutSeconds": 5,
    }
