"""An index of inboxes, assigned calls and offers by pool, so that a pass reads only those of its
own pool.

The cache updates and reads it. `wake` is called with the key of each pool whose next plan may
differ.
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
        """The AppTasks whose open attempt is assigned to a pod, and their runs, by that pod."""
        self._places: dict[Key, tuple[Key, str, int, bool]] = {}
        """Where an AppTask is in `_assigned`: the pod and its uid, the attempt, and whether it was
        acknowledged."""
        self._offers: dict[Key, dict[Key, tuple[Offer, ...]]] = {}
        """By pool, then by run."""
        self._offering: dict[Key, set[Key]] = {}
        """The pools to which a run has made offers."""
        self.shapes: dict[Key, PoolShape] = {}
        self.memories: dict[Key, PoolMemory] = {}
        self.proven: set[str] = set()
        self.given: Counter[str] = Counter()
        """How many attempts were assigned to a pod, by its uid, as far as this operator has seen them."""
        self.ready: dict[Key, int] = {}

    # Updates

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
        """Record the assignment of an open call.

        Has to be called with every version of the AppTask.
        """
        key, before = task.meta.key, self._places.get(task.meta.key)
        after = None
        if task.reuse is not None and task.assigned_uid and task.at_work:
            pod = Key(key.namespace, task.assigned_name)
            after = (pod, task.assigned_uid, task.attempt, bool(task.started_at))
        if before == after:
            return
        if before is not None and before[2] == task.attempt and not task.at_work and task.phase != "Cancelled":
            # Its pod has reported it: only a report ends an attempt without starting the next one.
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
        """Replace the offers of a run."""
        by_pool: dict[Key, list[Offer]] = {}
        for offer in offers:
            by_pool.setdefault(pool_key(run.namespace, offer.shape.pool), []).append(offer)
        for pool in self._offering.get(run, set()) - by_pool.keys():
            self._offers[pool].pop(run, None)
            if not self._offers[pool]:
                del self._offers[pool]
            self._wake(pool)
        for pool, pool_offers in by_pool.items():
            self.shapes[pool] = pool_offers[-1].shape
            if self._offers.setdefault(pool, {}).get(run) != tuple(pool_offers):
                self._offers[pool][run] = tuple(pool_offers)
                self._wake(pool)
        if by_pool:
            self._offering[run] = set(by_pool)
        else:
            self._offering.pop(run, None)

    # Reads

    def keys(self) -> set[Key]:
        """All pools that have an inbox, an offer or an assigned call."""
        return {*self.workers, *self._offers, *(_pool_of_pod(pod) for pod in self._assigned)}

    def offers(self, pool: Key) -> list[Offer]:
        return [offer for offers in self._offers.get(pool, {}).values() for offer in offers]

    def runs_offering(self, pool: Key) -> Collection[Key]:
        return self._offers.get(pool, {}).keys()

    def assigned_to(self, pod: Key) -> Mapping[Key, Key]:
        """The AppTasks that are assigned to a pod of that name, and their runs."""
        return self._assigned.get(pod, {})

    def pods_of(self, pool: Key) -> set[str]:
        """Names of the pool's pods that have open calls."""
        return {pod.name for pod in self._assigned if _pool_of_pod(pod) == pool}

    def is_assigned(self, pod: Key, uid: str) -> bool:
        """Whether an open call is assigned to the pod with that uid."""
        return any(self._places[task][1] == uid for task in self._assigned.get(pod, ()))

    def is_latest(self, pool: Key) -> bool:
        """Whether no other pool of its owner has calls of a later generation of the App."""
        shape = self.shapes.get(pool)
        if shape is None:
            return True
        return all(
            other.generation <= shape.generation
            for key, other in self.shapes.items()
            if key.namespace == pool.namespace and other.owner_uid == shape.owner_uid and key != pool
        )

    def forget(self, pool: Key) -> None:
        """Drop what is remembered about a pool that has nothing left."""
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
    """The key of a pod's pool: the pod is named `<pool>-<slot>`."""
    return pool_key(pod.namespace, pod.name.rpartition("-")[0])
