"""Parses AppRuns, AppTasks and pods into records. Pure, and lenient: a malformed field reads as a missing one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Final, cast

from application_sdk.cli.cluster.api import Object
from application_sdk.cli.cluster.pools import pools_for, pools_of, with_waits
from application_sdk.cli.sources.records import Attempt, Call, DeployedApp, Phase, Run, RunDetails, State
from application_sdk.engines.kubernetes.ledger import outcome_of
from application_sdk.replay.identity import consumed
from application_sdk.wire import containers, names
from application_sdk.wire.call_state import PodState, call_state
from application_sdk.wire.fields import ErrorFields, ProgressFields, Role
from application_sdk.wire.reasons import COMPLETED

LIMITED: Final = "wait for their turn"
"""What the message of a run says while one of its own limits holds calls back."""
NOT_SEEN: Final = "NotSeen"
"""Reason of a run that no operator has looked at yet."""


def run_of(item: Object, context: str) -> Run:
    """An AppRun."""
    metadata, spec, status = _part(item, "metadata"), _part(item, "spec"), _part(item, "status")
    app, tasks = _part(status, "app"), _part(status, "tasks")
    inline, chained = _part(spec, "app"), _part(spec, "continuedFrom")
    entry = str(app.get("entry") or inline.get("entry") or "")
    phase = cast("Phase", status.get("phase") or "Pending")
    return Run(
        name=str(metadata.get("name", "?")),
        phase=phase,
        app=str(app.get("name") or _part(spec, "appRef").get("name") or entry.rpartition(":")[2]),
        entry=entry,
        entrypoint=str(spec.get("entrypoint") or ""),
        input=_part(spec, "input"),
        output=status.get("output"),
        error=cast("ErrorFields | None", status.get("error")),
        reason=_reason(status) if status.get("phase") else NOT_SEEN,
        message=str(status.get("message") or ""),
        created_at=seconds(metadata.get("creationTimestamp")) or 0.0,
        started_at=seconds(status.get("startedAt")),
        finished_at=seconds(status.get("finishedAt")),
        correlation_id=str(spec.get("correlationId") or origin_uid(item)),
        continued_from=chained.get("name"),
        continued_as=status.get("continuedAs"),
        namespace=str(metadata.get("namespace") or ""),
        context=context,
        calls=int(tasks.get("total") or 0),
        done=int(tasks.get("succeeded") or 0),
        failed=int(tasks.get("failed") or 0),
    )


def origin_uid(run: Object) -> str:
    """The uid that an AppRun began with: that of the run that it was restored from, if it was."""
    restored = _part(_part(run, "status"), "restoredFrom").get("uid")
    return str(restored or _part(run, "metadata").get("uid") or "")


def app_of(item: Object) -> DeployedApp:
    """An App."""
    spec = _part(item, "spec")
    ready = _condition(_part(item, "status"), "Ready")
    status = str(ready.get("status") or "Unknown")
    return DeployedApp(
        name=str(_part(item, "metadata").get("name", "?")),
        entry=str(spec.get("entry") or ""),
        image=str(spec.get("image") or ""),
        is_ready=None if status == "Unknown" else status == "True",
        reason=str(ready.get("reason") or ""),
        message=str(ready.get("message") or ""),
        pools=pools_of(item),
    )


def details_of(run: Object, tasks: Sequence[Object], pods: Sequence[Object], pages: Sequence[Object], context: str,
               now: float, app: Object | None = None) -> RunDetails:  # fmt: skip
    """An AppRun with its AppTasks. `pods` are those that exist, warm ones included, `pages` its older checkpoints,
    and `app` its App, if calls of it have warm pods."""
    checkpoints: dict[str, Mapping[str, Any]] = {}
    for entry in [*(checkpoint for page in pages for checkpoint in _part(page, "spec").get("checkpoints") or []),
                  *(_part(run, "status").get("checkpoints") or [])]:  # fmt: skip
        checkpoints[str(entry.get("key"))] = entry
    by_name = {str(_part(pod, "metadata").get("name")): pod for pod in pods}
    calls = [call_of(task, checkpoints, by_name, now) for task in tasks]
    driver = next((call for call in calls if call.role == "driver"), None)
    ordered = sorted(
        (call for call in calls if call.role != "driver"), key=lambda call: (call.position, call.called_at or 0)
    )
    cancelled = seconds(_part(run, "status").get("cancelledAt"))
    record, pools = run_of(run, context), pools_of(app)
    # A call that one of the run's own limits holds back doesn't wait for its pool yet.
    if not record.finished and LIMITED not in record.message:
        ordered = with_waits(ordered, pools)
    return RunDetails(record, tuple(ordered), driver, cancelled, pools_for(ordered, pools))


def call_of(task: Object, checkpoints: Mapping[str, Mapping[str, Any]], pods: Mapping[str, Object], now: float) -> Call:
    """An AppTask with its checkpoint, if it has one, and its pod, if there is one."""
    metadata, spec = _part(task, "metadata"), _part(task, "spec")
    status: Mapping[str, Any] = outcome_of(task)
    identity, key = _part(spec, "identity"), str(spec.get("key") or "")
    number = int(status.get("attempt") or names.FIRST_ATTEMPT)
    pod = _pod_of(metadata, status, number, pods)
    checkpoint = checkpoints.get(key)
    state = _state(spec, status, pod, now)
    over = state in ("Succeeded", "Failed", "Cancelled")
    assigned = _part(status, "pod")
    created = seconds(metadata.get("creationTimestamp"))
    due = seconds(status.get("notBefore"))
    if spec.get("role") == "timer" and created is not None:
        due = created + float(spec.get("seconds") or 0.0)
    started_at = seconds(status.get("startedAt")) if over or assigned or pod is None else _pod_began(pod)
    if started_at is None and not over:
        started_at = seconds(status.get("assignedAt"))
    return Call(
        key=key,
        task=str(spec.get("task") or "?"),
        role=cast("Role", spec.get("role") or "task"),
        state=state,
        input=_part(spec, "input"),
        line=str(spec.get("line") or "").removeprefix(f"{names.SOURCE_DIRECTORY}/"),
        position=int(spec.get("sequence") or 0),
        sequence=int(checkpoint["sequence"]) if checkpoint and "sequence" in checkpoint else None,
        output=status.get("output") if state == "Succeeded" else None,
        error=cast("ErrorFields | None", status.get("error")) if state in ("Failed", "Cancelled") else None,
        message=_message(state, status, pod),
        called_at=created,
        started_at=started_at,
        committed_at=seconds(checkpoint.get("at")) if checkpoint else seconds(status.get("finishedAt")),
        due_at=None if over else due,
        attempt=0 if state == "Queued" and number == 1 and not status.get("attempts") else number,
        node=str(_part(pod, "spec").get("nodeName") or "") if pod and not over else str(status.get("node") or ""),
        pod=str(assigned.get("name") or ""),
        max_pods=_max_pods(spec),
        progress=cast("ProgressFields | None", status.get("progress")),
        attempts=_attempts(spec, status, state, number, started_at),
        has_reported=any(status.get(field) for field in ("startedAt", "heartbeat", "progress")),
        consumed=consumed(str(spec.get("task") or ""), str(identity.get("inputDigest") or "")),
        lineage=str(identity.get("lineage") or ""),
    )


def seconds(timestamp: object) -> float | None:
    """Seconds since the epoch of an RFC 3339 time, None for anything else."""
    try:
        return datetime.fromisoformat(timestamp).timestamp() if isinstance(timestamp, str) else None
    except ValueError:
        return None


def pod_trouble(pod: Object, container: str = "") -> str:
    """Why a pod doesn't start, in the cluster's own words; empty when it is on its way. `container` is the one that
    counts, where the pod's labels don't say it."""
    gates, blocker = containers.gates(pod), containers.blocker(pod)
    if gates:
        return f"{containers.SCHEDULING_GATED}: the pod is queued: its scheduling gates ({gates}) are closed"
    if blocker is not None:
        return f"{containers.INIT_CONTAINER_FAILED}: {blocker.words}"
    state = _part(containers.status_of(pod, container or containers.container_of(pod)), "state")
    waiting = _part(state, "waiting")
    if waiting.get("reason") and waiting["reason"] not in containers.STARTING:
        return f"{waiting['reason']}: {waiting.get('message') or 'no details'}"
    for condition in _part(pod, "status").get("conditions") or []:
        if condition.get("type") == "PodScheduled" and condition.get("status") == "False":
            return f"{condition.get('reason') or 'Unschedulable'}: {condition.get('message') or 'no details'}"
    return ""


def _pod_of(
    metadata: Mapping[str, Any], status: Mapping[str, Any], attempt: int, pods: Mapping[str, Object]
) -> Object | None:
    """The pod of the current attempt: the one that it is assigned to, else the one that is named after it."""
    assigned = _part(status, "pod")
    if assigned:
        pod = pods.get(str(assigned.get("name")))
        # Another pod may have the name by now, and says nothing about this call.
        return pod if pod is not None and _part(pod, "metadata").get("uid") == assigned.get("uid") else None
    owners = metadata.get("ownerReferences")
    owner = owners[0] if isinstance(owners, list) and owners and isinstance(owners[0], dict) else {}
    return pods.get(names.pod_name(str(metadata.get("name")), attempt, str(owner.get("uid") or "")))


def _max_pods(spec: Mapping[str, Any]) -> int:
    """How many pods the call's pool may have; 0 for a call with a pod of its own."""
    if not isinstance(spec.get("reuse"), dict):
        return 0
    most = _part(_part(spec, "reuse"), "replicas").get("max")
    return most if isinstance(most, int) else 1


