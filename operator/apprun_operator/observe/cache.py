"""What is known of every run, in memory: the newest version of each object, whether a watch or an own write brought it.

Informer, kopf's handlers and executor feed it; the worker asks it for one run at a time. It holds facts only: those of
each run in a `RunState`, beside them those of Apps, and whose each object is.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Collection, Iterable, Mapping
from typing import Final, TypeAlias

from application_sdk.wire import names
from application_sdk.wire.digest import JSON
from apprun_operator.observe import parse, parse_pod
from apprun_operator.observe.apps import AppRecord, HandlerDeployment, OngoingInspection
from apprun_operator.observe.fields import Raw, Unreadable
from apprun_operator.observe.kinds import KIND_NAMES, Kind
from apprun_operator.observe.observed import Observed
from apprun_operator.observe.pods import PodEvent, PodRecord, RefusalKind
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

Record: TypeAlias = AppRecord | RunRecord | TaskRecord | PageRecord | StateRecord | PodRecord

PARSERS: Final[Mapping[Kind, Callable[[Raw], Record]]] = {
    "apps": parse.app,
    "appruns": parse.run,
    "apptasks": parse.task,
    "appledgers": parse.page,
    "appstates": parse.state,
    "pods": parse_pod.pod,
}
MAX_TOMBSTONES: Final = 20_000
"""How many deleted objects are remembered, so that a late answer to an own write doesn't bring one back."""


def parse_object(kind: Kind, raw: Mapping[str, JSON]) -> Record:
    """The record of a raw object. Raises `Unreadable`, whatever is odd about the object."""
    try:
        return PARSERS[kind](raw)
    except Unreadable:
        raise
    except Exception as error:
        raise Unreadable(f"{kind}: {error!r}") from error


