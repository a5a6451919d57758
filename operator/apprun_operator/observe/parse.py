"""Parses raw JSON of the API server into records: from lists, watches, and responses to the
operator's writes.

An App or AppRun that can't be read becomes a record with a `problem`. Any other object that can't
be read raises `Unreadable`, and its run reports it. Nothing here relies on a schema: objects
outlive the schemas that admitted them.
"""

from __future__ import annotations

from typing import Final, cast

from application_sdk.wire import names
from application_sdk.wire.digest import JSON, digest
from application_sdk.wire.fields import (
    MAX_HEARTBEAT_BYTES,
    PAGE_SIZE,
    TERMINAL_TASK_PHASES,
    Checkpoint,
    ContinuationFields,
    ErrorFields,
    Role,
    RunPhase,
    TaskPhase,
)
from application_sdk.wire.pod_fields import PodFields
from apprun_operator.observe import times
from apprun_operator.observe.apps import AppRecord, InspectionRecord, InspectionResult
from apprun_operator.observe.fields import Raw, Unreadable, check_whole, packed, packed_object
from apprun_operator.observe.fields import count as _count
from apprun_operator.observe.fields import number as _number
from apprun_operator.observe.fields import object_ as _object
from apprun_operator.observe.fields import policy as _policy
from apprun_operator.observe.fields import seconds as _seconds
from apprun_operator.observe.fields import text as _text
from apprun_operator.observe.fields import time as _time
from apprun_operator.observe.packed_json import EMPTY, Contracts, Packed
from apprun_operator.observe.parse_reuse import reuse
from apprun_operator.observe.records import (
    INSPECTING,
    AppSpecRecord,
    Condition,
    Key,
    Meta,
    PageRecord,
    Parked,
    RunRecord,
    StateRecord,
    TaskRecord,
)

TEMPLATE_FIELDS: Final = (
    "entry",
    "image",
    "imagePullPolicy",
    "source",
    "serviceAccountName",
    "pod",
    "storage",
    "secrets",
    "tasks",
    "driver",
    "parkAfterSeconds",
)
RUN_PHASES: Final = frozenset(
    {"Pending", "Running", "Suspended", "Stalled", "Cancelling", "Succeeded", "Failed", "Cancelled"}
)
TASK_PHASES: Final = frozenset({"Active", "Waiting", "Saving", "Succeeded", "Failed", "Cancelled"})
ROLES: Final = frozenset({"driver", "task", "timer", "inspect", "local"})
RESULTS: Final = frozenset({"Published", "Refused", "Failed"})


def meta(raw: Raw) -> Meta:
    """Name, identity and version of any object."""
    data = _object(raw, "metadata")
    owners = data.get("ownerReferences") or [{}]
    try:
        return Meta(
            key=Key(data.get("namespace", ""), data["name"]),
            uid=data["uid"],
            version=int(data["resourceVersion"]),
            created=times.parse(data["creationTimestamp"]),
            generation=data.get("generation", 0),
            deleting="deletionTimestamp" in data,
            owner_uid=owners[0].get("uid", ""),
        )
    except (KeyError, ValueError, TypeError) as error:
        raise Unreadable(f"metadata can't be read: {error!r}") from error


def owning_run(raw: Raw) -> str:
    """Name of the run that owns an object; empty if none does."""
    owners = _object(raw, "metadata").get("ownerReferences") or []
    return next((str(owner.get("name", "")) for owner in owners if owner.get("kind") == names.APP_RUN_KIND), "")


def app(raw: Raw) -> AppRecord:
    identity = meta(raw)
    try:
        check_whole(raw)
        spec, status = _object(raw, "spec"), _object(raw, "status", {})
        return AppRecord(
            identity,
            _app_spec(spec, "spec"),
            handler=None if spec.get("handler") is None else _object(spec, "handler"),
            conditions=_conditions(raw),
            observed_generation=_number(status, "observedGeneration") or 0,
            handler_status=None if status.get("handler") is None else _object(status, "handler"),
            refuses_changes=spec.get("contractChanges") == "Refuse",
            inspect_request=_text(_object(_object(raw, "metadata"), "annotations", {}), names.INSPECT_ANNOTATION, ""),
            inspection=_inspected(_object(status, "inspection", {})),
            contracts=None if status.get("contracts") is None else Contracts.of(_object(status, "contracts")),
            pools=Packed.of(status.get("pools") or []),
        )
    except Exception as error:  # noqa: BLE001 (whatever is wrong with it is this object's problem)
        return AppRecord(identity, None, problem=str(error), conditions=_conditions(raw))


