"""The same faults, chosen one by one by hypothesis: a failure comes back as the shortest course of events with it."""

from __future__ import annotations

import asyncio
import random
from contextlib import ExitStack

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule
from tests.support.sim.chaos import STEPS, Chaos
from tests.support.sim.patched import patched
from tests.support.virtual_time import VirtualLoop

pytestmark = pytest.mark.slow


class ClusterUnderFaults(RuleBasedStateMachine):
    """One cluster, from its first run until it is calm again."""

    def __init__(self) -> None:
        super().__init__()
        self.stack = ExitStack()
        self.stack.enter_context(patched(random.Random(0)))
        self.runner = self.stack.enter_context(asyncio.Runner(loop_factory=VirtualLoop))

    @initialize(seed=st.integers(0, 2**16))
    def begin(self, seed: int) -> None:
        self.runner.run(self._begin(seed))

    async def _begin(self, seed: int) -> None:
        self.chaos = Chaos(seed)
        self.living = self.chaos.cluster.living()
        await self.living.__aenter__()
        await self.chaos.begin()

    @rule(name=st.sampled_from(sorted(STEPS)), seconds=st.sampled_from([0.0, 0.4, 3.0, 20.0]))
    def inject_fault(self, name: str, seconds: float) -> None:
        self.runner.run(self._inject_fault(name, seconds))

    async def _inject_fault(self, name: str, seconds: float) -> None:
        await self.chaos.step(name)
        await asyncio.sleep(seconds)
        self.chaos.cluster.check()

    def teardown(self) -> None:
        with self.stack:
            if hasattr(self, "chaos"):
                self.runner.run(self._end())

    async def _end(self) -> None:
        try:
            await self.chaos.end()
        finally:
            await self.living.__aexit__(None, None, None)


TestClusterUnderFaults = ClusterUnderFaults.TestCase
TestClusterUnderFaults.settings = settings(
    max_examples=12,
    stateful_step_count=15,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
