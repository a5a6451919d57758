"""Runs the machine's own tools; the only place that starts a short-lived process."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

from hack.cluster.errors import ClusterError

_TAIL_LINES = 25
_NOTHING = Path(os.devnull)


def run(
    argv: Sequence[str | Path],
    *,
    cwd: Path | None = None,
    env: Mapping[str, str] | None = None,
    stdin: Path | None = None,
    log: Path | None = None,
) -> str:
    """Runs a command to its end and returns its stdout.

    ``env`` is added to the environment, ``stdin`` is a file to read from. With ``log`` all output goes to that file
    instead. Raises ClusterError with the end of what the command printed when it fails.
    """
    words = [str(word) for word in argv]
    environment = {**os.environ, **env} if env else None
    with (stdin or _NOTHING).open("rb") as source:
        if log is None:
            done = subprocess.run(words, cwd=cwd, env=environment, stdin=source, capture_output=True, check=False)
            printed = done.stderr + done.stdout
        else:
            with log.open("wb") as sink:
                done = subprocess.run(
                    words, cwd=cwd, env=environment, stdin=source, stdout=sink, stderr=sink, check=False
                )
            printed = log.read_bytes() if done.returncode else b""
    if done.returncode:
        tail = "\n".join(printed.decode(errors="replace").splitlines()[-_TAIL_LINES:])
        where = f"\nall of it: {log}" if log else ""
        raise ClusterError(f"{' '.join(words)} failed with exit status {done.returncode}:\n{tail}{where}")
    return (done.stdout or b"").decode(errors="replace")


def succeeds(argv: Sequence[str | Path]) -> bool:
    """Whether a command ends with status 0; its output is of no interest."""
    words = [str(word) for word in argv]
    return subprocess.run(words, stdin=subprocess.DEVNULL, capture_output=True, check=False).returncode == 0
