"""`python -m application_sdk.engines.kubernetes.worker_actor`: the process that the calls of a warm
pod share.

The context of each call determines the fields of its log lines, and the end of the log that is kept
if it fails.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextvars import ContextVar
from pathlib import Path
from typing import TYPE_CHECKING, Final, cast

from typing_extensions import override

from application_sdk.attempt.state import AttemptState, StateSnapshot
from application_sdk.engines.kubernetes.mounted_secrets import register_mounted_secrets
from application_sdk.engines.processes.actor_server import serve_calls
from application_sdk.execution import logs
from application_sdk.wire import names
from application_sdk.wire.pod import LOG_FORMAT_VARIABLE, LOG_LEVEL_VARIABLE

if TYPE_CHECKING:
    from application_sdk.wire.digest import JSON, JSONObject

MODULE: Final = "application_sdk.engines.kubernetes.worker_actor"

_context: ContextVar[Mapping[str, JSON]] = ContextVar("application_sdk.call_context")
_tail: ContextVar[logs.Tail] = ContextVar("application_sdk.call_log")


class CallContext(Mapping[str, "JSON"]):
    """The fields of log lines: those of the call whose code writes the line. None between calls."""

    @override
    def __getitem__(self, name: str) -> JSON:
        return _context.get({})[name]

    @override
    def __iter__(self) -> Iterator[str]:
        return iter(_context.get({}))

    @override
    def __len__(self) -> int:
        return len(_context.get({}))


class CallTails(logs.Tail):
    """The last lines of the log of each call, separate from those of others."""

    @override
    def add(self, text: str) -> None:
        tail = _tail.get(None)
        if tail is None:
            super().add(text)
        else:
            tail.add(text)

    @override
    def text(self) -> str:
        tail = _tail.get(None)
        return super().text() if tail is None else tail.text()


class ActorHost:
    """Implements `processes.attempt_process.AttemptHost` for calls that share a process."""

    def begin(self, work: JSONObject) -> None:
        _context.set(cast("JSONObject", work["context"]))
        _tail.set(logs.Tail())

    def state(self, work: JSONObject, app: str) -> AttemptState:
        return AttemptState(StateSnapshot(cast("dict[str, JSONObject]", work["appState"] or {})))

    def ended(self, pid: int) -> None:
        """Do nothing, since no call has a process of its own."""


if __name__ == "__main__":
    as_json = os.environ.get(LOG_FORMAT_VARIABLE, "").lower() != "text"
    level = os.environ.get(LOG_LEVEL_VARIABLE, "").upper()
    logs.set_up(CallContext(), as_json=as_json, level=level, tail=CallTails())
    register_mounted_secrets(Path(names.POD_DIRECTORY), os.environ)
    serve_calls(ActorHost())
