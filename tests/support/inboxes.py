"""The API server as a warm pod sees it: the AppWorker of its name, and the AppTasks that it reports on."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from tests.support.pods import KEY, PodProcess, call
from tests.support.wire_server import Handler, Request, Step, answer, refuse

from application_sdk.wire.pod import (
    POD_NAME_VARIABLE,
    POD_NAMESPACE_VARIABLE,
    POD_UID_VARIABLE,
    REFUSED_NOT_CURRENT,
    WORKER_CONCURRENCY_VARIABLE,
    WORKER_ENTRY_VARIABLE,
    WORKER_MAX_CALLS_VARIABLE,
    WORKER_MODE_VARIABLE,
)

POD = {"name": "shop-w-12345678-0", "uid": "pod-uid"}
SECONDS = 60.0
"""How long anything may take that is waited for here."""
FENCED = refuse(403, "Forbidden", f"ValidatingAdmissionPolicy 'x' denied request: {REFUSED_NOT_CURRENT}")
MAIN = """
import sys
from application_sdk.engines.kubernetes.startup import tune_startup
tune_startup()
from application_sdk.engines.kubernetes import worker, worker_inbox, worker_main
from application_sdk.wire import names
names.POD_DIRECTORY, names.SOURCE_DIRECTORY = sys.argv[1:3]
for setting in sys.argv[3:]:
    name, _, seconds = setting.partition("=")
    setattr(worker_inbox if name == "GONE_SECONDS" else worker, name, float(seconds))
worker_inbox.follow_inbox.__defaults__ = (worker_inbox.GONE_SECONDS,)
worker_main.main()
"""


def entry(number: int = 1, attempt: int = 1, **fields: Any) -> dict[str, Any]:
    """One call in an inbox. Each number has an AppTask of its own."""
    name = f"daily-{number:016x}"
    whole = call(appTask=name, attempt=attempt, key=f"{number:032x}", **fields)
    return {"appTask": name, "uid": f"uid-{number}", "attempt": attempt, "call": whole}


@dataclass
class Inbox:
    """Answers requests for an AppWorker and reports. Usable as the step that follows a server's script."""

    status: dict[str, Any] | None = None
    """None when there is no AppWorker."""
    writes: list[tuple[str, dict[str, Any]]] = field(default_factory=list)
    """What was written to AppTasks, by name, in order."""
    answers: dict[str, Callable[[dict[str, Any]], Step | None]] = field(default_factory=dict)
    """What to say to writes to an AppTask, by its name; None for yes."""
    away: bool = False
    """No request is answered."""
    version: int = 1
    _changed: threading.Condition = field(default_factory=threading.Condition)

    def put(self, *calls: dict[str, Any], pod: dict[str, str] | None = None, **fields: Any) -> None:
        """Write the inbox as the operator does."""
        self.set({"pod": POD if pod is None else pod, "calls": list(calls), **fields})

    def set(self, status: dict[str, Any] | None) -> None:
        with self._changed:
            self.status = status
            self.version += 1
            self._changed.notify_all()

    def set_away(self, away: bool) -> None:
        with self._changed:
            self.away = away
            self._changed.notify_all()

    def __call__(self, handler: Handler, request: Request) -> None:
        if self.away:
            handler.close_connection = True
        elif request.method == "PATCH":
            self._write(handler, request)
        elif "watch=1" in request.target:
            self._watch(handler, request)
        elif self.status is None:
            refuse(404, "NotFound", "appworkers not found")(handler, request)
        else:
            answer(200, self._object())(handler, request)

    def reports(self, number: int | None = None) -> list[dict[str, Any]]:
        """The writes that bring an outcome, of one call or of all."""
        name = None if number is None else f"daily-{number:016x}"
        return [fields for task, fields in self.writes if name in (None, task) and "finishedAt" in fields]

    def wait_for(self, condition: Callable[[], object], what: str = "") -> None:
        deadline = time.monotonic() + SECONDS
        with self._changed:
            if not self._changed.wait_for(condition, deadline - time.monotonic()):
                raise AssertionError(f"{what or 'it'} didn't happen; written: {self.writes}")

    def wait_for_reports(self, count: int) -> list[dict[str, Any]]:
        self.wait_for(lambda: len(self.reports()) >= count, f"{count} reports")
        return self.reports()

    def wait_for_begin(self, count: int = 1) -> None:
        """Wait until so many calls are acknowledged, which the worker has to do early."""
        self.wait_for(lambda: len([1 for _, fields in self.writes if "startedAt" in fields]) >= count, "their begin")

    def _object(self) -> dict[str, Any]:
        metadata = {"name": POD["name"], "resourceVersion": str(self.version)}
        return {"metadata": metadata, "status": self.status or {}}

    def _write(self, handler: Handler, request: Request) -> None:
        name = request.target.split("/")[-2]
        fields = {operation["path"].rpartition("/")[2]: operation.get("value") for operation in request.json}
        refusal = self.answers.get(name, lambda _: None)(fields)
        if refusal is not None:
            refusal(handler, request)
            return
        # The answer first: who waits for the write may stop the worker.
        answer()(handler, request)
        with self._changed:
            self.writes.append((name, fields))
            self._changed.notify_all()

    def _watch(self, handler: Handler, request: Request) -> None:
        seen = int(request.target.partition("resourceVersion=")[2].partition("&")[0])
        handler.begin_chunks()
        while not handler.server.stopping.is_set() and not self.away:
            with self._changed:
                if self.version <= seen and not self.away:
                    self._changed.wait(0.05)
                if self.version <= seen or self.away:
                    continue
                seen, gone, body = self.version, self.status is None, self._object()
            _send(handler, {"type": "DELETED" if gone else "MODIFIED", "object": body})
        handler.close_connection = True


def _send(handler: Handler, event: dict[str, Any]) -> None:
    handler.chunk(json.dumps(event).encode() + b"\n")


@contextmanager
def worker(pod: PodProcess, app: str, inbox: Inbox, *settings: str, **reuse: Any) -> Iterator[RunningWorker]:
    """A warm pod's process, with `inbox` behind its server."""
    pod.write(None, app=app)
    pod.main, pod.arguments = MAIN, list(settings)
    pod.environ |= {
        POD_NAME_VARIABLE: POD["name"],
        POD_UID_VARIABLE: POD["uid"],
        POD_NAMESPACE_VARIABLE: "ns",
        WORKER_ENTRY_VARIABLE: "app:Subject",
        WORKER_MODE_VARIABLE: reuse.get("mode", "process"),
        WORKER_CONCURRENCY_VARIABLE: str(reuse.get("concurrency", 1)),
        **({WORKER_MAX_CALLS_VARIABLE: str(reuse["max_calls"])} if "max_calls" in reuse else {}),
    }
    with pod.start() as process:
        yield RunningWorker(process, inbox)


@dataclass
class RunningWorker:
    """The process, and what it says when it has ended."""

    process: Any
    inbox: Inbox
    out: str = ""
    err: str = ""

    def wait(self) -> int:
        """Its exit code, once it has ended by itself."""
        self.out, self.err = self.process.communicate(timeout=SECONDS)
        return int(self.process.returncode)

    def drain(self) -> int:
        """Have it do what it has, and end."""
        self.inbox.put(drain=True)
        return self.wait()


__all__ = ["FENCED", "KEY", "POD", "Inbox", "entry", "worker"]
