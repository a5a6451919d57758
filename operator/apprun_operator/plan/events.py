"""Events for people: one when a run stalls or fails, none while all goes well. They say what the
conditions say.

An Event follows the status write that makes it true, and nothing waits for it: a lost Event does no
harm.
"""

from __future__ import annotations

from typing import Final, cast

from application_sdk.wire import names
from application_sdk.wire.digest import JSON, JSONObject, digest
from apprun_operator.observe.records import Key, RunRecord
from apprun_operator.observe.times import rfc3339
from apprun_operator.plan.actions import Announce, PatchRun

CONTROLLER: Final = f"{names.GROUP}/operator"
NOTE_LENGTH: Final = 1000
REASON_LENGTH: Final = 128
"""Both are Kubernetes' own limits for Events, or just below."""
DIGITS: Final = 16


def announcement(run: RunRecord, patch: PatchRun, now: float) -> Announce | None:
    """The Event for a status write that stalls or fails the run; None if the status said so
    before."""
    conditions = cast("list[JSONObject]", patch.status.get("conditions") or [])
    stalled = next((c for c in conditions if c["type"] == "Stalled"), None)
    if stalled is None or stalled["status"] != "True" or patch.status.get("phase") == "Cancelled":
        return None
    before, reason = run.condition("Stalled"), str(stalled["reason"])
    if before is not None and (before.status, before.reason) == ("True", reason):
        return None
    failed = patch.status.get("phase") == "Failed"
    namespace, name = run.meta.key
    event = Key(namespace, f"{name}.{digest([run.meta.uid, reason])[:DIGITS]}")
    regarding: JSONObject = {
        "apiVersion": names.API_VERSION,
        "kind": names.APP_RUN_KIND,
        "namespace": namespace,
        "name": name,
        "uid": run.meta.uid,
    }
    body: JSONObject = {
        "apiVersion": "events.k8s.io/v1",
        "kind": "Event",
        "metadata": {"name": event.name, "namespace": namespace},
        "eventTime": rfc3339(now),
        "reportingController": CONTROLLER,
        "action": "Fail" if failed else "Stall",
        "reason": reason[:REASON_LENGTH],
        "regarding": cast("JSON", regarding),
        "note": _cut(str(stalled["message"])),
        "type": "Warning",
    }
    return Announce(event, body)


def _cut(note: str) -> str:
    """The beginning of `note` that fits into an Event, whose limit is in bytes."""
    return note.encode()[:NOTE_LENGTH].decode(errors="ignore")
