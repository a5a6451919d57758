"""The arguments and options that several commands share."""

from __future__ import annotations

from typing import Annotated

import typer

from application_sdk.cli.output import Format, Session
from application_sdk.engines.local.home import Home
from application_sdk.engines.local.ledger import Ledger


def _keep_format(context: typer.Context, value: Format) -> Format:
    # Errors are told in the chosen format too, by somebody who doesn't see this command's options.
    session = context.find_root().obj
    if isinstance(session, Session):
        session.format = value
    return value


def _complete_run(incomplete: str) -> list[str]:
    import os

    return [name for name in Home.from_environment(os.environ).runs() if name.startswith(incomplete)]


Output = Annotated[
    Format, typer.Option("--output", "-o", help="How results are written.", callback=_keep_format, show_default=True)
]
AppTarget = Annotated[
    str,
    typer.Argument(metavar="APP", help="The app: [bold]file.py[/], [bold]file.py:Class[/] or [bold]module:Class[/]."),
]
RunName = Annotated[str, typer.Argument(metavar="RUN", help="Name of the run.", autocompletion=_complete_run)]
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


def home() -> Home:
    """Where this machine's runs are."""
    import os

    return Home.from_environment(os.environ)


def reading(name: str) -> Ledger:
    """The ledger of a run, to be read and closed."""
    return Ledger.open(home().folder(name).ledger, read_only=True)
