"""Starts the runs, breaks things until all have ended, and gathers what the verdict is computed from."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

import urllib3
from hack.cluster.layout import cluster_dir
from hack.cluster.lifecycle import load_settings
from tests.soak.counter import Counter
from tests.soak.faults import Faults, Pace
from tests.soak.verdict import Attempt, Checkpoint, Facts, LongestStandstill, Operators, RunFacts
from tests.support.bed import Bed
from tests.support.kube import ApiError, Object, eventually
from tests.support.recorder.journal import Moment
from tests.support.recorder.recorder import Recorder
from tests.support.recorder.timeline import describe, longest
from tests.support.runs import Runs, source

ENDS = ("Succeeded", "Failed", "Cancelled")
UNANSWERED = (urllib3.exceptions.HTTPError, ApiError)
"""How a request may fail while the API server is dead. Anything else is a fault of the soak itself."""
SAY_EVERY_SECONDS = 20
ANSWER_SECONDS = 300
"""A net for calls that the API server doesn't answer, because it is dead just then."""


@dataclass(frozen=True)
class Recipe:
    """So many runs of so many tasks; `seconds` is what one takes, `patience` what all of them may."""

    runs: int = 50
    chain: int = 8
    width: int = 24
    warm_every: int = 2
    """Every so many-th run executes its calls in warm pods; 0: none does, 1: all do."""
    seconds: float = 1.0
    patience: float = 3600.0
    standstill: float = 60.0
    """Seconds that may pass without a commit while calls are open and the API server answers."""
    pace: Pace = field(default_factory=Pace)

    @property
    def tasks(self) -> int:
        """Calls of one run."""
        return self.width + 2 * self.chain

    @property
    def warm_runs(self) -> int:
        """Runs that execute their calls in warm pods."""
        return self.runs // self.warm_every if self.warm_every else 0


@dataclass(frozen=True)
class Outcome:
    """What happened, and how long the runs took in seconds."""

    facts: Facts
    faults: Faults
    seconds: float


def host_address(bed: Bed) -> str:
    """This machine, as the cluster's pods reach it."""
    return str(load_settings(cluster_dir(bed.name)).addresses.host)


def run_recipe(bed: Bed, runs: Runs, recipe: Recipe, recorder: Recorder) -> Outcome:
    """All of it, in the namespace of `runs`, which is empty before and afterwards."""
    began, terminations_before = time.time(), len(recorder.terminations)
    runs.upload("soak", (Path(__file__).parent / "app.py").read_text())
    runs.app("soak", "app:Soaked", source=source("soak"))
    names = [f"soak-{number:02}" for number in range(recipe.runs)]
    with Counter(host_address(bed)) as counter:
        plan = {"chain": recipe.chain, "width": recipe.width, "seconds": recipe.seconds, "counter": counter.url}
        started = time.monotonic()
        for number, name in enumerate(names, start=1):
            warm = bool(recipe.warm_every) and number % recipe.warm_every == 0
            runs.start(name, "soak", {**plan, "warm": warm})
        with Faults(bed, recipe.pace, recorder.note) as faults:
            until_ended(runs, names, recipe, lambda: standing(recorder, recipe, runs.namespace))
            seconds = time.monotonic() - started
        pods_left = left_of(lambda: pods(runs, names))
        found = tuple(facts_of(runs, name) for name in names)
        delete(runs, names)
        leftovers = left_of(lambda: objects(runs))
        operators = operators_since(recorder, terminations_before)
        standstill = longest_standstill(recorder.moments(began, runs.namespace), recipe.standstill)
        facts = Facts(found, recipe.tasks, counter.executions, pods_left, leftovers, operators, standstill)
        return Outcome(facts, faults, seconds)


def operators_since(recorder: Recorder, before: int) -> Operators:
    """The terminations of operator pods but the first `before`."""
    unexpected = tuple(str(each) for each in recorder.unexpected(since=before))
    return Operators(len(recorder.terminations) - before, unexpected)


