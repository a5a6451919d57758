"""The command line as a whole: its commands, and what becomes of their errors."""

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
from application_sdk.cli.output import Session, never_fail_on_text, say, write_result
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
    (verbs.HERE, (verbs.init, verbs.run, verbs.retry)),
    (
        verbs.BOTH,
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
    (verbs.CLUSTER, (verbs.deploy, verbs.submit, verbs.suspend, backup_verbs.import_, verbs.doctor)),
    (verbs.CHECKING, (verbs.check, verbs.manifest)),
):
    for command in commands:
        program.command(name=command.__name__.rstrip("_"), rich_help_panel=panel)(command)
program.command(name="runs", hidden=True)(verbs.list_)


def _print_version(wanted: bool) -> None:
    if wanted:
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
    """Run a command line. Errors are told on standard error, without tracebacks unless they are the user's code."""
    session = Session(plugin=plugin)
    never_fail_on_text()
    try:
        # Usage errors are told by typer itself, which ends with SystemExit in any case.
        program(list(arguments), prog_name=PLUGIN if plugin else "apprun", obj=session)
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else exit_codes.SUCCEEDED
    except KeyboardInterrupt:
        return exit_codes.INTERRUPTED
    except BrokenPipeError:
        # `apprun list | head`: whoever reads has enough.
        sys.stdout = None  # or the interpreter complains of it at its end
        return exit_codes.SUCCEEDED
    except OSError as error:
        # What users' code meets is told by now: this is about a file of ours.
        if error.filename is None:
            return _tell_homeless(session) if _is_homeless() else _tell_fault()
        return _tell_unavailable(error, session)
    except Exception as error:  # noqa: BLE001 - the last resort: whatever else comes here is a fault of this program
        if not _is_ours(error):
            return _tell_fault()
        _tell(error, session)
        return exit_codes.of_error(error)
    return exit_codes.SUCCEEDED


def _is_ours(error: Exception) -> bool:
    if isinstance(error, AppError):
        return True
    from application_sdk.contracts.errors import ContractValidationError

    return isinstance(error, ContractValidationError)


def _is_homeless() -> bool:
    """Whether the working directory was removed: nothing that goes by it works then."""
    try:
        os.getcwd()  # noqa: PTH109 - as Path.cwd() does
    except FileNotFoundError:
        return True
    return False


def _tell_homeless(session: Session) -> int:
    from application_sdk.cli.errors import InputError

    _tell(InputError("the working directory was removed. Change to one that is there, and try again"), session)
    return exit_codes.USAGE


def _tell_unavailable(error: OSError, session: Session) -> int:
    from application_sdk.engines.local.errors import LedgerUnavailableError

    told = LedgerUnavailableError(Path(error.filename), f"{error.strerror}. Check the disk, and whose file it is")
    _tell(told, session)
    return exit_codes.LEDGER


def _tell_fault() -> int:
    say(traceback.format_exc().rstrip())
    say("This is a fault of apprun itself. Please report it with the lines above.", "red")
    return exit_codes.BUG


def _tell(error: Exception, session: Session) -> None:
    own_code = "" if _says_it_all(error.__cause__) else str(getattr(error, "traceback", "") or "")
    if session.format.for_programs:
        told = {"type": type(error).__name__, "message": str(error), "traceback": own_code}
        write_result({"error": told}, session.format)
        return
    if own_code:
        say(own_code.rstrip())
    say(str(error), mark="error:", mark_style="bold red")


def _says_it_all(cause: BaseException | None) -> bool:
    """Whether an error names file, line and remedy in its own text, so that a traceback adds nothing."""
    if isinstance(cause, AppDefinitionError):
        return True
    from application_sdk.contracts.errors import PayloadSafetyError

    return isinstance(cause, PayloadSafetyError)
