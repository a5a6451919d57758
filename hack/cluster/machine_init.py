"""The first process of a machine: mounts what is the machine's own, starts its services, restarts them, reaps orphans.

Started by ``machine.py`` as PID 1 of new PID and mount namespaces, with the path of the machine's ``machine.json`` as
its argument. It stands alone and imports nothing of ours: killing it is what "the machine lost power" means here, since
the kernel then kills every process and drops every mount of these namespaces.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import NoReturn

_FIRST_RESTART_DELAY = 0.2
_LAST_RESTART_DELAY = 5.0
_LIVED_LONG_ENOUGH = 10.0
_HELD_CHECK_SECONDS = 0.05


class Service:
    """One long-running program of the machine."""

    def __init__(self, name: str, argv: list[str], log: Path, hold: Path) -> None:
        self.name = name
        self.argv = argv
        self.log = log
        self.hold = hold
        self.process: subprocess.Popen[bytes] | None = None
        self.started = 0.0
        self.next_start = 0.0
        self.delay = _FIRST_RESTART_DELAY

    def start_if_due(self, now: float) -> float:
        """Starts the service unless it runs, is held or has to wait; returns in how many seconds to look again."""
        if self.process is not None:
            return _LAST_RESTART_DELAY
        if self.hold.exists():
            self.next_start = now  # held on purpose, so there is no crash to back off from
            return _HELD_CHECK_SECONDS
        if now < self.next_start:
            return self.next_start - now
        with self.log.open("ab") as sink:
            self.process = subprocess.Popen(
                self.argv, stdin=subprocess.DEVNULL, stdout=sink, stderr=sink, start_new_session=True
            )
        self.started = now
        return _LAST_RESTART_DELAY

    def ended(self, now: float) -> None:
        """Notes that the service's process is gone and when it may start again."""
        self.process = None
        self.delay = (
            _FIRST_RESTART_DELAY
            if now - self.started > _LIVED_LONG_ENOUGH
            else min(self.delay * 2, _LAST_RESTART_DELAY)
        )
        self.next_start = now + self.delay


def note(text: str) -> None:
    """One line in the machine's log, which is this process' stdout."""
    print(f"{time.strftime('%H:%M:%S')} {text}", flush=True)


def mount(*words: str | Path) -> None:
    """Mounts something inside this machine only; without a note in ``/run/mount``, which is not the host's any more."""
    subprocess.run(["mount", "--no-mtab", *map(str, words)], check=True)


def lay_out_node(machine: Path, programs: Path, sysctls: dict[str, str]) -> None:
    """Gives the node its own ``/run`` and ``/var``, with its folder at ``/run/node`` and its programs at ``/run/bin``.

    The new ``/run`` is prepared aside and moved into place at the end, because the machine's folder may itself lie
    below ``/run`` or ``/var``. It is memory, so a boot starts with an empty one, as on any machine.
    """
    run = machine / "run"
    run.mkdir(exist_ok=True)
    mount("-t", "tmpfs", "-o", "mode=755", "tmpfs", run)
    for name, source in (("node", machine), ("bin", programs)):
        (run / name).mkdir()
        mount("--bind", source, run / name)
    (run / "netns").mkdir()
    (run / "sysctl").mkdir()
    mount("--move", run, "/run")

    var = Path("/run/node/var")
    for folder in ("lib", "log", "tmp"):
        (var / folder).mkdir(parents=True, exist_ok=True)
    if not (var / "run").is_symlink():
        (var / "run").symlink_to("/run")
    mount("--bind", var, "/var")

    # The kubelet insists on some kernel settings and writes those that differ. They belong to the whole host, so it is
    # shown files that already say what it wants.
    for key, value in sysctls.items():
        file = Path("/run/sysctl") / key.replace("/", ".")
        file.write_text(f"{value}\n")
        mount("--bind", file, Path("/proc/sys") / key)


def reap(services: list[Service], now: float) -> None:
    """Collects every ended child: services to be restarted, and orphans that nobody else waits for."""
    while True:
        try:
            pid, status = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return
        if pid == 0:
            return
        for service in services:
            if service.process is not None and service.process.pid == pid:
                note(f"{service.name} ended with {os.waitstatus_to_exitcode(status)}")
                service.process.returncode = os.waitstatus_to_exitcode(status)
                service.ended(now)


def supervise(services: list[Service]) -> NoReturn:
    """Keeps the services running until this process is killed."""
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGCHLD})
    while True:
        now = time.monotonic()
        reap(services, now)
        wait = min(service.start_if_due(now) for service in services)
        signal.sigtimedwait({signal.SIGCHLD}, wait)


def main() -> NoReturn:
    """Reads the unit file, lays the machine out and becomes its supervisor."""
    home = Path(sys.argv[1]).parent
    unit = json.loads(Path(sys.argv[1]).read_text())
    if unit["sysctls"] is not None:
        lay_out_node(home, Path(unit["programs"]), unit["sysctls"])
        home = Path("/run/node")
    services = [
        Service(name, argv, home / "log" / f"{name}.log", home / "hold" / name)
        for name, argv in unit["services"].items()
    ]
    note(f"boot: {', '.join(service.name for service in services)}")
    supervise(services)


if __name__ == "__main__":
    main()
