"""The exit codes of `apprun`, which scripts may rely on, and which error ends with which."""

from __future__ import annotations

from typing import Final

from application_sdk.app.loading import AppLoadError
from application_sdk.cli.errors import InputError
from application_sdk.contracts.errors import ContractValidationError
from application_sdk.engines.local.errors import (
    LedgerError,
    OtherAppError,
    RunBusyError,
    RunExistsError,
    RunFinishedError,
    RunInterruptedError,
    RunNameError,
    RunNotFoundError,
)
from application_sdk.engines.local.records import Phase
from application_sdk.errors import AppNotFoundError

SUCCEEDED: Final = 0
FAILED: Final = 1
"""The run failed; or what was to be checked isn't right."""
USAGE: Final = 2
"""The command line isn't right."""
REFUSED: Final = 3
"""The app can't be loaded, or it doesn't take this input. Nothing was executed."""
NOT_FOUND: Final = 4
"""There is no such run."""
BUSY: Final = 5
"""The run is executed by another process, exists already, or is over."""
LEDGER: Final = 6
"""The run's ledger can't be read or written: damaged, of a newer release, disk full."""
STALLED: Final = 7
"""The run waits for a person: its code or its input has to be corrected, then it can be resumed."""
CANCELLED: Final = 8
"""The run was cancelled."""
BUG: Final = 70
"""apprun itself is wrong."""
INTERRUPTED: Final = 130
"""Stopped by Ctrl-C. The run can be resumed."""

_OF_PHASE: Final[dict[Phase, int]] = {
    "Succeeded": SUCCEEDED,
    "Failed": FAILED,
    "Stalled": STALLED,
    "Cancelled": CANCELLED,
    "Running": INTERRUPTED,
}
_OF_ERROR: Final[tuple[tuple[type[Exception], int], ...]] = (
    (InputError, USAGE),
    (RunNameError, USAGE),
    (RunNotFoundError, NOT_FOUND),
    (RunBusyError, BUSY),
    (RunExistsError, BUSY),
    (RunFinishedError, BUSY),
    (LedgerError, LEDGER),
    (RunInterruptedError, INTERRUPTED),
    (OtherAppError, REFUSED),
    (AppLoadError, REFUSED),
    (AppNotFoundError, REFUSED),
    (ContractValidationError, REFUSED),
)


def of_phase(phase: Phase) -> int:
    """The exit code for the phase that a run ended in."""
    return _OF_PHASE[phase]


def of_error(error: Exception) -> int:
    """The exit code for an error that is told to the user."""
    return next((code for kind, code in _OF_ERROR if isinstance(error, kind)), FAILED)
