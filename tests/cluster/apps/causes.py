"""The test bed's app for causes of failure: one task that ends in the way that its input says."""

import asyncio
import ctypes
import os
import signal
import sys
import time
from pathlib import Path
from typing import Annotated, Any

from application_sdk.app import App, task
from application_sdk.contracts import Input, MaxItems, Output

Names = Annotated[list[str], MaxItems(100)]

# How a call ends, and what it asks for beside what all do.
CALLS: dict[str, dict[str, Any]] = {
    "raises": {},
    "exits": {},
    "exits well": {},
    "crashes": {},
    "swells": {"memory": "96Mi"},
    "fills /tmp": {},
    "slow": {"timeout_seconds": 2},
    "late": {"schedule_to_close_seconds": 8, "retry_max_attempts": 9},
    "blocks": {"heartbeat_timeout_seconds": 2, "auto_heartbeat_seconds": 0.5},
    "idles": {"max_no_progress_seconds": 2, "progress_watchdog": "enforce"},
    "stopped": {},
    "no program": {"image": "localhost/apprun-pause:1"},
    "no name": {"image": "localhost/NO:1"},
    "no account": {"service_account": "nobody"},
    "no room": {"cpu": "64"},
    "large": {"memory": "512Mi"},
    "absent": {"image": "localhost:5000/absent:1"},
    "denied": {"image": "localhost:5000/denied:1"},
    "waits for its image": {"image": "localhost:5000/slow:1"},
    "works": {},
    "works on node1": {"node_selector": {"kubernetes.io/hostname": "node1"}},
    "needs most of node1": {"node_selector": {"kubernetes.io/hostname": "node1"}, "cpu": "1100m"},
}


class Ends(Input):
    how: str = ""


class Wanted(Input):
    calls: Names = []


class Ended(Output):
    errors: Names = []


class Causes(App):
    @task(retry_max_attempts=1)
    async def ends(self, input: Ends) -> Output:
        how = input.how
        if how == "raises":
            raise ValueError("no such luck")
        if how == "exits":
            os._exit(3)
        if how == "exits well":
            os._exit(0)
        if how == "crashes":
            ctypes.string_at(0)
        if how == "swells":
            bytearray(b"x") * (512 << 20)
        if how == "fills /tmp":
            await asyncio.to_thread(Path("/tmp/full").write_bytes, bytes(96 << 20))
            await asyncio.sleep(120)
        if how == "blocks":
            time.sleep(60)  # noqa: ASYNC251 (that is the point)
        if how == "stopped" and self.task_context.attempt == 1:
            os.kill(os.getpid(), signal.SIGTERM)
        if how in ("slow", "late", "idles", "stopped"):
            await asyncio.sleep(5 if self.task_context.attempt > 1 else 60)
        if how.startswith(("works", "needs")):
            await asyncio.sleep(12)
        print(f"{how}: done", file=sys.stderr)
        return Output()

    async def run(self, input: Wanted) -> Ended:
        calls = [self.ends.options(**CALLS[how])(Ends(how=how)) for how in input.calls]
        ended = await asyncio.gather(*calls, return_exceptions=True)
        return Ended(errors=[getattr(end, "type", "") for end in ended])
