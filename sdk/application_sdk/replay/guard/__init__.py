"""Keeps the route deterministic: clocks and chance are the run's own, I/O and threads are refused with the user's line.

`replay.run` has the guard in place while a route runs. What is replaced is replaced in the process, but looks first
who asks: everybody else gets the real thing, and all of it is put back at the end. No task pod imports this package.
"""

from application_sdk.replay.guard.active import Guarded, unguarded
from application_sdk.replay.guard.installation import guarding

__all__ = ["Guarded", "guarding", "unguarded"]
