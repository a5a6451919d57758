"""The main act: start `catalog`, watch it, break the node with its driver, switch it on again, watch it end.

Used by `__main__`. Decides nothing by itself: `injected_fault` says when and what, `timeline` and `dashboard` how it
looks.
"""

from __future__ import annotations

import io
import re
import subprocess
import time
from dataclasses import dataclass, field, replace
from pathlib import Path

from hack.demo import injected_fault as faults
from hack.demo import timeline
from hack.demo.dashboard import Screen, dashboard
from hack.demo.injected_fault import InjectedFault
from hack.demo.observe import Reader, Unanswered
from hack.demo.setup import remove_run
from hack.demo.snapshot import Snapshot
from hack.demo.timeline import Entry
from hack.demo.tools import ROOT, Bed, DemoError, Tools
from hack.restarts import TerminationLog
from rich.console import Console, RenderableType
from rich.live import Live

NAMESPACE = "catalog"
RUN = "catalog"
LIMIT_SECONDS = 300
POLL_SECONDS = 0.4
PICTURE = Screen(width=124, height=60)


def start(tools: Tools) -> float:
    """Remove what an earlier demo left and apply the example at the demo's pace. When, in seconds since the epoch."""
    remove_run(tools, NAMESPACE, RUN)
    started = time.time()
    tools.kubectl("apply", "-k", str(ROOT / "hack" / "demo" / "pace"))
    return started


@dataclass
class Show:
    """One performance: what was seen so far, and what is under way."""

    bed: Bed
    tools: Tools
    reader: Reader
    console: Console
    started: float
    fault: InjectedFault | None = None
    lines: list[Entry] = field(default_factory=list)
    last: Snapshot | None = None
    running_since: dict[str, float] = field(default_factory=dict)
    """When each pod was first seen to run, in seconds since the epoch."""
    terminations: TerminationLog = field(default_factory=TerminationLog)
    """Of the operator's own pods."""
    ended: float | None = None
    """When the run was first seen to be over."""
    pictures: Path | None = None
    """Where to save a picture of the worst moment; None: nowhere."""
    _command: subprocess.Popen[str] | None = None

    def watch(self) -> Snapshot:
        """Until the run is over and the node is back. Raises DemoError when that takes too long."""
        live = Live(console=self.console, auto_refresh=False, transient=False) if self.console.is_terminal else None
        if live:
            live.start()
        try:
            while True:
                snapshot = self._look()
                if live:
                    live.update(self.picture(snapshot, Screen(*self.console.size)), refresh=True)
                if snapshot.over and self._settled():
                    return snapshot
                if snapshot.at - self.started > LIMIT_SECONDS:
                    raise DemoError(f"the run is still {snapshot.phase} after {LIMIT_SECONDS} s: {snapshot.message}")
                time.sleep(POLL_SECONDS)
        finally:
            if live:
                live.stop()
            if self._command is not None:
                self._command.wait()

    def picture(self, snapshot: Snapshot, screen: Screen) -> RenderableType:
        return dashboard("catalog", snapshot, self.fault, self.lines, self.started, screen)

    def save_picture(self, name: str, picture: RenderableType) -> None:
        """Save something drawn as an SVG file in the folder for pictures."""
        console = Console(record=True, width=PICTURE.width, file=io.StringIO(), force_terminal=True, highlight=False)
        console.print(picture)
        # Without rich's web font: a picture in a repository should need nothing from anywhere.
        drawn = re.sub(r"@font-face \{.*?\}", "", console.export_svg(title="make demo"), flags=re.DOTALL)
        ((self.pictures or Path()) / f"{name}.svg").write_text(drawn)

    def _look(self) -> Snapshot:
        try:
            snapshot = self.reader.snapshot()
        except Unanswered as error:
            if self.last is None or time.time() - self.last.at > 30:
                raise DemoError(f"the API server doesn't answer: {error}") from error
            return self.last
        for pod in snapshot.pods:
            if pod.phase == "Running":
                self.running_since.setdefault(pod.name, snapshot.at)
        self.terminations.observe(snapshot.operators, snapshot.at)
        self._print(timeline.between(self.last, snapshot))
        before = self.fault
        self._direct(snapshot)
        self._print(timeline.of_fault(before, self.fault, snapshot.at))
        if self.pictures and self.fault and self.fault.running_again and not (before and before.running_again):
            self.save_picture("live", self.picture(snapshot, PICTURE))
        if snapshot.over and self.ended is None:
            self.ended = snapshot.at
        self.last = snapshot
        return snapshot

    def _direct(self, snapshot: Snapshot) -> None:
        """Break, note what that did, mend: whatever is next."""
        if self.fault is None:
            if (node := faults.target(snapshot, self.running_since)) is not None:
                self.fault = self._break(node, snapshot)
            return
        if self.fault.power_on is None:
            if snapshot.at > self.fault.at and (self.fault.kind == "node" or not self.fault.losses):
                self.fault = faults.add_losses(self.fault, snapshot)
            if self.fault.kind == "node" and (snapshot.over or self.fault.running_again is not None):
                self._command = self.bed.begin("start-node", self.fault.node)
                self.fault = replace(self.fault, power_on=time.time())
        self.fault = faults.note_times(self.fault, snapshot)

    def _break(self, node: str, snapshot: Snapshot) -> InjectedFault:
        """Kill the node, or, on a cluster that isn't ours, delete the run's pods on it. Returns when that is done."""
        if not self.bed.existing:
            outcome = self.bed.ask("kill-node", node)
            at = outcome.get("dead_at")
            # What reported while the node was dying counts as committed: the claim is about all that was by then.
            ledger = self.reader.snapshot().ledger
            return InjectedFault("node", node, at if isinstance(at, float) else time.time(), ledger)
        at = time.time()
        broken = faults.add_losses(InjectedFault("pods", node, at, snapshot.ledger), snapshot)
        pods = [pod.name for pod in snapshot.pods if pod.node == node]
        self.tools.kubectl("delete", "pod", *pods, "-n", NAMESPACE, "--force", "--grace-period=0", "--ignore-not-found")
        return broken

    def _settled(self) -> bool:
        """Whether nothing of the fault is still under way."""
        if self.fault is None or self.fault.kind == "pods":
            return True
        if self._command is None or self._command.poll() is None:
            return False
        if self._command.returncode:
            stderr = self._command.stderr.read() if self._command.stderr else ""
            raise DemoError(f"{self.fault.node} didn't come back: {stderr.strip()}")
        return self.fault.node_back is not None

    def _print(self, lines: list[Entry]) -> None:
        self.lines += lines
        if not self.console.is_terminal:
            for line in lines:
                self.console.print(
                    f"{line.at - self.started:6.1f} s  {line.text}", highlight=False, soft_wrap=True, markup=False
                )
