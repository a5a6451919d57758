"""The ledger as a driver reads it: checkpoints from AppRun and AppLedger objects, payloads from
AppTasks.

Pure: `driver` fetches the objects. Objects that contradict each other raise LedgerUnreadable, since
no run may go on with a past that it can't trust.
"""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, cast

from application_sdk.execution.engine import Completion, RecordedCall
from application_sdk.wire import names
from application_sdk.wire.digest import digest
from application_sdk.wire.fields import PAGE_SIZE, Checkpoint, Identity, TaskSpec, TaskStatus

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from application_sdk.wire.digest import JSONObject


class LedgerUnreadable(Exception):
    """The run's past can't be read or contradicts itself: somebody has altered or deleted its
    objects."""


class Ledger:
    """The known checkpoints of one run, in commit order and without gaps."""

    def __init__(self, run: str) -> None:
        self._run = run
        self._checkpoints: list[Checkpoint] = []

    def __len__(self) -> int:
        return len(self._checkpoints)

    def since(self, position: int) -> Sequence[Checkpoint]:
        """The checkpoints from that position on."""
        return self._checkpoints[position:]

    def missing_pages(self, app_run: JSONObject) -> list[str]:
        """Names of the pages that are needed before this state of the run can be absorbed."""
        paged = _pages(app_run) * PAGE_SIZE
        if len(self) >= paged:
            return []
        return [names.page_name(self._run, number) for number in range(len(self) // PAGE_SIZE, _pages(app_run))]

    def absorb_page(self, page: JSONObject) -> None:
        """Take a page, in the order of `missing_pages`. Raises LedgerUnreadable."""
        spec = cast("Mapping[str, object]", page.get("spec") or {})
        checkpoints = cast("list[Checkpoint]", spec.get("checkpoints") or [])
        if len(checkpoints) != PAGE_SIZE:
            raise LedgerUnreadable(
                f"AppLedger {_name(page)} holds {len(checkpoints)} checkpoints instead of {PAGE_SIZE}"
            )
        self._append(checkpoints, f"AppLedger {_name(page)}")

    def absorb(self, app_run: JSONObject) -> None:
        """Take the newest checkpoints from a state of the run whose pages are known; an older state
        changes nothing.

        Raises LedgerUnreadable.
        """
        status = cast("Mapping[str, object]", app_run.get("status") or {})
        self._append(cast("list[Checkpoint]", status.get("checkpoints") or []), f"AppRun {self._run}")

    def _append(self, checkpoints: Sequence[Checkpoint], where: str) -> None:
        for checkpoint in checkpoints:
            if checkpoint["sequence"] < len(self):
                continue
            # guard: driver-sequence-without-gap - a driver that skips a checkpoint replays another
            # past
            if checkpoint["sequence"] > len(self):
                raise LedgerUnreadable(
                    f"{where} continues with checkpoint {checkpoint['sequence']}, but number {len(self)} is missing"
                )
            self._checkpoints.append(checkpoint)


def completion(checkpoint: Checkpoint, app_task: JSONObject) -> Completion:
    """A checkpoint with its payload, which has to be what was committed. Raises
    LedgerUnreadable."""
    status = outcome_of(app_task)
    failed = checkpoint["outcome"] != "Succeeded"
    output, error = status.get("output"), status.get("error")
    if failed and error is None:
        raise LedgerUnreadable(f"AppTask {_name(app_task)} was committed as {checkpoint['outcome']} but has no error")
    actual = digest(cast("JSONObject", error)) if failed else digest(output)
    # guard: driver-output-digest - an output that was changed after its commit would change the
    # past
    if actual != checkpoint["digest"]:
        raise LedgerUnreadable(
            f"AppTask {_name(app_task)} isn't what checkpoint {checkpoint['sequence']} ({checkpoint['task']}) "
            f"committed: the digest of its {'error' if failed else 'output'} is {actual}, the ledger has "
            f"{checkpoint['digest']}. Restore the object, or start a new run"
        )
    return Completion(
        key=checkpoint["key"],
        task=checkpoint["task"],
        outcome=checkpoint["outcome"],
        at=seconds(checkpoint["at"]),
        attempts=checkpoint["attempts"],
        output=None if failed else output,
        error=error if failed else None,
    )


def outcome_of(app_task: JSONObject) -> TaskStatus:
    """The state of a call: its AppTask's status, or the outcome that its driver has recorded in the
    spec."""
    spec = cast("TaskSpec", app_task.get("spec") or {})
    if spec.get("role") == "local":
        return cast("TaskStatus", spec.get("outcome") or {})
    return cast("TaskStatus", app_task.get("status") or {})


def timer_completion(checkpoint: Checkpoint) -> Completion:
    """The completion of a timer, or of the run's cancellation: neither has a payload."""
    return Completion(
        key=checkpoint["key"],
        task=checkpoint["task"],
        outcome=checkpoint["outcome"],
        at=seconds(checkpoint["at"]),
        attempts=checkpoint["attempts"],
    )


def recorded_call(app_task: JSONObject) -> RecordedCall:
    """The call that an earlier execution of the route recorded in this AppTask."""
    spec = cast("TaskSpec", app_task["spec"])
    return RecordedCall(
        key=spec["key"],
        task=spec["task"],
        entrypoint=spec.get("entrypoint", ""),
        input=spec.get("input", {}),
        identity=spec.get("identity", Identity(inputDigest="", lineage="", occurrence=0)),
        line=spec.get("line", ""),
    )


def submitted_input(app_run: JSONObject) -> JSONObject:
    """The run's input as it was submitted, without defaults."""
    spec = cast("Mapping[str, JSONObject]", app_run.get("spec") or {})
    return spec.get("input") or {}


def begun_with(app_run: JSONObject, driver: JSONObject) -> JSONObject | None:
    """The input with which a run's route has begun, defaults filled in, if its driver's AppTask has
    it on record.

    A run that stalls before its first checkpoint may be given another input: a record of the one
    before is void.
    """
    status = cast("TaskStatus", driver.get("status") or {})
    record = status.get("begunWith")
    if record is None or record["givenDigest"] != digest(submitted_input(app_run)):
        return None
    return record["input"]


def seconds(timestamp: str) -> float:
    """Seconds since the epoch of an RFC 3339 time."""
    return datetime.fromisoformat(timestamp).timestamp()


def _pages(app_run: JSONObject) -> int:
    status = cast("Mapping[str, object]", app_run.get("status") or {})
    count = status.get("ledgerPages") or 0
    return count if isinstance(count, int) else 0


def _name(thing: JSONObject) -> str:
    metadata = cast("Mapping[str, object]", thing.get("metadata") or {})
    return str(metadata.get("name", "?"))
