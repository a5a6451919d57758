"""A hook for simulated clusters that ends one party at one of its API calls."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field

from tests.support.sim.cluster import Cluster
from tests.support.sim.greenlets import Process


@dataclass
class Crash:
    """Ends a party at its n-th request, at the given moment. `party` is `operator`, `driver` or `task`."""

    party: str
    number: int
    moment: str
    cluster: Cluster | None = None
    requests: list[str] = field(default_factory=list)
    done: bool = False

    async def __call__(self, party: str, moment: str, request: str, process: Process | None) -> None:
        if party.partition(" ")[0] != self.party or moment != self.moment:
            return
        self.requests.append(request)
        if len(self.requests) != self.number:
            return
        self.done = True
        assert self.cluster is not None
        if process is None:
            task = asyncio.create_task(self._replace_operator())
            await asyncio.Event().wait()
            await task
        else:
            place = next(p for p in self.cluster.places("pods") if p.name == process.name)
            self.cluster.nodes.evict_by_kubelet(place)
            await asyncio.sleep(1)

    async def _replace_operator(self) -> None:
        assert self.cluster is not None
        await self.cluster.stop_operator()
        await asyncio.sleep(2)
        self.cluster.start_operator()
