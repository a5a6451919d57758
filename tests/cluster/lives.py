"""Lives of the operator in this process, against a real API server: each is cut off around one of its writes.

All that plans and acts is the operator's own; kopf, election and probes are left out, as in the simulation.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field

from application_sdk.wire.digest import JSONObject
from apprun_operator.kube.client import MERGE, KubeApi, PatchBody
from apprun_operator.kube.decode import Page
from apprun_operator.leader.elector import AlwaysLeader
from apprun_operator.leader.gate import LeaderGate
from apprun_operator.main import build, work
from apprun_operator.settings import Settings
from apprun_operator.telemetry.metrics import Metrics


@dataclass
class Wire:
    """A connection that is dead from its n-th write on: `before` it was sent, or `after` it was done, unheard.

    Number 0 is never cut.
    """

    api: KubeApi
    number: int = 0
    moment: str = "before"
    writes: list[str] = field(default_factory=list)
    cut: asyncio.Event = field(default_factory=asyncio.Event)

    async def get(self, path: str, query: Mapping[str, str] | None = None) -> JSONObject:
        return await self.api.get(path, query)

    async def page(self, path: str, query: Mapping[str, str]) -> Page:
        return await self.api.page(path, query)

    async def create(self, path: str, body: JSONObject) -> JSONObject:
        return await self._write(f"CREATE {path}", lambda: self.api.create(path, body))

    async def patch(self, path: str, body: PatchBody, content_type: str = MERGE) -> JSONObject:
        return await self._write(f"PATCH {path}", lambda: self.api.patch(path, body, content_type))

    async def delete(self, path: str, options: JSONObject) -> JSONObject:
        return await self._write(f"DELETE {path}", lambda: self.api.delete(path, options))

    def watch(self, path: str, query: Mapping[str, str]) -> AsyncIterator[Sequence[JSONObject]]:
        return self.api.watch(path, query)

    async def _write(self, what: str, send: Callable[[], Awaitable[JSONObject]]) -> JSONObject:
        if self.cut.is_set():
            await asyncio.Event().wait()
        self.writes.append(what)
        strikes = len(self.writes) == self.number
        if strikes and self.moment == "before":
            await self._end()
        answer = await send()
        if strikes:
            await self._end()
        return answer

    async def _end(self) -> None:
        self.cut.set()
        await asyncio.Event().wait()


async def live(settings: Settings, api: KubeApi) -> None:
    """One life of the operator, until cancelled: then it is gone from one moment to the next, with all that it knew."""
    gate = LeaderGate(AlwaysLeader())
    parts = build(settings, api, gate, Metrics(settings.metrics_max_apps))
    informers = [*parts.watching, *parts.listing]
    try:
        async with asyncio.TaskGroup() as group:
            for informer in informers:
                group.create_task(informer.run())
            for informer in informers:
                await informer.synced.wait()
            group.create_task(gate.run(lambda: work(settings, parts)))
    finally:
        parts.queue.close()
        parts.app_queue.close()
