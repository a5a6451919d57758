"""Parses AppWorkers.

A status that somebody altered is read as far as possible, and the plan writes it again.
"""

from __future__ import annotations

import json

from application_sdk.wire import names
from apprun_operator.observe.fields import Raw, Unreadable
from apprun_operator.observe.fields import object_ as _object
from apprun_operator.observe.fields import text as _text
from apprun_operator.observe.packed_json import EMPTY, Packed
from apprun_operator.observe.parse import meta
from apprun_operator.observe.workers import InboxEntry, WorkerRecord


def worker(raw: Raw) -> WorkerRecord:
    """Parse an AppWorker.

    Raises Unreadable if it doesn't say to which slot of which pool it belongs.
    """
    identity, spec = meta(raw), _object(raw, "spec")
    slot = spec.get("slot")
    if isinstance(slot, bool) or not isinstance(slot, int) or slot < 0:
        raise Unreadable(f"spec.slot is {slot!r}, not a number from 0")
    annotations = _object(_object(raw, "metadata"), "annotations", {})
    status = raw.get("status")
    status = status if isinstance(status, dict) else {}
    pod = status.get("pod")
    pod = pod if isinstance(pod, dict) else {}
    calls = status.get("calls")
    return WorkerRecord(
        identity,
        pool=_text(spec, "pool"),
        app=_text(spec, "app", ""),
        slot=slot,
        shape=_shape(annotations.get(names.POOL_ANNOTATION)),
        pod_name=str(pod.get("name") or ""),
        pod_uid=str(pod.get("uid") or ""),
        calls=tuple(entry for call in calls if (entry := _entry(call))) if isinstance(calls, list) else (),
        drain=status.get("drain") is True,
    )


def _shape(text: object) -> Packed:
    """The annotation's JSON, if it is an object; empty if it isn't."""
    try:
        value = json.loads(text) if isinstance(text, str) else None
    except ValueError:
        return EMPTY
    return Packed.of(value) if isinstance(value, dict) else EMPTY


def _entry(call: object) -> InboxEntry | None:
    if not isinstance(call, dict):
        return None
    app_task, uid, attempt = call.get("appTask"), call.get("uid"), call.get("attempt")
    if not isinstance(app_task, str) or not isinstance(uid, str) or not isinstance(attempt, int):
        return None
    return InboxEntry(app_task, uid, attempt, Packed.of(call))
