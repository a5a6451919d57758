"""Runs as the server starts and sees them: a port. `local_runs` and `cluster_runs` are its two
sides."""

from __future__ import annotations

import hashlib
import secrets
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Protocol

from application_sdk.wire.names import run_name

if TYPE_CHECKING:
    from application_sdk.server.schemas import RunState, Started
    from application_sdk.wire.digest import JSON, JSONObject

_DIGITS: Final = 12


@dataclass(frozen=True, slots=True)
class StartRequest:
    """A run to start. Its input has been checked."""

    entrypoint: str
    input: JSONObject
    name: str = ""
    """What it is to be called; empty to have a name made up."""
    correlation_id: str = ""


@dataclass(frozen=True, slots=True)
class RunSnapshot:
    """What a run that has ended leaves."""

    state: RunState
    output: JSON


class Runs(Protocol):
    """Starts runs and tells of them. All of it blocks; any thread may call.

    Raises Problem: NotFound for a run that isn't there, NameTaken, Unavailable when whoever keeps
    the runs can't answer.
    """

    def start(self, order: StartRequest) -> Started:
        """Start a run. A name that is taken by a run of the same entry point and input is that run,
        started once."""
        ...

    def get(self, run: str) -> RunSnapshot:
        """Where a run stands, and its output if it has one."""
        ...

    def stop(self, run: str) -> None:
        """Cancel a run: its route and tasks may clean up. One that is over stays as it is."""
        ...

    def check(self) -> None:
        """Whether runs could be started now. Raises Problem when not."""
        ...


def run_name_for_key(app: str, key: str) -> str:
    """The name of the run that a request with this idempotency key starts, however often it is
    sent."""
    return run_name(app, hashlib.sha256(f"{app}\0{key}".encode()).hexdigest()[:_DIGITS])


def generate_run_name(app: str) -> str:
    """A name that no other run has, for all practical purposes."""
    return run_name_for_key(app, secrets.token_hex(16))
