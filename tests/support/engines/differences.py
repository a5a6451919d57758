"""Where engines differ by their nature: the rows of the table in docs/testing.md, and what shows each of them."""

from __future__ import annotations

from dataclasses import dataclass

MEMORY = "memory"
IN_PROCESS = "local, in process"
SUBPROCESSES = "local, subprocesses"
SIMULATED = "simulated cluster"


@dataclass(frozen=True)
class Difference:
    """One row of the table."""

    title: str
    """Its first cell."""
    program: str
    engines: frozenset[str]
    """Those that differ from the rest, as the row says."""


DIFFERENCES = (
    Difference("A task ends its process", "dying", frozenset({MEMORY, IN_PROCESS})),
    Difference("A task gives no heartbeat", "silent", frozenset({MEMORY, IN_PROCESS})),
    Difference("A run's input is refused", "refused-input", frozenset({MEMORY})),
)


def differs(engine: str, program: str) -> bool:
    """Whether the table says that this engine does something else with this program."""
    return any(program == difference.program and engine in difference.engines for difference in DIFFERENCES)
