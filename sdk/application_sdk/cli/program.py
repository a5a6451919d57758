"""Assembles the command line from its verbs, and maps errors to messages and exit codes."""

from __future__ import annotations

import os
import sys
import traceback
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from application_sdk.cli import exit_codes
from application_sdk.cli.commands import backup_verbs, verbs
from application_sdk.cli.output import Session, escape_unencodable, notify, write_result
from application_sdk.errors import AppDefinitionError, AppError

PLUGIN = "kubectl apprun"

program = typer.Typer(
    name="apprun",
    help="Durable Python apps: run them on this machine, and on Kubernetes.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    context_settings={"help_option_names": ["-h", "--help"]},
)

for panel, commands in (
    (verbs.LOCAL_PANEL, (verbs.init, verbs.run, verbs.retry)),
    (
        verbs.SHARED_PANEL,
        (
            verbs.list_,
            verbs.show,
            verbs.watch,
            verbs.logs,
            verbs.describe,
            verbs.cancel,
            verbs.resume,
            backup_verbs.export,
        ),
    ),
    (verbs.CLUSTER_PANEL, (verbs.deploy, verbs.submit, verbs.suspend, backup_verbs.import_, verbs.doctor)),
    (verbs.CHECK_PANEL, (verbs.check, verbs.manifest)),
):
    for command in commands:
        program.command(name=command.__name__.rstrip("_"), rich_help_panel=panel)(command)
program.command(name="runs", hidden=True)(verbs.list_)


def _print_version(requested: bool) -> None:
    if requested:
        from importlib.metadata import version

        sys.stdout.write(f"apprun {version('apprun')}\n")
        raise typer.Exit


@program.callback()
def _options(
    version: Annotated[
        bool, typer.Option("--version", help="Print the version and end.", callback=_print_version, is_eager=True)
    ] = False,
) -> None:
    pass


def run_program(arguments: Sequence[str], *, plugin: bool = False) -> int:
    """Run a command line. Errors go to standard error, with tracebacks only of the user's code."""
    session = Session(plugin=plugin)
    escape_unencodable()
    try:
        # typer prints usage errors itself, and always ends with SystemExit.
        program(list(arguments), prog_name=PLUGIN if plugin else "apprun", obj=session)
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else exit_codes.SUCCEEDED
    except KeyboardInterrupt:
        return exit_codes.INTERRUPTED
    except BrokenPipeError:
        # `apprun list | head` has closed the pipe.
        sys.stdout = None  # or the interpreter complains of it at its end
        return exit_codes.SUCCEEDED
    except OSError as error:
        # Errors of users' code are reported before this point: the file is one of apprun's own.
        if error.filename is None:
            return _report_missing_directory(session) if _is_working_directory_gone() else _report_bug()
        return _report_unreadable_file(error, session)
    except Exception as error:  # noqa: BLE001 - the last resort: whatever else comes here is a fault of this program
        if not _is_user_facing(error):
            return _report_bug()
        _print_error(error, session)
        return exit_codes.of_error(error)
    return exit_codes.SUCCEEDED


def _is_user_facing(error: Exception) -> bool:
    if isinstance(error, AppError):
        return True
    from application_sdk.contracts.errors import ContractValidationError

    return isinstance(error, ContractValidationError)


def _is_working_directory_gone() -> bool:
    """Whether the working directory was removed, so that no relative path works."""
    try:
        os.getcwd()  # noqa: PTH109 - as Path.cwd() does
    except FileNotFoundError:
        return True
    return False


def _report_missing_directory(session: Session) -> int:
    from application_sdk.cli.errors import InputError

    _print_error(InputError("the working directory was removed. Change to one that is there, and try again"), session)
    return exit_codes.USAGE


def _report_unreadable_file(error: OSError, session: Session) -> int:
    from application_sdk.engines.local.errors import LedgerUnavailableError

    unavailable = LedgerUnavailableError(
        Path(error.filename), f"{error.strerror}. Check the disk, and whose file it is"
    )
    _print_error(unavailable, session)
    return exit_codes.LEDGER


def _report_bug() -> int:
    notify(traceback.format_exc().rstrip())
    notify("This is a fault of apprun itself. Please report it with the lines above.", "red")
    return exit_codes.BUG


def _print_error(error: Exception, session: Session) -> None:
    own_code = "" if _is_self_explanatory(error.__cause__) else str(getattr(error, "traceback", "") or "")
    if session.format.for_programs:
        details = {"type": type(error).__name__, "message": str(error), "traceback": own_code}
        write_result({"error": details}, session.format)
        return
    if own_code:
        notify(own_code.rstrip())
    notify(str(error), mark="error:", mark_style="bold red")


def _is_self_explanatory(cause: BaseException | None) -> bool:
    """Whether an error names file, line and remedy in its own text, so that a traceback adds nothing."""
    if isinstance(cause, AppDefinitionError):
        return True
    from application_sdk.contracts.errors import PayloadSafetyError

    return isinstance(cause, PayloadSafetyError)
