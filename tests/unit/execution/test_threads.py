"""Threads of tasks: how they are started where something else has its hand in that too."""

from __future__ import annotations

import subprocess
import sys

WRAPPED = """
import threading

from application_sdk.execution.threads import share_runtime_with_threads

seen = []


def wrap(name):
    before = threading.Thread.start

    def start(thread):
        seen.append(name)
        before(thread)

    threading.Thread.start = start


wrap("before")
share_runtime_with_threads()
wrap("after")
share_runtime_with_threads()
threading.Thread(target=seen.append, args=["ran"]).start()
print(*seen)
"""


def test_start_that_a_library_has_wrapped_stays_wrapped() -> None:
    done = subprocess.run([sys.executable, "-c", WRAPPED], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["after", "before", "ran"]
