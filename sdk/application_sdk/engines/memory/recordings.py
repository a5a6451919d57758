"""Runs each attempt's body once, however often its run is repeated: for `check_durability`.

A recorded attempt is found by its call's key, its number and the heartbeat that it was given: what a body may go by.
Its output, its saved state and its heartbeats come back as they were.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from typing_extensions import override

from application_sdk.attempt.attempt import AttemptResult
from application_sdk.attempt.task_context import FilesPlace
from application_sdk.engines.memory.attempts import AttemptRunner, StandIn
from application_sdk.execution.definition import RunInfo
from application_sdk.execution.engine import ScheduledCall
from application_sdk.wire.digest import JSONObject, digest

_CLEANUP: Final = "apprun.cleanup"
_NOTHING_DELETED: Final[JSONObject] = {"objects": 0, "size_bytes": 0}


class _Recorded(NamedTuple):
    result: AttemptResult
    heartbeat: JSONObject | None
    """The call's heartbeat after the attempt."""


@dataclass
class Recordings:
    """The attempts of all runs that one check compares."""

    before_body: Callable[[str], None] = lambda task: None
    """Told the task's name before a body runs.

    What it raises ends this execution of the run, as an engine's error does.
    """
    executed: int = 0
    """Bodies that ran."""
    _recorded: dict[tuple[str, int, str], _Recorded] = field(default_factory=dict)

    def find(self, call: ScheduledCall, attempt: int, heartbeat: JSONObject | None) -> _Recorded | None:
        """The attempt of an earlier run that was given the same."""
        return self._recorded.get(_place(call, attempt, heartbeat))

    def keep(self, call: ScheduledCall, attempt: int, given: JSONObject | None, recorded: _Recorded) -> None:
        """Remember an attempt, which began with the heartbeat `given`."""
        self._recorded[_place(call, attempt, given)] = recorded
        self.executed += 1


class RecordingRunner(AttemptRunner):
    """An `AttemptRunner` that asks the recordings first."""

    def __init__(
        self,
        recordings: Recordings,
        app_class: type,
        info: RunInfo,
        stand_ins: Mapping[str, StandIn] | None = None,
        files: FilesPlace | None = None,
        state: dict[str, JSONObject] | None = None,
    ) -> None:
        super().__init__(app_class, info, stand_ins, files, state)
        self._recordings = recordings

    @override
    def execute(self, call: ScheduledCall, attempt: int, heartbeats: dict[str, JSONObject]) -> AttemptResult:
        if call.task == _CLEANUP:
            # The recorded outputs refer to these files, and another order of completion may have a new call read them.
            return AttemptResult(output=dict(_NOTHING_DELETED))
        given = heartbeats.get(call.key)
        recorded = self._recordings.find(call, attempt, given)
        # guard: check-executes-once - a body that runs again in a check would repeat its side effects
        if recorded is None:
            self._recordings.before_body(call.task)
            result = super().execute(call, attempt, heartbeats)
            recorded = _Recorded(result, heartbeats.get(call.key))
            self._recordings.keep(call, attempt, given, recorded)
        elif recorded.heartbeat is not None:
            heartbeats[call.key] = recorded.heartbeat
        return recorded.result


def _place(call: ScheduledCall, attempt: int, heartbeat: JSONObject | None) -> tuple[str, int, str]:
    return call.key, attempt, "" if heartbeat is None else digest(heartbeat)
