"""One driver's view of a `World`: the engine port, with a crash wherever the test wants one."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

from application_sdk.engines.memory.world import World
from application_sdk.execution.engine import Completion, RecordedCall, ScheduledCall
from application_sdk.wire.digest import JSONObject


@dataclass(frozen=True, slots=True)
class Step:
    """A place where a driver may die."""

    kind: Literal["before schedule", "after schedule", "after commit"]
    committed: int
    """Length of the ledger at that place."""


CrashAt: TypeAlias = Callable[[Step], bool]


class SimulatedCrash(BaseException):
    """The driver dies here. The world goes on without it."""

    def __init__(self, step: Step) -> None:
        super().__init__(f"{step.kind}, {step.committed} committed")
        self.step = step


class Stuck(RuntimeError):
    """The route waits, but nothing is left to happen in the world. A bug of the runtime or of the engine."""


class MemoryEngine:
    """Implements `execution.engine.Engine` for one execution of a route."""

    def __init__(self, world: World, crash_at: CrashAt = lambda step: False) -> None:
        self._world = world
        self._crash_at = crash_at
        self._given = 0
        self._history = len(world.ledger)
        completed = {completion.key for completion in world.ledger}
        self._in_flight = [key for key in world.calls if key not in completed]

    def begun_with(self) -> JSONObject | None:
        return self._world.begun_with

    def begin(self, input: JSONObject) -> None:
        self._world.begun_with = input

    def history_length(self) -> int:
        return self._history

    def schedule(self, calls: Sequence[ScheduledCall]) -> None:
        self._maybe_crash("before schedule")
        for call in calls:
            self._world.schedule(call)
        self._maybe_crash("after schedule")

    def abandon(self, keys: Sequence[str]) -> None:
        for key in keys:
            self._world.abandon(key)

    def in_flight(self) -> Sequence[str]:
        return self._in_flight

    def receive(self) -> Sequence[Completion]:
        world = self._world
        while self._given >= len(world.ledger):
            if not world.step():
                raise Stuck(f"nothing is left to happen after {len(world.ledger)} completions")
        if len(world.ledger) > self._history:
            self._maybe_crash("after commit")
        # The past at once, as other engines give it; new ones singly, so that a crash may come between any two.
        upto = max(self._history, self._given + 1)
        completions = world.ledger[self._given : upto]
        self._given = upto
        return completions

    def recorded(self, key: str) -> RecordedCall | None:
        call = self._world.calls.get(key)
        if call is None:
            return None
        return RecordedCall(call.key, call.task, call.entrypoint, call.input, call.identity, call.line)

    def _maybe_crash(self, kind: Literal["before schedule", "after schedule", "after commit"]) -> None:
        step = Step(kind, len(self._world.ledger))
        if self._crash_at(step):
            raise SimulatedCrash(step)