def _inspected(status: Raw) -> InspectionRecord | None:
    """None also if a later version of the operator wrote it: the App is inspected again then."""
    result = status.get("result")
    if result not in RESULTS:
        return None
    return InspectionRecord(
        code=_text(status, "code", ""),
        at=_time(status, "at") or 0.0,
        result=cast("InspectionResult", result),
        failures=_count(status, "failures"),
    )


def run(raw: Raw) -> RunRecord:
    identity = meta(raw)
    try:
        check_whole(raw)
        return _run(identity, raw)
    except Exception as error:  # noqa: BLE001 (as above)
        return RunRecord(identity, problem=str(error), conditions=_conditions(raw), phase=_readable_phase(raw))


def _run(identity: Meta, raw: Raw) -> RunRecord:
    spec, status = _object(raw, "spec"), _object(raw, "status", {})
    phase = _text(status, "phase", "Pending")
    if phase not in RUN_PHASES:
        raise Unreadable(f"status.phase {phase!r} is unknown to this version of the operator")
    resolved = status.get("app")
    if resolved is not None and not (isinstance(resolved, dict) and isinstance(resolved.get("entry"), str)):
        raise Unreadable("status.app has no entry")
    pages = _count(status, "ledgerPages")
    checkpoints = _checkpoints(status.get("checkpoints") or [], "status.checkpoints")
    # guard: sequence-across-pages - the status continues where the pages end, or a page is missing
    _check_seam(pages, checkpoints)
    inline = spec.get("app")
    annotations = _object(_object(raw, "metadata"), "annotations", {})
    labels = _object(_object(raw, "metadata"), "labels", {})
    return RunRecord(
        identity,
        labels={key: value for key, value in labels.items() if isinstance(value, str)},
        app_ref=_text(_object(spec, "appRef", {}), "name", ""),
        inline_app=None if inline is None else _app_spec(inline, "spec.app"),
        entrypoint=_text(spec, "entrypoint", ""),
        input=packed_object(spec, "input", "spec"),
        parallelism=_number(spec, "parallelism"),
        timeout_seconds=_seconds(spec, "timeoutSeconds"),
        suspend=spec.get("suspend") is True,
        cancel=spec.get("cancel") is True,
        cancel_grace=_seconds(spec, "cancelGraceSeconds"),
        ttl_seconds=_seconds(_object(spec, "retention", {}), "ttlSecondsAfterFinished"),
        correlation_id=_text(spec, "correlationId", ""),
        spec=Packed.of({name: value for name, value in spec.items() if name != "input"}),
        phase=cast("RunPhase", phase),
        conditions=_conditions(raw),
        observed_generation=_number(status, "observedGeneration") or -1,
        message=_text(status, "message", ""),
        started_at=_time(status, "startedAt"),
        cancelled_at=_time(status, "cancelledAt"),
        finished_at=_time(status, "finishedAt"),
        replay_rules=_number(status, "replayRules") or 0,
        app=resolved,
        counts={name: count for name, count in _object(status, "tasks", {}).items() if isinstance(count, int)},
        checkpoints=checkpoints,
        pages=pages,
        began_as=_text(annotations, names.BEGAN_AS_ANNOTATION, ""),
        restored_from=_text(annotations, names.RESTORED_FROM_ANNOTATION, ""),
        restored_uid=_text(_object(status, "restoredFrom", {}), "uid", ""),
    )


