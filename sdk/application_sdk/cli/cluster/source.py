"""The runs of a cluster: implements `RunSource` for one namespace, or for all of them in lists."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Final

from application_sdk.cli.cluster.api import CORE, Api, Object
from application_sdk.cli.cluster.errors import ClusterError, NotAllowedError, ObjectNotFoundError
from application_sdk.cli.cluster.parse import app_of, details_of, run_of
from application_sdk.cli.cluster.warm_logs import existing_pods
from application_sdk.cli.cluster.watch import follow
from application_sdk.cli.sources.protocol import LogLine, LogQuery, Note
from application_sdk.cli.sources.records import DeployedApp, Run, RunDetails
from application_sdk.wire import names
from application_sdk.wire.fields import TERMINAL_TASK_PHASES
from application_sdk.wire.names import RUN_LABEL

if TYPE_CHECKING:
    from application_sdk.replay.history import ExportedRun

_SETTLE_SECONDS: Final = 0.2
"""Changes that arrive within this time are shown together."""
_POLL_SECONDS: Final = 2.0
"""How often the view is refreshed while nothing changes, since durations grow."""


class ClusterSource:
    """Runs in one namespace of a cluster."""

    def __init__(self, api: Api, *, everywhere: bool = False) -> None:
        self.api = api
        self._namespace = "" if everywhere else api.access.namespace

    @property
    def title(self) -> str:
        where = f"namespace {self._namespace}" if self._namespace else "all namespaces"
        return f"cluster {self.api.access.context}, {where}"

    @property
    def is_local(self) -> bool:
        return False

    def has(self, run: str) -> bool:
        """Whether the namespace has a run of this name."""
        return self.api.find(self.api.path(names.APP_RUNS, run)) is not None

    def names(self) -> list[str]:
        return sorted(run.name for run in self.runs(None, lambda text: None))

    def runs(self, app: str | None, note: Note) -> list[Run]:
        listed = self.api.items(self.api.path(names.APP_RUNS, namespace=self._namespace))
        runs = [run_of(run, self.api.access.context) for run in listed]
        return [run for run in runs if app in (None, run.app)]

    def details(self, run: str) -> RunDetails:
        item = self.api.get(self.api.path(names.APP_RUNS, run))
        tasks = self.tasks(run)
        pages = self._pages(run, item)
        pods = [*self.pods(run), *self._warm_pods(tasks)]
        return details_of(item, tasks, pods, pages, self.api.access.context, time.time(), self._app_of(item, tasks))

    def app(self, name: str) -> DeployedApp:
        """An App."""
        return app_of(self.api.get(self.api.path(names.APPS, name)))

    def changes(self, run: str) -> Iterator[RunDetails]:
        """Watches run, tasks and pods in threads. Each change yields a new record, at most a few times a second."""
        yield self.details(run)
        stopped = threading.Event()
        news: queue.Queue[tuple[str, Object] | Exception] = queue.Queue()
        sources = {
            names.APP_RUNS: (self.api.path(names.APP_RUNS), ""),
            names.APP_TASKS: (self.api.path(names.APP_TASKS), f"{RUN_LABEL}={run}"),
            "pods": (self.api.path("pods", group=CORE), f"{RUN_LABEL}={run}"),
        }
        for kind, (path, selector) in sources.items():
            threading.Thread(
                target=_feed, args=(self.api.new_connection(), kind, path, selector, stopped, news), daemon=True
            ).start()
        try:
            yield from self._combined(run, news)
        finally:
            stopped.set()

    def logs(self, query: LogQuery, note: Note) -> Iterator[LogLine]:
        from application_sdk.cli.cluster.logs import follow_logs, read_logs

        return follow_logs(self, query, note) if query.follow else read_logs(self, query, note)

    def export(self, run: str) -> ExportedRun:
        from application_sdk.cli.cluster.export import export_run

        item = self.api.get(self.api.path(names.APP_RUNS, run))
        tasks = self.tasks(run)
        return export_run(item, tasks, self._pages(run, item))

    def tasks(self, run: str) -> list[Object]:
        """AppTasks of a run."""
        return self.api.items(self.api.path(names.APP_TASKS), f"{RUN_LABEL}={run}")

    def pods(self, run: str) -> list[Object]:
        """Pods of a run. Empty if the user may not list pods."""
        try:
            return self.api.items(self.api.path("pods", group=CORE), f"{RUN_LABEL}={run}")
        except NotAllowedError:
            return []

    def _warm_pods(self, tasks: Sequence[Object]) -> list[Object]:
        """The warm pods that open calls are assigned to. Empty if the user may not list pods."""
        return existing_pods(self.api, filter(_is_open, tasks))

    def _app_of(self, run: Object, tasks: Sequence[Object]) -> Object | None:
        """The run's App, if open calls have warm pods and the user may read it."""
        name = ((run.get("status") or {}).get("app") or {}).get("name") or (run["spec"].get("appRef") or {}).get("name")
        if not name or not any(task["spec"].get("reuse") for task in tasks if _is_open(task)):
            return None
        try:
            return self.api.find(self.api.path(names.APPS, name))
        except NotAllowedError:
            return None

    def _pages(self, run: str, item: Object) -> list[Object]:
        count = (item.get("status") or {}).get("ledgerPages") or 0
        return [self.api.get(self.api.path(names.APP_LEDGERS, names.page_name(run, page))) for page in range(count)]

    def _combined(self, run: str, news: queue.Queue[tuple[str, Object] | Exception]) -> Iterator[RunDetails]:
        objects: dict[str, dict[str, Object]] = {names.APP_RUNS: {}, names.APP_TASKS: {}, "pods": {}}
        pages: list[Object] = []
        while True:
            for kind, changed in _batch(news):
                name = changed["metadata"]["name"]
                if kind == names.APP_RUNS and name != run:
                    continue
                if not changed["metadata"].get("deleted"):
                    objects[kind][name] = changed
                elif kind == names.APP_RUNS:
                    raise ObjectNotFoundError(f"run {run!r} was deleted meanwhile")
                else:
                    # The AppTask of a committed call outlives its pod. An AppTask is deleted only with its run.
                    objects[kind].pop(name, None)
            current = objects[names.APP_RUNS].get(run)
            if current is None:
                continue
            if len(pages) < ((current.get("status") or {}).get("ledgerPages") or 0):
                pages = self._pages(run, current)
            tasks, pods = list(objects[names.APP_TASKS].values()), list(objects["pods"].values())
            details = details_of(current, tasks, pods, pages, self.api.access.context, time.time())
            if details.run.finished or details.run.phase == "Stalled":
                # The three watches are independent: the event of the last task may still be on its way.
                yield self.details(run)
                return
            yield details


def _is_open(task: Object) -> bool:
    return (task.get("status") or {}).get("phase") not in TERMINAL_TASK_PHASES


def _feed(
    api: Api,
    kind: str,
    path: str,
    selector: str,
    stopped: threading.Event,
    news: queue.Queue[tuple[str, Object] | Exception],
) -> None:
    try:
        for item in follow(api, path, selector, stopped.is_set):
            news.put((kind, item))
    except NotAllowedError as error:
        # A user who may not list pods still sees run and tasks.
        if kind != "pods":
            news.put(error)
    except ClusterError as error:
        news.put(error)


def _batch(news: queue.Queue[tuple[str, Object] | Exception]) -> Iterator[tuple[str, Object]]:
    """Yields the changes since the last batch. Waits for the first, then briefly for those that arrive with it."""
    wait = _POLL_SECONDS
    while True:
        try:
            item = news.get(timeout=wait)
        except queue.Empty:
            return
        if isinstance(item, Exception):
            raise item
        yield item
        wait = _SETTLE_SECONDS if wait == _POLL_SECONDS else 0.01
