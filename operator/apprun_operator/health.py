"""Health and metrics over HTTP. Alive means: this loop answers, and each informer heard from the API server or
tried to.

An API server that is away is never a reason to restart.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Final

from aiohttp import web

from apprun_operator.observe.informer import Informer
from apprun_operator.telemetry.metrics import Metrics

STALE_AFTER: Final = 180.0


def application(
    informers: Sequence[Informer],
    parts: Mapping[str, Callable[[], bool]],
    metrics: Metrics,
    needed: Mapping[str, Callable[[], bool]] | None = None,
) -> web.Application:
    """`/healthz`, `/readyz` and `/metrics`. `parts` are other things that must be alive, by name, and `needed` such as
    must be there before it is ready. A standby is both: it could lead at once. A kind that can't be read for a while is
    named with the reason, and nobody is restarted for it."""

    async def healthz(_: web.Request) -> web.Response:
        stale = [i.kind for i in informers if i.silence > STALE_AFTER]
        dead = [name for name, alive in parts.items() if not alive()]
        return web.json_response({"stale": stale, "dead": dead}, status=503 if stale or dead else 200)

    async def readyz(_: web.Request) -> web.Response:
        waiting: list[str] = [i.kind for i in informers if not i.synced.is_set()]
        waiting += [name for name, there in (needed or {}).items() if not there()]
        failing = {i.kind: i.failing for i in informers if i.failing}
        answer = {"waiting": waiting, "failing": failing}
        return web.json_response(answer, status=503 if waiting or failing else 200)

    async def show_metrics(_: web.Request) -> web.Response:
        return web.Response(body=metrics.text(), content_type="text/plain", charset="utf-8")

    made = web.Application()
    made.add_routes([web.get("/healthz", healthz), web.get("/readyz", readyz), web.get("/metrics", show_metrics)])
    return made
