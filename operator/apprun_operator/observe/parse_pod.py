"""Parses a raw pod into its record, reduced to what plans depend on."""

from __future__ import annotations

from typing import Final

from application_sdk.wire import containers, logs, names, pod_rules
from apprun_operator.observe.fields import Raw, Unreadable
from apprun_operator.observe.fields import object_ as _object
from apprun_operator.observe.fields import time as _time
from apprun_operator.observe.parse import meta
from apprun_operator.observe.pods import PodRecord
from apprun_operator.observe.records import INSPECTING
from apprun_operator.observe.workers import POOLED

QUEUE_EVICTION: Final = "TerminationTarget"
"""Condition that Kueue sets on a pod just before it deletes it."""
MOUNTED: Final = frozenset({"secret", "configMap", "csi", "persistentVolumeClaim", "nfs"})
"""Kinds of volumes whose absence keeps a pod waiting without a reason in its status."""


def pod(raw: Raw) -> PodRecord:
    """Parse a pod of an AppTask.

    Raises Unreadable if no AppTask owns it or it lacks AppRun's labels.
    """
    identity, data = meta(raw), _object(raw, "metadata")
    status = _object(raw, "status", {})
    labels = data.get("labels") or {}
    owners = data.get("ownerReferences") or []
    owner = next((o for o in owners if o.get("kind") == names.APP_TASK_KIND), None)
    attempt = labels.get(names.ATTEMPT_LABEL, "")
    pool = labels.get(names.POOL_LABEL)
    inspected = labels.get(names.APP_LABEL) if labels.get(names.ROLE_LABEL) == "inspect" else None
    run = labels.get(names.RUN_LABEL) if inspected is None else f"{INSPECTING}{inspected}"
    if pool is not None:
        # A warm pod belongs to no call: it is filed under its pool.
        owner = next((o for o in owners if o.get("kind") == names.APP_WORKER_KIND), None)
        run, attempt = f"{POOLED}{pool}", "0"
    if owner is None or run is None or not str(attempt).isdigit():
        raise Unreadable("the pod has AppRun's labels but isn't owned by an AppTask or AppWorker")
    conditions: Raw = {c.get("type", ""): c for c in status.get("conditions") or []}
    scheduled = conditions.get("PodScheduled", {})
    disruption = conditions.get("DisruptionTarget", {})
    disrupted = disruption.get("status") == "True"
    eviction = conditions.get(QUEUE_EVICTION, {})
    evicted = eviction.get("status") == "True"
    own = containers.container_of(raw)
    container, image = containers.status_of(raw, own), containers.declared(raw, own).get("image", "")
    state: Raw = container.get("state") or {}
    waiting, ended, running = (state.get(name) or {} for name in ("waiting", "terminated", "running"))
    spec = _object(raw, "spec")
    return PodRecord(
        identity,
        run=run,
        task=owner.get("name", ""),
        attempt=int(attempt),
        image=image,
        # Pods of older operators lack the annotation.
        asked_image=(data.get("annotations") or {}).get(names.IMAGE_ANNOTATION) or image,
        image_id=container.get("imageID") or "",
        phase=status.get("phase", "Pending"),
        node=spec.get("nodeName", ""),
        reason=status.get("reason", ""),
        message=status.get("message", ""),
        deletion_at=_time(data, "deletionTimestamp"),
        disruption=disruption.get("reason", "") if disrupted else "",
        disruption_message=disruption.get("message", "") if disrupted else "",
        unschedulable=scheduled.get("message", "") if scheduled.get("reason") == "Unschedulable" else "",
        gates=containers.gates(raw),
        queue=labels.get(pod_rules.QUEUE_LABEL) or "",
        queue_eviction=(eviction.get("message") or eviction.get("reason") or "unnamed") if evicted else "",
        scheduled_at=(_time(scheduled, "lastTransitionTime") or 0.0) if scheduled.get("status") == "True" else 0.0,
        blocker=containers.blocker(raw),
        waiting_reason=waiting.get("reason", ""),
        waiting_message=waiting.get("message", ""),
        exit_code=ended.get("exitCode"),
        exit_reason=ended.get("reason", ""),
        exit_message=logs.plain(ended.get("message", "")),
        running_since=_time(running, "startedAt"),
        mounts=any(_may_be_missing(volume) for volume in spec.get("volumes") or []),
    )


def _may_be_missing(volume: Raw) -> bool:
    return any(name in volume and not (volume[name] or {}).get("optional") for name in MOUNTED)
