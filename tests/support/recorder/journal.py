"""The recorder's files: JSON lines, each with what changed since the one before, in a ring of a bounded size.

Each file begins with the whole state, so that those before it may go.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TextIO

from tests.support.recorder.states import State

FILE_BYTES = 4 * 1024 * 1024
FILES = 6
FOLDERS = 12
"""Recordings that are kept on this machine."""


@dataclass(frozen=True)
class Moment:
    """The state at `at`, in seconds since the epoch, and what somebody noted then."""

    at: float
    state: State
    notes: tuple[str, ...] = ()


class Journal:
    """Writes one recording into a folder."""

    def __init__(self, folder: Path, file_bytes: int = FILE_BYTES, files: int = FILES) -> None:
        self.folder = folder
        self._file_bytes = file_bytes
        self._files = files
        self._number = 0
        self._state: State = {}
        self._file: TextIO | None = None
        self._written = 0
        folder.mkdir(parents=True, exist_ok=True)

    def write(self, at: float, state: State) -> None:
        if self._file is None or self._written >= self._file_bytes:
            self._next_file()
            self._state = {}
        changed = {key: value for key, value in state.items() if self._state.get(key) != value}
        gone = [key for key in self._state if key not in state]
        line: dict[str, Any] = {"at": round(at, 1)}
        if changed:
            line["set"] = changed
        if gone:
            line["gone"] = gone
        self._line(line)
        self._state = dict(state)

    def note(self, at: float, text: str) -> None:
        """Something that happened, such as a test that begins or a node that is killed."""
        if self._file is not None:
            self._line({"at": round(at, 1), "note": text})

    def close(self) -> None:
        if self._file is not None:
            self._file.close()

    def _line(self, line: dict[str, Any]) -> None:
        assert self._file is not None
        text = json.dumps(line, ensure_ascii=False, separators=(",", ":")) + "\n"
        self._file.write(text)
        self._file.flush()
        self._written += len(text)

    def _next_file(self) -> None:
        self.close()
        self._file = (self.folder / f"{self._number:04}.jsonl").open("w", encoding="utf-8")
        self._written = 0
        self._number += 1
        for old in sorted(self.folder.glob("*.jsonl"))[: -self._files]:
            old.unlink()


def read(folder: Path) -> Iterator[Moment]:
    """All moments of a recording, or of one of its files, oldest first. A last line that was cut off is left out."""
    files = sorted(folder.glob("*.jsonl")) if folder.is_dir() else [folder]
    for file in files:
        state: State = {}
        with file.open(encoding="utf-8") as lines:
            for line in lines:
                if not line.endswith("\n"):
                    break
                entry = json.loads(line)
                if "note" in entry:
                    yield Moment(entry["at"], state, (entry["note"],))
                    continue
                gone = set(entry.get("gone", ()))
                state = {key: value for key, value in state.items() if key not in gone} | entry.get("set", {})
                yield Moment(entry["at"], state)


def prune(root: Path, keep: int = FOLDERS) -> None:
    """Remove all recordings but the newest."""
    folders = sorted((path for path in root.glob("*") if path.is_dir()), key=lambda path: path.stat().st_mtime)
    for folder in folders[:-keep]:
        shutil.rmtree(folder, ignore_errors=True)
