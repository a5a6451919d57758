"""The manifests of a warm pod and of its inbox.

The pod has all that a call's own pod has, except the call. Pure.
"""

from __future__ import annotations

import json
from typing import Final, cast

from application_sdk.wire import names
from application_sdk.wire.digest import JSON, JSONObject
from application_sdk.wire.pod import (
    LOG_FORMAT_VARIABLE,
    NODE_NAME_VARIABLE,
    POD_NAME_VARIABLE,
    POD_NAMESPACE_VARIABLE,
    POD_UID_VARIABLE,
    WORKER_CONCURRENCY_VARIABLE,
    WORKER_ENTRY_VARIABLE,
    WORKER_MAX_CALLS_VARIABLE,
    WORKER_MODE_VARIABLE,
)
from apprun_operator.observe.records import Key
from apprun_operator.observe.workers import PoolShape, WorkerRecord
from apprun_operator.plan.actions import CreatePod
from apprun_operator.plan.limits import TERMINATION_GRACE, Limits
from apprun_operator.plan.metadata import owner_reference
from apprun_operator.plan.pod import pod_additions, pod_template, spot
from apprun_operator.plan.pod.pods import tolerations_of
from apprun_operator.plan.pod.secrets import volumes as secret_volumes
from apprun_operator.plan.pod.storage import store_parts
from apprun_operator.plan.pool.actions import CreateWorker
from apprun_operator.plan.pool.shape import annotation_of

COMMAND: Final = ("python3", "-m", "application_sdk.worker")


def account_of(shape: PoolShape) -> str:
    """The service account of the pool's pods."""
    return str(shape.body.object()["account"])


def inbox(namespace: str, shape: PoolShape, slot: int) -> CreateWorker:
    """The action that creates the AppWorker of a slot, without calls."""
    key = Key(namespace, names.slot_name(shape.pool, slot))
    annotation = json.dumps(annotation_of(shape), separators=(",", ":"), ensure_ascii=False)
    metadata: JSONObject = {
        "name": key.name,
        "namespace": namespace,
        "labels": {names.MANAGED_BY_LABEL: names.MANAGED_BY, names.POOL_LABEL: shape.pool},
        "annotations": {names.POOL_ANNOTATION: annotation},
        "ownerReferences": [owner_reference(shape.owner_kind, shape.owner, shape.owner_uid)],
    }
    body: JSONObject = {
        "apiVersion": names.API_VERSION,
        "kind": names.APP_WORKER_KIND,
        "metadata": metadata,
        "spec": {"pool": shape.pool, "app": shape.owner, "slot": slot},
    }
    return CreateWorker(key, body)


def pod(worker: WorkerRecord, shape: PoolShape, limits: Limits) -> CreatePod:
    """The action that creates the pod of an inbox.

    The inbox owns it, so both are deleted together.
    """
    key, body = worker.meta.key, shape.body.object()
    image = body["image"]
    labels: JSONObject = {
        names.MANAGED_BY_LABEL: names.MANAGED_BY,
        names.POOL_LABEL: shape.pool,
        names.ROLE_LABEL: names.WORKER_CONTAINER,
    }
    if shape.owner_kind == "App":
        labels[names.APP_LABEL] = shape.owner
    pod: JSONObject = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "name": key.name,
            "namespace": key.namespace,
            "labels": labels,
            "annotations": {names.IMAGE_ANNOTATION: image},
            "ownerReferences": [owner_reference(names.APP_WORKER_KIND, key.name, worker.meta.uid)],
        },
        "spec": _spec(body, limits),
    }
    pod_additions.add(pod, cast("JSONObject", body["pod"]))
    return CreatePod(key, worker.meta.uid, pod)


def _spec(body: JSONObject, limits: Limits) -> JSONObject:
    asked = spot.placed(cast("JSONObject", body["pod"]), limits)
    volumes, mounts = pod_template.volumes(body, limits.tmp_size_limit, source_optional=True)
    store = store_parts(body.get("storage"))
    requested = body.get("wanted")
    secrets, secret_mounts = secret_volumes(body, cast("list[str]", requested) if isinstance(requested, list) else None)
    container = pod_template.container(
        names.WORKER_CONTAINER,
        body["image"],
        COMMAND,
        [*mounts, *store.mounts, *secret_mounts],
        {**asked, "imagePullPolicy": body.get("imagePullPolicy")},
    )
    container["env"] = [*_environment(body, limits), *store.env]
    if store.env_from:
        container["envFrom"] = list(store.env_from)
    account = str(body["account"])
    spec = pod_template.spec(
        account, TERMINATION_GRACE, container, [*volumes, *store.volumes, *secrets], asked, limits.run_as_user
    )
    spec |= {"restartPolicy": "Never", "tolerations": tolerations_of(asked, limits)}
    if store.on_volume:
        pod_template.hand_over(spec, limits.run_as_user)
    return spec


def _environment(body: JSONObject, limits: Limits) -> list[JSON]:
    fields = {
        NODE_NAME_VARIABLE: "spec.nodeName",
        POD_NAME_VARIABLE: "metadata.name",
        POD_NAMESPACE_VARIABLE: "metadata.namespace",
        POD_UID_VARIABLE: "metadata.uid",
    }
    env: list[JSON] = [{"name": name, "valueFrom": {"fieldRef": {"fieldPath": path}}} for name, path in fields.items()]
    values = {
        WORKER_ENTRY_VARIABLE: body["entry"],
        WORKER_MODE_VARIABLE: body["mode"],
        WORKER_CONCURRENCY_VARIABLE: body["concurrency"],
        WORKER_MAX_CALLS_VARIABLE: body.get("maxCalls"),
        LOG_FORMAT_VARIABLE: limits.log_format or None,
    }
    env += [{"name": name, "value": str(value)} for name, value in values.items() if value is not None]
    return env
