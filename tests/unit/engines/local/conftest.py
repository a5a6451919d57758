from __future__ import annotations

from pathlib import Path

import pytest
from tests.unit.engines.local.bench import Bench

APPS = Path(__file__).parent / "apps"


@pytest.fixture
def orders() -> Path:
    return APPS / "orders.py"


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path, APPS / "orders.py")


@pytest.fixture(params=["processes", "in process"])
def any_bench(request: pytest.FixtureRequest, tmp_path: Path) -> Bench:
    return Bench(tmp_path, APPS / "orders.py", in_process=request.param == "in process")
