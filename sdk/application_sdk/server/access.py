"""Who may ask: a port, and the answer of a laptop, where everybody who reaches the server may.

A cluster's answer is in `cluster_access`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, Protocol, TypeAlias

Action: TypeAlias = Literal["ask", "start", "look", "stop", "describe"]
"""What a request wants: ask the handler, start a run, look at one, stop one, read what the app
consists of."""


@dataclass(frozen=True, slots=True)
class Caller:
    """Whoever sent a request."""

    name: str


class Access(Protocol):
    """Decides about requests."""

    def recall(self, authorization: str, action: Action, run: str = "") -> Caller | None:
        """What is known without asking anybody: the caller, or None if `check` has to ask. Raises
        Problem for what is refused without asking. Doesn't block."""
        ...

    def check(self, authorization: str, action: Action, run: str = "") -> Caller:
        """The caller, by the request's Authorization header. Blocks. Raises Problem:
        Unauthenticated, Forbidden or Unavailable."""
        ...


class OpenAccess:
    """Everybody may do everything: for a server that listens on this machine only."""

    def recall(self, authorization: str, action: Action, run: str = "") -> Caller:
        return Caller("local")

    def check(self, authorization: str, action: Action, run: str = "") -> Caller:
        return Caller("local")
