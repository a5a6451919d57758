"""The verdict of a soak: claims computed from two books, AppRun's own and the counter's outside of the cluster. Pure.

A body may run more than once, since an attempt that dies before it reported is replaced. What AppRun promises is that
each call has one recorded result, of one execution, and that nothing begins again what is committed.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from hack.demo.verdict import Claim
from tests.soak.counter import Execution


@dataclass(frozen=True)
class Checkpoint:
    """An entry of a ledger. `attempt` is the one whose result was recorded; `at`: when, in seconds since the epoch."""

    key: str
    outcome: str
    attempt: int
    at: float


@dataclass(frozen=True)
class Attempt:
    """An attempt that ended without a result, as its AppTask tells it."""

    task: str
    reason: str
    budget: str


@dataclass(frozen=True)
class RunFacts:
    """One run as the cluster holds it at the end."""

    name: str
    uid: str
    phase: str
    message: str
    numbers: tuple[int, ...]
    ledger: tuple[Checkpoint, ...]
    ended: tuple[Attempt, ...]


@dataclass(frozen=True)
class Operators:
    """How often containers of operator pods were restarted, or pods removed, and what of it nobody had caused."""

    terminations: int
    unexpected: tuple[str, ...] = ()


@dataclass(frozen=True)
class LongestStandstill:
    """The longest time, in seconds, in which calls were open and none was committed, without what the API server itself
    was away; how long it may be; and what was recorded about it."""

    seconds: float
    limit: float
    description: tuple[str, ...] = ()


@dataclass(frozen=True)
class Facts:
    """All that the verdict rests on. `left` names objects that are there although all runs are deleted."""

    runs: tuple[RunFacts, ...]
    tasks: int
    """Calls of each run."""
    executions: tuple[Execution, ...]
    pods_left: tuple[str, ...]
    left: tuple[str, ...]
    operators: Operators
    standstill: LongestStandstill


def verdict(facts: Facts) -> tuple[Claim, ...]:
    """All must hold."""
    committed = {f"{run.uid}/{entry.key}": entry for run in facts.runs for entry in run.ledger}
    return (
        _none_stuck(facts.runs),
        _none_lost(facts),
        _each_witnessed(committed, facts.executions),
        _none_doubled(facts.runs, committed, facts.executions),
        _nothing_unknown(committed, facts.executions),
        _charged_to_cluster(facts.runs),
        Claim("no pod is left of runs that are done", not facts.pods_left, _some(facts.pods_left) or "0 pods"),
        Claim("no object is left of runs that are deleted", not facts.left, _some(facts.left) or "0 objects"),
        _none_died_unasked(facts.operators),
        _none_stood_still(facts.standstill),
    )


def disruptions(runs: Iterable[RunFacts]) -> Counter[str]:
    """How often attempts ended, by reason."""
    return Counter(attempt.reason for run in runs for attempt in run.ended)


def _none_stuck(runs: Sequence[RunFacts]) -> Claim:
    wrong = [
        f"{run.name} is {run.phase or 'without a phase'}: {run.message}" for run in runs if run.phase != "Succeeded"
    ]
    return Claim("0 stuck: each run succeeded", bool(runs) and not wrong, _some(wrong) or f"{len(runs)} runs")


def _none_lost(facts: Facts) -> Claim:
    expected = tuple(range(facts.tasks))
    wrong = [
        f"{run.name} has {len(run.ledger)} checkpoints for {facts.tasks} calls, and {len(run.numbers)} results"
        for run in facts.runs
        if run.numbers != expected or Counter(e.outcome for e in run.ledger) != {"Succeeded": facts.tasks}
    ]
    return Claim(
        "0 lost: each run's ledger holds all of its calls, and its output all of their results",
        not wrong,
        _some(wrong) or f"{sum(len(run.ledger) for run in facts.runs)} checkpoints",
    )


def _each_witnessed(committed: dict[str, Checkpoint], executions: Sequence[Execution]) -> Claim:
    done = _done_per_attempt(executions)
    wrong = [call for call, entry in committed.items() if done[call, entry.attempt] != 1]
    return Claim(
        "each checkpoint is the result of one execution that was counted outside",
        bool(committed) and not wrong,
        _some(wrong) or f"{len(committed)} of {len(executions)} executions",
    )


def _none_doubled(runs: Sequence[RunFacts], committed: dict[str, Checkpoint], executions: Sequence[Execution]) -> Claim:
    """A zombie may begin late what an attempt after it has done; the committed attempt and later ones never again.

    An attempt may begin twice, if the first time came to nothing: its pod may vanish, with its node, while nobody
    watches.
    """
    twice = [
        f"{run.name}/{key}" for run in runs for key, n in Counter(e.key for e in run.ledger).items() if n > 1
    ]  # fmt: skip
    again = [f"{call} in attempt {n}" for (call, n), times in _done_per_attempt(executions).items() if times > 1]
    after = [
        f"{e.call} in attempt {e.attempt} after attempt {committed[e.call].attempt} was committed"
        for e in executions
        if e.call in committed
        and (
            e.attempt > committed[e.call].attempt
            or (e.attempt == committed[e.call].attempt and e.begun > committed[e.call].at)
        )
    ]
    wrong = [*twice, *again, *after]
    return Claim(
        "0 doubled: no call is committed twice, no attempt was done twice, nothing started again after its commit",
        not wrong,
        _some(wrong) or f"{len(executions) - len(committed)} executions died uncommitted",
    )


def _done_per_attempt(executions: Sequence[Execution]) -> Counter[tuple[str, int]]:
    return Counter((e.call, e.attempt) for e in executions if e.done is not None)


def _nothing_unknown(committed: dict[str, Checkpoint], executions: Sequence[Execution]) -> Claim:
    wrong = sorted({e.call for e in executions} - set(committed))
    return Claim("nothing ran that no ledger knows", not wrong, _some(wrong) or f"{len(committed)} calls")


def _charged_to_cluster(runs: Sequence[RunFacts]) -> Claim:
    ended = [attempt for run in runs for attempt in run.ended]
    wrong = [f"{a.task}: {a.reason} charged to {a.budget}" for a in ended if a.budget == "App"]
    summary = ", ".join(f"{reason} {count}" for reason, count in disruptions(runs).most_common())
    return Claim(
        "whatever ended an attempt was charged to the cluster, not to the task's own retries",
        not wrong,
        _some(wrong) or f"{len(ended)} attempts ended: {summary}" if ended else "no attempt ended",
    )


def _none_died_unasked(operators: Operators) -> Claim:
    return Claim(
        "no operator pod restarted or went that nobody killed",
        not operators.unexpected,
        _some(operators.unexpected) or f"{operators.terminations} terminations, each of them caused on purpose",
    )


def _none_stood_still(standstill: LongestStandstill) -> Claim:
    """What the API server is away isn't counted: nobody can commit then."""
    holds = standstill.seconds <= standstill.limit
    return Claim(
        f"nothing stood still for more than {standstill.limit:g} s while the API server answered",
        holds,
        f"at most {standstill.seconds:.0f} s" if holds else " ".join(line.strip() for line in standstill.description),
    )


def _some(items: Sequence[str], most: int = 4) -> str:
    more = f" and {len(items) - most} more" if len(items) > most else ""
    return "; ".join(items[:most]) + more