class Cache:
    """One event loop owns it. `wake` is called with a run's key whenever its next plan may differ."""

    def __init__(
        self,
        wake: Callable[[Key], None],
        clock: Callable[[], float],
        wake_app: Callable[[Key], None] = lambda key: None,
    ) -> None:
        self._wake_run = wake
        self._wake_app = wake_app
        self._clock = clock
        self._runs: dict[Key, RunState] = {}
        self._apps: dict[Key, AppRecord] = {}
        self._deployments: dict[Key, HandlerDeployment] = {}
        self._app_states: dict[Key, StateRecord] = {}
        self._versions: dict[Kind, dict[Key, tuple[str, int]]] = {kind: {} for kind in PARSERS}
        self._owners: dict[Kind, dict[Key, Key]] = {kind: {} for kind in PARSERS}
        self._unreadable: dict[Kind, set[Key]] = {kind: set() for kind in PARSERS}
        self._tombstones: OrderedDict[str, None] = OrderedDict()
        self._ready_namespaces: set[str] = set()
        self._active_runs: dict[str, set[str]] = {}
        """Names of the runs at work, by namespace: nobody has to walk all runs for them."""
        self._ensured: dict[str, float] = {}
        """When the accounts and bindings of a namespace were last ensured, or that was tried."""

    def _wake(self, key: Key) -> None:
        app = inspected_by(key)
        if app is None:
            self._wake_run(key)
        else:
            self._wake_app(app)

    # Feeding

    def apply(self, kind: Kind, raw: Mapping[str, JSON]) -> None:
        """Take in an object as the API server showed it. Older versions than the known one are ignored.

        Raises `Unreadable` for what can't be understood.
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
        else:
            self._put_page(record)

    def _is_newer(self, kind: Kind, meta: Meta) -> bool:
        """Whether it is newer than what is known of the object; then it is what is known from now on."""
        known = self._versions[kind].get(meta.key)
        # guard: deleted-stays-deleted - a late event would bring a deleted object back into the cache
        # guard: older-version-ignored - events of two watches may arrive out of order
        if meta.uid in self._tombstones or (known is not None and known[1] >= meta.version):
            return False
        if known is not None and known[0] != meta.uid:
            self.remove(kind, meta.key)
        self._versions[kind][meta.key] = (meta.uid, meta.version)
        return True

    def remove(self, kind: Kind, key: Key, uid: str = "") -> None:
        """The object is gone. With a `uid`, only if it is that one: a namesake may have come since."""
        known = self._versions[kind].get(key)
        if known is None or (uid and known[0] != uid):
            return
        del self._versions[kind][key]
        self._unreadable[kind].discard(key)
        self._tombstones[known[0]] = None
        if len(self._tombstones) > MAX_TOMBSTONES:
            self._tombstones.popitem(last=False)
        if kind == "apps":
            self._apps.pop(key, None)
            self._deployments.pop(key, None)
            return
        if kind == "appstates":
            self._app_states.pop(key, None)
            return
        run = key if kind == "appruns" else self._owners[kind].pop(key, None)
        facts = None if run is None else self._runs.get(run)
        if run is None or facts is None:
            return
        facts.drop(kind, key)
        self._index_active_run(run)
        if facts.empty:
            del self._runs[run]
        # guard: last-pod-wakes - the places of a deleted run would stay occupied after its last pod
        self._wake(run)

    def replace(self, kind: Kind, listed: Iterable[Key], version: int, namespace: str = "") -> None:
        """A list as of `version` is complete: whatever it lacks, and isn't newer, vanished while nobody watched."""
        present = set(listed)
        vanished = [
            key
            for key, (_, known) in self._versions[kind].items()
            if known <= version and key not in present and namespace in ("", key.namespace)
        ]
        for key in vanished:
            self.remove(kind, key)

    # Facts about own requests

    def begin_request(self, run: Key, target: str) -> None:
        """A request about the pod or AppTask `target` is under way: plans leave it alone until `end`."""
        self._facts(run).in_flight.add(target)

    def end_request(self, run: Key, target: str) -> None:
        facts = self._runs.get(run)
        if facts is not None:
            facts.in_flight.discard(target)
            if facts.empty:
                del self._runs[run]
                return
        self._wake(run)

    def refuse(self, run: Key, pod: str, kind: RefusalKind, message: str) -> None:
        """The API server won't create `pod`. Each further refusal doubles the time until the next try."""
        self._facts(run).refuse(pod, kind, message, self._clock())

    def record_pod_event(self, run: Key, pod: str, message: str) -> None:
        """What kubelet says of a pod that doesn't start; empty when it says nothing."""
        self._facts(run).pod_events[pod] = PodEvent(message, self._clock())
        self._wake(run)

    def mark_page_lost(self, run: Key, number: int) -> None:
        """The API server says that it has no such page."""
        self._facts(run).lost_pages.add(number)
        self._wake(run)

    def verify_task(self, run: Key, name: str, raw: Mapping[str, JSON] | None) -> None:
        """What the API server has of an AppTask whose completion is committed; None when it has none."""
        try:
            record = None if raw is None else parse_object("apptasks", raw)
        except Unreadable:
            record = None
        task = record if isinstance(record, TaskRecord) else None
        self._facts(run).verify_task(name, task, exists=raw is not None)
        self._wake(run)

    def set_namespace_ready(self, namespace: str, ready: bool | None = True) -> None:
        """Whether the service accounts and bindings of `namespace` are known to exist: they were just ensured, or it
        turned out that they don't; None when that was tried and nothing was learned."""
        self._ensured[namespace] = self._clock()
        if ready:
            self._ready_namespaces.add(namespace)
        elif ready is not None:
            self._ready_namespaces.discard(namespace)

    def set_deployment(self, app: Key, served: HandlerDeployment | None) -> None:
        """What was seen of the Deployment that serves an App; None when there is none any more."""
        if served is None:
            self._deployments.pop(app, None)
        elif app in self._apps:
            self._deployments[app] = served
            self._wake_app(app)

    # Asking

    def app(self, key: Key) -> AppRecord | None:
        """The App of that name, or None."""
        return self._apps.get(key)

    def deployment(self, key: Key) -> HandlerDeployment | None:
        """What was last seen of the Deployment that serves an App."""
        return self._deployments.get(key)

    def inspecting(self, key: Key) -> OngoingInspection:
        """What is known of the inspection of that App. Valid until the next feeding."""
        app, own, now = self._apps.get(key), inspection_of(key), self._clock()
        facts = self._runs.get(own) or RunState(own.name)
        uid = "" if app is None else app.meta.uid
        return OngoingInspection(
            tasks={name: task for name, task in facts.tasks.items() if task.meta.owner_uid == uid},
            pods=facts.pods,
            refusals=facts.refusals,
            namespace_ready=key.namespace in self._ready_namespaces,
            stale_since=max((stale_since(run, app, now) for run in self._runs_of(key)), default=0.0) if app else 0.0,
            others=sum(
                1
                for other, one in self._runs.items()
                if other != own and inspected_by(other) is not None and any(pod.healthy for pod in one.pods.values())
            ),
        )

    def _runs_of(self, app: Key) -> Iterable[RunRecord]:
        for key, facts in self._runs.items():
            if facts.run is not None and key.namespace == app.namespace and facts.run.app_ref == app.name:
                yield facts.run

    def app_keys(self) -> list[Key]:
        """All known Apps."""
        return list(self._apps)

    def observe(self, key: Key) -> Observed | None:
        """All that is known of one run; None when there is no such run. Valid until the next feeding."""
        facts = self._runs.get(key)
        if facts is None or facts.run is None:
            return None
        run = facts.run
        uid = run.meta.uid
        return Observed(
            run=run,
            app=self._apps.get(Key(key.namespace, run.app_ref)) if run.app_ref else None,
            tasks={name: task for name, task in facts.tasks.items() if task.meta.owner_uid == uid},
            pods=facts.pods,
            committed_keys=facts.committed_digests.keys(),
            committed_tasks=facts.committed_tasks,
            missing_pages=tuple(n for n in range(run.pages) if n not in facts.pages),
            lost_pages=facts.lost_pages,
            unseen_tasks=facts.unseen_tasks(),
            lost_tasks=facts.lost_tasks,
            altered_tasks=facts.altered_tasks,
            unreadable={
                f"{KIND_NAMES[kind]} {name}": problem
                for (kind, name), (problem, owner) in facts.unreadable.items()
                if owner == uid
            },
            refusals=facts.refusals,
            in_flight=facts.in_flight,
            pod_events=facts.pod_events,
            state=self._app_states.get(Key(key.namespace, names.state_name(str((run.app or {}).get("name", ""))))),
            namespace_ready=key.namespace in self._ready_namespaces,
            ensured_at=self._ensured.get(key.namespace, 0.0),
        )

    def namespaces_ensured_before(self, moment: float) -> list[str]:
        """Namespaces with runs at work whose accounts nobody has ensured since."""
        return sorted(namespace for namespace in self._active_runs if self._ensured.get(namespace, 0.0) < moment)

    def task_pods(self) -> Mapping[Key, int]:
        """How many task pods that haven't ended each run has."""
        return {
            key: sum(1 for pod in facts.pods.values() if not pod.ended and pod.task != names.driver_task_name(key.name))
            for key, facts in self._runs.items()
            if inspected_by(key) is None
        }

    def pods_of(self, run: Key) -> Collection[PodRecord]:
        """The pods that are known under the name of a run, whether or not the run itself still exists."""
        facts = self._runs.get(run)
        return () if facts is None else facts.pods.values()

    def keys(self) -> list[Key]:
        """All known runs."""
        return [key for key, facts in self._runs.items() if facts.run is not None]

    def survey(self) -> Iterable[tuple[RunRecord, Mapping[str, TaskRecord], Mapping[str, PodRecord]]]:
        """Each run with its open calls and the pods that are there: for figures. Valid until the next feeding."""
        for facts in self._runs.values():
            if facts.run is not None:
                yield facts.run, facts.tasks, facts.pods

    def sizes(self) -> Mapping[str, int]:
        """How many objects of each kind are known."""
        return {kind: len(versions) for kind, versions in self._versions.items()}

    def unreadable(self) -> Mapping[str, int]:
        """How many objects of each kind can't be understood."""
        return {kind: len(keys) for kind, keys in self._unreadable.items()}

    # Filing

    def _facts(self, run: Key) -> RunState:
        if run not in self._runs:
            self._runs[run] = RunState(run.name)
        return self._runs[run]

    def _index_active_run(self, run: Key) -> None:
        """To be called whenever the run itself or a pod of it has changed."""
        facts = self._runs.get(run)
        if facts is not None and facts.is_active:
            self._active_runs.setdefault(run.namespace, set()).add(run.name)
        elif run.namespace in self._active_runs:
            self._active_runs[run.namespace].discard(run.name)
            if not self._active_runs[run.namespace]:
                del self._active_runs[run.namespace]

    def _file_unreadable(self, kind: Kind, raw: Mapping[str, JSON], problem: str) -> None:
        """What can't be understood still belongs to a run, which has to say so, and must not go on without it."""
        meta = parse.meta(raw)
        run = parse.owning_run(raw)
        if not self._is_newer(kind, meta):
            return
        self._unreadable[kind].add(meta.key)
        if kind not in KIND_NAMES or not run:
            return
        owner = Key(meta.key.namespace, run)
        self._owners[kind][meta.key] = owner
        self._facts(owner).unreadable[kind, meta.key.name] = (problem, meta.owner_uid)
        self._wake(owner)

    def _forget_unreadable(self, kind: Kind, key: Key) -> None:
        self._unreadable[kind].discard(key)
        facts = self._runs.get(self._owners[kind].get(key, key))
        if facts is not None:
            facts.unreadable.pop((kind, key.name), None)

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
        facts = self._facts(run.meta.key)
        resolved = facts.run is not None and facts.run.app != run.app
        if run.app_ref and (run.phase == "Stalled" or resolved):
            self._wake_app(Key(run.meta.key.namespace, run.app_ref))
        facts.put_run(run)
        self._index_active_run(run.meta.key)
        self._wake(run.meta.key)

    def _put_task(self, task: TaskRecord) -> None:
        run = Key(task.meta.key.namespace, task.run)
        self._owners["apptasks"][task.meta.key] = run
        if self._facts(run).put_task(task, self._clock()):
            self._wake(run)

    def _put_pod(self, pod: PodRecord) -> None:
        run = Key(pod.meta.key.namespace, pod.run)
        self._owners["pods"][pod.meta.key] = run
        changed = self._facts(run).put_pod(pod, self._clock())
        self._index_active_run(run)
        if changed:
            self._wake(run)

    def _put_page(self, page: PageRecord) -> None:
        run = Key(page.meta.key.namespace, page.run)
        self._owners["appledgers"][page.meta.key] = run
        self._facts(run).put_page(page)
        self._wake(run)
