"""Ends the execution of a route that did what a replay can't repeat."""

from __future__ import annotations

from typing import Final, NoReturn

from application_sdk.errors import RouteViolation
from application_sdk.execution.source_lines import user_line

MOVE_IT: Final = "Move this into a @task"


class Violations:
    """The violations of one execution of a route. The event loop stops at the first."""

    __slots__ = ("first",)

    def __init__(self) -> None:
        self.first: RouteViolation | None = None
        """Set once something has happened after which no user code may run."""

    def refuse(self, action: str, instead: str = MOVE_IT) -> NoReturn:
        """End this execution at the route's current line, because of `action`. `instead` tells what to write.

        Raises:
            RouteViolation: Always. User code that catches it doesn't get far: the loop stops as well.
        """
        self.violate(f"{user_line()}: {action}. {instead}")

    def violate(self, message: str) -> NoReturn:
        """End this execution with a message that names the line itself.

        Raises:
            RouteViolation: Always.
        """
        violation = RouteViolation(message)
        if self.first is None:
            self.first = violation
        raise violation

    def raise_first(self) -> None:
        """Raise the first violation, if there is one: user code may have caught it."""
        if self.first is not None:
            raise self.first

    def clear(self) -> None:
        """Let the loop run once more, for the clean-up code of an execution that is over."""
        self.first = None
