"""Names in `spec.tasks` of an App, compared with the tasks that its code has.

The operator compares them when the code is published, the driver when a run begins: both say the
same of a name that no task has.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import Final

SHOWN: Final = 20
"""So many names are listed: an app may have hundreds of tasks."""


def unknown_task(name: str, known: Collection[str]) -> str:
    """What is wrong with `spec.tasks.<name>`, given the names of the app's tasks; empty if nothing is."""
    if name in known:
        return ""
    names = sorted(known)
    listed = ", ".join(names[:SHOWN]) or "none"
    more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return f"spec.tasks.{name} of the App: the app has no task of that name; it has {listed}{more}. Correct the name"


def unknown_tasks(named: Iterable[str], known: Collection[str]) -> str:
    """What is wrong with the first of `named` that no task has, in the order of the alphabet."""
    return next((problem for problem in (unknown_task(name, known) for name in sorted(named)) if problem), "")
