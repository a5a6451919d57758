"""The arguments and options that several commands share. Imports nothing that takes time."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Sequence
from typing import Annotated, Any

import typer

from application_sdk.cli.output import Format, Session
from application_sdk.cli.sources.selection import where_of

_PLACE = "Where"
PLACE_NAMES = ("context", "namespace", "kubeconfig", "cluster")


def _keep_format(context: typer.Context, value: Format) -> Format:
    # Errors are told in the chosen format too, by somebody who doesn't see this command's options.
    session = context.find_root().obj
    if isinstance(session, Session):
        session.format = value
    return value


def _complete_run(context: typer.Context, incomplete: str) -> list[str]:
    from application_sdk.cli.completion import runs

    return runs(context.params, incomplete)


def _complete_app(context: typer.Context, incomplete: str) -> list[str]:
    from application_sdk.cli.completion import apps

    return apps(context.params, incomplete)


def _complete_context(context: typer.Context, incomplete: str) -> list[str]:
    from application_sdk.cli.completion import contexts

    return contexts(context.params, incomplete)


def _complete_namespace(context: typer.Context, incomplete: str) -> list[str]:
    from application_sdk.cli.completion import namespaces

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
RunPrefixes = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="RUN...",
        help="Name of the run, or its first letters; [bold]@latest[/] is the newest. With --full: whole names.",
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
NewName = Annotated[str | None, typer.Option("--name", help="Name of the run. Made up if not given.")]
Timeout = Annotated[float | None, typer.Option("--timeout", min=0.0, help="Seconds to wait at most.")]
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


Verb = Callable[..., None]


def placed(verb: Verb) -> Verb:
    """Gives a verb the options that say where its runs are, here or on a cluster: they are its first argument."""
    return _with_options(verb, (Context, Namespace, Kubeconfig, Cluster))


def on_cluster(verb: Verb) -> Verb:
    """The same for verbs that only a cluster has."""
    return _with_options(verb, (Context, Namespace, Kubeconfig))


def _with_options(verb: Verb, chosen: Sequence[object]) -> Verb:
    names = PLACE_NAMES[: len(chosen)]

    @functools.wraps(verb)
    def command(session: typer.Context, **given: Any) -> None:
        context, namespace, kubeconfig, *cluster = [given.pop(name) for name in names]
        found = session.find_root().obj
        plugin = isinstance(found, Session) and found.plugin
        where = where_of(context, namespace, kubeconfig, cluster[0] if cluster else True, plugin=plugin)
        verb(where, **given)

    # What typer makes the command of: the verb's own parameters between the two.
    kind = inspect.Parameter.KEYWORD_ONLY
    own = [one.replace(kind=kind) for one in inspect.signature(verb, eval_str=True).parameters.values()][1:]
    place = [
        inspect.Parameter(name, kind, default=None, annotation=annotation)
        for name, annotation in zip(names, chosen, strict=True)
    ]
    session = inspect.Parameter("session", kind, annotation=typer.Context)
    parameters = [session, *own, *place]
    command.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    command.__annotations__ = {one.name: one.annotation for one in parameters}
    return command
