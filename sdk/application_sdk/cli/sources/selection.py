"""Whose runs a verb means: this machine's or a cluster's, and which one.

1. `--local` is this machine; `--cluster`, `--context`, `-n` and `--kubeconfig` are a cluster.
2. `kubectl apprun …` is a cluster. Else `$APPRUN_PLACE`, `local` or `cluster`, decides.
3. Else a run is looked for on this machine, and if it isn't there, on the cluster of the current context. Nobody is
   asked over the network about a run that this machine has.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from application_sdk.cli.errors import AmbiguousNameError, InputError, RunNotFoundError

if TYPE_CHECKING:
    from application_sdk.cli.cluster.source import ClusterPlace
    from application_sdk.cli.sources.local import ThisMachine
    from application_sdk.cli.sources.protocol import Place

PLACE: Final = "APPRUN_PLACE"
LATEST: Final = "@latest"


@dataclass(frozen=True, slots=True)
class Where:
    """What the options of a command line say. Empty fields say nothing."""

    context: str = ""
    namespace: str = ""
    kubeconfig: str = ""
    cluster: bool | None = None
    """`--cluster` or `--local`."""


def where_of(
    context: str | None = None,
    namespace: str | None = None,
    kubeconfig: str | None = None,
    cluster: bool | None = None,
    *,
    plugin: bool = False,
    environ: Mapping[str, str] = os.environ,
) -> Where:
    """Options and surroundings as one value. Raises InputError when they contradict one another."""
    named = [
        option for option, value in (("--context", context), ("-n", namespace), ("--kubeconfig", kubeconfig)) if value
    ]
    if cluster is False and named:
        raise InputError(f"--local means this machine's runs, and {named[0]} a cluster's: leave one of them out")
    if cluster is None:
        cluster = True if named or plugin else _from_environment(environ)
    return Where(context or "", namespace or "", kubeconfig or "", cluster)


def _from_environment(environ: Mapping[str, str]) -> bool | None:
    said = environ.get(PLACE, "")
    if said not in ("", "local", "cluster"):
        raise InputError(f"${PLACE} is {said!r}; it may be local or cluster")
    return None if not said else said == "cluster"


def machine() -> ThisMachine:
    """The place of this machine's runs."""
    from application_sdk.cli.sources.local import ThisMachine
    from application_sdk.engines.local.run_store import RunStore

    return ThisMachine(RunStore.from_environment(os.environ))


def cluster(where: Where) -> ClusterPlace:
    """The place of a cluster's runs. Raises NoClusterError."""
    from application_sdk.cli.cluster.access import find_access
    from application_sdk.cli.cluster.api import Api
    from application_sdk.cli.cluster.source import ClusterPlace

    return ClusterPlace(Api(find_access(where, os.environ)))


def cluster_is_configured(where: Where) -> bool:
    """Whether there is a kubeconfig at all. Asks nobody."""
    from application_sdk.cli.cluster.access import is_configured

    return is_configured(where, os.environ)


def place_of_all(where: Where) -> Place:
    """Where runs are listed: this machine, unless it has none and there is a kubeconfig."""
    if where.cluster:
        return cluster(where)
    here = machine()
    if where.cluster is None and not here.names() and cluster_is_configured(where):
        return cluster(where)
    return here


def place_of(where: Where, run: str, *, exactly: bool = False) -> tuple[Place, str]:
    """The place of a run, and its whole name.

    Without `exactly` also the first letters of a name are enough, if they are those of one run only; `@latest` is the
    newest. Raises RunNotFoundError and AmbiguousNameError.
    """
    run = run.rpartition("/")[2] if run.startswith(("apprun/", "appruns/", "ar/")) else run
    here = None if where.cluster else machine()
    if here is not None and run in here.names():
        return here, run
    there = cluster(where) if where.cluster or (where.cluster is None and cluster_is_configured(where)) else None
    if there is not None and run != LATEST and there.has(run):
        return there, run
    if exactly:
        raise _not_found(run, [place for place in (here, there) if place])
    return _shortened(run, here, there)


def _shortened(run: str, here: ThisMachine | None, there: ClusterPlace | None) -> tuple[Place, str]:
    places: list[Place] = [place for place in (here, there) if place is not None]
    if run == LATEST:
        for place in places:
            newest = max(place.runs(None, lambda text: None), key=lambda found: found.created_at, default=None)
            if newest is not None:
                return place, newest.name
        raise RunNotFoundError(f"there are no runs on {' or on '.join(place.title for place in places)}")
    found = [(place, name) for place in places for name in place.names() if run and name.startswith(run)]
    if len(found) == 1:
        return found[0]
    if found:
        shown = ", ".join(f"{name} ({place.title})" for place, name in found[:10])
        more = f" and {len(found) - 10} more" if len(found) > 10 else ""
        raise AmbiguousNameError(f"{run!r} may be {shown}{more}. Give more letters")
    raise _not_found(run, places)


def _not_found(run: str, places: list[Place]) -> RunNotFoundError:
    import difflib

    similar = [name for place in places for name in difflib.get_close_matches(run, place.names(), n=2)]
    hint = f"Did you mean {' or '.join(similar)}?" if similar else "`apprun list` lists those there are."
    return RunNotFoundError(f"no run {run!r} on {', nor on '.join(place.title for place in places)}. {hint}")


def as_cluster(place: Place) -> ClusterPlace:
    """A place that isn't this machine."""
    from application_sdk.cli.cluster.source import ClusterPlace

    assert isinstance(place, ClusterPlace), place.title
    return place
