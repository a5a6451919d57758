"""`make soak`: the recipe on a cluster of its own, and a verdict that is computed. Exits with 1 when a claim fails."""

from __future__ import annotations

import argparse
import sys
import uuid

from tests.soak.faults import Pace
from tests.soak.recipe import Outcome, Recipe, run_recipe
from tests.soak.verdict import Facts, verdict
from tests.support.bed import EXISTING, KEEP, bring_up, take_down
from tests.support.figures import write
from tests.support.kube import CORE
from tests.support.recorder.recorder import Recorder
from tests.support.runs import Runs

COMMAND = "make soak"
PATIENT_WITH_NODES = ("--set", "kube-controller-manager.node-monitor-grace-period=20s")
"""The test bed counts a node as lost after four seconds: after a death of the API server that would be all of them."""


def main() -> int:
    parser = argparse.ArgumentParser(prog=COMMAND, description=__doc__)
    parser.add_argument("--runs", type=int, default=Recipe.runs)
    parser.add_argument("--width", type=int, default=Recipe.width, help="calls side by side, beside two chains of 8")
    parser.add_argument("--warm-every", type=int, default=Recipe.warm_every, help="which runs use warm pods; 0: none")
    parser.add_argument("--pods", type=int, default=30, help="task pods at a time, as the machine bears it")
    parser.add_argument(
        "--leader", type=float, default=Pace.leader, help="seconds from one death of the leader to the next"
    )
    parser.add_argument("--api", type=float, default=Pace.api, help="the same for the API server")
    parser.add_argument("--away", type=float, default=Pace.away, help="seconds that a node is dead or cut off")
    parser.add_argument("--whole", type=float, default=Pace.whole, help="seconds until the next one is")
    parser.add_argument("--patience", type=float, default=Recipe.patience, help="seconds until a run counts as stuck")
    parser.add_argument("--name", default="soak", help="the cluster's name")
    parser.add_argument("--dry-run", action="store_true", help="print only; leave docs/benchmarks.md alone")
    options = parser.parse_args()
    if EXISTING:
        sys.stderr.write("nodes and control plane of an existing cluster are not ours to break\n")
        return 2
    pace = Pace(leader=options.leader, api=options.api, away=options.away, whole=options.whole)
    recipe = Recipe(
        runs=options.runs,
        width=options.width,
        warm_every=options.warm_every,
        patience=options.patience,
        pace=pace,
    )
    bed = bring_up(options.name, *PATIENT_WITH_NODES)
    try:
        bed.install(f"maxPods={options.pods}", "nodeSpread=DoNotSchedule")
        namespace = f"soak-{uuid.uuid4().hex[:6]}"
        bed.kube.create(f"{CORE}/namespaces", {"metadata": {"name": namespace}})
        with Recorder(bed) as recorder:
            outcome = run_recipe(bed, Runs(bed.kube, namespace), recipe, recorder)
    finally:
        if not KEEP:
            take_down(options.name)
    lines = summary(recipe, outcome)
    sys.stdout.write("\n".join(lines) + "\n")
    sys.stderr.write("\n".join([*recorded(outcome.facts), f"recorded in {recorder.folder}"]) + "\n")
    good = all(claim.holds for claim in verdict(outcome.facts))
    if good and not options.dry_run:
        write(COMMAND, lines)
    return 0 if good else 1


def recorded(facts: Facts) -> list[str]:
    """What the recorder adds: which operator pods terminated, and the longest standstill with its causes."""
    count, unexpected = facts.operators.terminations, facts.operators.unexpected
    head = f"operator pods: {count} terminations, {len(unexpected)} of them unexpected"
    limit = f"longest standstill: {facts.standstill.seconds:.0f} s, where {facts.standstill.limit:g} s are allowed"
    return [head, *unexpected, limit, *facts.standstill.description]


def summary(recipe: Recipe, outcome: Outcome) -> list[str]:
    """Markdown: what was done, what was broken, what holds."""
    caused = ", ".join(f"{what} {count}×" for what, count in sorted(outcome.faults.caused.items()))
    return [
        f"{recipe.runs} runs of {recipe.tasks} tasks, {recipe.warm_runs} of them on warm pods, in "
        f"{outcome.seconds:.0f} s, a fault every "
        f"{recipe.pace.between:.0f} s. Caused meanwhile: {caused}.",
        "",
        "| claim | | computed from |",
        "| --- | --- | --- |",
        *(f"| {c.text} | {'holds' if c.holds else 'FAILS'} | {c.detail} |" for c in verdict(outcome.facts)),
    ]


if __name__ == "__main__":
    sys.exit(main())
