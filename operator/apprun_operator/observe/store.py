"""What is known of every run, in memory: the newest version of each object, whether a watch or an own write brought it.

Informer, kopf's handlers and executor feed it; the worker asks it for one run at a time. It holds facts only. What it
keeps apart decides what a pass costs: committed calls shrink to their names, so a plan walks the open calls alone.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final, Literal, TypeAlias

from application_sdk.wire import names
from application_sdk.wire.digest import JSON
from apprun_operator.observe import project
from apprun_operator.observe.doubts import concerns_runs, doubted_at
from apprun_operator.observe.records import (
    AppRecord,
    InspectingRecord,
    Key,
    Meta,
    Observed,
    PageRecord,
    PodRecord,
    Refusal,
    RefusalKind,
    RunRecord,
    ServedRecord,
    StateRecord,
    TaskRecord,
    Words,
    inspected_by,
    inspection_of,
)

Kind: TypeAlias = Literal["apps", "appruns", "apptasks", "appledgers", "appstates", "pods"]
Record: TypeAlias = AppRecord | RunRecord | TaskRecord | PageRecord | StateRecord | PodRecord

PROJECTIONS: Final[Mapping[Kind, Callable[[project.Raw], Record]]] = {
    "apps": project.app,
    "appruns": project.run,
    "apptasks": project.task,
    "appledgers": project.page,
    "appstates": project.state,
    "pods": project.pod,
}
KIND_NAMES: Final[Mapping[Kind, str]] = {"apptasks": names.APP_TASK_KIND, "appledgers": names.APP_LEDGER_KIND}
"""What a run is made of. Pods are Kubernetes' own: there are none that can't be read."""
REMEMBERED_BURIALS: Final = 20_000
"""How many deleted objects are remembered, so that a late answer to an own write doesn't bring one back."""
MAX_REFUSAL_DELAY: Final = 60.0


def read(kind: Kind, raw: Mapping[str, JSON]) -> Record:
    """The record of a raw object. Raises `project.Unreadable`, whatever is odd about the object."""
    try:
        return PROJECTIONS[kind](raw)
    except (ValueError, TypeError, KeyError, AttributeError, LookupError) as error:
        if isinstance(error, project.Unreadable):
            raise
        raise project.Unreadable(f"{kind}: {error!r}") from error


@dataclass(slots=True)
class _RunState:
    """One run with all that belongs to it. Mutable, private to the store."""

    run: RunRecord | None = None
    tasks: dict[str, TaskRecord] = field(default_factory=dict)
    settled: set[str] = field(default_factory=set)
    committed: dict[str, str] = field(default_factory=dict)
    """Digests of what is committed, by the call's key; empty for the cancellation, which has none."""
    counted: int = 0
    """Ledger entries below this sequence are in `committed`, or on pages."""
    pages: dict[int, PageRecord] = field(default_factory=dict)
    lost_pages: set[int] = field(default_factory=set)
    lost_tasks: set[str] = field(default_factory=set)
    altered_tasks: set[str] = field(default_factory=set)
    unreadable: dict[tuple[Kind, str], tuple[str, str]] = field(default_factory=dict)
    """Objects of the run that can't be understood: why, and the uid of their owner."""
    pods: dict[str, PodRecord] = field(default_factory=dict)
    refusals: dict[str, Refusal] = field(default_factory=dict)
    words: dict[str, Words] = field(default_factory=dict)
    in_flight: set[str] = field(default_factory=set)

    @property
    def empty(self) -> bool:
        known = self.tasks or self.pods or self.pages or self.settled or self.unreadable
        return self.run is None and not (known or self.in_flight)


