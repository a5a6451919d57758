"""`/metrics` of a served app: how many requests were answered, by operation and status, in
Prometheus' text format."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send


class Counts:
    """Answers so far. Operations are the application's own, so there are only so many series."""

    def __init__(self) -> None:
        self._answers: Counter[tuple[str, int]] = Counter()

    def add(self, operation: str, status: int) -> None:
        """One more answer."""
        self._answers[operation, status] += 1

    def text(self, app: str) -> str:
        """All of them, as Prometheus reads them."""
        lines = [
            "# HELP apprun_handler_requests_total Requests that were answered, by operation and HTTP status.",
            "# TYPE apprun_handler_requests_total counter",
        ]
        for (operation, status), count in sorted(self._answers.items()):
            labels = f'app="{app}",operation="{operation}",status="{status}"'
            lines.append(f"apprun_handler_requests_total{{{labels}}} {count}")
        return "\n".join([*lines, ""])


class Counting:
    """Counts the answers of an ASGI application. What matches no operation counts as `none`,
    whatever its path."""

    def __init__(self, app: ASGIApp, counts: Counts) -> None:
        self._app = app
        self._counts = counts

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def counted(message: Message) -> None:
            if message["type"] == "http.response.start":
                route = scope.get("route")
                self._counts.add(getattr(route, "operation_id", None) or "none", message["status"])
            await send(message)

        await self._app(scope, receive, counted if scope["type"] == "http" else send)
