"""Keeps `check_durability` from starting itself again: a check marks its process, and with it all that it starts.

It imports the app's module in other processes. A script that calls it at module level would start it there again, and
each of those processes two more.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from application_sdk.errors import MisuseError

MARK: Final = "APPRUN_DURABILITY_CHECK"
"""The environment variable that holds the id of the process that checks."""


class NestedCheckError(MisuseError):
    """`check_durability` was called by what a check executes or imports."""


@contextmanager
def marked() -> Iterator[None]:
    """Mark this process, and those that it starts meanwhile, as part of a check. Raises NestedCheckError in one that is
    part of one."""
    checking = os.environ.get(MARK)
    # guard: check-not-nested - the code under test may call check_durability itself, which would start checks without
    # end
    if checking is not None:
        raise NestedCheckError(
            f"check_durability() is called while check_durability() of process {checking} is at work, and would start "
            f"itself again without end. It imports the app's module and executes its tasks: call it in a test "
            f"function, or below `if __name__ == '__main__':`"
        )
    os.environ[MARK] = str(os.getpid())
    try:
        yield
    finally:
        os.environ.pop(MARK, None)
