from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from application_sdk.engines.local.errors import RunBusyError
from application_sdk.engines.local.lock import RunLock, holder

HOLD = """
import sys
from pathlib import Path
from application_sdk.engines.local.lock import RunLock
lock = RunLock("orders-1", Path(sys.argv[1]))
print("held", flush=True)
sys.stdin.read()
"""


def test_a_second_executor_is_refused_and_told_who_holds_the_run(tmp_path: Path) -> None:
    with RunLock("orders-1", tmp_path / "lock"):
        with pytest.raises(RunBusyError, match=f"run 'orders-1' is being executed by process {os.getpid()}"):
            RunLock("orders-1", tmp_path / "lock")
        assert holder(tmp_path / "lock") == os.getpid()
    assert holder(tmp_path / "lock") is None
    RunLock("orders-1", tmp_path / "lock").release()


def test_a_lock_of_nobody_has_no_holder(tmp_path: Path) -> None:
    assert holder(tmp_path / "lock") is None


def test_a_killed_executor_gives_the_run_back(tmp_path: Path) -> None:
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(tmp_path / "lock")], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdin is not None
    assert process.stdout is not None
    assert process.stdout.readline() == "held\n"
    with pytest.raises(RunBusyError, match=str(process.pid)):
        RunLock("orders-1", tmp_path / "lock")
    process.send_signal(signal.SIGKILL)
    process.wait()
    RunLock("orders-1", tmp_path / "lock").release()
    process.stdin.close()
    process.stdout.close()


def test_children_do_not_inherit_the_lock(tmp_path: Path) -> None:
    lock = RunLock("orders-1", tmp_path / "lock")
    child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE, close_fds=False)
    lock.release()
    RunLock("orders-1", tmp_path / "lock").release()
    child.communicate(b"\n")
