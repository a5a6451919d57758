"""One observation for each engine and program, made when a test first asks for it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import cache

import pytest
from tests.support.engines.catalog import BY_NAME
from tests.support.engines.differences import IN_PROCESS, SUBPROCESSES
from tests.support.engines.local import SOURCE, Local
from tests.support.engines.memory import Memory
from tests.support.engines.observed import Engine, Observed
from tests.support.engines.simulated import Simulated

from application_sdk.engines.local.run_store import RunStore
from application_sdk.engines.local.runs import process_executor

Observe = Callable[..., Observed]


@pytest.fixture(scope="session")
def observe(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Observe]:
    """`observe(engine, program, kill_driver=False)`: what becomes of the program."""
    with process_executor(SOURCE) as executor:
        homes = {name: RunStore(tmp_path_factory.mktemp("home")) for name in (IN_PROCESS, SUBPROCESSES)}
        engines: list[Engine] = [
            Memory(),
            Local(IN_PROCESS, homes[IN_PROCESS]),
            Local(SUBPROCESSES, homes[SUBPROCESSES], executor),
            Simulated(),
        ]
        by_name = {engine.name: engine for engine in engines}

        @cache
        def made(engine: str, program: str, kill_driver: bool = False) -> Observed:
            return by_name[engine].observe(BY_NAME[program], kill_driver=kill_driver)

        yield made
