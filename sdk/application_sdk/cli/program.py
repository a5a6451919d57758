"""The command line as a whole: its commands, and what becomes of their errors."""

from __future__ import annotations

import sys
import traceback
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from application_sdk.app.loading import AppLoadError
from application_sdk.cli import checking, exits, looking, running
from application_sdk.cli.output import Format, Session, notes, write_json
from application_sdk.contracts.errors import ContractValidationError, PayloadSafetyError
from application_sdk.engines.local.errors import LedgerUnavailableError
from application_sdk.errors import AppDefinitionError, AppError

program = typer.Typer(
    name="apprun",
    help="Durable Python apps: run them on this machine, and on Kubernetes.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    context_settings={"help_option_names": ["-h", "--help"]},
)

for command in (
    running.run,
    running.resume,
    looking.runs,
    looking.show,
    looking.logs,
    looking.export,
    running.retry,
    running.cancel,
    checking.check,
    checking.manifest,
):
    program.command()(command)


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


def run_program(arguments: Sequence[str]) -> int:
    """Run a command line. Errors are told on standard error, without tracebacks unless they are the user's code."""
    session = Session()
    try:
        # Usage errors are told by typer itself, which ends with SystemExit in any case.
        program(list(arguments), prog_name="apprun", obj=session)
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else exits.SUCCEEDED
    except KeyboardInterrupt:
        return exits.INTERRUPTED
    except (AppError, ContractValidationError) as error:
        _tell(error, session.format)
        return exits.of_error(error)
    except OSError as error:
        # What users' code meets is told by now: this is about a file of ours.
        if error.filename is None:
            return _tell_fault()
        _tell(
            LedgerUnavailableError(Path(error.filename), f"{error.strerror}. Check the disk, and whose file it is"),
            session.format,
        )
        return exits.LEDGER
    except Exception:  # noqa: BLE001 - the last resort: whatever comes here is a fault of this program
        return _tell_fault()
    return exits.SUCCEEDED


def _tell_fault() -> int:
    traceback.print_exc()
    notes().print("This is a fault of apprun itself. Please report it with the lines above.", style="red")
    return exits.BUG


def _tell(error: Exception, format: Format) -> None:
    own_code = error.traceback if isinstance(error, AppLoadError) and not _says_it_all(error.__cause__) else ""
    if format is Format.JSON:
        write_json({"error": {"type": type(error).__name__, "message": str(error), "traceback": own_code}})
        return
    console = notes()
    if own_code:
        console.print(own_code.rstrip(), markup=False)
    console.print("error:", style="bold red", end=" ")
    console.print(str(error), markup=False)


def _says_it_all(cause: BaseException | None) -> bool:
    """Whether an error names file, line and remedy in its own text, so that a traceback adds nothing."""
    return isinstance(cause, AppDefinitionError | PayloadSafetyError)
