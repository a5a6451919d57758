"""Errors of contracts: of a class when it is defined, of a payload when it is read, written or too large.

Everybody may catch them. None of them goes away by trying again: `retryable` is False on all, and whatever decides on
retries has to honour it.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import ClassVar

from typing_extensions import override


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that is wrong, with its place."""

    path: str
    """Where: `Class.field`, then `.name`, `[]` for the items of a collection, `{}` for the values of a mapping."""
    found: str
    """What is there: a type as written, or a value, cut to a readable length."""
    reason: str
    """Why it is refused."""
    remedy: str = ""
    """What to write in its place."""

    @override
    def __str__(self) -> str:
        found = f": {self.found}" if self.found else ""
        remedy = f" {self.remedy}" if self.remedy else ""
        return f"{self.path}{found}\n    {self.reason}{remedy}"


class ContractValidationError(ValueError):
    """A payload doesn't agree with its contract, or can't be stored and read back as what it is.

    `contract` is the name of the class, `problems` holds the faults that were found, the first twenty of many; `count`
    is how many there are.
    """

    retryable: ClassVar[bool] = False

    def __init__(
        self, message: str, *, contract: str = "", problems: Iterable[Problem] = (), count: int | None = None
    ) -> None:
        super().__init__(message)
        self.contract = contract
        self.problems: tuple[Problem, ...] = tuple(problems)
        self.count = len(self.problems) if count is None else count


class PayloadSafetyError(ContractValidationError):
    """A contract class has fields whose types are not safe to store and send. Raised where the class is defined."""


class PayloadTooLargeError(ContractValidationError):
    """A payload is larger than the limit. `field` is the part that weighs most, sizes are in bytes of JSON."""

    def __init__(
        self,
        message: str,
        *,
        contract: str = "",
        field: str = "",
        size_bytes: int = 0,
        limit_bytes: int = 0,
    ) -> None:
        super().__init__(message, contract=contract)
        self.field = field
        self.size_bytes = size_bytes
        self.limit_bytes = limit_bytes


def describe(headline: str, problems: Iterable[Problem], footer: str = "") -> str:
    """The text of an error with several problems: one block each, under a headline."""
    lines = [headline, *(f"  {problem}" for problem in problems)]
    if footer:
        lines.append(footer)
    return "\n".join(lines)


def excerpt(value: object, length: int = 80) -> str:
    """A value as text, cut to `length` characters."""
    text = repr(value)
    return text if len(text) <= length else f"{text[: length - 1]}…"
