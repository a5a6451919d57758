"""The arguments and options that several commands share. Imports nothing that takes time."""

from __future__ import annotations

from typing import Annotated

import typer

from application_sdk.cli.output import Format, Session
from application_sdk.cli.places.choosing import Where, where_of

_PLACE = "Where"


def _keep_format(context: typer.Context, value: Format) -> Format:
    # Errors are told in the chosen format too, by somebody who doesn't see this command's options.
    session = context.find_root().obj
    if isinstance(session, Session):
        session.format = value
    return value


def _complete_run(context: typer.Context, incomplete: str) -> list[str]:
    from application_sdk.cli.completing import runs

    return runs(context.params, incomplete)


def _complete_app(context: typer.Context, incomplete: str) -> list[str]:
    from application_sdk.cli.completing import apps

    return apps(context.params, incomplete)


def _complete_context(context: typer.Context, incomplete: str) -> list[str]:
    from application_sdk.cli.completing import contexts

    return contexts(context.params, incomplete)


def _complete_namespace(context: typer.Context, incomplete: str) -> list[str]:
    from application_sdk.cli.completing import namespaces

    return namespaces(context.params, incomplete)


Output = Annotated[
    Format, typer.Option("--output", "-o", help="How results are written.", callback=_keep_format, show_default=True)
]
AppTarget = Annotated[
    str,
    typer.Argument(metavar="APP", help="The app: [bold]file.py[/], [bold]file.py:Class[/] or [bold]module:Class[/]."),
]
RunName = Annotated[
    str,
    typer.Argument(metavar="RUN", help="Name of the run.", autocompletion=_complete_run),
]
RunPrefix = Annotated[
    str,
    typer.Argument(
        metavar="RUN",
        help="Name of the run, or its first letters; [bold]@latest[/] is the newest.",
        autocompletion=_complete_run,
    ),
]
DeployedApp = Annotated[
    str, typer.Argument(metavar="APP", help="Name of an App on the cluster.", autocompletion=_complete_app)
]
InProcess = Annotated[
    bool,
    typer.Option(
        "--in-process",
        help="Execute tasks in this process: fast, and breakpoints work, but a task's crash is the run's.",
    ),
]
Parallelism = Annotated[
    int | None, typer.Option("--parallelism", "-p", min=1, max=10_000, help="How many tasks may run at the same time.")
]
RunInput = Annotated[
    str,
    typer.Option("--input", "-i", metavar="JSON|@FILE|@-", help="The input: JSON, or a file with JSON or YAML."),
]
Entrypoint = Annotated[str | None, typer.Option("--entrypoint", "-e", help="The entry point, if the app has several.")]
Context = Annotated[
    str | None,
    typer.Option(
        "--context",
        help="Context of the kubeconfig: which cluster.",
        rich_help_panel=_PLACE,
        autocompletion=_complete_context,
    ),
]
Namespace = Annotated[
    str | None,
    typer.Option(
        "--namespace",
        "-n",
        help="Namespace on the cluster; that of the context if not given.",
        rich_help_panel=_PLACE,
        autocompletion=_complete_namespace,
    ),
]
Kubeconfig = Annotated[
    str | None,
    typer.Option(
        "--kubeconfig",
        metavar="FILE",
        help="Instead of [bold]$KUBECONFIG[/] or [bold]~/.kube/config[/].",
        rich_help_panel=_PLACE,
    ),
]
Cluster = Annotated[
    bool | None,
    typer.Option(
        "--cluster/--local",
        help="The cluster's runs, or this machine's. Without either: this machine's, if it has the run.",
        rich_help_panel=_PLACE,
        show_default=False,
    ),
]


def where(
    session: typer.Context, context: str | None, namespace: str | None, kubeconfig: str | None, cluster: bool | None
) -> Where:
    """What the options of a command say of the place."""
    found = session.find_root().obj
    plugin = isinstance(found, Session) and found.plugin
    return where_of(context, namespace, kubeconfig, cluster, plugin=plugin)


def on_cluster(session: typer.Context, context: str | None, namespace: str | None, kubeconfig: str | None) -> Where:
    """The same for commands that only a cluster has."""
    return where(session, context, namespace, kubeconfig, True)
