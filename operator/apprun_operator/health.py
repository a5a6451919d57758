"""Health and metrics over HTTP.

The process is alive while its event loop answers, every informer was in contact with the API server
or tried to be, and its threads live. An API server that is unavailable is never a reason to
restart.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Final

from aiohttp import web

from apprun_operator.observe.informer import Informer
from apprun_operator.telemetry.metrics import Metrics

STALE_AFTER: Final = 180.0
"""Seconds without an attempt to reach the API server after which an informer counts as hung."""


def application(
    informers: Sequence[Informer],
    parts: Mapping[str, Callable[[], bool]],
    metrics: Metrics,
    needed: Mapping[str, Callable[[], bool]] | None = None,
) -> web.Application:
    """The HTTP application with `/healthz`, `/readyz` and `/metrics`.

    Both probes answer 503 with the names of what fails, and with `messages` for people. A standby
    is alive and ready: it could lead at once. A kind that can't be read for a while makes the
    replica unready, with the reason, but restarts nothing.

    Args:
        informers: Each must be in contact with the API server, and synced to be ready.
        parts: Other things that must be alive, by name.
        metrics: What `/metrics` shows.
        needed: Further conditions of being ready, by name.
    """

    async def healthz(_: web.Request) -> web.Response:
        stale = [i.kind for i in informers if i.silence > STALE_AFTER]
        dead = [name for name, alive in parts.items() if not alive()]
        messages = [
            f"informer of {kind}: no contact with the API server for {STALE_AFTER:.0f} s, and no attempt;"
            " the process hangs and has to be restarted"
            for kind in stale
        ]
        messages += [f"thread {name}: ended or hangs; the process has to be restarted" for name in dead]
        status = 503 if stale or dead else 200
        return web.json_response({"stale": stale, "dead": dead, "messages": messages}, status=status)

    async def readyz(_: web.Request) -> web.Response:
        unsynced = [i.kind for i in informers if not i.synced.is_set()]
        missing = [name for name, holds in (needed or {}).items() if not holds()]
        failing = {i.kind: i.failing for i in informers if i.failing}
        messages = [f"{kind}: not listed yet; the operator's log says why if this lasts" for kind in unsynced]
        messages += [
            f"{name}: not read yet; check that it can be reached and that the operator's Role allows it"
            for name in missing
        ]
        messages += [
            f"{kind}: can't be read ({reason}); check the API server and the operator's ClusterRole"
            for kind, reason in failing.items()
        ]
        body = {"waiting": [*unsynced, *missing], "failing": failing, "messages": messages}
        return web.json_response(body, status=503 if messages else 200)

    async def show_metrics(_: web.Request) -> web.Response:
        return web.Response(body=metrics.text(), content_type="text/plain", charset="utf-8")

    app = web.Application()
    app.add_routes([web.get("/healthz", healthz), web.get("/readyz", readyz), web.get("/metrics", show_metrics)])
    return app
