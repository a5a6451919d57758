"""A run's whole past as one JSON document, and a replay of it against today's code. Nothing is executed.

Engines write the document (`apprun export`), `application_sdk.testing.replay` and `apprun check --replay` read it. Its
format is kept readable for ever, as the replay rules are.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, cast

from application_sdk.errors import AppError
from application_sdk.execution.definition import AppDefinition, RunInfo
from application_sdk.execution.engine import Completion, RecordedCall, ScheduledCall
from application_sdk.replay.result import RouteOutcome, RouteResult
from application_sdk.replay.run import run_route
from application_sdk.wire.digest import JSONObject
from application_sdk.wire.fields import REPLAY_RULES, ErrorFields, Identity, Outcome

KIND: Final = "RunLedger"
VERSION: Final = 1


class LedgerFormatError(AppError, ValueError):
    """A document is no exported ledger, or one that this SDK can't read."""


@dataclass(frozen=True, slots=True)
class ExportedRun:
    """A run's past."""

    entry: str
    """`module:Class` of the app."""
    entrypoint: str
    input: JSONObject
    info: RunInfo
    calls: Sequence[RecordedCall]
    """In the order in which they were made."""
    completions: Sequence[Completion]
    """In commit order."""
    outcome: Outcome | None = None
    """How the run ended; None if it has not."""
    output: JSONObject | None = None

    def to_json(self) -> JSONObject:
        """The document."""
        document: dict[str, Any] = {
            "kind": KIND,
            "version": VERSION,
            "replayRules": self.info.replay_rules or REPLAY_RULES,
            "app": self.entry,
            "entrypoint": self.entrypoint,
            "run": self.info.run_id,
            "uid": self.info.uid,
            "startedAt": self.info.started_at,
            "correlationId": self.info.correlation_id,
            "input": self.input,
            "calls": [_call_to_json(call) for call in self.calls],
            "checkpoints": [_completion_to_json(completion) for completion in self.completions],
        }
        if self.outcome is not None:
            document["outcome"] = self.outcome
        if self.output is not None:
            document["output"] = self.output
        return cast("JSONObject", document)

    @classmethod
    def from_json(cls, document: object) -> ExportedRun:
        """Read a document. Raises LedgerFormatError."""
        if not isinstance(document, Mapping) or document.get("kind") != KIND:
            raise LedgerFormatError("this is no exported ledger: make one with `apprun export RUN`")
        if document.get("version") != VERSION:
            raise LedgerFormatError(
                f"this ledger's format has version {document.get('version')!r}, this SDK reads version {VERSION}: use "
                f"the SDK that wrote it, or a newer one"
            )
        try:
            return cls._read(document)
        except (KeyError, TypeError, AttributeError) as error:
            raise LedgerFormatError(f"the exported ledger is damaged: {type(error).__name__}: {error}") from error

    @classmethod
    def _read(cls, document: Mapping[str, Any]) -> ExportedRun:
        return cls(
            entry=document["app"],
            entrypoint=document["entrypoint"],
            input=document["input"],
            info=RunInfo(
                run_id=document["run"],
                uid=document["uid"],
                started_at=float(document["startedAt"]),
                correlation_id=document["correlationId"],
                replay_rules=document["replayRules"],
                # It is replayed, and no task reads a file then.
                own_disk=True,
            ),
            calls=[_call_from_json(call) for call in document["calls"]],
            completions=[_completion_from_json(checkpoint) for checkpoint in document["checkpoints"]],
            outcome=document.get("outcome"),
            output=document.get("output"),
        )


@dataclass(frozen=True, slots=True)
class Replayed:
    """What today's code makes of a run's past."""

    result: RouteResult | None
    """The route's end, or None if it goes on with further calls."""
    further_calls: Sequence[ScheduledCall]
    """What it would have executed next."""

    @property
    def outcome(self) -> RouteOutcome | None:
        """How the route ended; None if it goes on."""
        return None if self.result is None else self.result.outcome


def replay_run(app_class: type, exported: ExportedRun) -> Replayed:
    """Replay a past against an app. A disagreement is a `Stalled` result with the message that a driver would give.

    Raises LedgerFormatError when the ledger is of another app.
    """
    definition: AppDefinition = app_class.definition  # type: ignore[attr-defined] # `app` is a layer above
    if exported.entry.partition(":")[2] != definition.entry.partition(":")[2]:
        raise LedgerFormatError(f"this ledger is of a run of {exported.entry}, not of {definition.entry}")
    engine = _Past(exported)
    try:
        result = run_route(app_class, exported.entrypoint, exported.input, engine, exported.info)
    except _EndOfPast:
        return Replayed(None, engine.further_calls)
    return Replayed(result, engine.further_calls)


class _EndOfPast(BaseException):
    """The route waits for what the ledger doesn't hold."""


class _Past:
    """An engine that has a past and no future."""

    def __init__(self, exported: ExportedRun) -> None:
        self._exported = exported
        self._calls = {call.key: call for call in exported.calls}
        self._completed = {completion.key for completion in exported.completions}
        self._given = False
        self.further_calls: list[ScheduledCall] = []

    def begun_with(self) -> JSONObject | None:
        return None  # The exported input is the one that the run began with.

    def begin(self, input: JSONObject) -> None:
        pass  # A replay leaves no trace.

    def history_length(self) -> int:
        return len(self._exported.completions)

    def schedule(self, calls: Sequence[ScheduledCall]) -> None:
        self.further_calls += [call for call in calls if call.key not in self._calls]

    def abandon(self, keys: Sequence[str]) -> None:
        pass  # Nothing runs.

    def in_flight(self) -> Sequence[str]:
        return [key for key in self._calls if key not in self._completed]

    def receive(self) -> Sequence[Completion]:
        if self._given or not self._exported.completions:
            raise _EndOfPast
        self._given = True
        return self._exported.completions

    def recorded(self, key: str) -> RecordedCall | None:
        return self._calls.get(key)


def _call_to_json(call: RecordedCall) -> dict[str, Any]:
    return {
        "key": call.key,
        "task": call.task,
        "entrypoint": call.entrypoint,
        "input": call.input,
        "identity": call.identity,
        "line": call.line,
    }


def _call_from_json(call: Mapping[str, Any]) -> RecordedCall:
    return RecordedCall(
        key=call["key"],
        task=call["task"],
        entrypoint=call["entrypoint"],
        input=call["input"],
        identity=cast("Identity", call["identity"]),
        line=call["line"],
    )


def _completion_to_json(completion: Completion) -> dict[str, Any]:
    document: dict[str, Any] = {
        "key": completion.key,
        "task": completion.task,
        "outcome": completion.outcome,
        "at": completion.at,
        "attempts": completion.attempts,
    }
    if completion.output is not None:
        document["output"] = completion.output
    if completion.error is not None:
        document["error"] = completion.error
    return document


def _completion_from_json(checkpoint: Mapping[str, Any]) -> Completion:
    return Completion(
        key=checkpoint["key"],
        task=checkpoint["task"],
        outcome=cast("Outcome", checkpoint["outcome"]),
        at=float(checkpoint["at"]),
        attempts=checkpoint["attempts"],
        output=checkpoint.get("output"),
        error=cast("ErrorFields | None", checkpoint.get("error")),
    )
