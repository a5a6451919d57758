"""Reads the logs of a run's pods in the order of time, or follows them.

The pod of a committed call is deleted at once, and its log with it. Of a failed attempt the AppTask keeps the end of
the log. To see everything, follow a run from its start. A warm pod stays, and so do the lines of the calls in it.
"""

from __future__ import annotations

import heapq
import queue
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final, Protocol, TypeAlias

from application_sdk.cli.cluster.api import CORE, Api, ApiRefusal, Object, explained
from application_sdk.cli.cluster.errors import NoClusterError
from application_sdk.cli.cluster.parse import seconds
from application_sdk.cli.cluster.warm_logs import (
    PodId,
    RunCalls,
    WarmLog,
    anonymous_lines,
    assigned_pod,
    existing_pods,
    pod_id,
)
from application_sdk.cli.cluster.watch import follow, follow_one
from application_sdk.cli.errors import InputError
from application_sdk.cli.sources.protocol import LogLine, LogQuery, Note, is_selected
from application_sdk.cli.sources.records import TERMINAL_PHASES, Call, RunDetails
from application_sdk.engines.kubernetes.errors import Unreachable
from application_sdk.wire import names
from application_sdk.wire.containers import container_of, status_of
from application_sdk.wire.logs import plain

DRIVER: Final = names.DRIVER_KEY
_LAST_LINES_SECONDS: Final = 3.0
"""How long to wait for the last lines of the pods of a run that has ended."""
_LAST_WARM_LINES_SECONDS: Final = 1.0
"""The same for warm pods, whose logs don't end with the run."""
_POD_POLL_SECONDS: Final = 0.5
_LineOf: TypeAlias = Callable[[str, str], LogLine | None]
"""A line from its time and its text; None for one that isn't shown."""


class LogSource(Protocol):
    """What logs need of a cluster's source of runs. `cluster.source` provides it, and imports this module."""

    api: Api

    def details(self, run: str) -> RunDetails: ...

    def pods(self, run: str) -> list[Object]: ...

    def tasks(self, run: str) -> list[Object]: ...


def read_logs(source: LogSource, query: LogQuery, note: Note) -> Iterator[LogLine]:
    """Yield the logs of the existing pods and the kept ends of the deleted ones, ordered by time."""
    details = source.details(query.run)
    check_task(details, query)
    streams: list[Iterator[LogLine]] = []
    lines_kept: list[LogLine] = []
    read_attempts: set[tuple[str, int]] = set()
    for pod in source.pods(query.run):
        origin = _Origin.of(pod)
        if not _is_selected(origin, query):
            continue
        lines = _read(source.api, origin, origin.line, note)
        if lines is not None:
            read_attempts.add((origin.key, origin.attempt))
            streams.append(iter(lines))
    for lines in _read_warm(source, query, _stamp(details.run.created_at), note):
        read_attempts.update((line.key, line.attempt) for line in lines)
        streams.append(iter(lines))
    for call in (*details.calls, *([details.driver] if details.driver else [])):
        lines_kept += _connection(call, query, read_attempts)
    streams.append(iter(sorted(lines_kept, key=_when)))
    any_lines = False
    for line in heapq.merge(*streams, key=_when):
        any_lines = True
        yield line
    if not any_lines:
        note(_nothing(details))


def follow_logs(source: LogSource, query: LogQuery, note: Note) -> Iterator[LogLine]:
    """Lines as the pods write them, those of pods that start meanwhile too, until the run is over."""
    details = source.details(query.run)
    check_task(details, query, may_come=True)
    following = _Following(source, query, _stamp(details.run.created_at))
    watches = (following.pods, following.warm_pods, following.run)
    threads = [threading.Thread(target=watch, daemon=True) for watch in watches]
    for thread in threads:
        thread.start()
    try:
        yield from following.lines(note)
    finally:
        following.stopped.set()


def check_task(details: RunDetails, query: LogQuery, *, may_come: bool = False) -> None:
    """Raises InputError for a task that the run hasn't called, or a key's first digits that several calls share."""
    if not query.task or query.task == DRIVER:
        return
    if any(call.task == query.task for call in details.calls):
        return
    chosen = [call for call in details.calls if is_selected(query.task, call.task, call.key)]
    if len(chosen) == 1 or (may_come and not chosen and not details.run.finished):
        return
    names = ", ".join(sorted({call.task for call in details.calls})) or "none"
    raise InputError(f"run {query.run!r} has called no task {query.task!r}; it has called {names}")


