"""The pod of one attempt, and the driver's AppTask, as data. Same input, same bytes.

Pods meet Pod Security `restricted` and are given exactly what their attempt needs: one projected
volume with the token, the CA and the call, a writable /tmp, and the app's source when it comes from
a ConfigMap.
"""

from __future__ import annotations

import json
import re
from typing import Final, cast

from application_sdk.wire import names
from application_sdk.wire.digest import JSON, JSONObject
from application_sdk.wire.fields import Call, RetryFields, TaskSpec
from application_sdk.wire.pod import LOG_FORMAT_VARIABLE, NODE_NAME_VARIABLE
from apprun_operator.observe.records import INSPECTING, Key, RunRecord, StateRecord, TaskRecord
from apprun_operator.plan.actions import CreatePod, CreateTask
from apprun_operator.plan.limits import DEADLINE_SLACK, TERMINATION_GRACE, Limits
from apprun_operator.plan.metadata import owner_reference
from apprun_operator.plan.pod import pod_additions, pod_fields, pod_template, spot
from apprun_operator.plan.pod.image_pinning import image_of
from apprun_operator.plan.pod.secrets import for_driver
from apprun_operator.plan.pod.secrets import volumes as secret_volumes
from apprun_operator.plan.pod.service_accounts import account_of
from apprun_operator.plan.pod.storage import StoreParts, store_parts
from apprun_operator.plan.saved_state import state_variables

COMMAND: Final = ("python3", "-m", "application_sdk.pod")
LONGEST_DEADLINE: Final = 2**31 - 1
DEFAULT_ENTRYPOINT: Final = "run"


def driver_task(run: RunRecord, retry: RetryFields) -> CreateTask:
    """The AppTask that stands for the route. It holds no input: its pods get the run's, which may
    be corrected."""
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
    """The pod of the current attempt of `task`, whatever its role."""
    key = Key(task.meta.key.namespace, task.pod_name)
    call = json.dumps(call_of(run, task), separators=(",", ":"), ensure_ascii=False)
    fields = spot.placed(pod_fields.of_task(run.app or {}, task), limits, task)
    fields = pod_fields.with_inherited_labels(fields, run.labels, limits.inherited_labels, for_task=task.role == "task")
    # guard: image-digest-pinned - a tag that moves would mix two versions of the code in one run
    image = fields.get("image") or image_of(run.app or {})
    body: JSONObject = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "name": key.name,
            "namespace": key.namespace,
            "labels": _labels(task),
            "annotations": {names.CALL_ANNOTATION: call, names.IMAGE_ANNOTATION: image},
            "ownerReferences": [owner_reference(names.APP_TASK_KIND, task.meta.key.name, task.meta.uid)],
        },
        "spec": _pod_spec(run, task, image, fields, limits, state),
    }
    pod_additions.add(body, fields)
    return CreatePod(key, task.meta.uid, body)


def call_of(run: RunRecord, task: TaskRecord) -> Call:
    """All that the pod of a call's current attempt has to know of it."""
    driver = task.role == "driver"
    # guard: restored-idempotency-key - the outside world knows the effects of a restored run by the
    # keys of the original
    call = Call(
        namespace=run.meta.key.namespace,
        run="" if task.role == "inspect" else run.meta.key.name,
        runUid=run.meta.uid,
        appTask=task.meta.key.name,
        attempt=task.attempt,
        role=task.role,
        key=task.key,
        task=task.task,
        entry=str((run.app or {})["entry"]),
        input=(run.input if driver else task.input).object(),
        idempotencyKey=f"{run.origin_uid}/{task.key}",
        correlationId=run.correlation_id or run.origin_uid,
    )
    if run.restored_uid:
        call["originUid"] = run.restored_uid
    entrypoint = run.entrypoint if driver else task.entrypoint
    if entrypoint:
        call["entrypoint"] = entrypoint
    if task.policy is not None:
        call["policy"] = task.policy
    if task.heartbeat is not None:
        call["heartbeat"] = task.heartbeat.object()
    source = (run.app or {}).get("sourceDigest", task.source_digest)
    if isinstance(source, str) and source:
        call["sourceDigest"] = source
    if driver and run.replay_rules:
        call["replayRules"] = run.replay_rules
    return call


