"""Which operator pods a test kills on purpose: whoever kills one, its node or its release says so here, before.

What nobody has announced fails the module (`tests/cluster/conftest.py`) or the soak.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

from hack.restarts import SELECTOR, Expectation, OperatorPod, operator_pods
from tests.support.kube import CORE, Kube

PODS = f"{CORE}/pods?labelSelector={SELECTOR}"


class ExpectedTerminations:
    """Of one cluster. Safe to use from several threads."""

    def __init__(self, kube: Kube) -> None:
        self._kube = kube
        self._lock = threading.Lock()
        self._all: list[Expectation] = []

    @property
    def all(self) -> list[Expectation]:
        with self._lock:
            return list(self._all)

    def kill(self, why: str, uid: str, *, restarts: bool = True, seconds: float = 120) -> None:
        """One pod's process is killed, or the pod is deleted."""
        self._add(why, seconds, uids=frozenset({uid}), restarts=restarts)

    def node_loss(self, why: str, node: str, *, restarts: bool, seconds: float = 300) -> None:
        """A node goes. Its pods may be given up; where it is switched off, their containers start again with it."""
        self._add(why, seconds, node=node, restarts=restarts)

    def all_removed(self, why: str, seconds: float = 120) -> None:
        """All pods that are there now are deleted."""
        self._add(why, seconds, uids=frozenset(pod.uid for pod in self.pods()))

    @contextmanager
    def removals(self, why: str) -> Iterator[None]:
        """Pods are replaced meanwhile, as by a roll-out. That none of them restarts is still claimed."""
        since = time.time()
        with self._lock:
            place = len(self._all)
            self._all.append(Expectation(why, since, float("inf")))
        try:
            yield
        finally:
            with self._lock:
                self._all[place] = Expectation(why, since, time.time())

    def pods(self) -> list[OperatorPod]:
        return operator_pods(self._kube.items(PODS))

    def _add(
        self,
        why: str,
        seconds: float,
        *,
        uids: frozenset[str] | None = None,
        node: str | None = None,
        restarts: bool = False,
    ) -> None:
        now = time.time()
        with self._lock:
            self._all.append(Expectation(why, now, now + seconds, uids, node, restarts))