def standing(recorder: Recorder, recipe: Recipe, namespace: str) -> list[str]:
    """What is recorded about a standstill that goes on."""
    return recorder.timeline(time.time() - 10 * recipe.standstill, recipe.standstill, namespace)[-1:]


def longest_standstill(moments: list[Moment], limit: float) -> LongestStandstill:
    """The longest time in which nothing was committed, with what was recorded about it."""
    worst = longest(moments)
    if worst is None:
        raise AssertionError("the recorder has seen no call of this soak")
    return LongestStandstill(worst.counted, limit, tuple(describe(worst, moments)))


def until_ended(
    runs: Runs, names: list[str], recipe: Recipe, standing: Callable[[], list[str]], every: float = 1.0
) -> None:
    """Until each run has ended or the patience has; then the verdict says which are stuck.

    `standing` tells what is known of a standstill, for whoever watches.
    """
    deadline, printed, moved, before = time.monotonic() + recipe.patience, 0.0, time.monotonic(), 0
    while time.monotonic() < deadline:
        time.sleep(every)
        try:
            runs_ = runs.kube.items(f"{runs.api}/appruns")
        except UNANSWERED:  # dead just now
            continue
        phases = [run.get("status", {}).get("phase", "") for run in runs_]
        if len(runs_) == len(names) and all(phase in ENDS for phase in phases):
            return
        if time.monotonic() - printed < SAY_EVERY_SECONDS * every:
            continue
        printed = time.monotonic()
        done = sum(run.get("status", {}).get("tasks", {}).get("succeeded", 0) for run in runs_)
        say(f"{done} tasks, {phases.count('Succeeded')} runs done")
        if done != before:
            moved, before = printed, done
        elif printed - moved > recipe.standstill:
            say("\n".join(standing()) or "nothing moves")


def say(text: str) -> None:
    print(f"{time.strftime('%H:%M:%S')} {text}", file=sys.stderr, flush=True)


def facts_of(runs: Runs, name: str) -> RunFacts:
    run = eventually(f"{name} is read", lambda: runs.get(name), ANSWER_SECONDS)
    status = run.get("status", {})
    tasks = eventually(f"tasks of {name} are read", lambda: [*runs.tasks(name), *runs.tasks(name, "driver")])
    return RunFacts(
        name=name,
        uid=run["metadata"]["uid"],
        phase=status.get("phase", ""),
        message=status.get("message", ""),
        numbers=tuple((status.get("output") or {}).get("numbers", [])),
        ledger=tuple(checkpoint(entry) for entry in runs.checkpoints(name)),
        ended=tuple(attempt for task in tasks for attempt in ended(task)),
    )


def checkpoint(entry: Object) -> Checkpoint:
    at = datetime.fromisoformat(entry["at"]).timestamp()
    return Checkpoint(entry["key"], entry["outcome"], entry["attempts"], at)


def ended(task: Object) -> Iterator[Attempt]:
    for attempt in task["status"].get("attempts", []):
        yield Attempt(task["metadata"]["name"], attempt["reason"], attempt["budget"])


def pods(runs: Runs, names: list[str]) -> list[str]:
    return [f"pod {pod['metadata']['name']}" for name in names for pod in runs.pods(name)]


def objects(runs: Runs) -> list[str]:
    """Everything of ours in the namespace but the App."""
    kinds = (
        *(f"{runs.api}/{plural}" for plural in ("appruns", "apptasks", "appledgers", "appworkers")),
        f"{runs.core}/pods",
    )
    return [
        f"{plural.rpartition('/')[2]}/{item['metadata']['name']}"
        for plural in kinds
        for item in runs.kube.items(plural)
    ]


def delete(runs: Runs, names: list[str]) -> None:
    for name in names:
        try:
            runs.kube.delete(f"{runs.api}/appruns/{name}", propagationPolicy="Background")
        except ApiError as error:
            print(f"{name} can't be deleted: {error}", file=sys.stderr)


def left_of(look: Callable[[], list[str]]) -> tuple[str, ...]:
    """What is still there after a while; nothing, if all goes well."""
    try:
        eventually("nothing is left", lambda: not look() or None, 180, every=1)
    except AssertionError:
        return tuple(look())
    return ()