def _labels(task: TaskRecord) -> JSONObject:
    app = task.run.removeprefix(INSPECTING)
    return {
        names.MANAGED_BY_LABEL: names.MANAGED_BY,
        **({names.APP_LABEL: app} if task.role == "inspect" else {names.RUN_LABEL: task.run}),
        names.TASK_LABEL: re.sub(r"[^A-Za-z0-9._-]", "-", task.task)[:63].strip("._-"),
        names.ROLE_LABEL: cast("JSON", task.role),
        names.KEY_LABEL: task.key,
        names.ATTEMPT_LABEL: str(task.attempt),
    }


def _pod_spec(
    run: RunRecord, task: TaskRecord, image: JSON, asked: JSONObject, limits: Limits, state: StateRecord | None
) -> JSONObject:
    app = run.app or {}
    account = account_of(app, task)
    # Optional, since a pod that waits for a missing ConfigMap says so nowhere; the driver's import
    # error does.
    volumes, mounts = pod_template.volumes(app, limits.tmp_size_limit, [_CALL_FILE], source_optional=True)
    store = store_parts(app.get("storage")) if task.role == "task" else StoreParts()
    secrets, secret_mounts = _secret_volumes(app, task)
    name, policy = names.container_name(task.role), app.get("imagePullPolicy")
    container = pod_template.container(
        name, image, COMMAND, [*mounts, *store.mounts, *secret_mounts], {**asked, "imagePullPolicy": policy}
    )
    container["env"] = _environment(task, state, store, limits)
    if store.env_from:
        container["envFrom"] = list(store.env_from)
    spec = pod_template.spec(
        account, TERMINATION_GRACE, container, [*volumes, *store.volumes, *secrets], asked, limits.run_as_user
    )
    spec |= {"restartPolicy": "Never", "tolerations": tolerations_of(asked, limits)}
    if store.on_volume:
        pod_template.hand_over(spec, limits.run_as_user)
    timeout = None if task.policy is None else task.policy.get("timeoutSeconds")
    if timeout is not None:
        # Kubernetes keeps it in 32 bits: one that doesn't fit would have the pod refused.
        spec["activeDeadlineSeconds"] = min(int(timeout) + DEADLINE_SLACK, LONGEST_DEADLINE)
    return spec


def _secret_volumes(app: JSONObject, task: TaskRecord) -> tuple[list[JSON], list[JSON]]:
    if task.role == "task":
        return secret_volumes(app, pod_fields.own_secrets(app, task))
    # The route only plans, so a driver is given no secret but those that its driver tasks need.
    return secret_volumes(app, for_driver(app)) if task.role == "driver" else ([], [])


_CALL_FILE: Final[JSON] = {
    "path": names.CALL_FILE,
    "fieldRef": {"fieldPath": f"metadata.annotations['{names.CALL_ANNOTATION}']"},
}


def _environment(task: TaskRecord, state: StateRecord | None, store: StoreParts, limits: Limits) -> list[JSON]:
    env: list[JSON] = [
        {"name": NODE_NAME_VARIABLE, "valueFrom": {"fieldRef": {"fieldPath": "spec.nodeName"}}},
    ]
    if task.role == "driver":
        # Sets of strings must iterate alike in each replay.
        env.append({"name": "PYTHONHASHSEED", "value": "0"})
    if limits.log_format:
        env.append({"name": LOG_FORMAT_VARIABLE, "value": limits.log_format})
    if task.role == "task":
        env += state_variables(state)
    return [*env, *store.env]


def tolerations_of(asked: JSONObject, limits: Limits) -> list[JSON]:
    """How long to stay on a node that stopped answering, since that is how lost nodes are noticed;
    then the task's own.

    In this order: Kubernetes goes by the first one that fits, and one for every taint has no limit
    of time.
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
