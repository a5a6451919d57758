"""What breaks during a soak, and when: three hands that break things, independent of one another, until stopped.

Each is as hard as the cluster's command line makes it. A fault that can't be caused, since another one is in its way
(the API server that should delete the operator's pod is dead itself), is counted as such; the next beat tries again.
"""

from __future__ import annotations

import itertools
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from types import TracebackType

from tests.support.bed import Bed
from tests.support.kube import eventually
from tests.support.replicas import Replicas


@dataclass(frozen=True)
class Pace:
    """In seconds. `leader` and `api` are from one death to the next, of the operator's leader and of the API server.
    `away` is how long a node is dead or cut off, `whole` how long all nodes are there before the next one.

    After `rounds` of each kind of fault of a node nothing breaks any more; 0: it never ends.
    """

    leader: float = 30.0
    api: float = 130.0
    """Kubernetes' own clients (scheduler, kubelet, controllers) come back within seconds; but when they lost the server
    again within two minutes they wait twice as long each time, up to a minute. (client-go, reflector.go)
    """
    api_down: float = 2.0
    first_api: float = 45.0
    away: float = 60.0
    whole: float = 180.0
    first_node: float = 30.0
    rounds: int = 0

    @property
    def between(self) -> float:
        """From one fault to the next, of whatever kind, on average. A node's loss and its return are one each."""
        return 1 / (1 / self.leader + 1 / self.api + 2 / (self.away + self.whole))


ENDLESS = 1 << 30
RESTARTS = 2
"""After so many the kubelet takes its time before it starts a container again, so that the pod is to go."""


class Faults:
    """At work while it is entered; afterwards the cluster is whole again."""

    def __init__(self, bed: Bed, pace: Pace, note: Callable[[str], None]) -> None:
        self._bed = bed
        self._note = note
        self._replicas = Replicas(bed)
        self._pace = pace
        self._over = threading.Event()
        self._threads = [
            threading.Thread(target=hand, daemon=True) for hand in (self._operators, self._api_servers, self._nodes)
        ]
        self.caused: Counter[str] = Counter()
        self.failed: Counter[str] = Counter()

    def __enter__(self) -> Faults:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._over.set()
        for thread in self._threads:
            thread.join()
        self._bed.cli("up")
        eventually("two replicas of the operator are ready", lambda: len(self._replicas.all()) == 2 or None, 300)

    def _operators(self) -> None:
        self._every(itertools.repeat(("operator killed", self._kill_leader, 0.0)), self._pace.leader, self._pace.leader)

    def _api_servers(self) -> None:
        down = f"--down-seconds={self._pace.api_down:g}"
        kill = ("API server killed", lambda: self._cli("kill-apiserver", down), 0.0)
        self._every(itertools.repeat(kill), self._pace.api, self._pace.first_api)

    def _nodes(self) -> None:
        away, healthy = self._pace.away, self._pace.whole
        story = [
            ("node killed", lambda: self._cli("kill-node", "node2"), away),
            ("node started", lambda: self._cli("start-node", "node2", "--no-wait"), healthy),
            ("node cut off", lambda: self._cli("cut-node", "node1"), away),
            ("node connected", lambda: self._cli("heal-node", "node1"), healthy),
        ]
        steps = itertools.chain.from_iterable(itertools.repeat(story, self._pace.rounds or ENDLESS))
        self._every(steps, 0.0, self._pace.first_node)
        self._over.set()

    def _every(self, steps: Iterable[tuple[str, Callable[[], None], float]], beat: float, first: float) -> None:
        """Cause one after the other, each `beat` seconds after the one before was begun, or as the step itself says."""
        wait = first
        for what, cause, pause in steps:
            if self._over.wait(wait):
                return
            started = time.monotonic()
            try:
                cause()
                self.caused[what] += 1
                self._print(what)
            except Exception as error:
                self.failed[what] += 1
                self._print(f"not {what}: {str(error)[:200]}")
            wait = pause or max(0.0, beat - (time.monotonic() - started))

    def _print(self, text: str) -> None:
        print(f"{time.strftime('%H:%M:%S')} {text}", file=sys.stderr, flush=True)
        self._note(text)

    def _kill_leader(self) -> None:
        holder = self._replicas.holder()
        leaders = [replica for replica in self._replicas.all() if replica.name == holder]
        if not leaders:
            raise AssertionError(f"the lease is held by {holder!r}, which isn't ready")
        (leader,) = leaders
        if leader.restarts < RESTARTS:
            self._replicas.kill_process(leader)
        else:
            self._replicas.kill(leader)

    def _cli(self, *command: str) -> None:
        self._bed.cli(*command)
