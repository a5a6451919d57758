"""What stands in an inbox: a function of the open calls that are assigned to its pod. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, cast

from application_sdk.wire.digest import JSON, JSONObject
from application_sdk.wire.fields import MAX_INBOX_BYTES, WorkerCall
from apprun_operator.observe.packed_json import Packed
from apprun_operator.observe.pods import PodRecord
from apprun_operator.observe.workers import PoolCall, WorkerRecord
from apprun_operator.plan.pod.pods import call_of
from apprun_operator.plan.pool.actions import WriteInbox
from apprun_operator.plan.saved_state import saved_values

TIDY_AFTER: Final = 2.0
"""How long an inbox may hold calls that have ended: the next call takes them out in the same write."""
VOLATILE: Final = ("heartbeat", "state")
"""Fields of a call that go on changing. What a pod was told of them when it got the call stays as it was told."""


def entry_of(call: PoolCall) -> WorkerCall:
    """What a worker is told of a call."""
    told = call_of(call.run, call.task)
    state = saved_values(call.state)
    if state:
        told["state"] = state
    return WorkerCall(appTask=call.task.meta.key.name, uid=call.task.meta.uid, attempt=call.task.attempt, call=told)


def size_of(call: PoolCall) -> int:
    """Bytes of its entry, roughly: the input is what counts."""
    return (
        len(call.task.input.data)
        + 2048
        + (0 if call.task.heartbeat is None else len(call.task.heartbeat.data))
        + (0 if call.state is None else len(call.state.spec.data))
    )


@dataclass(frozen=True, slots=True)
class Inbox:
    """What is to be done about one inbox. Without a write it is as it should be, or may stay so until `tidy_at`."""

    write: WriteInbox | None = None
    stale: bool = False
    """It holds calls that have ended."""


def inbox_of(
    worker: WorkerRecord,
    pod: PodRecord,
    calls: Sequence[PoolCall],
    stale_since: float | None,
    verified: bool,
    now: float,
) -> Inbox:
    """Compare an inbox with the open calls that are assigned to its pod, and write it where it differs.

    A call that has ended may stay for a while, unless somebody else has ended it: then the pod is to stop it.

    Args:
        worker: The inbox.
        pod: Its present pod.
        calls: Those that are assigned to it, in the order of their assignment.
        stale_since: Since when it holds calls that have ended.
        verified: Whether this version of the inbox was compared in full before: then names and attempts are enough.
        now: In seconds since the epoch.
    """
    told = {entry.id: entry for entry in worker.calls}
    wanted = [call.id for call in calls]
    mine = (worker.pod_name, worker.pod_uid) == (pod.meta.key.name, pod.meta.uid)
    if not mine and not worker.calls and not wanted and not worker.pod_name:
        return Inbox()  # It was never told anything, and nothing is to be told.
    missing = any(call not in told for call in wanted)
    stale = any(entry not in wanted for entry in told)
    in_order = [entry for entry in told if entry in wanted] == [call for call in wanted if call in told]
    altered = not verified and any(_differs(told[call.id].entry, entry_of(call)) for call in calls if call.id in told)
    overdue = stale and stale_since is not None and now >= stale_since + TIDY_AFTER
    # guard: inbox-rewritten - a call that somebody took out of an inbox would never be executed
    if mine and in_order and not (missing or altered or overdue or len(told) != len(worker.calls)):
        return Inbox(stale=stale)
    return Inbox(write_inbox(worker, pod, calls, told if mine and not altered else {}), stale)


def write_inbox(
    worker: WorkerRecord,
    pod: PodRecord,
    calls: Sequence[PoolCall],
    told: Mapping[tuple[str, int], object] | None = None,
    *,
    drain: bool = False,
) -> WriteInbox:
    """The whole inbox. What was told of a call before is told in the same words."""
    kept = {entry.id: entry.entry for entry in worker.calls if told and entry.id in told}
    entries: list[JSON] = []
    size = 0
    for call in calls:
        entry = kept.get(call.id) or Packed.of(entry_of(call))
        # guard: inbox-size - an object above the limit of etcd is refused, and with it every call in it
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


def _differs(told: Packed, entry: WorkerCall) -> bool:
    return _stable(told.object()) != _stable(cast("JSONObject", entry))


def _stable(entry: JSONObject) -> JSONObject:
    call = entry.get("call")
    lasting = {name: value for name, value in call.items() if name not in VOLATILE} if isinstance(call, dict) else call
    return {**entry, "call": lasting}
