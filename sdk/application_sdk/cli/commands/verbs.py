"""The verbs of `apprun`: their arguments and their help. A verb imports its implementation when it runs.

`selection` decides which source of runs a verb addresses.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from application_sdk.cli import options
from application_sdk.cli.output import Format
from application_sdk.cli.target import Target

LOCAL_PANEL = "On this machine"
CLUSTER_PANEL = "On a cluster"
SHARED_PANEL = "On either"
CHECK_PANEL = "Without running anything"


def run(
    app: options.AppTarget,
    input: options.RunInput = "{}",
    entrypoint: options.Entrypoint = None,
    name: options.NewName = None,
    in_process: options.InProcess = False,
    parallelism: options.Parallelism = None,
    handler: Annotated[
        bool, typer.Option("--handler", help="Serve the app over HTTP instead, until Ctrl-C: its handler, and runs.")
    ] = False,
    port: Annotated[int, typer.Option("--port", min=0, max=65535, help="With --handler: where to listen.")] = 8000,
    output: options.Output = Format.TEXT,
) -> None:
    """Run an app on this machine, and wait until it has ended.

    Each completed task is recorded on the disk. Whatever interrupts the run, [bold]apprun resume[/] goes on from there.
    """
    if handler:
        from application_sdk.cli.commands import serve

        raise typer.Exit(serve.serve_app(app, port, parallelism))
    from application_sdk.cli.commands import local_run

    run_options = local_run.RunOptions(output, in_process, parallelism)
    raise typer.Exit(local_run.run(app, input, entrypoint, name, run_options))


def retry(
    run: options.RunName,
    app: Annotated[
        str | None, typer.Option("--app", metavar="APP", help="Where the app is now, if it was moved.")
    ] = None,
    in_process: options.InProcess = False,
    parallelism: options.Parallelism = None,
    output: options.Output = Format.TEXT,
) -> None:
    """Try a failed or cancelled run again, from what failed: all that was completed before is kept.

    Correct the code first, if that was the cause. The ledger with the failure stays in the run's folder.
    """
    from application_sdk.cli.commands import local_run

    raise typer.Exit(local_run.retry(run, local_run.RunOptions(output, in_process, parallelism, app)))


@options.with_target_options
def list_(
    target: Target,
    app: Annotated[str | None, typer.Option("--app", help="Only runs of the app with this name.")] = None,
    limit: Annotated[int, typer.Option("--limit", "-l", min=1, help="How many, the newest first.")] = 50,
    all_namespaces: Annotated[
        bool, typer.Option("--all-namespaces", "-A", help="Those of all namespaces of the cluster.")
    ] = False,
    output: options.Output = Format.TEXT,
) -> None:
    """List runs, newest first.

    Those of this machine; or of the cluster, when one is named or this machine has none.
    """
    from application_sdk.cli.commands import list_show

    list_show.list_runs(target, app, limit, output, everywhere=all_namespaces)


@options.with_target_options
def show(
    target: Target,
    run: options.RunPrefix,
    every: Annotated[bool, typer.Option("--all", "-a", help="Fold no equal calls into one line.")] = False,
    output: options.Output = Format.TEXT,
) -> None:
    """Show a run: its state, and the tree of its calls with state, attempt, node, duration and result or reason."""
    from application_sdk.cli.commands import list_show

    list_show.show_run(target, run, output, every=every)


@options.with_target_options
def watch(
    target: Target,
    run: options.RunPrefix,
    timeout: options.Timeout = None,
    output: options.Output = Format.TEXT,
) -> None:
    """Watch a run until it is over or stalled; the exit code is its outcome.

    On a terminal a table that keeps itself current, else a line for each change.
    """
    from application_sdk.cli.commands import watch

    raise typer.Exit(watch.watch_run(target, run, output, timeout))


@options.with_target_options
def logs(
    target: Target,
    run: options.RunPrefix,
    task: Annotated[
        str | None,
        typer.Argument(
            metavar="TASK", help="Only this task's; or the first digits of a call's key, or [bold]driver[/]."
        ),
    ] = None,
    attempt: Annotated[int | None, typer.Option("--attempt", min=1, help="Only this attempt's.")] = None,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on until the run is over.")] = False,
    output: options.Output = Format.TEXT,
) -> None:
    """Print what the tasks of a run have printed and logged.

    On a cluster: of all pods that are there, by time, and the end of what failed attempts had written. The pods of
    completed calls are deleted at once, so follow a run to see everything.
    """
    from application_sdk.cli.commands import list_show
    from application_sdk.cli.sources.protocol import LogQuery

    list_show.print_logs(target, LogQuery(run, task or "", attempt or 0, follow), output)


@options.with_target_options
def describe(
    target: Target,
    run: options.RunPrefix,
    output: options.Output = Format.TEXT,
) -> None:
    """Say why a run waits, fails or is stalled, and what to do about it.

    [bold]app/NAME[/] in place of a run says whether an App of a cluster is ready, and what its warm pods are doing.
    """
    from application_sdk.cli.commands import describe

    describe.describe(target, run, output)


@options.with_target_options
def cancel(
    target: Target,
    run: options.RunName,
    force: Annotated[
        bool,
        typer.Option(
            "--force", help="Of a run of this machine: without the app's clean-up, for an app that can't be loaded."
        ),
    ] = False,
    wait: Annotated[bool, typer.Option("--wait", "-w", help="On a cluster: wait until it is over.")] = False,
    timeout: options.Timeout = None,
    output: options.Output = Format.TEXT,
) -> None:
    """Cancel a run. Its route and its tasks get a CancelledError and may clean up.

    On this machine a run that is being executed is told so, and ends in its own time; one that isn't is executed here
    until it ends.
    """
    from application_sdk.cli import selection

    source, name = selection.source_of(target, run, exactly=True)
    if source.is_local:
        from application_sdk.cli.commands import local_run

        raise typer.Exit(local_run.cancel(name, output, force=force))
    from application_sdk.cli.cluster import verbs

    raise typer.Exit(verbs.cancel_run(selection.as_cluster(source), name, output, waits=wait, timeout=timeout))


@options.with_cluster_options
def suspend(
    target: Target,
    run: options.RunName,
    output: options.Output = Format.TEXT,
) -> None:
    """Start no further pods of a run; those at work finish, and are committed. [bold]apprun resume[/] goes on."""
    from application_sdk.cli import selection
    from application_sdk.cli.cluster import verbs

    source, name = selection.source_of(target, run, exactly=True)
    raise typer.Exit(verbs.suspend_run(selection.as_cluster(source), name, output))


@options.with_target_options
def resume(
    target: Target,
    run: options.RunName,
    app: Annotated[
        str | None, typer.Option("--app", metavar="APP", help="Here: where the app is now, if it was moved.")
    ] = None,
    in_process: options.InProcess = False,
    parallelism: options.Parallelism = None,
    output: options.Output = Format.TEXT,
) -> None:
    """Go on with a run.

    On this machine: one that was interrupted or is stalled, from its last checkpoint. On a cluster: one that is
    suspended.
    """
    from application_sdk.cli import selection

    source, name = selection.source_of(target, run, exactly=True)
    if source.is_local:
        from application_sdk.cli.commands import local_run

        raise typer.Exit(local_run.resume(name, local_run.RunOptions(output, in_process, parallelism, app)))
    from application_sdk.cli.cluster import verbs

    raise typer.Exit(verbs.resume_run(selection.as_cluster(source), name, output))


@options.with_cluster_options
def deploy(
    target: Target,
    app: options.AppTarget,
    name: Annotated[str | None, typer.Option("--name", help="Name of the App; by default that of the class.")] = None,
    image: Annotated[
        str | None,
        typer.Option(
            "--image", help="An image with the code; then APP may be [bold]module:Class[/] as it is in there."
        ),
    ] = None,
    file: Annotated[
        list[Path] | None,
        typer.Option("--file", metavar="FILE", help="A further file beside the app's; may be given several times."),
    ] = None,
    service_account: Annotated[
        str | None, typer.Option("--service-account", help="Service account of the tasks' pods.")
    ] = None,
    parallelism: options.Parallelism = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Let the API server check it and say what would change; change nothing.")
    ] = False,
    force: Annotated[
        bool, typer.Option("--force", help="Take over fields that somebody else manages, a GitOps tool for example.")
    ] = False,
    wait: Annotated[
        bool,
        typer.Option(
            "--wait", "-w", help="Wait until the operator has imported the code on the cluster; exit 3 if it can't."
        ),
    ] = False,
    timeout: options.Timeout = None,
    output: options.Output = Format.TEXT,
) -> None:
    """Bring an app to a cluster: its file, and those beside it that it imports, as a ConfigMap, and an App.

    The app is imported and checked first. Runs that have begun keep the code that they began with. With
    [bold]-o yaml[/] the manifests are written, for Git, and nothing is applied.
    """
    from application_sdk.cli import selection
    from application_sdk.cli.cluster import deploy
    from application_sdk.cli.cluster.package import Settings, pack

    settings = Settings(name or "", image or "", service_account or "", parallelism, tuple(file or ()))
    package = pack(app, Path.cwd(), settings)
    if output.for_programs:
        raise typer.Exit(deploy.print_manifests(package, output))
    source = selection.cluster(target)
    code = deploy.deploy(source, package, output, dry_run=dry_run, force=force, waits=wait, timeout=timeout)
    raise typer.Exit(code)


@options.with_cluster_options
def submit(
    target: Target,
    app: options.DeployedApp,
    input: options.RunInput = "{}",
    entrypoint: options.Entrypoint = None,
    name: options.NewName = None,
    wait: Annotated[
        bool, typer.Option("--wait", "-w", help="Wait until it has ended; the exit code is the run's outcome.")
    ] = False,
    follow: Annotated[
        bool, typer.Option("--follow", "-f", help="Wait, and print meanwhile what its tasks write.")
    ] = False,
    timeout: options.Timeout = None,
    limit_seconds: Annotated[
        int | None, typer.Option("--time-limit", min=1, help="Seconds after which the run itself is cancelled.")
    ] = None,
    suspended: Annotated[bool, typer.Option("--suspend", help="Start nothing until it is resumed.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Let the API server check it; create nothing.")] = False,
    parallelism: options.Parallelism = None,
    output: options.Output = Format.TEXT,
) -> None:
    """Begin a run of a deployed app on a cluster. Prints its name; with [bold]--wait[/] its output."""
    import sys

    from application_sdk.cli import selection
    from application_sdk.cli.cluster import verbs
    from application_sdk.cli.cluster.submit import RunRequest
    from application_sdk.cli.inputs import read_input

    payload = read_input(input, sys.stdin)
    request = RunRequest(app, payload, name or "", entrypoint or "", parallelism, limit_seconds, suspended)
    source = selection.cluster(target)
    code = verbs.submit_run(source, request, output, waits=wait, follows=follow, dry_run=dry_run, timeout=timeout)
    raise typer.Exit(code)


@options.with_cluster_options
def doctor(
    target: Target,
    pod: Annotated[
        bool,
        typer.Option(
            "--pod/--no-pod", help="Also start one pod of the runtime image, to see whether it can be pulled."
        ),
    ] = True,
    output: options.Output = Format.TEXT,
) -> None:
    """Look at an installation: versions, CRDs, operator, admission policies, your rights, clocks, and the image.

    Changes nothing but for one pod in the namespace, which it deletes. Exit 1 if something is wrong.
    """
    from application_sdk.cli import selection
    from application_sdk.cli.cluster import doctor as examination

    raise typer.Exit(examination.examine(selection.cluster(target), output, pod=pod))


def check(
    app: options.AppTarget,
    replay: Annotated[
        list[Path] | None,
        typer.Option(
            "--replay", metavar="LEDGER.json", help="Also replay an exported run; may be given several times."
        ),
    ] = None,
    output: options.Output = Format.TEXT,
) -> None:
    """Import an app, check all of it, and print its entry points and tasks with their contracts.

    With [bold]--replay[/] it is also checked that the app still repeats a run that [bold]apprun export[/] has written,
    so that runs in flight can go on with it. No task is executed; exit 1 if it doesn't.
    """
    from application_sdk.cli.commands import check_manifest

    raise typer.Exit(check_manifest.check(app, replay or [], output))


def manifest(
    app: options.AppTarget,
    check: Annotated[
        Path | None,
        typer.Option(
            "--check", metavar="OLD.json", help="Compare with an earlier manifest; exit 1 if the change breaks."
        ),
    ] = None,
    output: options.Output = Format.TEXT,
) -> None:
    """Print the JSON Schemas of an app's contracts, or compare them with those of an earlier version."""
    from application_sdk.cli.commands import check_manifest

    raise typer.Exit(check_manifest.manifest(app, check, output))


def init(
    folder: Annotated[Path, typer.Argument(metavar="[FOLDER]", help="Made if it isn't there.")] = Path(),
) -> None:
    """Begin a project in an empty folder: an app, a test of it, pytest's configuration and what it needs.

    Nothing is overwritten: exit 2 if one of the files is there.
    """
    from application_sdk.cli.commands import init_project

    raise typer.Exit(init_project.init(folder))
