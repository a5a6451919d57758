"""What a module makes when it is imported is each attempt's own, as in a pod; where a fork would do, attempts fork."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

APP = """
import os, random, socket, sqlite3, threading, time
from application_sdk.app import App, task
from application_sdk.contracts import Input, Output

{state}

class Nothing(Input):
    n: int = 0

class Said(Output):
    said: str = ""

def told(n):
    {told}

class Shop(App):
    @task(timeout_seconds=20, retry_max_attempts=1)
    async def tell(self, input: Nothing) -> Said:
        return Said(said=str(told(input.n)))

    async def run(self, input: Nothing) -> Said:
        return Said(said="|".join([(await self.tell(Nothing(n=n))).said for n in range(3)]))
"""
TICKING = """
lock = threading.Lock()
def tick():
    while True:
        with lock:
            time.sleep(0.01)
threading.Thread(target=tick, daemon=True).start()
"""


def run(folder: Path, state: str, told: str) -> tuple[list[str], str]:
    """What the three calls tell, and what a person sees."""
    (folder / "shop.py").write_text(APP.replace("{state}", state).replace("{told}", told))
    result = subprocess.run(
        [sys.executable, "-m", "application_sdk.cli", "run", "shop.py"],
        env={**os.environ, "APPRUN_HOME": str(folder / "home")},
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert result.returncode == 0, result.stderr
    return json.loads(result.stdout)["said"].split("|"), result.stderr


@pytest.mark.slow
def test_a_modules_generator_draws_anew_in_each_call(tmp_path: Path) -> None:
    numbers, seen = run(tmp_path, "rng = random.Random()", "return rng.random()")
    assert len(set(numbers)) == 3
    assert "importing the app has made a generator of random numbers" in seen


@pytest.mark.slow
def test_a_generator_with_a_seed_gives_each_call_the_same(tmp_path: Path) -> None:
    numbers, _ = run(tmp_path, "rng = random.Random(7)", "return rng.random()")
    assert len(set(numbers)) == 1


@pytest.mark.slow
def test_threads_and_locks_of_the_module_live_in_each_attempt(tmp_path: Path) -> None:
    told = "lock.acquire(); lock.release(); return any(t.is_alive() and t is not threading.main_thread() and "
    alive, seen = run(
        tmp_path, TICKING, told + "t._target is tick for t in threading.enumerate() if hasattr(t, '_target'))"
    )
    assert alive == ["True"] * 3
    assert "importing the app has started threads" in seen


@pytest.mark.slow
@pytest.mark.parametrize(
    ("state", "reason"),
    [
        ("pair = socket.socketpair()", "opened sockets"),
        ("database = sqlite3.connect(':memory:', check_same_thread=False)", "opened a database"),
    ],
)
def test_connections_of_the_module_are_each_attempts_own(tmp_path: Path, state: str, reason: str) -> None:
    processes, seen = run(tmp_path, f"{state}\nPROCESS = os.getpid()", "return PROCESS == os.getpid()")
    assert processes == ["True"] * 3
    assert f"importing the app has {reason}" in seen


@pytest.mark.slow
@pytest.mark.parametrize(
    "state",
    ["lock = threading.Lock()", "rng = random.SystemRandom()", "import secrets, tempfile, uuid, logging, asyncio"],
)
def test_an_ordinary_module_is_imported_once_for_all_attempts(tmp_path: Path, state: str) -> None:
    processes, seen = run(tmp_path, f"{state}\nPROCESS = os.getpid()", "return PROCESS")
    assert len(set(processes)) == 1
    assert "importing the app" not in seen


@pytest.mark.slow
def test_the_functions_of_random_give_each_call_its_own_numbers(tmp_path: Path) -> None:
    numbers, seen = run(tmp_path, "", "return random.random()")
    assert len(set(numbers)) == 3
    assert "importing the app" not in seen
