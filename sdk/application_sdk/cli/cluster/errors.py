"""What can go wrong between a person and a cluster, by meaning. Each error has an exit code in `cli.exit_codes`."""

from __future__ import annotations

from application_sdk.errors import AppError


class ClusterError(AppError):
    """Base of these."""


class NoClusterError(ClusterError):
    """No cluster is configured, or the one that is doesn't answer."""


class NotAllowedError(ClusterError):
    """The API server doesn't know the person (401), or doesn't let them (403)."""


class NotInstalledError(ClusterError):
    """The cluster doesn't serve AppRun's resources in this version."""


class ObjectNotFoundError(ClusterError):
    """There is no such object."""


class TakenError(ClusterError):
    """The name is taken, or somebody else manages the field that was to be set."""


class RefusedError(ClusterError):
    """The API server doesn't take the object: a field is wrong, or a policy is against it."""


class WaitedTooLongError(ClusterError):
    """`--timeout` is over; the run goes on."""