def _state(spec: Mapping[str, Any], status: Mapping[str, Any], pod: Object | None, now: float) -> State:
    due = seconds(status.get("notBefore"))
    phase, role = str(status.get("phase") or ""), str(spec.get("role") or "")
    # Calls are assigned to pods that run, so an assignment is enough for whoever may not list pods.
    pod_state = "started" if pod is None and _part(status, "pod") else _pod_state(pod)
    return call_state(phase, role, pod_state, backing_off=due is not None and due > now)


def _pod_state(pod: Object | None) -> PodState:
    if pod is None:
        return "absent"
    # The pod is Pending as well when another container's image is missing, while the call's own is at work.
    pending = _part(pod, "status").get("phase", "Pending") == "Pending" and _pod_began(pod) is None
    return "starting" if pending or containers.blocker(pod) is not None else "started"


def _message(state: State, status: Mapping[str, Any], pod: Object | None) -> str:
    if state in ("Succeeded", "Failed", "Cancelled", "Sleeping"):
        return ""
    if state == "Waiting":
        return str(status.get("message") or "")
    if pod is None:
        return ""
    return pod_trouble(pod) if state == "Starting" else _running_trouble(status, pod)


def _running_trouble(status: Mapping[str, Any], pod: Object) -> str:
    """Why a call whose pod was started isn't at work all the same; empty when it is, as far as Kubernetes knows."""
    if status.get("phase") == "Saving":
        return "Saving: it has succeeded, and the operator keeps its state before that counts"
    pod_status = _part(pod, "status")
    phase = pod_status.get("phase")
    if phase in ("Succeeded", "Failed"):
        how = f"{phase}{_exit_of(pod)}"
        return f"PodEnded: its pod has ended ({how}) without a report, and the operator hasn't answered yet"
    if _part(pod, "metadata").get("deletionTimestamp"):
        return "PodTerminating: its pod is being deleted"
    none: Mapping[str, Any] = {}
    ready = next(
        (condition for condition in pod_status.get("conditions") or [] if condition.get("type") == "Ready"), none
    )
    if phase == "Unknown" or (ready.get("status") == "False" and _pod_runs(pod_status)):
        node = _part(pod, "spec").get("nodeName") or "?"
        return f"NodeLost: node {node} doesn't answer ({ready.get('reason') or 'no reason given'})"
    return ""