def task(raw: Raw) -> TaskRecord:
    identity, spec = meta(raw), _object(raw, "spec")
    status: Raw = _object(raw, "status", {})
    role = spec.get("role")
    # guard: driver-task-outcome-in-spec - a recorded call would be given a pod and executed again
    if role == "local":
        # The call's driver has recorded the outcome together with the call. No pod reports into the
        # status.
        status = _outcome(spec)
    phase = status.get("phase") or "Active"
    if role != "inspect":
        # An inspection without its report has failed, and its App reports that.
        check_whole(raw)
    attempt = status.get("attempt", names.FIRST_ATTEMPT)
    if role not in ROLES or phase not in TASK_PHASES or not isinstance(attempt, int):
        raise Unreadable(f"role {role!r}, phase {phase!r} or attempt {attempt!r} is unknown to this version")
    error = _error(status)
    return TaskRecord(
        identity,
        run=f"{INSPECTING}{_text(spec, 'app')}" if role == "inspect" else _text(spec, "run"),
        role=cast("Role", role),
        key=_text(spec, "key"),
        task=_text(spec, "task"),
        entrypoint=_text(spec, "entrypoint", ""),
        sequence=_number(spec, "sequence") or 0,
        input=packed_object(spec, "input", "spec"),
        policy=_policy(spec),
        pod=cast("PodFields", spec.get("pod") or {}),
        seconds=_seconds(spec, "seconds") or 0.0,
        cleanup=spec.get("cleanup") is True,
        source_digest=_text(spec, "sourceDigest", ""),
        phase=cast("TaskPhase", phase),
        attempt=attempt,
        digest=_outcome_digest(phase, status),
        output=_output(status, role),
        continue_with=_continuation(status) if role == "driver" else None,
        error=error,
        heartbeat=packed(status.get("heartbeat"), "status.heartbeat", MAX_HEARTBEAT_BYTES),
        progress=_progress(status) if role == "driver" else "",
        abandoned=_abandoned(status) if role == "driver" else frozenset(),
        parked=_parked(status, attempt) if role == "driver" else None,
        saves=_writes(status) if phase == "Saving" else None,
        node=_text(status, "node", ""),
        started_at=_time(status, "startedAt") or 0.0,
        finished_at=_time(status, "finishedAt") or 0.0,
        attempts=tuple(status.get("attempts") or ()),
        not_before=_time(status, "notBefore") or 0.0,
        message=_text(status, "message", ""),
        restored_from=_text(_object(_object(raw, "metadata"), "annotations", {}), names.RESTORED_FROM_ANNOTATION, ""),
        reuse=reuse(spec) if role == "task" else None,
        assigned_name=_text(_object(status, "pod", {}), "name", ""),
        assigned_uid=_text(_object(status, "pod", {}), "uid", ""),
        assigned_at=_time(status, "assignedAt") or 0.0,
    )


def _outcome(spec: Raw) -> Raw:
    outcome = _object(spec, "outcome")
    if outcome.get("phase") not in TERMINAL_TASK_PHASES:
        raise Unreadable(f"spec.outcome.phase {outcome.get('phase')!r} is not an outcome of a call")
    return outcome


def _abandoned(status: Raw) -> frozenset[str]:
    keys = status.get("abandoned")
    return frozenset(key for key in keys if isinstance(key, str)) if isinstance(keys, list) else frozenset()


def _parked(status: Raw, attempt: int) -> Parked | None:
    parked = status.get("parked")
    if not isinstance(parked, dict) or parked.get("attempt") != attempt:
        return None
    length, calls = parked.get("ledgerLength"), parked.get("openCalls")
    return Parked(length, calls) if isinstance(length, int) and isinstance(calls, int) else None


def _progress(status: Raw) -> str:
    progress = status.get("progress")
    message = progress.get("message") if isinstance(progress, dict) else None
    return message if isinstance(message, str) else ""


def page(raw: Raw) -> PageRecord:
    check_whole(raw)
    spec = _object(raw, "spec")
    entries = _checkpoints(spec.get("checkpoints") or [], "spec.checkpoints")
    number = spec.get("number")
    if not isinstance(number, int):
        raise Unreadable("spec.number is not a number")
    return PageRecord(
        meta(raw), _text(spec, "run"), number, {entry["key"]: entry.get("digest", "") for entry in entries}
    )


def state(raw: Raw) -> StateRecord:
    check_whole(raw)
    spec = _object(raw, "spec")
    entries = _object(spec, "entries", {})
    for key, entry in entries.items():
        if not isinstance(entry, dict) or not isinstance(entry.get("value"), dict):
            raise Unreadable(f"spec.entries[{key!r}].value is not an object")
    applied = spec.get("applied") or []
    if not isinstance(applied, list):
        raise Unreadable("spec.applied is not a list")
    return StateRecord(meta(raw), Packed.of(spec), tuple(map(str, applied)))


