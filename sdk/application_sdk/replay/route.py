"""The rules of replay: which calls are outstanding, which wait until the past is consumed, what the ledger may deliver.

A completion goes in, calls to schedule come out; no I/O and no event loop. Two rules make it: a completion goes only to
a call that is outstanding under its key, and nothing is scheduled while the ledger of previous executions isn't
consumed.
Both are part of the wire format whose version is that of the replay rules.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Final, NamedTuple

from application_sdk.errors import MisuseError
from application_sdk.execution.engine import Completion, ScheduledCall
from application_sdk.replay.identity import Identities
from application_sdk.wire.digest import JSONObject
from application_sdk.wire.fields import REPLAY_RULES, Policy, ReuseFields, Role, RunsIn

if TYPE_CHECKING:
    from application_sdk.wire.pod_fields import PodFields

NO_POLICY: Final = Policy(
    retry={"maxAttempts": 1, "initialIntervalSeconds": 0, "maxIntervalSeconds": 0, "backoffCoefficient": 1}
)


class CallRequest(NamedTuple):
    """A call as the route makes it, before it has an identity."""

    role: Role
    task: str
    input: JSONObject
    input_digest: str
    line: str
    policy: Policy
    pod: PodFields
    seconds: float | None = None
    keyed_by: str | None = None
    counted: JSONObject | None = None
    """The part of the input that its digest is of; None for all of it."""
    runs_in: RunsIn = "pod"
    reuse: ReuseFields | None = None


class UnexpectedCompletion(Exception):
    """The ledger's next completion belongs to no call that the route has made: route and ledger disagree."""

    def __init__(self, completion: Completion) -> None:
        super().__init__(completion.key)
        self.completion = completion


class MissingCall(Exception):
    """A previous execution scheduled a call that the route, having consumed the same past, hasn't made."""

    def __init__(self, key: str) -> None:
        super().__init__(key)
        self.key = key


class Route:
    """One execution of a route, as far as its calls go."""

    def __init__(self, entrypoint: str, history_length: int, rules: int = REPLAY_RULES) -> None:
        self._entrypoint = entrypoint
        self.rules = rules
        """Version of the replay rules that the run began with."""
        self._identities = Identities(entrypoint, rules)
        self._history_length = history_length
        self._outstanding: dict[str, tuple[ScheduledCall, Callable[[Completion], None]]] = {}
        self._abandoned: set[str] = set()
        self._to_abandon: dict[str, None] = {}
        """Those of them that the engine isn't told of yet, in order."""
        self._held: dict[str, ScheduledCall] = {}
        self._keyed: dict[str, str] = {}
        self._made = 0
        self.consumed = 0
        """How many completions of the ledger the route has been given."""
        self.cancelled = False
        """Whether the run's cancellation is among them: what is called from then on is clean-up."""

    @property
    def replaying(self) -> bool:
        """Whether completions of previous executions are still to be consumed."""
        return self.consumed < self._history_length

    @property
    def waiting(self) -> bool:
        """Whether any completion could still move the route."""
        return bool(self._outstanding)

    def outstanding(self) -> list[ScheduledCall]:
        """The calls that wait for a completion, in the order in which they were made."""
        return [call for call, _ in self._outstanding.values()]

    def make(self, request: CallRequest, deliver: Callable[[Completion], None]) -> ScheduledCall:
        """Make a call in the current branch; `deliver` is called once, with its completion.

        Raises MisuseError when its key, given with `.keyed()`, is taken.
        """
        identity = self._identities.next(request.task, request.input_digest, request.keyed_by)
        key = self._identities.key(request.task, identity)
        if request.keyed_by is not None:
            self._claim(key, request)
        call = ScheduledCall(
            key=key,
            role=request.role,
            task=request.task,
            entrypoint=self._entrypoint,
            sequence=self._made,
            input=request.input,
            identity=identity,
            policy=request.policy,
            pod=request.pod,
            line=request.line,
            seconds=request.seconds,
            cleanup=self.cancelled,
            counted=request.counted,
            runs_in=request.runs_in,
            reuse=request.reuse,
        )
        self._made += 1
        self._outstanding[key] = (call, deliver)
        self._held[key] = call
        return call

    def abandon(self, key: str) -> None:
        """Nobody waits for this call any more (its branch was cancelled, its timer too): what it brings is dropped.

        If it was scheduled, `take_abandoned` gives it; a completion of it is consumed without effect. One that wasn't
        never will be.
        """
        outstanding = self._outstanding.pop(key, None)
        if outstanding is None:
            return
        self._abandoned.add(key)
        self._held.pop(key, None)
        # One that was held back may have been scheduled by a previous execution, so the engine is told of it as well.
        if outstanding[0].role == "task":
            self._to_abandon[key] = None

    def take_abandoned(self) -> list[str]:
        """The calls of tasks to cancel now, each once: none until the past is consumed, which may have ended them."""
        # guard: abandon-after-replay - the ledger may hold the end of the call
        if self.replaying or not self._to_abandon:
            return []
        keys = [key for key in self._to_abandon if key in self._abandoned]
        self._to_abandon.clear()
        return keys

    def take_calls(self) -> list[ScheduledCall]:
        """The calls to schedule now, each once: none until the past is consumed. Call it when the loop is idle."""
        # guard: calls-after-replay - nothing new runs before the past agrees
        if self.replaying or not self._held:
            return []
        calls = list(self._held.values())
        self._held.clear()
        return calls

    def deliver(self, completion: Completion) -> None:
        """Give the ledger's next completion to its call.

        Raises UnexpectedCompletion, and changes nothing, when the route has no such call outstanding.
        """
        outstanding = self._outstanding.pop(completion.key, None)
        if outstanding is None:
            self._drop(completion)
            return
        self._held.pop(completion.key, None)
        self.consumed += 1
        outstanding[1](completion)

    def consume_unseen(self, completion: Completion) -> None:
        """Account for a completion of the past that the ended route doesn't need any more.

        Raises UnexpectedCompletion when the route never made that call.
        """
        if self._outstanding.pop(completion.key, None) is not None:
            self.consumed += 1
            return
        self._drop(completion)

    def knows(self, key: str) -> bool:
        """Whether the route has made a call with this key whose completion it hasn't consumed."""
        return key in self._outstanding or key in self._abandoned

    def cancel(self) -> None:
        """Account for the entry of the ledger that answers no call: the run is being cancelled."""
        self.consumed += 1
        self.cancelled = True

    def _drop(self, completion: Completion) -> None:
        if completion.key not in self._abandoned:
            # guard: completion-has-call - a completion without a call means that the route has diverged
            raise UnexpectedCompletion(completion)
        self._abandoned.remove(completion.key)
        self.consumed += 1

    def _claim(self, key: str, request: CallRequest) -> None:
        taken = self._keyed.get(key)
        if taken is not None:
            raise MisuseError(
                f"{request.line}: {request.task}.keyed({request.keyed_by!r}) is used twice in this run; the first "
                f"call is at {taken}. A key names one call: put what tells the calls apart into it"
            )
        self._keyed[key] = request.line
