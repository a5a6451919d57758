"""`python -m hack.demo`: the whole demo, from nothing to a verdict. Exits with 1 if a claim fails, 2 if it can't go on.

The cluster stays up, so that one can look around; `make down` removes it. With CLUSTER=existing the current kubectl
context is used, and instead of a node, the run's pods on one node are broken.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from hack.demo import catalog, setup
from hack.demo.observe import Reader, through
from hack.demo.report import page
from hack.demo.tools import Bed, DemoError, Tools
from hack.demo.verdict import Evidence, verdict
from rich.console import Console

from application_sdk.wire.printable import printable

PLAIN_WIDTH = 140

NEXT = """
The cluster stays up. What to try next:

  export KUBECONFIG={kubeconfig}
  export PATH="{path}:$PATH"
  kubectl get apprun,apptask -A                          # every run and every task call
  kubectl -n catalog get apprun catalog -o yaml          # the ledger: status.checkpoints
  kubectl -n catalog describe apptask -l apprun.dev/role=driver
  kubectl -n catalog get configmaps -l catalog.apprun.dev/run=catalog   # the witnesses
  kubectl explain apprun.spec
  kubectl delete apprun hello; kubectl apply -k examples/hello

  make down    # removes it without a trace"""


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m hack.demo", description=__doc__)
    parser.add_argument("--name", default="demo", help="name of the local cluster (%(default)s)")
    parser.add_argument(
        "--pictures", type=Path, metavar="DIR", help="also save live view and report as SVG files there"
    )
    arguments = parser.parse_args(argv)
    console = Console(highlight=False)
    if not console.is_terminal:
        console.width = PLAIN_WIDTH
    bed = Bed(arguments.name, existing=os.environ.get("CLUSTER") == "existing")
    try:
        return perform(bed, console, arguments.pictures)
    except DemoError as error:
        console.print(printable(f"The demo can't go on: {error}"), style="bold red", markup=False)
        return 2
    except KeyboardInterrupt:
        console.print("\nInterrupted. `make demo` starts again, `make down` removes the cluster.")
        return 130


def perform(bed: Bed, console: Console, pictures: Path | None) -> int:
    """All steps in their order; the exit status."""
    began = time.monotonic()
    tools = setup.set_up(bed, lambda text: console.print(f"\n[bold]{text}[/bold]"))
    console.print("\n[bold]hello[/bold]: kubectl apply -k examples/hello")
    greeting = setup.hello(tools)
    console.print(printable(f"  {greeting.output} {greeting.seconds:.1f} s after the apply"), markup=False)
    what = "deletes its pods on one node" if bed.existing else "kills a node under it"
    console.print(f"\n[bold]catalog[/bold]: kubectl apply -k examples/catalog; the demo {what} while it works\n")
    with tools.proxy() as socket:
        good = _main_act(bed, tools, Reader(through(socket), catalog.NAMESPACE, catalog.RUN), console, pictures)
    console.print(
        f"\n{'All claims hold' if good else 'A CLAIM FAILED'}. {time.monotonic() - began:.0f} s in all.", style="bold"
    )
    console.print(
        NEXT.format(kubeconfig=tools.kubeconfig, path=tools.path.split(os.pathsep)[0]), markup=False, soft_wrap=True
    )
    return 0 if good else 1


def _main_act(bed: Bed, tools: Tools, reader: Reader, console: Console, pictures: Path | None) -> bool:
    started = catalog.start(tools)
    show = catalog.Show(bed, tools, reader, console, started, pictures=pictures)
    try:
        end = show.watch()
    except DemoError as error:
        raise DemoError(f"{error}\n{setup.explain(tools, catalog.NAMESPACE, catalog.RUN)}") from error
    groups, kinds = reader.served()
    claims = verdict(Evidence(end, show.fault, groups, kinds, tuple(show.terminations.found)))
    report = page(end, show.fault, claims, (show.ended or end.at) - started)
    console.print()
    console.print(report)
    if pictures is not None:
        show.save_picture("report", report)
    return all(claim.holds for claim in claims)


if __name__ == "__main__":
    sys.exit(main())
