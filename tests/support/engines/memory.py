"""The test kit: `run_app`, or its bench where a driver has to die."""

from __future__ import annotations

from tests.support.dying import in_child
from tests.support.engines.catalog import Program
from tests.support.engines.differences import MEMORY
from tests.support.engines.observed import Attempt, Completion, Failure, Observed, observed
from tests.support.engines.programs import Programs

from application_sdk.contracts.codec import decode
from application_sdk.contracts.errors import ContractValidationError
from application_sdk.engines.memory.engine import SimulatedCrash
from application_sdk.engines.memory.world import START
from application_sdk.execution.definition import RunInfo
from application_sdk.testing import FinishedRun, run_app
from application_sdk.testing.runs import TestBench
from application_sdk.wire import reasons


class Memory:
    name = MEMORY

    def observe(self, program: Program, *, kill_driver: bool = False) -> Observed:
        if program.ends_process:
            code = in_child(lambda: _undisturbed(program))
            return Observed(f"the test's process ended, exit code {code}", None, None, (), ())
        if program.outcome == "Stalled":
            return _refused(program)
        finished = _crashed(program) if kill_driver else _undisturbed(program)
        return observed(
            finished.result.outcome,
            finished.result.output,
            finished.error,
            [
                Completion(done.key, done.task, done.outcome, done.attempts, Failure.of(done.error))
                for done in finished.ledger
            ],
            [
                Attempt(execution.task, execution.attempt, execution.reason, _budget(execution.reason))
                for execution in finished.executions
                if execution.reason != "Completed"
            ],
            finished.exported.info.uid,
        )


def _budget(reason: str) -> str:
    """The kit has only one, for what tasks do."""
    return "None" if reason in (reasons.ABANDONED, reasons.CANCELLED) else "App"


def _refused(program: Program) -> Observed:
    try:
        _undisturbed(program)
    except ContractValidationError:
        return Observed("no run was begun", None, None, (), ())
    raise AssertionError(f"the kit has taken the input of {program.name}")


def _undisturbed(program: Program) -> FinishedRun:
    definition = Programs.definition.entrypoint(program.name)
    return run_app(
        Programs,
        decode(definition.input_type, program.input),
        entrypoint=program.name,
        durations=program.durations,
        cancel_after=1.0 if program.cancel else None,
    )


def _crashed(program: Program) -> FinishedRun:
    bench = TestBench(Programs, program.name, durations=program.durations)
    info = RunInfo(run_id="r", uid="uid", started_at=START, own_disk=True)
    world = bench.world(info)
    try:
        bench.live(world, program.input, info, lambda step: step.kind == "after commit" and step.committed == 1)
    except SimulatedCrash:
        pass
    else:
        raise AssertionError(f"{program.name} has ended before its driver could be killed")
    return bench.finished(world, program.input, info, bench.live(world, program.input, info))
