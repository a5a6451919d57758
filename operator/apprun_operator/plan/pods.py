"""The pod of one attempt, and the driver's AppTask, as data. Same input, same bytes.

Pods meet Pod Security `restricted` and are given exactly what their attempt needs: one projected volume with the token,
the CA and the call, a writable /tmp, and the app's source when it comes from a ConfigMap.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, cast

from application_sdk.wire import names
from application_sdk.wire.digest import JSON, JSONObject
from application_sdk.wire.fields import REPLAY_RULES, Call, RetryFields, TaskSpec
from application_sdk.wire.pod import LOG_FORMAT_VARIABLE, NODE_NAME_VARIABLE
from apprun_operator.observe.records import Key, RunRecord, StateRecord, TaskRecord
from apprun_operator.plan.actions import CreatePod, CreateTask
from apprun_operator.plan.commit import owner_reference
from apprun_operator.plan.limits import DEADLINE_SLACK, TERMINATION_GRACE, Limits
from apprun_operator.plan.secrets import volumes as secret_volumes
from apprun_operator.plan.state import variable
from apprun_operator.plan.storage import StoreParts, store_parts

COMMAND: Final = ("python3", "-m", "application_sdk.pod")
USER: Final = 65532
TOKEN_SECONDS: Final = 3607
READ_ONLY: Final = 0o444
DEFAULT_ENTRYPOINT: Final = "run"


def driver_task(run: RunRecord, retry: RetryFields) -> CreateTask:
    """The AppTask that stands for the route. It holds no input: its pods get the run's, which may be corrected."""
    name = run.meta.key.name
    key = Key(run.meta.key.namespace, names.driver_task_name(name))
    spec = TaskSpec(
        run=name,
        role="driver",
        key=names.DRIVER_KEY,
        task=run.entrypoint or DEFAULT_ENTRYPOINT,
        policy={"retry": retry},
    )
    metadata: JSONObject = {
        "name": key.name,
        "namespace": key.namespace,
        "labels": {
            names.MANAGED_BY_LABEL: names.MANAGED_BY,
            names.RUN_LABEL: name,
            names.ROLE_LABEL: "driver",
            names.KEY_LABEL: names.DRIVER_KEY,
        },
        "ownerReferences": [owner_reference(names.APP_RUN_KIND, name, run.meta.uid)],
    }
    body: JSONObject = {
        "apiVersion": names.API_VERSION,
        "kind": names.APP_TASK_KIND,
        "metadata": metadata,
        "spec": cast("JSON", spec),
    }
    return CreateTask(key, body)


def pod(run: RunRecord, task: TaskRecord, limits: Limits, state: StateRecord | None = None) -> CreatePod:
    """The pod of the current attempt of `task`, a driver or a task."""
    key = Key(task.meta.key.namespace, task.pod_name)
    call = json.dumps(_call(run, task), separators=(",", ":"), ensure_ascii=False)
    body: JSONObject = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "name": key.name,
            "namespace": key.namespace,
            "labels": _labels(task),
            "annotations": {names.CALL_ANNOTATION: call},
            "ownerReferences": [owner_reference(names.APP_TASK_KIND, task.meta.key.name, task.meta.uid)],
        },
        "spec": _pod_spec(run, task, limits, state),
    }
    return CreatePod(key, task.meta.uid, body)


def _call(run: RunRecord, task: TaskRecord) -> Call:
    driver = task.role == "driver"
    call = Call(
        namespace=run.meta.key.namespace,
        run=run.meta.key.name,
        runUid=run.meta.uid,
        appTask=task.meta.key.name,
        attempt=task.attempt,
        role=task.role,
        key=task.key,
        task=task.task,
        entry=str((run.app or {})["entry"]),
        input=run.input if driver else task.input,
        idempotencyKey=f"{run.meta.uid}/{task.key}",
        correlationId=run.correlation_id or run.meta.uid,
    )
    entrypoint = run.entrypoint if driver else task.entrypoint
    if entrypoint:
        call["entrypoint"] = entrypoint
    if task.policy is not None:
        call["policy"] = task.policy
    if task.heartbeat is not None:
        call["heartbeat"] = task.heartbeat
    if driver:
        call["replayRules"] = run.replay_rules or REPLAY_RULES
    return call


def _labels(task: TaskRecord) -> JSONObject:
    return {
        names.MANAGED_BY_LABEL: names.MANAGED_BY,
        names.RUN_LABEL: task.run,
        names.TASK_LABEL: re.sub(r"[^A-Za-z0-9._-]", "-", task.task)[:63].strip("._-"),
        names.ROLE_LABEL: cast("JSON", task.role),
        names.KEY_LABEL: task.key,
        names.ATTEMPT_LABEL: str(task.attempt),
    }