class Store:
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
        self._states: dict[Key, _RunState] = {}
        self._apps: dict[Key, AppRecord] = {}
        self._served: dict[Key, ServedRecord] = {}
        self._kept: dict[Key, StateRecord] = {}
        self._versions: dict[Kind, dict[Key, tuple[str, int]]] = {kind: {} for kind in PROJECTIONS}
        self._owners: dict[Kind, dict[Key, Key]] = {kind: {} for kind in PROJECTIONS}
        self._buried: OrderedDict[str, None] = OrderedDict()
        self._ready_namespaces: set[str] = set()

    def _wake(self, key: Key) -> None:
        app = inspected_by(key)
        if app is None:
            self._wake_run(key)
        else:
            self._wake_app(app)

    # Feeding

    def apply(self, kind: Kind, raw: Mapping[str, JSON]) -> None:
        """Take in an object as the API server showed it. Older versions than the known one are ignored.

        Raises `project.Unreadable` for what can't be understood.
        """
        try:
            record = read(kind, raw)
        except project.Unreadable as problem:
            self._put_unreadable(kind, raw, str(problem))
            raise
        if not self._is_news(kind, record.meta):
            return
        self._forget_unreadable(kind, record.meta.key)
        if isinstance(record, AppRecord):
            self._put_app(record)
        elif isinstance(record, RunRecord):
            self._put_run(record)
        elif isinstance(record, TaskRecord):
            self._put_task(record)
        elif isinstance(record, PodRecord):
            self._put_pod(record)
        elif isinstance(record, StateRecord):
            self._kept[record.meta.key] = record
        else:
            self._put_page(record)

    def _is_news(self, kind: Kind, meta: Meta) -> bool:
        """Whether it is newer than what is known of the object; then it is what is known from now on."""
        known = self._versions[kind].get(meta.key)
        if meta.uid in self._buried or (known is not None and known[1] >= meta.version):
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
        self._buried[known[0]] = None
        if len(self._buried) > REMEMBERED_BURIALS:
            self._buried.popitem(last=False)
        if kind == "apps":
            self._apps.pop(key, None)
            self._served.pop(key, None)
            return
        if kind == "appstates":
            self._kept.pop(key, None)
            return
        run = key if kind == "appruns" else self._owners[kind].pop(key, None)
        state = None if run is None else self._states.get(run)
        if run is None or state is None:
            return
        self._drop(state, kind, key)
        state.unreadable.pop((kind, key.name), None)
        if state.empty:
            del self._states[run]
        else:
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

    def begin(self, run: Key, target: str) -> None:
        """A request about the pod or AppTask `target` is under way: plans leave it alone until `end`."""
        self._state(run).in_flight.add(target)

    def end(self, run: Key, target: str) -> None:
        state = self._states.get(run)
        if state is not None:
            state.in_flight.discard(target)
            if state.empty:
                del self._states[run]
                return
        self._wake(run)

    def refuse(self, run: Key, pod: str, kind: RefusalKind, message: str) -> None:
        """The API server won't create `pod`. Each further refusal doubles the time until the next try."""
        state, now = self._state(run), self._clock()
        before = state.refusals.get(pod)
        count = 1 if before is None or before.kind != kind else before.count + 1
        delay = min(2.0 ** (count - 1), MAX_REFUSAL_DELAY)
        since = now if before is None else before.since
        state.refusals[pod] = Refusal(pod, kind, message, since, now + delay, count)

    def hear(self, run: Key, pod: str, message: str) -> None:
        """What kubelet says of a pod that doesn't start; empty when it says nothing."""
        self._state(run).words[pod] = Words(message, self._clock())
        self._wake(run)

    def lose_page(self, run: Key, number: int) -> None:
        """The API server says that it has no such page."""
        self._state(run).lost_pages.add(number)
        self._wake(run)

    def verify_task(self, run: Key, name: str, raw: Mapping[str, JSON] | None) -> None:
        """What the API server has of an AppTask whose completion is committed; None when it has none."""
        state = self._state(run)
        try:
            task = None if raw is None else project.task(raw)
        except project.Unreadable:
            task = None
        if raw is None:
            state.lost_tasks.add(name)
        elif task is None or task.key not in state.committed or not _is_committed(state, task):
            state.altered_tasks.add(name)
        else:
            self._settle(state, name, task)
        self._wake(run)

    def namespace_is_ready(self, namespace: str, ready: bool = True) -> None:
        """Whether the service accounts and bindings of `namespace` are known to exist."""
        if ready:
            self._ready_namespaces.add(namespace)
        else:
            self._ready_namespaces.discard(namespace)

    def serve(self, app: Key, served: ServedRecord | None) -> None:
        """What was seen of the Deployment that serves an App; None when there is none any more."""
        if served is None:
            self._served.pop(app, None)
        elif app in self._apps:
            self._served[app] = served
            self._wake_app(app)

    # Asking

    def app(self, key: Key) -> AppRecord | None:
        """The App of that name, or None."""
        return self._apps.get(key)

    def served(self, key: Key) -> ServedRecord | None:
        """What was last seen of the Deployment that serves an App."""
        return self._served.get(key)

    def inspecting(self, key: Key) -> InspectingRecord:
        """What is known of the inspection of that App. Valid until the next feeding."""
        app, own = self._apps.get(key), inspection_of(key)
        state = self._states.get(own) or _RunState()
        uid = "" if app is None else app.meta.uid
        return InspectingRecord(
            tasks={name: task for name, task in state.tasks.items() if task.meta.owner_uid == uid},
            pods=state.pods,
            refusals=state.refusals,
            namespace_ready=key.namespace in self._ready_namespaces,
            doubted_at=max((doubted_at(state.run, app) for state in self._runs_of(key)), default=0.0) if app else 0.0,
            others=sum(
                1
                for other, one in self._states.items()
                if other != own and inspected_by(other) is not None and any(pod.healthy for pod in one.pods.values())
            ),
        )

    def _runs_of(self, app: Key) -> Iterable[_RunState]:
        for key, state in self._states.items():
            if state.run is not None and key.namespace == app.namespace and state.run.app_ref == app.name:
                yield state

    def app_keys(self) -> list[Key]:
        """All known Apps."""
        return list(self._apps)

    def observe(self, key: Key) -> Observed | None:
        """All that is known of one run; None when there is no such run. Valid until the next feeding."""
        state = self._states.get(key)
        if state is None or state.run is None:
            return None
        run = state.run
        uid = run.meta.uid
        return Observed(
            run=run,
            app=self._apps.get(Key(key.namespace, run.app_ref)) if run.app_ref else None,
            tasks={name: task for name, task in state.tasks.items() if task.meta.owner_uid == uid},
            pods=state.pods,
            committed=state.committed.keys(),
            settled=state.settled,
            missing_pages=tuple(n for n in range(run.pages) if n not in state.pages),
            lost_pages=state.lost_pages,
            unseen_tasks=_unseen(state, key.name),
            lost_tasks=state.lost_tasks,
            altered_tasks=state.altered_tasks,
            unreadable={
                f"{KIND_NAMES[kind]} {name}": problem
                for (kind, name), (problem, owner) in state.unreadable.items()
                if owner == uid
            },
            refusals=state.refusals,
            in_flight=state.in_flight,
            words=state.words,
            state=self._kept.get(Key(key.namespace, names.state_name(str((run.app or {}).get("name", ""))))),
            namespace_ready=key.namespace in self._ready_namespaces,
        )

    def task_pods(self) -> Mapping[Key, int]:
        """How many task pods that haven't ended each run has."""
        return {
            key: sum(1 for pod in state.pods.values() if not pod.ended and pod.task != names.driver_task_name(key.name))
            for key, state in self._states.items()
            if inspected_by(key) is None
        }

    def keys(self) -> list[Key]:
        """All known runs."""
        return [key for key, state in self._states.items() if state.run is not None]

    def survey(self) -> Iterable[tuple[RunRecord, Mapping[str, TaskRecord], Mapping[str, PodRecord]]]:
        """Each run with its open calls and the pods that are there: for figures. Valid until the next feeding."""
        for state in self._states.values():
            if state.run is not None:
                yield state.run, state.tasks, state.pods

    def sizes(self) -> Mapping[str, int]:
        """How many objects of each kind are known."""
        return {kind: len(versions) for kind, versions in self._versions.items()}

    # Filing

    def _state(self, run: Key) -> _RunState:
        return self._states.setdefault(run, _RunState())

    def _put_unreadable(self, kind: Kind, raw: Mapping[str, JSON], problem: str) -> None:
        """What can't be understood still belongs to a run, which has to say so, and must not go on without it."""
        meta = project.meta(raw)
        run = project.owning_run(raw)
        if kind not in KIND_NAMES or not run or not self._is_news(kind, meta):
            return
        owner = Key(meta.key.namespace, run)
        self._owners[kind][meta.key] = owner
        self._state(owner).unreadable[kind, meta.key.name] = (problem, meta.owner_uid)
        self._wake(owner)

    def _forget_unreadable(self, kind: Kind, key: Key) -> None:
        state = self._states.get(self._owners[kind].get(key, key))
        if state is not None:
            state.unreadable.pop((kind, key.name), None)

    def _put_app(self, app: AppRecord) -> None:
        before = self._apps.get(app.meta.key)
        self._apps[app.meta.key] = app
        self._wake_app(app.meta.key)
        if before is not None and concerns_runs(before) == concerns_runs(app):
            return
        for key, state in self._states.items():
            run = state.run
            if run is not None and Key(key.namespace, run.app_ref) == app.meta.key and not run.finished:
                self._wake(key)

    def _put_run(self, run: RunRecord) -> None:
        state = self._state(run.meta.key)
        if state.run is not None and state.run.app != run.app:
            # A corrected app deserves a new try at once.
            state.refusals.clear()
        if run.app_ref and (run.phase == "Stalled" or (state.run is not None and state.run.app != run.app)):
            self._wake_app(Key(run.meta.key.namespace, run.app_ref))
        state.run = run
        for entry in reversed(run.checkpoints):
            if entry["sequence"] < state.counted:
                break
            self._commit(state, run.meta.key.name, entry["key"], entry.get("digest", ""))
        if run.checkpoints:
            state.counted = max(state.counted, run.checkpoints[-1]["sequence"] + 1)
        if run.finished:
            # Nobody will ask for these again, and finished runs may be many.
            state.run = replace(run, checkpoints=(), input={}, spec={})
        self._wake(run.meta.key)

    def _put_task(self, task: TaskRecord) -> None:
        run, name = Key(task.meta.key.namespace, task.run), task.meta.key.name
        self._owners["apptasks"][task.meta.key] = run
        state = self._state(run)
        if task.key in state.committed:
            self._settle(state, name, task)
            self._wake(run)
            return
        before = state.tasks.get(name)
        seen_at = self._clock() if before is None else before.seen_at
        state.tasks[name] = task = replace(task, seen_at=seen_at)
        if before is not None and before.attempt < task.attempt:
            self._forget_pod(state, names.pod_name(name, before.attempt))
        if before is None or replace(task, meta=before.meta, heartbeat=before.heartbeat) != before:
            self._wake(run)

    def _put_pod(self, pod: PodRecord) -> None:
        run, name = Key(pod.meta.key.namespace, pod.run), pod.meta.key.name
        self._owners["pods"][pod.meta.key] = run
        state = self._state(run)
        before = state.pods.get(name)
        seen_at = self._clock() if before is None else before.seen_at
        state.pods[name] = pod = replace(pod, seen_at=seen_at)
        state.refusals.pop(name, None)
        if not pod.starting:
            state.words.pop(name, None)
        if before is None or replace(pod, meta=before.meta) != before:
            self._wake(run)

    def _put_page(self, page: PageRecord) -> None:
        run = Key(page.meta.key.namespace, page.run)
        self._owners["appledgers"][page.meta.key] = run
        state = self._state(run)
        state.pages[page.number] = page
        state.lost_pages.discard(page.number)
        for key, digest in page.digests.items():
            self._commit(state, run.name, key, digest)
        self._wake(run)

    def _commit(self, state: _RunState, run: str, key: str, digest: str) -> None:
        state.committed[key] = digest
        name = names.task_name(run, key)
        task = state.tasks.get(name)
        if task is not None:
            self._settle(state, name, task)

    def _settle(self, state: _RunState, name: str, task: TaskRecord) -> None:
        """The call is committed: nothing about it may change any more, so only its name is kept. One that isn't what
        the ledger has counts as unseen: it may be old news, or altered."""
        if state.tasks.pop(name, None) is not None:
            self._forget_pod(state, names.pod_name(name, task.attempt))
        if _is_committed(state, task):
            state.settled.add(name)
            state.lost_tasks.discard(name)
            state.altered_tasks.discard(name)
        else:
            state.settled.discard(name)

    def _forget_pod(self, state: _RunState, name: str) -> None:
        """Drop what was kept of an attempt that is answered: the trace of its vanished pod, and refusals."""
        state.refusals.pop(name, None)
        if name in state.pods and state.pods[name].gone:
            del state.pods[name]

    def _drop(self, state: _RunState, kind: Kind, key: Key) -> None:
        if kind == "appruns":
            state.run = None
            # A namesake starts with an empty ledger; its predecessor's objects are told apart by their owner.
            state.committed.clear()
            state.settled.clear()
            state.pages.clear()
            state.lost_pages.clear()
            state.lost_tasks.clear()
            state.altered_tasks.clear()
            state.counted = 0
        elif kind == "apptasks":
            task = state.tasks.pop(key.name, None)
            if task is not None:
                # A namesake's pod will have the same name: no trace of this one's may stand in its way.
                self._forget_pod(state, task.pod_name)
            state.settled.discard(key.name)
            state.altered_tasks.discard(key.name)
        elif kind == "appledgers":
            number = next((n for n, page in state.pages.items() if page.meta.key == key), None)
            if number is not None:
                del state.pages[number]
        elif kind == "pods":
            pod = state.pods.pop(key.name, None)
            state.words.pop(key.name, None)
            task = None if pod is None else state.tasks.get(pod.task)
            if pod is not None and task is not None and self._unanswered(task, pod):
                # Whoever deleted it, the attempt has ended: the plan has to see that, though the pod is gone.
                state.pods[key.name] = replace(pod, gone=True)

    @staticmethod
    def _unanswered(task: TaskRecord, pod: PodRecord) -> bool:
        same = task.attempt == pod.attempt and task.meta.uid == pod.meta.owner_uid
        return same and not task.finished and task.reported_error is None


def _is_committed(state: _RunState, task: TaskRecord) -> bool:
    """Whether a call whose key is in the ledger is what the ledger says."""
    return state.committed[task.key] in ("", task.digest)


def _unseen(state: _RunState, run: str) -> tuple[str, ...]:
    """AppTasks of committed calls that aren't known. Counted first: with thousands of calls a pass mustn't look for
    each."""
    expected = len(state.committed) - (names.CANCEL_KEY in state.committed)
    if expected <= len(state.settled):
        return ()
    missing = (names.task_name(run, key) for key in state.committed if key != names.CANCEL_KEY)
    return tuple(sorted(name for name in missing if name not in state.settled))


def meta_of(raw: Mapping[str, Any]) -> Meta:
    """Identity of a raw object of any kind."""
    return project.meta(raw)
