"""A real cluster: all programs at once, since each takes its time there."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from tests.support.engines import programs as source
from tests.support.engines.catalog import Program
from tests.support.engines.observed import Observed
from tests.support.engines.simulated import read
from tests.support.runs import Runs

from application_sdk.wire.fields import TERMINAL_RUN_PHASES


def observe_all(runs: Runs, programs: Sequence[Program], seconds: float = 180) -> dict[str, Observed]:
    """What becomes of the programs, by name."""
    runs.upload("programs", Path(source.__file__).read_text())
    runs.app("programs", "app:Programs")
    for program in programs:
        runs.start(program.name, "programs", dict(program.input), entrypoint=program.name)
    for program in programs:
        runs.until_phase(program.name, *TERMINAL_RUN_PHASES, seconds=seconds)
    return {
        program.name: read(
            runs.get(program.name),
            runs.checkpoints(program.name),
            [task for role in ("task", "local", "timer") for task in runs.tasks(program.name, role)],
        )
        for program in programs
    }
