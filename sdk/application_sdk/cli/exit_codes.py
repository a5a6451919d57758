"""The exit codes of `apprun`, which scripts may rely on, and which error ends with which."""

from __future__ import annotations

from importlib import import_module
from typing import Final

SUCCEEDED: Final = 0
FAILED: Final = 1
"""The run failed; or what was to be checked isn't right."""
USAGE: Final = 2
"""The command line isn't right."""
REFUSED: Final = 3
"""The app can't be loaded, it doesn't take this input, or the API server doesn't take the object. Nothing was run."""
NOT_FOUND: Final = 4
"""There is no such run, app or namespace."""
BUSY: Final = 5
"""The run is executed by another process, exists already, or is over; or somebody else manages the object."""
LEDGER: Final = 6
"""The run's ledger can't be read or written: damaged, of a newer release, disk full."""
STALLED: Final = 7
"""The run waits for a person: its code or its input has to be corrected, then it can be resumed."""
CANCELLED: Final = 8
"""The run was cancelled."""
AMBIGUOUS: Final = 9
"""A name or its first letters mean more than one run."""
NO_CLUSTER: Final = 10
"""No cluster is configured, or it doesn't answer."""
NOT_ALLOWED: Final = 11
"""The cluster doesn't accept the credentials, or they don't allow it."""
NOT_INSTALLED: Final = 12
"""AppRun's resources aren't on the cluster, or not in this version."""
TIMED_OUT: Final = 13
"""What was waited for took longer than `--timeout`. The run goes on."""
BUG: Final = 70
"""apprun itself is wrong."""
INTERRUPTED: Final = 130
"""Stopped by Ctrl-C. A run of this machine can be resumed; one of a cluster goes on."""

_OF_PHASE: Final[dict[str, int]] = {
    "Succeeded": SUCCEEDED,
    "Failed": FAILED,
    "Stalled": STALLED,
    "Cancelled": CANCELLED,
    "Running": INTERRUPTED,
}
# By name: what an error's module imports is only worth its time when the error is there.
_OF_ERROR: Final = (
    ("application_sdk.cli.errors", "InputError", USAGE),
    ("application_sdk.cli.errors", "RunNotFoundError", NOT_FOUND),
    ("application_sdk.cli.errors", "AmbiguousNameError", AMBIGUOUS),
    ("application_sdk.cli.cluster.errors", "NoClusterError", NO_CLUSTER),
    ("application_sdk.cli.cluster.errors", "NotAllowedError", NOT_ALLOWED),
    ("application_sdk.cli.cluster.errors", "NotInstalledError", NOT_INSTALLED),
    ("application_sdk.cli.cluster.errors", "ObjectNotFoundError", NOT_FOUND),
    ("application_sdk.cli.cluster.errors", "TakenError", BUSY),
    ("application_sdk.cli.cluster.errors", "RefusedError", REFUSED),
    ("application_sdk.cli.cluster.errors", "WaitedTooLongError", TIMED_OUT),
    ("application_sdk.engines.local.errors", "RunNameError", USAGE),
    ("application_sdk.engines.local.errors", "RunNotFoundError", NOT_FOUND),
    ("application_sdk.engines.local.errors", "RunBusyError", BUSY),
    ("application_sdk.engines.local.errors", "RunExistsError", BUSY),
    ("application_sdk.engines.local.errors", "RunFinishedError", BUSY),
    ("application_sdk.engines.local.errors", "LedgerError", LEDGER),
    ("application_sdk.engines.local.errors", "RunInterruptedError", INTERRUPTED),
    ("application_sdk.engines.local.errors", "OtherAppError", REFUSED),
    ("application_sdk.app.loading", "AppLoadError", REFUSED),
    ("application_sdk.errors", "AppNotFoundError", REFUSED),
    ("application_sdk.contracts.errors", "ContractValidationError", REFUSED),
)


def of_phase(phase: str) -> int:
    """The exit code for the phase that a run ended in."""
    return _OF_PHASE[phase]


def of_error(error: Exception) -> int:
    """The exit code for an error that is shown to the user."""
    for module, name, code in _OF_ERROR:
        if isinstance(error, getattr(import_module(module), name)):
            return code
    return FAILED
