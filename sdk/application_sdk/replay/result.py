"""How a route ends, as data, and the one ending that a route asks for itself."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, TypeAlias

from application_sdk.errors import RouteInterrupt
from application_sdk.wire.digest import JSONObject
from application_sdk.wire.fields import ErrorFields, StallReason

if TYPE_CHECKING:
    from application_sdk.contracts.base import Input

RouteOutcome: TypeAlias = Literal["Succeeded", "Failed", "Cancelled", "Continued", "Stalled"]


@dataclass(frozen=True, slots=True)
class RouteResult:
    """The end of one execution of a route. All but `Stalled` end the run too."""

    outcome: RouteOutcome
    output: JSONObject | None = None
    """`Succeeded`: what the entry point returned."""
    error: ErrorFields | None = None
    """`Failed` and `Stalled`; its `stall` says why the run must wait for a person."""
    input: JSONObject | None = None
    """`Continued`: the new run's input."""
    entrypoint: str = ""
    """`Continued`: the new run's entry point."""


class ContinueWith(RouteInterrupt):
    """`App.continue_with`: this run ends and goes on as a new one."""

    def __init__(self, input: Input, entrypoint: str) -> None:
        super().__init__("the run continues as a new one")
        self.input = input
        self.entrypoint = entrypoint


def stalled(reason: StallReason, message: str, traceback: str = "") -> RouteResult:
    """The result of a route that only a person can help on."""
    error = ErrorFields(type=reason, message=message, retryable=False, stall=reason)
    if traceback:
        error["traceback"] = traceback
    return RouteResult("Stalled", error=error)
