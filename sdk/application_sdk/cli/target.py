"""Which runs the options of a command line mean: this machine's or a cluster's, and which cluster.

1. `--local` is this machine; `--cluster`, `--context`, `-n` and `--kubeconfig` are a cluster.
2. `kubectl apprun …` is a cluster. Else `$APPRUN_PLACE`, `local` or `cluster`, decides.
3. Else `selection` looks for a run on this machine first, then on the cluster of the current context.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from application_sdk.cli.errors import InputError

PLACE_VARIABLE: Final = "APPRUN_PLACE"


@dataclass(frozen=True, slots=True)
class Target:
    """The options that name a cluster. An empty field was not given."""

    context: str = ""
    namespace: str = ""
    kubeconfig: str = ""
    cluster: bool | None = None
    """`--cluster` or `--local`."""


def target_of(
    context: str | None = None,
    namespace: str | None = None,
    kubeconfig: str | None = None,
    cluster: bool | None = None,
    *,
    plugin: bool = False,
    environ: Mapping[str, str] = os.environ,
) -> Target:
    """Options and environment as one value. Raises InputError if they contradict one another."""
    named = [
        option for option, value in (("--context", context), ("-n", namespace), ("--kubeconfig", kubeconfig)) if value
    ]
    if cluster is False and named:
        raise InputError(f"--local means this machine's runs, and {named[0]} a cluster's: leave one of them out")
    if cluster is None:
        cluster = True if named or plugin else _from_environment(environ)
    return Target(context or "", namespace or "", kubeconfig or "", cluster)


def _from_environment(environ: Mapping[str, str]) -> bool | None:
    value = environ.get(PLACE_VARIABLE, "")
    if value not in ("", "local", "cluster"):
        raise InputError(f"${PLACE_VARIABLE} is {value!r}; it may be local or cluster")
    return None if not value else value == "cluster"
