"""The one exception that the command line turns into a message; everything else is a bug and shows its traceback."""

from __future__ import annotations


class ClusterError(Exception):
    """Something the caller can act upon: what is wrong, and what to do about it."""

    def __init__(self, problem: str, remedy: str = "") -> None:
        super().__init__(f"{problem}\n{remedy}" if remedy else problem)
        self.problem = problem
        self.remedy = remedy
