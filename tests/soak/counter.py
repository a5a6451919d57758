"""Counts what task bodies do, outside of the cluster: nothing that breaks there can make it forget or count twice."""

from __future__ import annotations

import http.server
import json
import threading
from dataclasses import dataclass, replace
from types import TracebackType


@dataclass(frozen=True)
class Execution:
    """One body that ran: `call` is its idempotency key. Times are the pod's, which has this machine's clock."""

    call: str
    attempt: int
    begun: float
    done: float | None = None


class Counter:
    """Listens at an address of this machine while it is entered. A body that tells a thing twice counts once."""

    def __init__(self, address: str) -> None:
        self._executions: dict[str, Execution] = {}
        self._lock = threading.Lock()
        self._server = http.server.ThreadingHTTPServer((address, 0), self._handler())
        self.url = f"http://{address}:{self._server.server_address[1]}/"

    def __enter__(self) -> Counter:
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._server.shutdown()
        self._server.server_close()

    @property
    def executions(self) -> tuple[Execution, ...]:
        with self._lock:
            return tuple(self._executions.values())

    def _take(self, summary: dict[str, object]) -> None:
        identity = str(summary["id"])
        with self._lock:
            if "begun" in summary:
                begun = Execution(str(summary["call"]), int(str(summary["attempt"])), float(str(summary["begun"])))
                self._executions.setdefault(identity, begun)
            else:
                self._executions[identity] = replace(self._executions[identity], done=float(str(summary["done"])))

    def _handler(self) -> type[http.server.BaseHTTPRequestHandler]:
        take = self._take

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                take(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
                self.send_response(204)
                self.end_headers()

            def log_message(self, format: str, *args: object) -> None:
                pass

        return Handler
