"""A machine as seen from the host: boots it, finds it and its services among the processes, pulls its plug.

Nothing is remembered in pid files, which go stale: a machine's init is found by the unit file in its arguments, and its
services as the init's children.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from hack.cluster.configs import Unit
from hack.cluster.errors import ClusterError
from hack.cluster.layout import MachineDir
from hack.cluster.network import NAMESPACES

_PROC = Path("/proc")
_INIT = Path(__file__).with_name("machine_init.py")
_SECONDS_TO_BOOT = 10.0
_SECONDS_TO_DIE = 15.0


@dataclass(frozen=True)
class Process:
    """A process of this host: its id as the host sees it, and its arguments."""

    pid: int
    argv: tuple[str, ...]

    @property
    def program(self) -> str:
        """Base name of the program."""
        return Path(self.argv[0]).name if self.argv else ""


def find_init(machine: MachineDir) -> int | None:
    """The host's process id of the machine's init; None when the machine is off."""
    wanted = str(machine.unit_file)
    for process in _all_processes():
        if wanted in process.argv and _pid_in_own_namespace(process.pid) == 1:
            return process.pid
    return None


def inits_below(folder: Path) -> list[Process]:
    """Every init whose unit file lies below a folder, and the launchers that wait for one."""

    def is_unit(word: str) -> bool:
        return word.endswith("/machine.json") and Path(word).is_relative_to(folder)

    return [process for process in _all_processes() if any(map(is_unit, process.argv))]


def service_pid(machine: MachineDir, service: str) -> int | None:
    """The host's process id of one service of the machine; None while it isn't running."""
    init = find_init(machine)
    if init is None:
        return None
    for process in _all_processes():
        if process.program == service and _parent_of(process.pid) == init:
            return process.pid
    return None


def runs(machine: MachineDir, unit: Unit) -> bool:
    """Whether the machine is on and was booted from exactly this unit."""
    same = machine.unit_file.exists() and machine.unit_file.read_text() == unit.to_json()
    return same and find_init(machine) is not None


def install(machine: MachineDir, unit: Unit) -> None:
    """Writes what the machine's next boot will read. The machine must be off: the unit file tells what it runs."""
    for folder in (machine.logs, machine.holds, machine.etc, machine.path / "var"):
        folder.mkdir(parents=True, exist_ok=True)
    for name, text in unit.files.items():
        file = machine.etc / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    machine.unit_file.write_text(unit.to_json())


def boot(machine: MachineDir) -> None:
    """Starts the machine's init in its network namespace; returns when it has become PID 1 of its own namespaces."""
    for hold in machine.holds.iterdir():
        hold.unlink()
    isolation = ["unshare", "--mount", "--propagation", "slave", "--pid", "--fork", "--kill-child", "--mount-proc"]
    interpreter = [sys.executable, "-I", "-S", str(_INIT), str(machine.unit_file)]
    with (machine.logs / "init.log").open("ab") as log:
        subprocess.Popen(
            ["nsenter", f"--net={NAMESPACES / machine.namespace}", *isolation, *interpreter],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            cwd="/",
            start_new_session=True,
        )
    deadline = time.monotonic() + _SECONDS_TO_BOOT
    while find_init(machine) is None:
        if time.monotonic() > deadline:
            raise ClusterError(f"{machine.machine} did not boot", f"its log says why: {machine.logs / 'init.log'}")
        time.sleep(0.02)


def power_off(machine: MachineDir) -> None:
    """Kills the machine's init and with it, by the kernel, every process and mount of the machine; waits for that."""
    # The launcher too: of an interrupted boot, it may be all that there is.
    pids = [process.pid for process in inits_below(machine.path)]
    for pid in pids:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    for pid in pids:
        # The kernel lets an init go last, after all others of its namespace.
        wait_for_end(pid, machine.machine)


def wait_for_end(pid: int, what: str) -> None:
    """Waits until a killed process is gone."""
    deadline = time.monotonic() + _SECONDS_TO_DIE
    while _is_running(pid):
        if time.monotonic() > deadline:
            raise ClusterError(
                f"{what} (process {pid}) does not die", f"look at what it waits for: cat /proc/{pid}/stack"
            )
        time.sleep(0.005)


def _is_running(pid: int) -> bool:
    try:
        return _stat(pid)[0] not in "ZX"
    except OSError:
        return False


def _all_processes() -> Iterator[Process]:
    for folder in _PROC.iterdir():
        if folder.name.isdigit():
            try:
                words = (folder / "cmdline").read_bytes().decode(errors="replace").split("\0")
            except OSError:
                continue  # ended meanwhile
            yield Process(int(folder.name), tuple(words[:-1]))


def _pid_in_own_namespace(pid: int) -> int | None:
    try:
        for line in (_PROC / str(pid) / "status").read_text().splitlines():
            if line.startswith("NSpid:"):
                ids = line.split()[1:]
                return int(ids[-1]) if len(ids) > 1 else None
    except OSError:
        pass
    return None


def _stat(pid: int) -> list[str]:
    """The fields of /proc/PID/stat from the state on; the name before it may hold blanks and brackets."""
    return (_PROC / str(pid) / "stat").read_text().rpartition(")")[2].split()


def _parent_of(pid: int) -> int | None:
    try:
        return int(_stat(pid)[1])
    except OSError:
        return None
