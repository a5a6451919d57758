"""The thread that records a cluster, and what tests ask of it: which operator pods died, and why nothing moved."""

from __future__ import annotations

import sys
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

from hack.restarts import Termination, TerminationLog, probe_events, unexpected
from tests.support.bed import Bed
from tests.support.kube import CORE, Kube
from tests.support.recorder.journal import Journal, Moment, prune, read
from tests.support.recorder.sampler import UNANSWERED, Sampler
from tests.support.recorder.timeline import only, timeline
from tests.support.replicas import LEASE

EVERY_SECONDS = 3.0
ROOT = Path(__file__).resolve().parents[3] / ".cache" / "recordings"


@dataclass(frozen=True)
class UnexpectedTermination:
    """A termination that nobody had announced, with what kubelet said of it."""

    termination: Termination
    events: tuple[str, ...]

    def __str__(self) -> str:
        return "\n    ".join([self.termination.text, *(self.events or ("no event of kubelet about it",))])


class Recorder:
    """At work while it is entered."""

    def __init__(self, bed: Bed, root: Path = ROOT, every: float = EVERY_SECONDS, label: str = "") -> None:
        # Connections of its own: those of the tests are closed, counted and broken by tests.
        self._kube = Kube.from_kubeconfig(bed.kubeconfig)
        self._expected = bed.terminations
        self._every = every
        self._sampler = Sampler(self._kube, LEASE)
        self._terminations = TerminationLog()
        self._lock = threading.Lock()
        self._over = threading.Event()
        self._slip: Exception | None = None
        self._thread = threading.Thread(target=self._run, name="recorder", daemon=True)
        prune(root)
        self.journal = Journal(root / f"{label or bed.name}-{time.strftime('%Y%m%d-%H%M%S')}")

    def __enter__(self) -> Recorder:
        self._sample()
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._over.set()
        self._thread.join()
        self.journal.close()
        if kind is not None:
            print(f"recorded in {self.folder}", file=sys.stderr, flush=True)
        if self._slip is not None:
            raise AssertionError("the recorder itself failed; nothing was recorded from then on") from self._slip

    @property
    def folder(self) -> Path:
        return self.journal.folder

    @property
    def terminations(self) -> list[Termination]:
        """All that were seen so far, announced or not."""
        with self._lock:
            return list(self._terminations.found)

    def note(self, text: str) -> None:
        with self._lock:
            self.journal.note(time.time(), text)

    def unexpected(self, since: int = 0) -> list[UnexpectedTermination]:
        """Terminations that nobody had announced, up to now; the first `since` terminations are left out."""
        self._sample()
        with self._lock:
            found = list(self._terminations.found)
        left = unexpected(found, self._expected.all)
        new = {id(termination) for termination in found[since:]}
        return [UnexpectedTermination(each, self._events(each)) for each in left if id(each) in new]

    def moments(self, since: float, namespace: str = "") -> list[Moment]:
        """What was recorded since then, of one namespace's runs if one is given."""
        with self._lock:
            moments_ = [moment for moment in read(self.folder) if moment.at >= since]
        return only(moments_, namespace) if namespace else moments_

    def timeline(self, since: float, least: float, namespace: str = "") -> list[str]:
        """What is known of each standstill of at least so many seconds that has been seen since then."""
        return timeline(self.moments(since, namespace), least)

    def _run(self) -> None:
        while not self._over.wait(self._every):
            try:
                self._sample()
            except Exception as error:
                self._slip = error
                print(f"the recorder failed: {type(error).__name__}: {error}", file=sys.stderr, flush=True)
                return

    def _sample(self) -> None:
        with self._lock:
            sample = self._sampler.sample()
            self.journal.write(sample.at, sample.state)
            if sample.operators is not None:
                for termination in self._terminations.observe(sample.operators, sample.at):
                    why = next((e.why for e in self._expected.all if e.explains(termination)), "nobody announced it")
                    self.journal.note(sample.at, f"{termination.text} ({why})")

    def _events(self, termination: Termination) -> tuple[str, ...]:
        pod = termination.pod
        path = f"{CORE}/namespaces/{pod.namespace}/events?fieldSelector=involvedObject.uid={pod.uid}"
        try:
            return tuple(probe_events(self._kube.items(path)))
        except UNANSWERED as error:
            return (f"its events can't be read: {error}",)
