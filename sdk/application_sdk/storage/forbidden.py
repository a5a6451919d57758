"""Places of a pod whose files no task has written: what is mounted there is given to the pod, and
to nobody else.

A task whose output names such a file was made to, by what it was told or by a mistake: it would
hand the pod's secrets to all who may read the store.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

from application_sdk.storage.errors import UnsafeFileError
from application_sdk.wire.names import POD_DIRECTORY, SECRETS_DIRECTORY, SECRETS_VARIABLE, STORE_DIRECTORY

_PLACES: Final = (
    POD_DIRECTORY,
    "/var/run/secrets",
    "/run/secrets",
    SECRETS_DIRECTORY,
    STORE_DIRECTORY,
    "/proc",
    "/sys",
)
"""Tokens and secrets, and the kernel's view of processes, which has their environment."""


def check_may_be_stored(local: Path) -> None:
    """Raises UnsafeFileError for a file or directory in one of these places, or a directory that
    holds one."""
    place = local.resolve()
    for forbidden in _forbidden():
        # guard: no-pod-files - a task could store its token, or the code that it was started from
        if place.is_relative_to(forbidden) or forbidden.is_relative_to(place):
            raise UnsafeFileError(
                f"{str(local)!r} isn't stored: files of {forbidden} are the pod's own, such as its secrets and its "
                "token. A task stores what it has written itself"
            )


def _forbidden() -> list[Path]:
    chosen = os.environ.get(SECRETS_VARIABLE)
    places = [*_PLACES, *([chosen] if chosen else [])]
    return [Path(place).expanduser().resolve() for place in places]
