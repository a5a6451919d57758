"""The `apprun` command: runs apps on this machine and on clusters, and shows their runs.

`main` is the console script, `plugin` the same as `kubectl apprun`. Nothing else imports this package, and pods never
do: it is the only part of the SDK that needs typer, rich and YAML.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence

HASH_SEED = "PYTHONHASHSEED"
_REPLAYING = frozenset({"run", "resume", "retry", "cancel", "check"})
"""Verbs that execute routes."""


def main() -> None:
    """Run the command line of this process."""
    _seed()
    sys.exit(run(sys.argv[1:]))


def plugin() -> None:
    """Run the command line as kubectl's plugin: runs are those of a cluster by default."""
    _seed()
    sys.exit(run(sys.argv[1:], plugin=True))


def complete() -> None:
    """Print the completions of `kubectl apprun`; kubectl starts `kubectl_complete-apprun` for that."""
    from application_sdk.cli.kubectl_completion import candidates

    sys.stdout.write(candidates(sys.argv[1:]))


def _seed() -> None:
    if os.environ.get(HASH_SEED) != "0" and _REPLAYING.intersection(sys.argv[1:]):
        # A route that walks a set of strings has to walk it in the same order when it is replayed, in another process.
        # The interpreter takes the seed when it starts, and a start costs a few milliseconds.
        os.environ[HASH_SEED] = "0"
        os.execv(sys.executable, [sys.executable, *sys.orig_argv[1:]])


def run(arguments: Sequence[str], *, plugin: bool = False) -> int:
    """Run a command line in this process. Returns its exit code, one of `cli.exit_codes`."""
    from application_sdk.cli.program import run_program

    return run_program(arguments, plugin=plugin)
