"""Whether a process that has imported an app may be forked into attempts, or each attempt has to
import the app.

In a pod each attempt imports the app. Forked attempts share one import instead: they would draw the
same numbers from a `random.Random()` of the module, miss threads that may hold locks, and share
connections. `fork_server` checks for such objects before and after it imports the app.
"""

from __future__ import annotations

import gc
import os
import random
import stat
import sys
from pathlib import Path
from typing import Final

_GENERATORS: Final = frozenset({("numpy.random._generator", "Generator"), ("numpy.random.mtrand", "RandomState")})
_CONNECTIONS: Final = frozenset({("sqlite3", "Connection")})
_OWN_GENERATORS: Final = ("numpy.random.mtrand", "_rand")
"""What `numpy.random.rand()` and the like draw from: each attempt reseeds it, as Python does with
its own."""


class ImportBaseline:
    """The generators and sockets that existed before the app was imported."""

    def __init__(self) -> None:
        self._generators = {id(thing) for thing in gc.get_objects() if _is_generator(type(thing))}
        self._sockets = _sockets()

    def reasons(self) -> list[str]:
        """What the app has made since that no fork may share, in words; none when it may be
        forked."""
        found = []
        if len(sys._current_frames()) > 1:  # noqa: SLF001 - also finds threads that `threading` doesn't know
            found.append("started threads")
        if _sockets() - self._sockets:
            found.append("opened sockets")
        numpy_generator = getattr(sys.modules.get(_OWN_GENERATORS[0]), _OWN_GENERATORS[1], None)
        things = gc.get_objects()
        if any(_name(type(thing)) in _CONNECTIONS for thing in things):
            found.append("opened a database")
        if any(
            _is_generator(type(thing)) and thing is not numpy_generator and id(thing) not in self._generators
            for thing in things
        ):
            found.append("made a generator of random numbers")
        return found


def reseed_numpy() -> None:
    """Have an attempt draw other random numbers than the one before it. Python does this for its
    own by itself."""
    numpy_random = sys.modules.get("numpy.random")
    if numpy_random is not None:
        numpy_random.seed()


def _is_generator(cls: type) -> bool:
    # By the class alone: a proxy's `__class__` may run code of its own.
    return (issubclass(cls, random.Random) and not issubclass(cls, random.SystemRandom)) or _name(cls) in _GENERATORS


def _name(cls: type) -> tuple[str, str]:
    return cls.__module__, cls.__name__


def _sockets() -> set[tuple[int, int]]:
    """The open sockets of this process, by number and inode: a library's in C have no object to
    look for."""
    found = set()
    for entry in Path("/dev/fd").iterdir():
        try:
            state = os.fstat(int(entry.name))
        except (OSError, ValueError):
            continue  # The one that lists the folder.
        if stat.S_ISSOCK(state.st_mode):
            found.add((int(entry.name), state.st_ino))
    return found
