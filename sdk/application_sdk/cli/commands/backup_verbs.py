"""The verbs that take runs out of a place and bring them back: their arguments and their help."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from application_sdk.cli import options
from application_sdk.cli.output import Format
from application_sdk.cli.target import Target


@options.with_target_options
def export(
    target: Target,
    runs: options.RunPrefixes = None,
    to: Annotated[
        Path | None, typer.Option("--to", metavar="FILE", help="Where to; standard output if not given.")
    ] = None,
    full: Annotated[
        bool, typer.Option("--full", help="Of a cluster: whole runs, to be brought back with [bold]apprun import[/].")
    ] = False,
    everything: Annotated[bool, typer.Option("--all", help="With --full: every run of the namespace.")] = False,
) -> None:
    """Write a run's ledger as one JSON document, for [bold]apprun check --replay[/] and for tests.

    With [bold]--full[/] a backup of whole runs: AppRuns, AppTasks and ledgers with their statuses, the Apps, what those
    keep, and their code. Secrets and stored files aren't in it. A FILE whose name ends with .gz is compressed.
    """
    from application_sdk.cli.commands import list_show
    from application_sdk.cli.errors import InputError

    if not full:
        if everything or not runs or len(runs) > 1:
            raise InputError("name one run; several, or --all, are exported with --full")
        list_show.export(target, runs[0], to)
        return
    from application_sdk.cli import selection
    from application_sdk.cli.cluster import backup_output

    if target.cluster is False:
        raise InputError("--full is for runs of a cluster; copy the folder of a run of this machine instead")
    backup_output.export_full(selection.cluster(target), runs or [], to, everything=everything)


@options.with_cluster_options
def import_(
    target: Target,
    file: Annotated[Path, typer.Argument(metavar="FILE", help="What [bold]apprun export --full[/] has written.")],
    runs: Annotated[
        list[str] | None, typer.Argument(metavar="[RUN]...", help="These runs of it; all by default.")
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Say what is in the way, and what would be restored; write nothing.")
    ] = False,
    output: options.Output = Format.TEXT,
) -> None:
    """Bring runs back to a cluster from a full backup: they stay finished, or go on from their last checkpoint.

    What was committed isn't executed again. An import that was interrupted is completed by importing the file again.
    Needs the role [bold]apprun-restore[/].
    """
    from application_sdk.cli import selection
    from application_sdk.cli.cluster import backup_output

    raise typer.Exit(backup_output.import_runs(selection.cluster(target), file, runs or [], output, dry_run=dry_run))