def _app_spec(spec: object, where: str) -> AppSpecRecord:
    if not isinstance(spec, dict) or not isinstance(spec.get("entry"), str):
        raise Unreadable(f"{where}.entry is missing")
    return AppSpecRecord(
        template={name: spec[name] for name in TEMPLATE_FIELDS if spec.get(name) is not None},
        parallelism=_number(spec, "parallelism"),
        cancel_grace=_seconds(spec, "cancelGraceSeconds"),
        ttl_seconds=_seconds(_object(spec, "retention", {}), "ttlSecondsAfterFinished"),
    )


def _output(status: Raw, role: str) -> Packed | None:
    if role not in ("driver", "inspect"):
        return None
    try:
        return packed(status.get("output"), "status.output")
    except Unreadable:
        if role == "inspect":
            return None  # as above: an inspection without its report has failed
        raise


def _writes(status: Raw) -> Packed:
    writes = status.get("state") or []
    for place, write in enumerate(writes):
        if not isinstance(write, dict) or not isinstance(write.get("key"), str):
            raise Unreadable(f"status.state[{place}] has no key")
    return packed(writes, "status.state") or EMPTY


def _continuation(status: Raw) -> Packed | None:
    request = _object(status, "continueWith", {})
    if not request:
        return None
    fields = ContinuationFields(input=_object(request, "input", {}), entrypoint=_text(request, "entrypoint", ""))
    return packed(fields, "status.continueWith")


def _checkpoints(entries: object, where: str) -> tuple[Checkpoint, ...]:
    """The ledger's entries, unchanged, since they are written back.

    Sequence numbers without a gap prove that none is missing.
    """
    if not isinstance(entries, list):
        raise Unreadable(f"{where} is not a list")
    for place, entry in enumerate(entries):
        expected = place if place == 0 else entries[place - 1]["sequence"] + 1
        if not isinstance(entry, dict) or not isinstance(entry.get("key"), str):
            raise Unreadable(f"{where}[{place}] has no key")
        if not isinstance(entry.get("digest", ""), str):
            raise Unreadable(f"{where}[{place}].digest is not a string")
        # guard: sequence-without-gap - a gap means that a checkpoint is lost, and the run must not
        # continue without it
        if not isinstance(entry.get("sequence"), int) or (place and entry["sequence"] != expected):
            raise Unreadable(f"{where}[{place}].sequence is {entry.get('sequence')!r} where {expected} should follow")
    if entries:
        _time(entries[-1], "at")  # the time of the next commit must not be earlier
    return tuple(entries)


def _check_seam(pages: int, checkpoints: tuple[Checkpoint, ...]) -> None:
    """Check that the status continues where the pages end: otherwise a part of the ledger is
    missing."""
    expected = pages * PAGE_SIZE
    first = checkpoints[0]["sequence"] if checkpoints else None
    if first != expected and (pages or checkpoints):
        raise Unreadable(f"status.checkpoints begins with {first} where {expected} should, after {pages} ledgerPages")


def _conditions(raw: Raw) -> tuple[Condition, ...]:
    status = raw.get("status")
    listed = status.get("conditions") if isinstance(status, dict) else None
    return tuple(
        Condition(
            c["type"], c.get("status", ""), c.get("reason", ""), c.get("message", ""), c.get("lastTransitionTime", "")
        )
        for c in listed or ()
        if isinstance(c, dict) and "type" in c
    )


def _readable_phase(raw: Raw) -> RunPhase:
    status = raw.get("status")
    phase = status.get("phase") if isinstance(status, dict) else None
    return cast("RunPhase", phase if phase in RUN_PHASES else "Pending")


def _outcome_digest(phase: str, status: Raw) -> str:
    if phase == "Succeeded":
        return digest(cast("JSON", status.get("output")))
    if phase in ("Failed", "Cancelled"):
        return digest(cast("JSON", status.get("error")))
    return ""


def _error(status: Raw) -> ErrorFields | None:
    error = status.get("error")
    if not isinstance(error, dict):
        return None
    return cast("ErrorFields", {"type": "Error", "message": "", **error, **_retry_after(error)})


def _retry_after(error: Raw) -> Raw:
    """The delay that the task asks for before its next attempt, of a century at most."""
    seconds = _seconds(error, "retryAfterSeconds")
    # guard: retry-after-bounded - any pod can write this number, and an unbounded one would park
    # the call for years
    return {} if seconds is None else {"retryAfterSeconds": seconds}
