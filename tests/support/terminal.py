"""`apprun` as somebody types it: a process with a kubeconfig, a folder and a namespace; and what a terminal obeys."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

BIN = Path(sys.executable).parent
HOSTILE = "\x1b]52;c;aGk=\x07\x1b]0;title\x07\x1b[2J\r\x08\x7f\x9b2J\x85\u2028\u202egnirts\u202c\u2066x\u2069\ud800"
"""Sets the clipboard and the title, clears the screen, overwrites, and turns around what follows."""
_COLOURS = re.compile(r"\x1b\[[0-9;]*m")
_CONTROLS = re.compile("[\x00-\x09\x0b-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff]")


def controls(text: str) -> list[str]:
    """What of a text a terminal would obey, line ends and colours aside."""
    return _CONTROLS.findall(_COLOURS.sub("", text))


@dataclass(frozen=True)
class Typed:
    """What came of a command."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


@dataclass(frozen=True)
class Terminal:
    """One person at one cluster."""

    folder: Path
    kubeconfig: Path
    namespace: str
    path: tuple[Path, ...] = ()
    environ: dict[str, str] = field(default_factory=dict)

    def __call__(self, *arguments: str, code: int | None = 0, program: tuple[str, ...] = ("apprun",)) -> Typed:
        """Type a command, and hold it to its exit code."""
        done = subprocess.run(
            [*program, *arguments],
            cwd=self.folder,
            env=self.environment,
            text=True,
            capture_output=True,
            timeout=300,
            check=False,
        )
        typed = Typed(done.returncode, done.stdout, done.stderr)
        assert code is None or typed.code == code, f"{arguments}: {typed.code}\n{typed.out}\n{typed.err}"
        return typed

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        """Type a command that goes on for a while."""
        return subprocess.Popen(
            ["apprun", *arguments],
            cwd=self.folder,
            env=self.environment,
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )

    @property
    def environment(self) -> dict[str, str]:
        path = os.pathsep.join([*map(str, self.path), str(BIN), os.environ["PATH"]])
        return {
            "PATH": path,
            "HOME": str(self.folder),
            "KUBECONFIG": str(self.kubeconfig),
            "APPRUN_PLACE": "cluster",
            "LC_ALL": "C.UTF-8",
            "COLUMNS": "160",
            **self.environ,
        }