def _exit_of(pod: Object) -> str:
    ended = _part(_part(containers.status_of(pod, containers.container_of(pod)), "state"), "terminated")
    return f", exit code {ended['exitCode']}" if "exitCode" in ended else ""


def _pod_runs(status: Mapping[str, Any]) -> bool:
    """Whether kubelet said last that all containers run: our pods have no readiness of their own to lose."""
    entries = status.get("containerStatuses") or []
    return bool(entries) and all("running" in _part(entry, "state") for entry in entries)


def _attempts(
    spec: Mapping[str, Any], status: Mapping[str, Any], state: State, number: int, started_at: float | None
) -> tuple[Attempt, ...]:
    ended = [
        Attempt(
            number=int(entry.get("attempt") or 0),
            reason=entry.get("reason"),
            budget=entry.get("budget"),
            message=str(entry.get("message") or ""),
            exit_code=entry.get("exitCode"),
            node=str(entry.get("node") or ""),
            started_at=seconds(entry.get("startedAt")),
            finished_at=seconds(entry.get("finishedAt")),
            log=_kept_log(status, entry),
        )
        for entry in status.get("attempts") or []
    ]
    if spec.get("role") != "timer" and state in ("Running", "Succeeded") and started_at is not None:
        done = state == "Succeeded"
        ended.append(
            Attempt(
                number=number,
                reason=COMPLETED if done else None,
                node=str(status.get("node") or ""),
                started_at=started_at,
                finished_at=seconds(status.get("finishedAt")) if done else None,
            )
        )
    return tuple(ended)


def _kept_log(status: Mapping[str, Any], attempt: Mapping[str, Any]) -> str:
    """The log's end that is kept of the latest attempt that failed, if it is this one."""
    log = _part(status, "log")
    tail = log.get("tail")
    return tail if isinstance(tail, str) and log.get("attempt") == attempt.get("attempt") else ""


def _pod_began(pod: Object) -> float | None:
    state = _part(containers.status_of(pod, containers.container_of(pod)), "state")
    began = (seconds(_part(state, kind).get("startedAt")) for kind in ("running", "terminated"))
    return next((at for at in began if at is not None), None)


def _reason(status: Mapping[str, Any]) -> str:
    return str(_condition(status, "Ready").get("reason") or "")


def _condition(status: Mapping[str, Any], type: str) -> Mapping[str, Any]:
    none: Mapping[str, Any] = {}
    return next((condition for condition in status.get("conditions") or [] if condition.get("type") == type), none)


def _part(item: Mapping[str, Any], name: str) -> dict[str, Any]:
    part = item.get(name)
    return part if isinstance(part, dict) else {}