@dataclass(frozen=True, slots=True)
class _Origin:
    """A pod as the source of lines."""

    pod: str
    task: str
    key: str
    attempt: int
    node: str
    container: str

    @classmethod
    def of(cls, pod: Object) -> _Origin:
        labels: Mapping[str, str] = pod["metadata"].get("labels") or {}
        attempt = labels.get(names.ATTEMPT_LABEL, "")
        driver = labels.get(names.ROLE_LABEL) == "driver"
        return cls(
            pod=pod["metadata"]["name"],
            task=DRIVER if driver else labels.get(names.TASK_LABEL, "?"),
            key=labels.get(names.KEY_LABEL, ""),
            attempt=int(attempt) if attempt.isdigit() else 0,
            node=str((pod.get("spec") or {}).get("nodeName") or ""),
            container=container_of(pod),
        )

    def line(self, at: str, text: str) -> LogLine:
        return LogLine(self.task, self.key, self.attempt, plain(text), at, self.node)


def _parsed(raw: bytes) -> tuple[str, str]:
    """The time and the text of a line; an empty time if it has none."""
    whole = raw.decode("utf-8", "replace")
    at, _, text = whole.partition(" ")
    return ("", whole) if seconds(at) is None else (at, text)


def _is_selected(origin: _Origin, query: LogQuery) -> bool:
    if origin.task == DRIVER and query.task != DRIVER and query.task:
        return False
    return query.attempt in (0, origin.attempt) and is_selected(query.task, origin.task, origin.key)


def _path(api: Api, origin: _Origin) -> str:
    return f"{api.path('pods', origin.pod, group=CORE)}/log"


def _read_warm(source: LogSource, query: LogQuery, since: str, note: Note) -> Iterator[list[LogLine]]:
    """The lines of the run's calls in each warm pod that its AppTasks name."""
    if query.task == DRIVER:
        return
    calls, tasks = RunCalls(query.run), source.tasks(query.run)
    for task in tasks:
        calls.add(task)
    for pod in existing_pods(source.api, tasks):
        origin = _Origin.of(pod)
        log = WarmLog(source.api, calls, query, origin.node)
        yield _read(source.api, origin, log.line, note, since) or []
        if log.anonymous:
            note(anonymous_lines(origin.pod))


def _read(api: Api, origin: _Origin, line_of: _LineOf, note: Note, since: str = "") -> list[LogLine] | None:
    """A pod's log so far; None where there is none to be had, which is said if it is worth it."""
    try:
        # guard: log-container - without a name the API server refuses pods that have a sidecar
        query = {"timestamps": "true", "container": origin.container}
        # guard: log-since-run - a deleted run of the same name may have used the pod before
        query.update({"sinceTime": since} if since else {})
        lines = (line_of(*_parsed(raw)) for raw in api.stream(_path(api, origin), query) if raw)
        return [line for line in lines if line is not None]
    except Unreachable as error:
        note(f"{origin.pod}: its log can't be read: {error}")
    except ApiRefusal as refusal:
        if refusal.status == 403:
            raise explained(api.access, refusal, "") from refusal
        if refusal.status == 404:
            note(f"{origin.pod}: its log is gone, the pod was deleted meanwhile")
        else:
            # A pod that hasn't started is a 400 as well: the text says which it is.
            note(f"{origin.pod} on {origin.node or 'no node'}: its log can't be read: {refusal.text}")
    return None


def _connection(call: Call, query: LogQuery, read_attempts: set[tuple[str, int]]) -> Iterator[LogLine]:
    name = DRIVER if call.role == "driver" else call.task
    for attempt in call.attempts:
        if not attempt.log or (call.key, attempt.number) in read_attempts or query.attempt not in (0, attempt.number):
            continue
        if name == DRIVER and query.task not in ("", DRIVER):
            continue
        if not is_selected(query.task, name, call.key):
            continue
        at = _stamp(attempt.finished_at)
        for text in plain(attempt.log).splitlines():
            yield LogLine(name, call.key, attempt.number, text, at, attempt.node)


def _when(line: LogLine) -> float:
    # Not the text: nodes write as many digits, and the zone, that they like.
    return seconds(line.at) or 0.0


def _stamp(at: float | None) -> str:
    from application_sdk.cli.output import timestamp

    return timestamp(at) or ""


def _nothing(details: RunDetails) -> str:
    if details.run.finished:
        return (
            "nothing is left of this run's logs: pods are deleted when their calls are committed. Follow a run with"
            " `apprun logs -f`, or have the cluster's log collector keep them"
        )
    return "nothing was written so far; `apprun logs -f` waits for it"


