"""The arguments and options that several commands share. Imports nothing that takes time."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Sequence
from typing import Annotated, Any

import typer

from application_sdk.cli.output import Format, Session
from application_sdk.cli.target import target_of

_TARGET_PANEL = "Where"
TARGET_OPTIONS = ("context", "namespace", "kubeconfig", "cluster")


def _keep_format(context: typer.Context, value: Format) -> Format:
    # `program` prints errors in the same format, and doesn't see this command's options.
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
        rich_help_panel=_TARGET_PANEL,
        autocompletion=_complete_context,
    ),
]
Namespace = Annotated[
    str | None,
    typer.Option(
        "--namespace",
        "-n",
        help="Namespace on the cluster; that of the context if not given.",
        rich_help_panel=_TARGET_PANEL,
        autocompletion=_complete_namespace,
    ),
]
Kubeconfig = Annotated[
    str | None,
    typer.Option(
        "--kubeconfig",
        metavar="FILE",
        help="Instead of [bold]$KUBECONFIG[/] or [bold]~/.kube/config[/].",
        rich_help_panel=_TARGET_PANEL,
    ),
]
Cluster = Annotated[
    bool | None,
    typer.Option(
        "--cluster/--local",
        help="The cluster's runs, or this machine's. Without either: this machine's, if it has the run.",
        rich_help_panel=_TARGET_PANEL,
        show_default=False,
    ),
]


Verb = Callable[..., None]


def with_target_options(verb: Verb) -> Verb:
    """Add the options that choose the source of runs. The verb gets them as its first argument, a Target."""
    return _with_options(verb, (Context, Namespace, Kubeconfig, Cluster))


def with_cluster_options(verb: Verb) -> Verb:
    """Add the options that choose a cluster. The verb gets them as its first argument, a Target."""
    return _with_options(verb, (Context, Namespace, Kubeconfig))


def _with_options(verb: Verb, annotations: Sequence[object]) -> Verb:
    names = TARGET_OPTIONS[: len(annotations)]

    @functools.wraps(verb)
    def command(session: typer.Context, **arguments: Any) -> None:
        context, namespace, kubeconfig, *cluster = [arguments.pop(name) for name in names]
        settings = session.find_root().obj
        plugin = isinstance(settings, Session) and settings.plugin
        target = target_of(context, namespace, kubeconfig, cluster[0] if cluster else True, plugin=plugin)
        verb(target, **arguments)

    # typer reads the signature of a command: the verb's parameters stand before the added options.
    keyword_only = inspect.Parameter.KEYWORD_ONLY
    parameters_of_verb = [
        parameter.replace(kind=keyword_only) for parameter in inspect.signature(verb, eval_str=True).parameters.values()
    ][1:]
    target_options = [
        inspect.Parameter(name, keyword_only, default=None, annotation=annotation)
        for name, annotation in zip(names, annotations, strict=True)
    ]
    session = inspect.Parameter("session", keyword_only, annotation=typer.Context)
    parameters = [session, *parameters_of_verb, *target_options]
    command.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    command.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
    return command
