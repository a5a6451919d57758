"""The operator's cache: the newest version of each object, whether a watch or an own write brought
it.

Informers, kopf's feed and the executor update it; workers read one run or App at a time. It keeps
the objects of each run in a `RunState`, those of Apps beside them, and the owner of each object.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import replace
from typing import Final

from application_sdk.wire import names
from application_sdk.wire.digest import JSON
from apprun_operator.observe import parse
from apprun_operator.observe.apps import AppRecord, HandlerDeployment, OngoingInspection
from apprun_operator.observe.fields import Unreadable
from apprun_operator.observe.kinds import KIND_NAMES, Kind
from apprun_operator.observe.namespaces import Namespaces
from apprun_operator.observe.observed import Observed
from apprun_operator.observe.parsers import PARSERS, parse_object
from apprun_operator.observe.pods import PodEvent, PodRecord, PoolBlocked, RejectionKind
from apprun_operator.observe.pool_index import PoolIndex
from apprun_operator.observe.records import (
    Key,
    Meta,
    PageRecord,
    RunRecord,
    StateRecord,
    TaskRecord,
    inspected_by,
    inspection_of,
)
from apprun_operator.observe.run_state import RunState
from apprun_operator.observe.staleness import concerns_runs, stale_since
from apprun_operator.observe.workers import PoolCall, PoolMemory, PoolObserved, WorkerRecord, pool_of

MAX_TOMBSTONES: Final = 20_000
"""How many deleted objects are remembered, so that a late response to an own write doesn't bring
one back."""


class Cache:
    """One event loop owns it.

    Args:
        wake: Called with a run's key whenever its next plan may differ.
        clock: Returns the time of day, in seconds since the epoch.
        wake_app: The same for Apps.
        wake_pool: The same for pools of warm pods.
    """

    def __init__(
        self,
        wake: Callable[[Key], None],
        clock: Callable[[], float],
        wake_app: Callable[[Key], None] = lambda key: None,
        wake_pool: Callable[[Key], None] = lambda key: None,
    ) -> None:
        self._wake_run = wake
        self._wake_app = wake_app
        self._wake_pool = wake_pool
        self.pools = PoolIndex(wake_pool)
        """What belongs to pools of warm pods, but for the pods themselves."""
        self._blocked_pools: dict[Key, PoolBlocked] = {}
        self._clock = clock
        self._runs: dict[Key, RunState] = {}
        self._apps: dict[Key, AppRecord] = {}
        self._deployments: dict[Key, HandlerDeployment] = {}
        self._app_states: dict[Key, StateRecord] = {}
        self._versions: dict[Kind, dict[Key, tuple[str, int]]] = {kind: {} for kind in PARSERS}
        self._owners: dict[Kind, dict[Key, Key]] = {kind: {} for kind in PARSERS}
        self._unreadable: dict[Kind, set[Key]] = {kind: set() for kind in PARSERS}
        self._tombstones: OrderedDict[str, None] = OrderedDict()
        self._namespaces = Namespaces()

    def wake(self, key: Key) -> None:
        """Have a run, an App's inspection or a pool planned again, by the key of its objects."""
        app = inspected_by(key)
        if pool_of(key) is not None:
            self._wake_pool(key)
        elif app is None:
            self._wake_run(key)
        else:
            self._wake_app(app)

    _wake = wake

    # Updates from the API server

    def apply(self, kind: Kind, raw: Mapping[str, JSON]) -> None:
        """Store an object as the API server returned it. A version older than the known one is
        ignored.

        Raises:
            Unreadable: The object can't be parsed. It is recorded as such, and its run says so.
        """
        try:
            record = parse_object(kind, raw)
        except Unreadable as problem:
            self._file_unreadable(kind, raw, str(problem))
            raise
        if not self._is_newer(kind, record.meta):
            return
        self._forget_unreadable(kind, record.meta.key)
        if isinstance(record, AppRecord | RunRecord) and record.problem:
            self._unreadable[kind].add(record.meta.key)
        if isinstance(record, AppRecord):
            self._put_app(record)
        elif isinstance(record, RunRecord):
            self._put_run(record)
        elif isinstance(record, TaskRecord):
            self._put_task(record)
        elif isinstance(record, PodRecord):
            self._put_pod(record)
        elif isinstance(record, StateRecord):
            self._app_states[record.meta.key] = record
        elif isinstance(record, WorkerRecord):
            self.pools.put_worker(record)
        else:
            self._put_page(record)

    def _is_newer(self, kind: Kind, meta: Meta) -> bool:
        """Whether this version is newer than the known one; if so, it becomes the known one."""
        known = self._versions[kind].get(meta.key)
        # guard: deleted-stays-deleted - a late event would bring a deleted object back into the
        # cache
        # guard: older-version-ignored - events of two watches may arrive out of order
        if meta.uid in self._tombstones or (known is not None and known[1] >= meta.version):
            return False
        if known is not None and known[0] != meta.uid:
            self.remove(kind, meta.key)
        self._versions[kind][meta.key] = (meta.uid, meta.version)
        return True

    def remove(self, kind: Kind, key: Key, uid: str = "") -> None:
        """Remove a deleted object.

        With a `uid`, only if it has that uid: the name may have a new object.
        """
        known = self._versions[kind].get(key)
        # guard: unknown-stays-deleted - a list that began before the deletion would bring back an
        # object that the cache never had
        if uid:
            self._bury(uid)
        if known is None or (uid and known[0] != uid):
            return
        del self._versions[kind][key]
        self._unreadable[kind].discard(key)
        self._bury(known[0])
        if kind == "apps":
            self._apps.pop(key, None)
            self._deployments.pop(key, None)
            return
        if kind == "appstates":
            self._app_states.pop(key, None)
            return
        if kind == "appworkers":
            self.pools.drop_worker(key)
            return
        if kind == "apptasks":
            self.pools.drop_task(key)
        run = key if kind == "appruns" else self._owners[kind].pop(key, None)
        state = None if run is None else self._runs.get(run)
        if run is None or state is None:
            return
        pod = state.pods.get(key.name) if kind == "pods" and pool_of(run) is not None else None
        state.drop(kind, key)
        if pod is not None:
            self.pools.drop_pod(pod.meta.uid)
        if pod is not None and self.pools.is_assigned(key, pod.meta.uid):
            # As for a call's own pod: its end is still to be decided, though it is gone.
            state.pods[key.name] = replace(pod, gone=True)
        self._index_active_run(run)
        if state.empty:
            del self._runs[run]
        # guard: last-pod-wakes - the places of a deleted run would stay occupied after its last pod
        self._wake(run)

    def _bury(self, uid: str) -> None:
        self._tombstones[uid] = None
        if len(self._tombstones) > MAX_TOMBSTONES:
            self._tombstones.popitem(last=False)

    def replace(self, kind: Kind, listed: Iterable[Key], version: int, namespace: str = "") -> None:
        """Remove what a complete list lacks.

        An object that isn't in the list as of `version`, and isn't newer, was deleted while no
        watch was open.
        """
        present = set(listed)
        deleted = [
            key
            for key, (_, known) in self._versions[kind].items()
            if known <= version and key not in present and namespace in ("", key.namespace)
        ]
        for key in deleted:
            self.remove(kind, key)

    # What the operator's own requests have shown

    def begin_request(self, run: Key, target: str) -> None:
        """Mark the pod or AppTask `target` as in flight: plans leave it alone until `end_request`."""
        self._run_state(run).in_flight.add(target)

    def end_request(self, run: Key, target: str) -> None:
        """The request about `target` has ended: plan the run again."""
        state = self._runs.get(run)
        if state is not None:
            state.in_flight.discard(target)
            if state.empty:
                del self._runs[run]
                return
        self._wake(run)

    def record_rejection(self, run: Key, pod: str, kind: RejectionKind, message: str) -> None:
        """The API server rejected `pod`. Each further refusal doubles the time until the next try."""
        self._run_state(run).record_rejection(pod, kind, message, self._clock())

    def record_pod_event(self, run: Key, pod: str, message: str) -> None:
        """Record what kubelet's Events say of a pod that doesn't start; empty if they say nothing."""
        self._run_state(run).pod_events[pod] = PodEvent(message, self._clock())
        self._wake(run)

    def set_pool_blocked(self, pool: Key, blocked: PoolBlocked | None) -> None:
        """Record why none of the pool's pods can start; None if one can."""
        before = self._blocked_pools.pop(pool, None)
        if blocked is not None:
            self._blocked_pools[pool] = blocked
        old, new = (known and (known.reason, known.permanent) for known in (before, blocked))
        if old != new:
            for run in list(self.pools.runs_offering(pool)):
                self._wake(run)

    def mark_page_lost(self, run: Key, number: int) -> None:
        """The API server doesn't have that page."""
        self._run_state(run).lost_pages.add(number)
        self._wake(run)

    def verify_task(self, run: Key, name: str, raw: Mapping[str, JSON] | None) -> None:
        """Record what the API server has of a committed call's AppTask; None if it has none."""
        try:
            record = None if raw is None else parse_object("apptasks", raw)
        except Unreadable:
            record = None
        task = record if isinstance(record, TaskRecord) else None
        self._run_state(run).verify_task(name, task, exists=raw is not None)
        self._wake(run)

    def set_namespace_ready(self, namespace: str, ready: bool | None = True) -> None:
        """Record whether the service accounts and bindings of `namespace` exist.

        None means that the check failed without showing either.
        """
        self._namespaces.set_ready(namespace, ready, self._clock())

    def set_deployment(self, app: Key, deployment: HandlerDeployment | None) -> None:
        """Record the Deployment that serves an App; None if it was deleted."""
        if deployment is None:
            self._deployments.pop(app, None)
        elif app in self._apps:
            self._deployments[app] = deployment
            self._wake_app(app)

    # Reads

    def app(self, key: Key) -> AppRecord | None:
        """The App of that name, or None."""
        return self._apps.get(key)

    def run(self, key: Key) -> RunRecord | None:
        """The run of that name, or None."""
        state = self._runs.get(key)
        return None if state is None else state.run

    def deployment(self, key: Key) -> HandlerDeployment | None:
        """The Deployment that serves an App, as of its last apply; None if there is none."""
        return self._deployments.get(key)

    def inspecting(self, key: Key) -> OngoingInspection:
        """The inspection of that App. Valid until the next update."""
        app, own, now = self._apps.get(key), inspection_of(key), self._clock()
        state = self._runs.get(own) or RunState(own.name)
        uid = "" if app is None else app.meta.uid
        return OngoingInspection(
            tasks={name: task for name, task in state.tasks.items() if task.meta.owner_uid == uid},
            pods=state.pods,
            rejections=state.rejections,
            namespace_ready=self._namespaces.is_ready(key.namespace),
            stale_since=max((stale_since(run, app, now) for run in self._runs_of(key)), default=0.0) if app else 0.0,
            others=sum(
                1
                for other, state in self._runs.items()
                if other != own and inspected_by(other) is not None and any(pod.healthy for pod in state.pods.values())
            ),
        )

    def _runs_of(self, app: Key) -> Iterable[RunRecord]:
        for key, state in self._runs.items():
            if state.run is not None and key.namespace == app.namespace and state.run.app_ref == app.name:
                yield state.run

    def app_keys(self) -> list[Key]:
        """The keys of all known Apps."""
        return list(self._apps)

    def observe(self, key: Key) -> Observed | None:
        """All that is known of one run; None if there is no such run. Valid until the next update."""
        state = self._runs.get(key)
        if state is None or state.run is None:
            return None
        run = state.run
        uid = run.meta.uid
        return Observed(
            run=run,
            app=self._apps.get(Key(key.namespace, run.app_ref)) if run.app_ref else None,
            tasks={name: task for name, task in state.tasks.items() if task.meta.owner_uid == uid},
            pods=state.pods,
            committed_keys=state.committed_digests.keys(),
            committed_tasks=state.committed_tasks,
            missing_pages=tuple(n for n in range(run.pages) if n not in state.pages),
            lost_pages=state.lost_pages,
            unseen_tasks=state.unseen_tasks(),
            lost_tasks=state.lost_tasks,
            altered_tasks=state.altered_tasks,
            unreadable={
                f"{KIND_NAMES[kind]} {name}": problem
                for (kind, name), (problem, owner) in state.unreadable.items()
                if owner == uid
            },
            rejections=state.rejections,
            in_flight=state.in_flight,
            pod_events=state.pod_events,
            state=self._app_states.get(Key(key.namespace, names.state_name(str((run.app or {}).get("name", ""))))),
            blocked_pools={
                pool_of(pool) or "": blocked
                for pool, blocked in self._blocked_pools.items()
                if pool.namespace == key.namespace
            },
            namespace_ready=self._namespaces.is_ready(key.namespace),
            ensured_at=self._namespaces.ensured_at(key.namespace),
        )

    def observe_pool(self, key: Key) -> PoolObserved:
        """All that is known of one pool, by its `pool_key`. Valid until the next update."""
        state, index = self._runs.get(key) or RunState(key.name), self.pools
        assigned: dict[str, tuple[PoolCall, ...]] = {}
        for name in index.pods_of(key):
            calls = (self._pool_call(run, task) for task, run in index.assigned_to(Key(key.namespace, name)).items())
            assigned[name] = tuple(call for call in calls if call is not None)
        offers = ((offer, self._pool_call(offer.run, Key(key.namespace, offer.task))) for offer in index.offers(key))
        runs = {*index.runs_offering(key), *(call.run.meta.key for calls in assigned.values() for call in calls)}
        return PoolObserved(
            key=key,
            workers=index.workers.get(key, {}),
            pods={
                name: pod
                for name, pod in state.pods.items()
                if not pod.gone or index.is_assigned(pod.meta.key, pod.meta.uid)
            },
            assigned=assigned,
            offers=tuple((offer, call) for offer, call in offers if call is not None),
            shape=index.shapes.get(key),
            rejections=state.rejections,
            in_flight=state.in_flight,
            tasks_in_flight={
                Key(key.namespace, name) for run in runs if run in self._runs for name in self._runs[run].in_flight
            },
            proven=index.proven,
            given=index.given,
            accounts_ready=index.ready.get(key, 0),
            latest=index.is_latest(key),
            memory=index.memories.get(key) or PoolMemory(),
        )

    def _pool_call(self, run: Key, task: Key) -> PoolCall | None:
        state = self._runs.get(run)
        if state is None or state.run is None:
            return None
        record = state.tasks.get(task.name)
        if record is None or record.meta.owner_uid != state.run.meta.uid:
            return None
        name = names.state_name(str((state.run.app or {}).get("name", "")))
        return PoolCall(state.run, record, self._app_states.get(Key(run.namespace, name)))

    def pool_keys(self) -> list[Key]:
        """All pools of which anything is known: inboxes, pods, or calls."""
        return sorted({*self.pools.keys(), *(key for key in self._runs if pool_of(key) is not None)})

    def namespaces_ensured_before(self, moment: float) -> list[str]:
        """Namespaces with active runs whose accounts were last ensured before `moment`."""
        return self._namespaces.ensured_before(moment)

    def task_pods(self) -> Mapping[Key, int]:
        """How many task pods that haven't ended each run has, drivers excluded."""
        return {
            key: sum(1 for pod in state.pods.values() if not pod.ended and pod.task != names.driver_task_name(key.name))
            for key, state in self._runs.items()
            if inspected_by(key) is None
        }

    def pods_of(self, run: Key) -> Collection[PodRecord]:
        """The pods that are known under the name of a run, whether or not the run itself still
        exists."""
        state = self._runs.get(run)
        return () if state is None else state.pods.values()

    def keys(self) -> list[Key]:
        """The keys of all known runs."""
        return [key for key, state in self._runs.items() if state.run is not None]

    def survey(self) -> Iterable[tuple[RunRecord, Mapping[str, TaskRecord], Mapping[str, PodRecord]]]:
        """Each run with its open calls and its pods, for metrics. Valid until the next update."""
        for state in self._runs.values():
            if state.run is not None:
                yield state.run, state.tasks, state.pods

    def survey_pools(self) -> Iterable[tuple[PodRecord, WorkerRecord, bool]]:
        """Each warm pod with its inbox, and whether open calls are assigned to it, for metrics."""
        for key, workers in self.pools.workers.items():
            pods = self._runs[key].pods if key in self._runs else {}
            for name, worker in workers.items():
                pod = pods.get(name)
                if pod is not None and pod.meta.owner_uid == worker.meta.uid:
                    yield pod, worker, self.pools.is_assigned(pod.meta.key, pod.meta.uid)

    def sizes(self) -> Mapping[str, int]:
        """How many objects of each kind are known."""
        return {kind: len(versions) for kind, versions in self._versions.items()}

    def unreadable(self) -> Mapping[str, int]:
        """How many objects of each kind can't be read."""
        return {kind: len(keys) for kind, keys in self._unreadable.items()}

    # Where each object belongs

    def _run_state(self, run: Key) -> RunState:
        if run not in self._runs:
            self._runs[run] = RunState(run.name)
        return self._runs[run]

    def _index_active_run(self, run: Key) -> None:
        """Keep the index of active runs. Called whenever the run or a pod of it has changed."""
        state = self._runs.get(run)
        self._namespaces.index_run(run, state is not None and state.is_active)

    def _file_unreadable(self, kind: Kind, raw: Mapping[str, JSON], problem: str) -> None:
        """An unreadable object still belongs to a run, which has to report it and must not continue
        without it."""
        meta = parse.meta(raw)
        run = parse.owning_run(raw)
        if not self._is_newer(kind, meta):
            return
        self._unreadable[kind].add(meta.key)
        if kind not in KIND_NAMES or not run:
            return
        owner = Key(meta.key.namespace, run)
        self._owners[kind][meta.key] = owner
        self._run_state(owner).unreadable[kind, meta.key.name] = (problem, meta.owner_uid)
        self._wake(owner)

    def _forget_unreadable(self, kind: Kind, key: Key) -> None:
        self._unreadable[kind].discard(key)
        state = self._runs.get(self._owners[kind].get(key, key))
        if state is not None:
            state.unreadable.pop((kind, key.name), None)

    def _put_app(self, app: AppRecord) -> None:
        before = self._apps.get(app.meta.key)
        self._apps[app.meta.key] = app
        self._wake_app(app.meta.key)
        if before is not None and concerns_runs(before) == concerns_runs(app):
            return
        for run in self._runs_of(app.meta.key):
            if not run.finished:
                self._wake(run.meta.key)

    def _put_run(self, run: RunRecord) -> None:
        state = self._run_state(run.meta.key)
        resolved = state.run is not None and state.run.app != run.app
        if run.app_ref and (run.phase == "Stalled" or resolved):
            self._wake_app(Key(run.meta.key.namespace, run.app_ref))
        state.put_run(run)
        self._index_active_run(run.meta.key)
        self._wake(run.meta.key)

    def _put_task(self, task: TaskRecord) -> None:
        run = Key(task.meta.key.namespace, task.run)
        self._owners["apptasks"][task.meta.key] = run
        if self._run_state(run).put_task(task, self._clock()):
            self._wake(run)
        self.pools.put_task(task, run)

    def _put_pod(self, pod: PodRecord) -> None:
        run = Key(pod.meta.key.namespace, pod.run)
        self._owners["pods"][pod.meta.key] = run
        changed = self._run_state(run).put_pod(pod, self._clock())
        self._index_active_run(run)
        if changed:
            self._wake(run)

    def _put_page(self, page: PageRecord) -> None:
        run = Key(page.meta.key.namespace, page.run)
        self._owners["appledgers"][page.meta.key] = run
        self._run_state(run).put_page(page)
        self._wake(run)
