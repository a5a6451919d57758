"""What can go wrong with the runs of this machine, by meaning. The CLI turns each into an exit
code.

Every message says which run or file, what is wrong with it, and what to do.
"""

from __future__ import annotations

from pathlib import Path

from application_sdk.errors import AppError


class LocalEngineError(AppError):
    """Base of what this engine raises itself, apart from what the app's own code does."""


class RunNotFoundError(LocalEngineError):
    """There is no run of that name in this home."""

    def __init__(self, run: str, home: Path, similar: list[str]) -> None:
        hint = f" Did you mean {' or '.join(similar)}?" if similar else " `apprun runs` lists those there are."
        super().__init__(f"no run {run!r} in {home}.{hint}")
        self.run = run


class RunExistsError(LocalEngineError):
    """The name is taken: names are what tells runs apart."""

    def __init__(self, run: str) -> None:
        super().__init__(
            f"there is a run {run!r} already. Continue it with `apprun resume {run}`, or choose another --name"
        )
        self.run = run


class RunNameError(LocalEngineError):
    """The name can't be one of a run, here or on a cluster."""

    def __init__(self, fault: str) -> None:
        super().__init__(fault)


class RunBusyError(LocalEngineError):
    """Another process is executing this run."""

    def __init__(self, run: str, holder: str) -> None:
        who = f"process {holder}" if holder else "another process"
        super().__init__(
            f"run {run!r} is being executed by {who}; a run has one executor at a time. "
            f"Watch it with `apprun show {run}`, stop it with `apprun cancel {run}`"
        )
        self.run = run


class RunFinishedError(LocalEngineError):
    """The run is over, so what was asked of it can't be done."""


class LedgerError(LocalEngineError):
    """Base of what is wrong with a run's ledger file."""

    def __init__(self, path: Path, what: str) -> None:
        super().__init__(f"{path}: {what}")
        self.path = path


class LedgerCorruptError(LedgerError):
    """The file isn't a ledger, or is damaged. Nothing is guessed and nothing is repaired."""

    def __init__(self, path: Path, what: str) -> None:
        super().__init__(
            path,
            f"this ledger can't be read: {what}. Nothing was changed. Restore the run's folder from a backup, "
            f"or delete it and start the run again",
        )


class LedgerNewerError(LedgerError):
    """A newer release wrote this ledger."""

    def __init__(self, path: Path, found: int, known: int) -> None:
        super().__init__(
            path,
            f"this ledger has format {found}, and this apprun knows formats up to {known}. "
            f"Nothing was changed. Use the release that wrote it, or a newer one: `pip install` its wheel or clone",
        )


class LedgerFullError(LedgerError):
    """The disk is full. What was committed before is safe."""

    def __init__(self, path: Path, then: str) -> None:
        super().__init__(path, f"no space left on the disk. {then}")


class LedgerUnavailableError(LedgerError):
    """The file can't be opened or written for a reason that lies in the file system."""


class RunInterruptedError(LocalEngineError):
    """The engine was asked to stop. The run isn't over."""

    def __init__(self, run: str) -> None:
        super().__init__(f"run {run!r} was stopped; all that is committed is safe. Go on with `apprun resume {run}`")
        self.run = run


class OtherAppError(LocalEngineError):
    """The code where a run's app was is another app's now."""

    def __init__(self, run: str, was: str, entry: str, now: str) -> None:
        super().__init__(
            f"run {run!r} belongs to app {was!r}, but {entry} is app {now!r} now. "
            f"Point to the right one with `apprun resume {run} --app FILE:CLASS`"
        )
