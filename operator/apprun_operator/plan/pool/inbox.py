"""The contents of an inbox, which follow from the open calls that are assigned to its pod. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, cast

from application_sdk.wire.digest import JSON, JSONObject
from application_sdk.wire.fields import MAX_INBOX_BYTES, MAX_INBOX_CALLS, WorkerCall
from apprun_operator.observe.packed_json import Packed
from apprun_operator.observe.pods import PodRecord
from apprun_operator.observe.workers import PoolCall, WorkerRecord
from apprun_operator.plan.pod.pods import call_of
from apprun_operator.plan.pool.actions import WriteInbox
from apprun_operator.plan.saved_state import saved_values

TIDY_AFTER: Final = 2.0
"""Seconds for which an inbox may hold calls that have ended. Usually a further call comes by then,
and the write that adds it removes them."""
VOLATILE: Final = ("heartbeat", "state")
"""Fields of a call that change while it is open. Its entry keeps the values of its first write."""


def entry_of(call: PoolCall) -> WorkerCall:
    """The entry of a call."""
    fields = call_of(call.run, call.task)
    state = saved_values(call.state)
    if state:
        fields["state"] = state
    return WorkerCall(appTask=call.task.meta.key.name, uid=call.task.meta.uid, attempt=call.task.attempt, call=fields)


def size_of(call: PoolCall) -> int:
    """Bytes of a call's entry, approximately: nearly all are input, heartbeat and state."""
    return (
        len(call.task.input.data)
        + 2048
        + (0 if call.task.heartbeat is None else len(call.task.heartbeat.data))
        + (0 if call.state is None else len(call.state.spec.data))
    )


@dataclass(frozen=True, slots=True)
class Inbox:
    """What to do about an inbox.

    Without a write it is right, or may stay as it is for `TIDY_AFTER`.
    """

    write: WriteInbox | None = None
    stale: bool = False
    """Whether it holds calls that have ended."""


def inbox_of(
    worker: WorkerRecord,
    pod: PodRecord,
    calls: Sequence[PoolCall],
    stale_since: float | None,
    verified: bool,
    now: float,
) -> Inbox:
    """Compare an inbox with the open calls of its pod, and write it if it differs.

    A call that has ended may stay in it for `TIDY_AFTER`. The pod ignores one that it has reported.
    It stops one that the operator has ended as soon as the inbox lacks it.

    Args:
        worker: The inbox.
        pod: Its present pod.
        calls: The calls that are assigned to the pod, in the order of their assignment.
        stale_since: Since when the inbox holds calls that have ended, in seconds since the epoch.
        verified: Whether this version of the inbox was compared in full before. Then the names and
            attempts of its calls are compared only.
        now: In seconds since the epoch.
    """
    # guard: inbox-calls - the API server refuses an inbox that has too many calls, and with it every
    # call in it. Those that are left out follow when others have ended
    calls = calls[:MAX_INBOX_CALLS]
    entries = {entry.id: entry for entry in worker.calls}
    assigned = [call.id for call in calls]
    is_of_pod = (worker.pod_name, worker.pod_uid) == (pod.meta.key.name, pod.meta.uid)
    if not is_of_pod and not worker.calls and not assigned and not worker.pod_name:
        return Inbox()  # It is new, and its pod has no call yet.
    missing = any(call not in entries for call in assigned)
    stale = any(entry not in assigned for entry in entries)
    in_order = [entry for entry in entries if entry in assigned] == [call for call in assigned if call in entries]
    altered = not verified and any(
        _differs(entries[call.id].entry, entry_of(call)) for call in calls if call.id in entries
    )
    overdue = stale and stale_since is not None and now >= stale_since + TIDY_AFTER
    # guard: inbox-rewritten - a call that somebody took out of an inbox would never be executed
    if is_of_pod and in_order and not (missing or altered or overdue or len(entries) != len(worker.calls)):
        return Inbox(stale=stale)
    return Inbox(write_inbox(worker, pod, calls, entries if is_of_pod and not altered else {}), stale)


def write_inbox(
    worker: WorkerRecord,
    pod: PodRecord,
    calls: Sequence[PoolCall],
    kept: Mapping[tuple[str, int], object] | None = None,
    *,
    drain: bool = False,
) -> WriteInbox:
    """The write of a whole inbox. The entries of the calls in `kept` stay as the inbox has them."""
    kept_entries = {entry.id: entry.entry for entry in worker.calls if kept and entry.id in kept}
    entries: list[JSON] = []
    size = 0
    for call in calls:
        entry = kept_entries.get(call.id) or Packed.of(entry_of(call))
        # guard: inbox-size - an object above the limit of etcd is refused, and with it every call
        # in it. Those that are left out follow when others have ended
        if entries and size + len(entry.data) > MAX_INBOX_BYTES:
            break
        size += len(entry.data)
        entries.append(entry.decode())
    status: JSONObject = {
        "pod": {"name": pod.meta.key.name, "uid": pod.meta.uid},
        "calls": entries,
        **({"drain": True} if drain else {}),
    }
    return WriteInbox(worker.meta.key, worker.meta.version, status)


def _differs(written: Packed, entry: WorkerCall) -> bool:
    return _stable(written.object()) != _stable(cast("JSONObject", entry))


def _stable(entry: JSONObject) -> JSONObject:
    call = entry.get("call")
    lasting = {name: value for name, value in call.items() if name not in VOLATILE} if isinstance(call, dict) else call
    return {**entry, "call": lasting}
