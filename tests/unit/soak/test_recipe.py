"""The soak waits for its runs through an API server that dies, and through nothing else."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

import pytest
from tests.soak.recipe import Recipe, until_ended
from tests.support.kube import ApiError, Kube, Object
from tests.support.runs import Runs

RECIPE = Recipe(runs=1, patience=5.0, standstill=0.0)


@dataclass(frozen=True)
class Answers(Kube):
    """Gives or raises one after the other, and the last one for good."""

    answers: list[list[Object] | Exception] = field(default_factory=list)

    def items(self, path: str) -> list[Object]:
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if isinstance(answer, Exception):
            raise answer
        return answer


def run(phase: str) -> list[Object]:
    return [{"metadata": {"name": "soak-00"}, "status": {"phase": phase}}]


def wait(*answers: list[Object] | Exception, summary: Iterator[str] | None = None) -> None:
    kube = Answers("", None, {}, list(answers))  # type: ignore[arg-type]
    until_ended(Runs(kube, "ns"), ["soak-00"], RECIPE, lambda: [next(summary)] if summary else [], every=0.001)


def test_api_server_that_is_dead_is_waited_for() -> None:
    wait(ApiError(503, ""), run("Running"), run("Succeeded"))


def test_standstill_is_told_meanwhile(capsys: pytest.CaptureFixture[str]) -> None:
    wait(*300 * [run("Running")], run("Succeeded"), summary=iter(300 * ["leader: nobody"]))
    assert "leader: nobody" in capsys.readouterr().err


def test_slip_in_the_report_of_a_standstill_is_seen() -> None:
    with pytest.raises(RuntimeError, match="a slip"):
        wait(run("Running"), summary=slips())


def test_answer_that_nobody_expects_is_seen() -> None:
    with pytest.raises(AttributeError):
        wait([None])  # type: ignore[list-item]


def slips() -> Iterator[str]:
    raise RuntimeError("a slip")
    yield
