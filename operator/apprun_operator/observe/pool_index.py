"""Which inboxes, assigned calls and offers belong to which pool: filed as they come in, so that a pass walks its own.

The cache feeds it and asks it; `wake` is called with the key of each pool whose next plan may differ.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence

from apprun_operator.observe.records import Key, TaskRecord
from apprun_operator.observe.workers import Offer, PoolMemory, PoolShape, WorkerRecord, pool_key


class PoolIndex:
    """One event loop owns it."""

    def __init__(self, wake: Callable[[Key], None]) -> None:
        self._wake = wake
        self.workers: dict[Key, dict[str, WorkerRecord]] = {}
        """By pool, then by name."""
        self._assigned: dict[Key, dict[Key, Key]] = {}
        """Keys of the AppTasks whose open attempt is assigned to a pod, with their runs, by that pod."""
        self._places: dict[Key, tuple[Key, str, int, bool]] = {}
        """Where an AppTask is in `_assigned`: pod, the pod's uid, attempt, and whether it was acknowledged."""
        self._offers: dict[Key, dict[Key, tuple[Offer, ...]]] = {}
        """By pool, then by run."""
        self._offering: dict[Key, set[Key]] = {}
        """The pools that a run has offers in."""
        self.shapes: dict[Key, PoolShape] = {}
        self.memories: dict[Key, PoolMemory] = {}
        self.proven: set[str] = set()
        self.given: Counter[str] = Counter()
        """How many attempts were assigned to a pod, by its uid, as far as this operator has seen them."""
        self.ready: dict[Key, int] = {}

    # Feeding

    def put_worker(self, worker: WorkerRecord) -> None:
        key = pool_key(worker.meta.key.namespace, worker.pool)
        self.workers.setdefault(key, {})[worker.meta.key.name] = worker
        self._wake(key)

    def drop_worker(self, key: Key) -> None:
        for pool, workers in list(self.workers.items()):
            if pool.namespace == key.namespace and workers.pop(key.name, None) is not None:
                if not workers:
                    del self.workers[pool]
                self._wake(pool)

    def put_task(self, task: TaskRecord, run: Key) -> None:
        """Note where an open call is assigned to. To be called with every version of it."""
        key, before = task.meta.key, self._places.get(task.meta.key)
        after = None
        if task.reuse is not None and task.assigned_uid and task.at_work:
            pod = Key(key.namespace, task.assigned_name)
            after = (pod, task.assigned_uid, task.attempt, bool(task.started_at))
        if before == after:
            return
        if before is not None and before[2] == task.attempt and not task.at_work and task.phase != "Cancelled":
            # It was reported: nobody else ends an attempt without starting the next one.
            self.proven.add(before[1])
        if after is not None and after[3]:
            self.proven.add(after[1])
        self._unplace(key)
        if after is not None:
            if before is None or before[1:3] != after[1:3]:
                self.given[after[1]] += 1
            self._places[key] = after
            self._assigned.setdefault(after[0], {})[key] = run
            self._wake(_pool_of_pod(after[0]))

    def drop_task(self, key: Key) -> None:
        self._unplace(key)

    def drop_pod(self, uid: str) -> None:
        """The pod is gone, and no other one will have its uid."""
        self.proven.discard(uid)
        self.given.pop(uid, None)

    def offer(self, run: Key, offers: Sequence[Offer]) -> None:
        """What a run's plan lets start now, in place of what it did before."""
        by_pool: dict[Key, list[Offer]] = {}
        for offer in offers:
            by_pool.setdefault(pool_key(run.namespace, offer.shape.pool), []).append(offer)
        for pool in self._offering.get(run, set()) - by_pool.keys():
            self._offers[pool].pop(run, None)
            if not self._offers[pool]:
                del self._offers[pool]
            self._wake(pool)
        for pool, mine in by_pool.items():
            self.shapes[pool] = mine[-1].shape
            if self._offers.setdefault(pool, {}).get(run) != tuple(mine):
                self._offers[pool][run] = tuple(mine)
                self._wake(pool)
        if by_pool:
            self._offering[run] = set(by_pool)
        else:
            self._offering.pop(run, None)

    # Asking

    def keys(self) -> set[Key]:
        """All pools of which anything is known."""
        return {*self.workers, *self._offers, *(_pool_of_pod(pod) for pod in self._assigned)}

    def offers(self, pool: Key) -> list[Offer]:
        return [offer for offers in self._offers.get(pool, {}).values() for offer in offers]

    def runs_offering(self, pool: Key) -> Collection[Key]:
        return self._offers.get(pool, {}).keys()

    def assigned_to(self, pod: Key) -> Mapping[Key, Key]:
        """The AppTasks that are assigned to pods of that name, and their runs."""
        return self._assigned.get(pod, {})

    def pods_of(self, pool: Key) -> set[str]:
        """Names of pods that calls are assigned to."""
        return {pod.name for pod in self._assigned if _pool_of_pod(pod) == pool}

    def is_assigned(self, pod: Key, uid: str) -> bool:
        """Whether an open call is assigned to exactly that pod."""
        return any(self._places[task][1] == uid for task in self._assigned.get(pod, ()))

    def is_latest(self, pool: Key) -> bool:
        """Whether no other pool of its owner was called for a later generation of the App."""
        mine = self.shapes.get(pool)
        if mine is None:
            return True
        return all(
            other.generation <= mine.generation
            for key, other in self.shapes.items()
            if key.namespace == pool.namespace and other.owner_uid == mine.owner_uid and key != pool
        )

    def forget(self, pool: Key) -> None:
        """Nothing is left of the pool: drop what was remembered of it."""
        self.shapes.pop(pool, None)
        self.memories.pop(pool, None)
        self.ready.pop(pool, None)

    def _unplace(self, task: Key) -> None:
        place = self._places.pop(task, None)
        if place is None:
            return
        tasks = self._assigned[place[0]]
        del tasks[task]
        if not tasks:
            del self._assigned[place[0]]
        self._wake(_pool_of_pod(place[0]))


def _pool_of_pod(pod: Key) -> Key:
    """Pods are named `<pool>-<slot>`."""
    return pool_key(pod.namespace, pod.name.rpartition("-")[0])
