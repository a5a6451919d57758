"""What the server says: one envelope for all answers, one body for all refusals, and what is told
of a run."""

from __future__ import annotations

from typing import Final, Generic, Literal, TypeAlias, TypeVar

from pydantic import BaseModel, ConfigDict, Field, JsonValue

from application_sdk.errors.details import FailureDetails
from application_sdk.handler.contracts import PreflightCheck, PreflightOutput, PreflightStatus

Data = TypeVar("Data")


class Answer(BaseModel, Generic[Data]):
    """Every answer but a refusal. `success` is False where the answer is bad news, such as
    credentials that don't work: the request itself was answered."""

    success: bool = True
    message: str = ""
    data: Data


class CheckResult(BaseModel):
    """The outcome of one check."""

    success: bool
    message: str = ""
    error: FailureDetails | None = None
    """Why it failed, where the handler says it as data."""


class CheckAnswer(Answer[dict[str, CheckResult]]):
    """What a preflight check found: `data` has each check by its name, which begins with a small
    letter there."""

    status: PreflightStatus
    checks: list[PreflightCheck] = []
    """The same as the handler gave them, in its order."""
    total_duration_ms: float = 0.0


def check_answer(said: PreflightOutput) -> CheckAnswer:
    """The answer that a handler's verdict is given as."""
    return CheckAnswer(
        success=said.status is not PreflightStatus.NOT_READY,
        message=said.message or f"check: {said.status}",
        data={
            f"{check.name[:1].lower()}{check.name[1:]}": CheckResult(
                success=check.passed,
                message=check.message or (check.error.message if check.error else ""),
                error=check.error,
            )
            for check in said.checks
        },
        status=said.status,
        checks=said.checks,
        total_duration_ms=said.total_duration_ms,
    )


class Fault(BaseModel):
    """One thing that is wrong with a request."""

    field: str
    """Where, as in `credentials.0.value`; empty for the request as a whole."""
    problem: str
    """What is wrong there and, if that isn't plain, what to send instead. Never the value."""


Code: TypeAlias = Literal[
    "MalformedJSON",
    "InvalidRequest",
    "InvalidInput",
    "UnknownEntrypoint",
    "Unauthenticated",
    "Forbidden",
    "NotFound",
    "MethodNotAllowed",
    "RequestTooLarge",
    "RequestTimeout",
    "NameTaken",
    "HandlerError",
    "HandlerFailed",
    "TimedOut",
    "Unavailable",
    "InternalError",
]


class Refusal(BaseModel):
    """Why a request wasn't answered."""

    code: Code
    """One word for programs."""
    message: str
    """For people: what is wrong, and what to do."""
    request_id: str = ""
    """The same as in the server's log."""
    faults: list[Fault] = []


class RefusalBody(BaseModel):
    """The body of every answer with a status of 400 or more."""

    success: Literal[False] = False
    error: Refusal


RunStatus: TypeAlias = Literal["RUNNING", "COMPLETED", "FAILED", "CANCELED", "TIMED_OUT"]

STATUS_OF_PHASE: Final[dict[str, RunStatus]] = {"Succeeded": "COMPLETED", "Failed": "FAILED", "Cancelled": "CANCELED"}
"""Phases that a run ends with; one in any other is RUNNING."""


class Started(BaseModel):
    """A run that exists now."""

    workflow_id: str
    """Name of the run."""
    run_id: str
    """Its unique id: another run of that name, once this one is deleted, has another."""
    correlation_id: str = ""
    """The request's own, given back. The run's is its name."""
    created: bool = True
    """False if an earlier request with the same idempotency key had started it."""


class RunError(BaseModel):
    """Why a run failed, or why it waits."""

    type: str
    message: str


class RunState(BaseModel):
    """Where a run stands."""

    model_config = ConfigDict(frozen=True)

    workflow_id: str
    run_id: str
    status: RunStatus
    phase: str
    """AppRun's own word, which is finer: `Stalled` and `Suspended` are RUNNING too."""
    message: str = ""
    entrypoint: str = ""
    execution_duration_seconds: float = Field(ge=0, default=0)
    tasks_done: int = 0
    tasks_total: int = 0
    """Task calls so far; a route may make more."""
    continued_as: str | None = None
    """The run that this one goes on as."""
    error: RunError | None = None


class RunResult(BaseModel):
    """What a run has returned, if it has ended."""

    workflow_id: str
    status: Literal["running", "completed", "failed", "canceled"]
    result: JsonValue = None
    error: RunError | None = None


class Health(BaseModel):
    """The server is there."""

    status: Literal["healthy", "ready"]
    app: str