def _pod_spec(run: RunRecord, task: TaskRecord, limits: Limits, state: StateRecord | None) -> JSONObject:
    app = run.app or {}
    defaults = app.get("pod")
    asked: JSONObject = {**(defaults if isinstance(defaults, dict) else {}), **cast("JSONObject", task.pod)}
    account = names.DRIVER_SERVICE_ACCOUNT
    if task.role != "driver":
        account = str(asked.get("serviceAccountName") or app.get("serviceAccountName") or names.TASK_SERVICE_ACCOUNT)
    source = app.get("source")
    config_map = source.get("configMap") if isinstance(source, dict) else None
    source_mounts: list[JSON] = (
        [] if config_map is None else [{"name": "source", "mountPath": names.SOURCE_DIRECTORY, "readOnly": True}]
    )
    store = store_parts(app.get("storage")) if task.role == "task" else StoreParts()
    # The route only plans, so drivers are given no secret.
    secrets, secret_mounts = secret_volumes(app, task.pod.get("secrets")) if task.role == "task" else ([], [])
    variables = [*(variable(state) if task.role == "task" else []), *store.env]
    environment = _Environment(variables, store.env_from, limits.log_format)
    security: JSONObject = {
        "runAsNonRoot": True,
        "runAsUser": USER,
        "runAsGroup": USER,
        "seccompProfile": {"type": "RuntimeDefault"},
    }
    if store.on_volume:
        security |= {"fsGroup": USER, "fsGroupChangePolicy": "OnRootMismatch"}
    spec: JSONObject = {
        "restartPolicy": "Never",
        "serviceAccountName": account,
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "terminationGracePeriodSeconds": TERMINATION_GRACE,
        "securityContext": security,
        "containers": [_container(task, app, asked, [*source_mounts, *store.mounts, *secret_mounts], environment)],
        "volumes": [*_volumes(config_map), *store.volumes, *secrets],
        "tolerations": _tolerations(asked, limits),
    }
    for name in ("nodeSelector", "priorityClassName"):
        if asked.get(name):
            spec[name] = asked[name]
    timeout = None if task.policy is None else task.policy.get("timeoutSeconds")
    if timeout is not None:
        spec["activeDeadlineSeconds"] = int(timeout) + DEADLINE_SLACK
    return spec


@dataclass(frozen=True, slots=True)
class _Environment:
    """The environment variables that differ from app to app."""

    variables: Sequence[JSON]
    sources: Sequence[JSON]
    log_format: str


def _container(
    task: TaskRecord, app: JSONObject, asked: JSONObject, further: list[JSON], environment: _Environment
) -> JSONObject:
    mounts: list[JSON] = [
        {"name": "pod", "mountPath": names.POD_DIRECTORY, "readOnly": True},
        {"name": "tmp", "mountPath": "/tmp"},
    ]
    mounts += further
    container: JSONObject = {
        "name": task.role,
        "image": asked.get("image") or app.get("image"),
        "command": list(COMMAND),
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "capabilities": {"drop": ["ALL"]},
            "readOnlyRootFilesystem": True,
        },
        "volumeMounts": mounts,
        # When the process ends badly, the log's tail is in the pod's status: the cause of a death without a report.
        "terminationMessagePolicy": "FallbackToLogsOnError",
    }
    if app.get("imagePullPolicy"):
        container["imagePullPolicy"] = app["imagePullPolicy"]
    env: list[JSON] = [
        {"name": NODE_NAME_VARIABLE, "valueFrom": {"fieldRef": {"fieldPath": "spec.nodeName"}}},
    ]
    if task.role == "driver":
        # Sets of strings must iterate alike in each replay.
        env.append({"name": "PYTHONHASHSEED", "value": "0"})
    if environment.log_format:
        env.append({"name": LOG_FORMAT_VARIABLE, "value": environment.log_format})
    container["env"] = [*env, *environment.variables]
    if environment.sources:
        container["envFrom"] = list(environment.sources)
    amounts: JSONObject = {name: asked[name] for name in ("cpu", "memory") if asked.get(name) is not None}
    if amounts:
        container["resources"] = {"requests": amounts, "limits": amounts}
    return container


def _volumes(config_map: JSON) -> list[JSON]:
    call: JSONObject = {
        "path": names.CALL_FILE,
        "fieldRef": {"fieldPath": f"metadata.annotations['{names.CALL_ANNOTATION}']"},
    }
    namespace: JSONObject = {"path": "namespace", "fieldRef": {"fieldPath": "metadata.namespace"}}
    sources: list[JSON] = [
        {"serviceAccountToken": {"path": "token", "expirationSeconds": TOKEN_SECONDS}},
        {"configMap": {"name": "kube-root-ca.crt", "items": [{"key": "ca.crt", "path": "ca.crt"}]}},
        {"downwardAPI": {"items": [namespace, call]}},
    ]
    volumes: list[JSON] = [
        {"name": "pod", "projected": {"defaultMode": READ_ONLY, "sources": sources}},
        {"name": "tmp", "emptyDir": {}},
    ]
    if isinstance(config_map, dict):
        # Optional, since a pod that waits for a missing ConfigMap says so nowhere; the driver's import error does.
        source: JSONObject = {"name": config_map.get("name"), "optional": True, "defaultMode": READ_ONLY}
        volumes.append({"name": "source", "configMap": source})
    return volumes


def _tolerations(asked: JSONObject, limits: Limits) -> list[JSON]:
    """How long to stay on a node that stopped answering, since that is how lost nodes are noticed; then the task's own.

    In this order: Kubernetes goes by the first one that fits, and one for every taint has no limit of time.
    """
    own = asked.get("tolerations")
    lost: list[JSON] = [
        {
            "key": f"node.kubernetes.io/{taint}",
            "operator": "Exists",
            "effect": "NoExecute",
            "tolerationSeconds": limits.node_lost_grace,
        }
        for taint in ("not-ready", "unreachable")
    ]
    return [*lost, *(own if isinstance(own, list) else [])]
