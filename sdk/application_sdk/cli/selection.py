"""Finds the source of a run: this machine, or a cluster.

Without options a run is looked for on this machine, and if it isn't there, on the cluster of the current context.
A run that this machine has costs no request to a cluster.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Final

from application_sdk.cli.errors import AmbiguousNameError, RunNotFoundError

if TYPE_CHECKING:
    from application_sdk.cli.cluster.source import ClusterSource
    from application_sdk.cli.sources.local import LocalSource
    from application_sdk.cli.sources.protocol import RunSource
    from application_sdk.cli.target import Target

LATEST: Final = "@latest"


def local_source() -> LocalSource:
    """The source of this machine's runs."""
    from application_sdk.cli.sources.local import LocalSource
    from application_sdk.engines.local.run_store import RunStore

    return LocalSource(RunStore.from_environment(os.environ))


def cluster(target: Target) -> ClusterSource:
    """The source of a cluster's runs. Raises NoClusterError."""
    from application_sdk.cli.cluster.access import find_access
    from application_sdk.cli.cluster.api import Api
    from application_sdk.cli.cluster.source import ClusterSource

    return ClusterSource(Api(find_access(target, os.environ)))


def cluster_is_configured(target: Target) -> bool:
    """Whether a kubeconfig or a service account exists. Sends no request."""
    from application_sdk.cli.cluster.access import is_configured

    return is_configured(target, os.environ)


def source_of_all(target: Target) -> RunSource:
    """The source of `apprun list`: this machine, unless it has no runs and a cluster is configured."""
    if target.cluster:
        return cluster(target)
    local = local_source()
    if target.cluster is None and not local.names() and cluster_is_configured(target):
        return cluster(target)
    return local


def source_of(target: Target, run: str, *, exactly: bool = False) -> tuple[RunSource, str]:
    """The source of a run, and its full name.

    Without `exactly`, a prefix that only one run has is enough, and `@latest` is the newest run. Raises
    RunNotFoundError and AmbiguousNameError.
    """
    run = run.rpartition("/")[2] if run.startswith(("apprun/", "appruns/", "ar/")) else run
    local = None if target.cluster else local_source()
    if local is not None and run in local.names():
        return local, run
    remote = cluster(target) if target.cluster or (target.cluster is None and cluster_is_configured(target)) else None
    if remote is not None and run != LATEST and remote.has(run):
        return remote, run
    if exactly:
        raise _not_found(run, [source for source in (local, remote) if source])
    return _shortened(run, local, remote)


def _shortened(run: str, local: LocalSource | None, remote: ClusterSource | None) -> tuple[RunSource, str]:
    sources: list[RunSource] = [source for source in (local, remote) if source is not None]
    if run == LATEST:
        for source in sources:
            newest = max(source.runs(None, lambda text: None), key=lambda matches: matches.created_at, default=None)
            if newest is not None:
                return source, newest.name
        raise RunNotFoundError(f"there are no runs on {' or on '.join(source.title for source in sources)}")
    matches = [(source, name) for source in sources for name in source.names() if run and name.startswith(run)]
    if len(matches) == 1:
        return matches[0]
    if matches:
        listed = ", ".join(f"{name} ({source.title})" for source, name in matches[:10])
        more = f" and {len(matches) - 10} more" if len(matches) > 10 else ""
        raise AmbiguousNameError(f"{run!r} may be {listed}{more}. Give more letters")
    raise _not_found(run, sources)


def _not_found(run: str, sources: list[RunSource]) -> RunNotFoundError:
    import difflib

    similar = [name for source in sources for name in difflib.get_close_matches(run, source.names(), n=2)]
    hint = f"Did you mean {' or '.join(similar)}?" if similar else "`apprun list` lists those there are."
    return RunNotFoundError(f"no run {run!r} on {', nor on '.join(source.title for source in sources)}. {hint}")


def as_cluster(source: RunSource) -> ClusterSource:
    """The source as a cluster's, for verbs that have excluded this machine."""
    from application_sdk.cli.cluster.source import ClusterSource

    assert isinstance(source, ClusterSource), source.title
    return source
