"""Refusals as exceptions. The application turns each into its status and a `RefusalBody`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Final

from application_sdk.server.answers import Code, Fault

if TYPE_CHECKING:
    from application_sdk.contracts.errors import ContractValidationError

STATUS: Final[Mapping[Code, int]] = {
    "MalformedJSON": 400,
    "InvalidRequest": 422,
    "InvalidInput": 422,
    "UnknownEntrypoint": 404,
    "Unauthenticated": 401,
    "Forbidden": 403,
    "NotFound": 404,
    "MethodNotAllowed": 405,
    "RequestTooLarge": 413,
    "NameTaken": 409,
    "HandlerError": 500,
    "HandlerFailed": 500,
    "TimedOut": 504,
    "Unavailable": 503,
    "InternalError": 500,
}


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
    """An input that isn't what the entry point takes: with the path of each fault, without the values."""
    faults = [
        Fault(field=_within(problem.path), problem=f"{problem.reason} {problem.remedy}".strip())
        for problem in error.problems
    ]
    what = f"the body isn't a {error.contract}" if error.contract else "the body isn't the app's input"
    return Problem("InvalidInput", f"{what}: see `faults`" if faults else str(error), faults=faults)


def _within(path: str) -> str:
    """A contract's path without the name of the class at its start."""
    return path.partition(".")[2]
