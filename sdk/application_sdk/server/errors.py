"""Refusals as exceptions. The application turns each into its status and a `RefusalBody`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Final

from application_sdk.server.schemas import Code, Fault

if TYPE_CHECKING:
    from application_sdk.contracts.errors import ContractValidationError

STATUS: Final[Mapping[Code, int]] = {
    "MalformedJSON": 400,
    "InvalidRequest": 422,
    "InvalidInput": 422,
    "UnknownEntrypoint": 400,
    "Unauthenticated": 401,
    "Forbidden": 403,
    "NotFound": 404,
    "MethodNotAllowed": 405,
    "RequestTooLarge": 413,
    "RequestTimeout": 408,
    "NameTaken": 409,
    "HandlerError": 500,
    "HandlerFailed": 500,
    "TimedOut": 504,
    "Unavailable": 503,
    "InternalError": 500,
}


MAX_FAULTS: Final = 20
"""How many faults of a request are told: as many as there are would make an answer larger than its
request."""
MAX_FIELD_LENGTH: Final = 200
MAX_PROBLEM_LENGTH: Final = 1000


class Problem(Exception):
    """A request that is refused. `status` is that of its code, unless given."""

    def __init__(
        self,
        code: Code,
        message: str,
        *,
        faults: Sequence[Fault] = (),
        status: int | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.faults = list(faults)
        self.status = STATUS[code] if status is None else status
        self.headers = dict(headers or {})


def invalid_input(error: ContractValidationError) -> Problem:
    """An input that isn't what the entry point takes: with the path of each fault, without the
    values."""
    faults = [
        fault_of(_within(problem.path), f"{problem.reason} {problem.remedy}".strip())
        for problem in error.problems[:MAX_FAULTS]
    ]
    what = f"the body isn't a {error.contract}" if error.contract else "the body isn't the app's input"
    message = f"{what}: see {see_faults(error.count)}" if faults else str(error)[:MAX_PROBLEM_LENGTH]
    return Problem("InvalidInput", message, faults=faults)


def fault_of(field: str, problem: str) -> Fault:
    """A fault as it is told: names of fields are the caller's, and may be as long as the
    request."""
    return Fault(field=_cut(field, MAX_FIELD_LENGTH), problem=_cut(problem, MAX_PROBLEM_LENGTH))


def see_faults(count: int) -> str:
    """Where to look for `count` faults."""
    return "`faults`" if count <= MAX_FAULTS else f"`faults`, which has {MAX_FAULTS} of {count}"


def _cut(text: str, length: int) -> str:
    return text if len(text) <= length else f"{text[: length - 1]}…"


def _within(path: str) -> str:
    """A contract's path without the name of the class at its start."""
    return path.partition(".")[2]