@dataclass(slots=True)
class _Following:
    """Threads that read, and one queue that they write into."""

    source: LogSource
    query: LogQuery
    since: str
    """When the run was created."""
    stopped: threading.Event = field(default_factory=threading.Event)
    over: threading.Event = field(default_factory=threading.Event)
    queue: queue.Queue[LogLine | str | Exception] = field(default_factory=queue.Queue)
    started: set[str] = field(default_factory=set)
    readers: list[threading.Thread] = field(default_factory=list)
    warm_started: set[PodId] = field(default_factory=set)
    calls: RunCalls = field(init=False)

    def __post_init__(self) -> None:
        self.calls = RunCalls(self.query.run)

    def lines(self, note: Note) -> Iterator[LogLine]:
        over_since: float | None = None
        while True:
            try:
                item = self.queue.get(timeout=0.1)
            except queue.Empty:
                if self.over.is_set():
                    over_since = over_since or time.monotonic()
                    reading = any(thread.is_alive() for thread in self.readers)
                    patience = _LAST_LINES_SECONDS if reading else _LAST_WARM_LINES_SECONDS
                    if not (reading or self.warm_started) or time.monotonic() - over_since > patience:
                        return
                continue
            if isinstance(item, Exception):
                raise item
            if isinstance(item, str):
                note(item)
            else:
                yield item

    def pods(self) -> None:
        api = self.source.api.new_connection()
        selector = f"{names.RUN_LABEL}={self.query.run}"
        try:
            for pod in follow(api, api.path("pods", group=CORE), selector, self.stopped.is_set):
                origin = _Origin.of(pod)
                if origin.pod in self.started or not _is_selected(origin, self.query) or not _has_begun(pod):
                    continue
                self.started.add(origin.pod)
                arguments = (self.source.api.new_connection(), origin, origin.line)
                reader = threading.Thread(target=self._read, args=arguments, daemon=True)
                self.readers.append(reader)
                reader.start()
        except Exception as error:  # noqa: BLE001 - told by the thread that has the terminal
            self.queue.put(error)

    def warm_pods(self) -> None:
        """Follow each warm pod that a call of the run is assigned to, once."""
        if self.query.task == DRIVER:
            return
        api = self.source.api.new_connection()
        selector = f"{names.RUN_LABEL}={self.query.run}"
        try:
            for task in follow(api, api.path(names.APP_TASKS), selector, self.stopped.is_set):
                self.calls.add(task)
                pod = assigned_pod(task)
                # guard: warm-pod-once - each of the pod's calls names it, and its lines are read together
                if pod is None or pod in self.warm_started:
                    continue
                self.warm_started.add(pod)
                threading.Thread(target=self._read_warm, args=(pod,), daemon=True).start()
        except Exception as error:  # noqa: BLE001 - told by the thread that has the terminal
            self.queue.put(error)

    def _read_warm(self, assigned: PodId) -> None:
        api = self.source.api.new_connection()
        try:
            pod = self._begun(api, assigned)
            if pod is None:
                return
            origin = _Origin.of(pod)
            log = WarmLog(api, self.calls, self.query, origin.node)

            def line_of(at: str, text: str) -> LogLine | None:
                anonymous, line = log.anonymous, log.line(at, text)
                if log.anonymous > anonymous == 0:
                    self.queue.put(anonymous_lines(origin.pod))
                return line

            self._read(api, origin, line_of, self.since)
        except Exception as error:  # noqa: BLE001 - told by the thread that has the terminal
            self.queue.put(error)

    def _begun(self, api: Api, assigned: PodId) -> Object | None:
        """A warm pod, once it runs; None if it doesn't exist any longer."""
        while not self.stopped.is_set():
            try:
                pod = api.find(api.path("pods", assigned.name, group=CORE))
            except NoClusterError:
                pod = None
            else:
                if pod is None or pod_id(pod) != assigned:
                    return None
            if pod is not None and _has_begun(pod):
                return pod
            self.stopped.wait(_POD_POLL_SECONDS)
        return None

    def run(self) -> None:
        api = self.source.api.new_connection()
        try:
            for item in follow_one(api, api.path(names.APP_RUNS), self.query.run):
                if (item.get("status") or {}).get("phase") in TERMINAL_PHASES:
                    return
        except Exception as error:  # noqa: BLE001 - told by the thread that has the terminal
            self.queue.put(error)
        finally:
            self.over.set()

    def _read(self, api: Api, origin: _Origin, line_of: _LineOf, since: str = "") -> None:
        """Until the pod's end. A stream that breaks is taken up where it broke."""
        last, last_at = b"", ""
        while not self.stopped.is_set():
            start = last_at or since
            query = {"timestamps": "true", "follow": "true", "sinceTime": start, "container": origin.container}
            try:
                for raw in api.stream(_path(api, origin), query, silence=3600.0):
                    at, text = _parsed(raw)
                    # A stream that is taken up begins with that second's lines.
                    if not raw or raw == last or (seconds(at) or 0.0) < (seconds(last_at) or 0.0):
                        continue
                    line = line_of(at, text)
                    last, last_at = (raw, at) if at else (last, last_at)
                    if line is not None:
                        self.queue.put(line)
                return
            except (Unreachable, NoClusterError):
                time.sleep(0.5)
            except ApiRefusal as refusal:
                # Once lines were read, a 404 is the pod's end: it was deleted when its call was committed.
                if refusal.status != 404 or not last_at:
                    self.queue.put(f"{origin.pod}: its log can't be followed: {refusal.text}")
                return


def _has_begun(pod: Object) -> bool:
    state = status_of(pod, container_of(pod)).get("state") or {}
    return "running" in state or "terminated" in state
