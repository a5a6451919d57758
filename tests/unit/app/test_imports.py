"""What `import application_sdk.app` loads: every pod pays for it before its task begins."""

from __future__ import annotations

import subprocess
import sys

SCRIPT = """
import sys
from application_sdk.app import App, task
from application_sdk.contracts import Input, Output
class In(Input): pass
class Out(Output): pass
class Small(App):
    @task
    async def work(self, input: In) -> Out: ...
    async def run(self, input: In) -> Out: ...
print("\\n".join(sys.modules))
"""

NOT_NEEDED = (
    "asyncio",
    "kopf",
    "kubernetes",
    "aiohttp",
    "logging.handlers",
    "application_sdk.replay.run",
    "application_sdk.replay.loop",
    "application_sdk.replay.route",
    "application_sdk.replay.divergence",
    "application_sdk.replay.guard",
    "application_sdk.attempt.attempt",
    "application_sdk.infrastructure",
    "application_sdk.testing",
)


def test_defining_an_app_loads_nothing_that_executes_one() -> None:
    loaded = subprocess.run(
        [sys.executable, "-c", SCRIPT], capture_output=True, text=True, check=True
    ).stdout.splitlines()
    assert [name for name in NOT_NEEDED if name in loaded] == []
    assert "application_sdk.app.base" in loaded
