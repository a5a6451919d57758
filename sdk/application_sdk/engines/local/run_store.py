"""Where the runs of this machine are kept: a folder for each, with its ledger, its lock and the
logs of its attempts.

A folder per run, rather than one database, so that a damaged one harms no other, runs don't wait
for one another's commits, and deleting or sending a run away is deleting or sending a folder. All
of it is for its owner alone.
"""

from __future__ import annotations

import difflib
import os
import secrets
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from application_sdk.attempt.task_context import FilesPlace
from application_sdk.engines.local.errors import LedgerUnavailableError, RunExistsError, RunNameError, RunNotFoundError
from application_sdk.engines.local.private import ensure_file, ensure_folder, restrict_file, restrict_folder
from application_sdk.wire.names import STORE_URL_VARIABLE, run_name, run_name_fault

NAMESPACE: Final = "local"
"""What stands for the namespace where there is none."""
HOME_VARIABLE: Final = "APPRUN_HOME"

_STATE_FILES: Final = frozenset({"state.db", "state.db-wal", "state.db-shm", "state.db-journal", "state.lock"})
_OWN_FILES: Final = frozenset({"runs", "files", *_STATE_FILES})
_SUFFIX_LETTERS: Final = "bcdfghjkmnpqrstvwxz2456789"
_SUFFIX_LENGTH: Final = 6


@dataclass(frozen=True, slots=True)
class RunFolder:
    """The files of one run."""

    run: str
    path: Path

    @property
    def ledger(self) -> Path:
        return self.path / "ledger.db"

    @property
    def lock(self) -> Path:
        """Locked by the process that executes the run; left in place when that process ends."""
        return self.path / "lock"

    @property
    def cancel_request(self) -> Path:
        """Exists once somebody asked for the run to be cancelled."""
        return self.path / "cancel"

    def request_cancel(self) -> None:
        """Ask whoever executes the run to cancel it."""
        ensure_file(self.cancel_request)

    @property
    def logs(self) -> Path:
        return self.path / "logs"

    @property
    def state(self) -> Path:
        """What tasks of all runs keep with `save_state`."""
        return self.path.parent.parent / "state.db"

    @property
    def scratch(self) -> Path:
        """Copies of files that attempts under way have asked for."""
        return self.path / "scratch"

    @property
    def files(self) -> Path:
        """The store of all runs' files."""
        return self.path.parent.parent / "files"

    def files_place(self, key: str, attempt: int) -> FilesPlace | None:
        """Where an attempt finds its files: in the home's own store, unless the environment names
        another."""
        if os.environ.get(STORE_URL_VARIABLE):
            return None
        return FilesPlace(url=self.files.as_uri(), scratch=str(self.scratch / f"{key[:16]}-{attempt}"))

    def log(self, task: str, key: str, attempt: int) -> Path:
        """What the code of one attempt printed and logged."""
        return self.logs / f"{task}-{key[:8]}-{attempt}.log"


@dataclass(frozen=True, slots=True)
class RunStore:
    """The folder of all runs of this user."""

    path: Path

    @classmethod
    def from_environment(cls, environment: Mapping[str, str]) -> RunStore:
        """`$APPRUN_HOME`, else `$XDG_DATA_HOME/apprun`, else `~/.local/share/apprun`."""
        chosen = environment.get(HOME_VARIABLE)
        if chosen:
            return cls(Path(chosen).expanduser().absolute())
        data = environment.get("XDG_DATA_HOME")
        return cls((Path(data).expanduser() if data else Path.home() / ".local" / "share") / "apprun")

    def folder(self, run: str) -> RunFolder:
        """The folder of an existing run. Raises RunNotFoundError, which names similar ones."""
        # A name with a slash or dots in it must not reach outside of the home.
        if run_name_fault(run) or not (self._runs / run / "ledger.db").is_file():
            raise RunNotFoundError(run, self.path, difflib.get_close_matches(run, self.runs(), n=2))
        self._tighten()
        return RunFolder(run, self._runs / run)

    def create(self, run: str) -> RunFolder:
        """A folder for a new run. Raises RunExistsError, RunNameError or LedgerUnavailableError."""
        fault = run_name_fault(run)
        if fault:
            raise RunNameError(fault)
        folder = RunFolder(run, self._runs / run)
        # A crash between the folder and its ledger leaves an empty folder, which can't be resumed:
        # it is taken over.
        try:
            if folder.ledger.exists():
                raise RunExistsError(run)
            self._tighten()
            for folder_path in (self.path, self._runs, folder.files, folder.path, folder.logs):
                ensure_folder(folder_path)
        except OSError as error:
            raise LedgerUnavailableError(
                folder.path,
                f"the run's folder can't be made: {error.strerror}. ${HOME_VARIABLE} says where runs are kept",
            ) from error
        return folder

    def runs(self) -> list[str]:
        """Names of all runs, by alphabet."""
        if not self._runs.is_dir():
            return []
        self._tighten()
        return sorted(entry.name for entry in self._runs.iterdir() if (entry / "ledger.db").is_file())

    def _tighten(self) -> None:
        """Revoke other users' access to what an earlier version, or another umask, has left
        open."""
        restrict_folder(self._runs)
        restrict_folder(self.path / "files")
        with suppress(OSError):
            entries = {entry.name for entry in self.path.iterdir()}
            for name in entries & _STATE_FILES:
                restrict_file(self.path / name)
            # A folder with other things in it isn't ours to close, such as /tmp.
            if entries <= _OWN_FILES:
                restrict_folder(self.path)

    @property
    def _runs(self) -> Path:
        return self.path / "runs"


def generate_run_name(app: str) -> str:
    """A name for a run of this app that no other run has, for all practical purposes."""
    return run_name(app, "".join(secrets.choice(_SUFFIX_LETTERS) for _ in range(_SUFFIX_LENGTH)))
