"""The engine of a driver pod: it writes task calls as AppTasks and reads completions from the
AppRun's ledger.

`driver_main` opens it, and `replay.run` uses it through the engine port. Threads of its own make
all requests, so the route's thread only waits. `receive` raises whatever ends the driver's right to
speak for its run.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Final, cast

from application_sdk.engines.kubernetes.app_tasks import Owner, create, create_with_outcome, owner_uids
from application_sdk.engines.kubernetes.errors import ApiError, Invalid, NotFound, Unreachable
from application_sdk.engines.kubernetes.ledger import (
    Ledger,
    LedgerUnreadable,
    begun_with,
    completion,
    recorded_call,
    submitted_input,
    timer_completion,
)
from application_sdk.engines.kubernetes.retry_request import retry_request
from application_sdk.engines.kubernetes.run_reads import is_suspended, list_tasks, read_run
from application_sdk.engines.kubernetes.run_watch import watch_run
from application_sdk.execution.engine import CANCEL_KEY
from application_sdk.replay.identity import rules_of
from application_sdk.wire import names
from application_sdk.wire.digest import digest
from application_sdk.wire.fields import MAX_ABANDONED, BegunWith, TaskSpec

if TYPE_CHECKING:
    from application_sdk.engines.kubernetes.api import Api
    from application_sdk.engines.kubernetes.driver_calls import CallContext
    from application_sdk.engines.kubernetes.driver_tasks import DriverTasks
    from application_sdk.engines.processes.executor_protocol import Executor
    from application_sdk.execution.definition import TaskDefinition
    from application_sdk.execution.engine import Completion, RecordedCall, ScheduledCall
    from application_sdk.execution.reuse import ReuseOverride
    from application_sdk.wire.digest import JSON, JSONObject
    from application_sdk.wire.fields import CallOutcome, Checkpoint

_log = logging.getLogger("apprun.driver")

RECHECK_SECONDS: Final = 300.0
"""Seconds without a completion after which the engine checks that the AppTasks of its open calls
still exist."""
BUSY_SECONDS: Final = 5.0
"""Seconds after which a driver that couldn't park tries again."""
IN_FLIGHT: Final = 8
"""Requests of one kind at a time: enough to hide the network, few enough not to crowd out other
drivers."""


class DriverParked(Exception):
    """The route waits, everything that it waits for is recorded, and there was no completion for a
    while.

    Args:
        ledger_length: How many checkpoints the route has been given.
        open_calls: How many calls it waits for.
    """

    def __init__(self, ledger_length: int, open_calls: int) -> None:
        super().__init__(f"the route waits for {open_calls} calls, {ledger_length} checkpoints were delivered")
        self.ledger_length = ledger_length
        self.open_calls = open_calls


class KubernetesEngine:
    """Implements `execution.engine.Engine` for one run. Make it with `KubernetesEngine.open`."""

    def __init__(
        self,
        api: Api,
        owner: Owner,
        app_run: JSONObject,
        pause: Callable[[float], None],
        recheck_seconds: float = RECHECK_SECONDS,
    ) -> None:
        self._api = api
        self._recheck_seconds = recheck_seconds
        self._park_after = _park_after(app_run)
        self._clock = time.monotonic
        self._owner = owner
        self._pause = pause
        self._app_run = app_run
        self._ledger = Ledger(owner.run)
        self._history_length = 0
        self._listed = 0
        """How many checkpoints were committed before `_previous_tasks` was read. Their AppTasks
        don't change again."""
        self._delivered = 0
        self._driver: JSONObject = {}
        """The driver's own AppTask."""
        self._previous_tasks: dict[str, JSONObject] = {}
        """AppTasks that earlier drivers of this run created, by key."""
        self._timers: set[str] = set()
        self._scheduled: dict[str, ScheduledCall] = {}
        """Calls without a completion yet, by the names of their AppTasks."""
        self._abandoned: list[str] = []
        """Keys of calls that the route no longer waits for and that aren't known to be
        committed."""
        self._driver_tasks: DriverTasks | None = None
        self._suspended = False
        """As the newest known state of the run says."""
        self._moved: Mapping[str, TaskDefinition] = {}
        """Tasks that the App places elsewhere than their code says, by name."""
        self._outcomes: dict[str, CallOutcome] = {}
        """Outcomes of the calls that this driver executed itself, by key, until they are
        committed."""
        self._recorded: dict[str, JSONObject] = {}
        """The AppTasks that this driver created with these outcomes, by key."""
        self._abandon_lock = threading.Lock()
        self._failure: BaseException | None = None
        self._changed = threading.Condition()
        self._closed = False
        self._writers = ThreadPoolExecutor(IN_FLIGHT, "create")
        self._open_writes = 0
        """How many of their requests aren't done."""
        self._readers = ThreadPoolExecutor(IN_FLIGHT, "read")

    @classmethod
    def open(
        cls, api: Api, owner: Owner, pause: Callable[[float], None], recheck_seconds: float = RECHECK_SECONDS
    ) -> KubernetesEngine:
        """Read the run's past and begin to watch it. Waits for the API server as long as it takes.

        Raises RunGone and LedgerUnreadable, and what `retry_request` raises.
        """
        app_run = retry_request(lambda: read_run(api, owner), f"reading AppRun {owner.run}", pause)
        engine = cls(api, owner, app_run, pause, recheck_seconds)
        engine._absorb(app_run)
        engine._listed = len(engine._ledger)
        for app_task in list_tasks(api, owner.run, pause):
            engine._index_task(app_task)
        if engine._previous_tasks:
            # An earlier driver may still have run during the list. Whatever completions it had
            # consumed before it made the listed calls must be part of the history that `in_flight`
            # compares those calls with.
            engine._absorb(retry_request(lambda: read_run(api, owner), f"reading AppRun {owner.run}", pause))
        engine._history_length = len(engine._ledger)
        threading.Thread(target=engine._follow, name="follow", daemon=True).start()
        return engine

    @property
    def started_at(self) -> str:
        """When the run was created (RFC 3339): the same in every execution of the route."""
        return cast("Mapping[str, str]", self._app_run["metadata"])["creationTimestamp"]

    @property
    def replay_rules(self) -> int | None:
        """The version of the replay rules that the run's recorded calls follow; None without
        any."""
        calls = map(recorded_call, self._previous_tasks.values())
        versions = (rules_of(call.key, call.entrypoint, call.task, call.identity) for call in calls)
        return next((rules for rules in versions if rules is not None), None)

    @property
    def overrides(self) -> Mapping[str, JSONObject]:
        """`spec.tasks` of the App as it was when the run began, by task name."""
        status = cast("Mapping[str, JSONObject]", self._app_run.get("status") or {})
        return cast("Mapping[str, JSONObject]", status.get("app", {}).get("tasks") or {})

    @property
    def placement_overrides(self) -> dict[str, object]:
        """Where the App wants its tasks executed, by task name."""
        return {name: settings["runsIn"] for name, settings in self.overrides.items() if "runsIn" in settings}

    @property
    def wanted_reuse(self) -> dict[str, ReuseOverride]:
        """The warm pods in which the App has tasks executed, by the tasks' names, as it was when the run began."""
        tasks = cast("Mapping[str, Mapping[str, ReuseOverride]]", self.overrides)
        return {name: settings["reuse"] for name, settings in tasks.items() if "reuse" in settings}

    def start_driver_tasks(self, executor: Executor, context: CallContext) -> None:
        """Execute the calls of driver tasks from now on. Closes the executor with the engine."""
        # Drivers without driver tasks don't load what executes them.
        from application_sdk.engines.kubernetes.driver_tasks import DriverTasks

        self._driver_tasks = DriverTasks(executor, context, self._submit_outcome, self._fail)
        with self._changed:
            # guard: driver-task-suspended-start - the run may have been suspended since the engine
            # was opened
            self._driver_tasks.pause(self._suspended)

    def stop_driver_tasks(self) -> None:
        """End the driver tasks that are still executed, at once: the route has ended."""
        if self._driver_tasks is not None:
            self._driver_tasks.close()

    def override_tasks(self, moved: Mapping[str, TaskDefinition]) -> None:
        """Execute these tasks where the App wants them instead of where their code says."""
        self._moved = moved

    def close(self) -> None:
        """Start nothing more and wait for the requests under way. The watch of the run ends with
        its next event."""
        self._closed = True
        self.stop_driver_tasks()
        self._writers.shutdown(wait=True, cancel_futures=True)
        self._readers.shutdown(wait=True, cancel_futures=True)

    def begun_with(self) -> JSONObject | None:
        return begun_with(self._app_run, self._driver)

    def begin(self, input: JSONObject) -> None:
        submitted = digest(submitted_input(self._app_run))
        record = BegunWith(givenDigest=submitted, input=input)
        name = names.driver_task_name(self._owner.run)
        write = partial(self._api.set_status, names.APP_TASKS, name, {"begunWith": cast("JSONObject", record)})
        retry_request(write, "recording the run's input", self._pause)

    def history_length(self) -> int:
        return self._history_length

    def schedule(self, calls: Sequence[ScheduledCall]) -> None:
        for call in map(self._with_placement, calls):
            self._scheduled[names.task_name(self._owner.run, call.key)] = call
            if call.role == "timer":
                self._timers.add(call.key)
            # guard: driver-task-recorded-once - a replay would execute again what is recorded
            if call.key not in self._previous_tasks:
                self._start(call)

    def abandon(self, keys: Sequence[str]) -> None:
        own = {call.key for call in self._scheduled.values() if call.runs_in == "driver"} - self._previous_tasks.keys()
        if self._driver_tasks is not None and not own.isdisjoint(keys):
            self._driver_tasks.cancel(own.intersection(keys))
        known = (self._previous_tasks.keys() | {call.key for call in self._scheduled.values()}) - own
        wanted = [key for key in keys if key in known]
        if wanted:
            with self._changed:
                self._abandoned += wanted
            self._write(self._write_abandoned)

    def in_flight(self) -> Sequence[str]:
        completed = {checkpoint["key"] for checkpoint in self._ledger.since(0)[: self._history_length]}
        waiting = [cast("TaskSpec", task["spec"]) for key, task in self._previous_tasks.items() if key not in completed]
        return [spec["key"] for spec in sorted(waiting, key=lambda spec: spec.get("sequence", 0))]

    def receive(self) -> Sequence[Completion]:
        """Wait for completions and return them in commit order.

        Raises DriverParked when there was none for a while and the route needs no driver meanwhile,
        Refused, NotFound or RunGone when this driver no longer speaks for the run, and
        LedgerUnreadable, NameConflict or Invalid when the run can't go on.
        """
        parks_at = self._clock() + self._park_after if self._park_after else None
        while True:
            with self._changed:
                self._changed.wait_for(self._has_completions, self._patience(parks_at))
                if self._failure is not None:
                    raise self._failure
                checkpoints = self._ledger.since(self._delivered)
                self._delivered += len(checkpoints)
            # guard: driver-task-cancel-entry - calls that a cancelled run had made before would go
            # on
            if self._driver_tasks is not None and any(checkpoint["key"] == CANCEL_KEY for checkpoint in checkpoints):
                self._driver_tasks.cancel_run()
            for checkpoint in checkpoints:
                self._outcomes.pop(checkpoint["key"], None)
                self._scheduled.pop(names.task_name(self._owner.run, checkpoint["key"]), None)
            if checkpoints:
                return list(self._readers.map(self._completion, checkpoints))
            if parks_at is not None and self._clock() >= parks_at:
                if self._may_park():
                    raise DriverParked(self._delivered, len(self._scheduled))
                parks_at = self._clock() + BUSY_SECONDS
                continue
            # guard: deleted-calls-recreated - the route awaits a call whose AppTask somebody has
            # deleted
            self._restore_calls()

    def _patience(self, parks_at: float | None) -> float:
        """Seconds to wait for a completion before something else has to be done."""
        if parks_at is None:
            return self._recheck_seconds
        return min(self._recheck_seconds, max(parks_at - self._clock(), 0.0))

    def _may_park(self) -> bool:
        """Whether everything that the route waits for comes about without this driver."""
        # guard: park-when-recorded - a call that no AppTask knows yet would never be executed
        if self._open_writes or not self._scheduled:
            return False
        # guard: park-without-driver-tasks - what the driver executes itself would end with it
        return all(
            call.runs_in != "driver" or call.key in self._previous_tasks or call.key in self._outcomes
            for call in self._scheduled.values()
        )

    def recorded(self, key: str) -> RecordedCall | None:
        app_task = self._previous_tasks.get(key)
        return None if app_task is None else recorded_call(app_task)

    def _has_completions(self) -> bool:
        return self._failure is not None or len(self._ledger) > self._delivered

    def _restore_calls(self) -> None:
        """Recreate AppTasks that were deleted before their calls completed: no other component
        would notice."""
        try:
            existing = self._api.names(names.APP_TASKS, f"{names.RUN_LABEL}={self._owner.run}")
        except (ApiError, Unreachable) as error:
            _log.warning("the AppTasks that the route waits for couldn't be checked, the next check follows: %s", error)
            return
        with self._changed:
            committed = {checkpoint["key"] for checkpoint in self._ledger.since(self._delivered)}
        for name, call in self._scheduled.items():
            if name not in existing and call.key not in committed and not self._is_executing_here(call):
                _log.warning("AppTask %s of an open call is gone: creating it again", name)
                self._previous_tasks.pop(call.key, None)
                self._start(call)

    def _with_placement(self, call: ScheduledCall) -> ScheduledCall:
        """The call as it is executed: where the App wants it, with the limits that hold there."""
        moved = self._moved.get(call.task)
        if moved is not None:
            call = replace(call, runs_in=moved.settings.runs_in, reuse=moved.settings.reuse)
        if call.runs_in != "driver" or self._driver_tasks is None:
            return call
        from application_sdk.engines.kubernetes.driver_outcomes import bounded_policy

        return replace(call, policy=bounded_policy(call.policy if moved is None else moved.policy))

    def _start(self, call: ScheduledCall) -> None:
        outcome = self._outcomes.get(call.key)
        if call.runs_in != "driver" or self._driver_tasks is None:
            self._write(self._create, call)
        elif outcome is not None:
            self._write(self._record, call, outcome)
        else:
            self._driver_tasks.start(call)

    def _is_executing_here(self, call: ScheduledCall) -> bool:
        """Whether the driver itself still executes this call."""
        return self._driver_tasks is not None and self._driver_tasks.is_executing(call.key)

    def _submit_outcome(self, call: ScheduledCall, outcome: CallOutcome) -> None:
        if not self._closed:
            self._outcomes[call.key] = outcome
            self._write(self._record, call, outcome)

    def _record(self, call: ScheduledCall, outcome: CallOutcome) -> None:
        """Create the call's AppTask with its outcome.

        A crash before this create loses the outcome, and the next driver executes the call again.
        After it no driver does: `open` lists the AppTask, and `schedule` leaves recorded calls
        alone.
        """
        try:
            try:
                app_task = create_with_outcome(self._api, call, self._owner, outcome, self._pause)
            except Invalid as error:
                from application_sdk.engines.kubernetes.driver_outcomes import unreportable

                replacement = unreportable(call, outcome, f"{error.status} {error.message}")
                app_task = create_with_outcome(self._api, call, self._owner, replacement, self._pause)
        except BaseException as error:  # noqa: BLE001 - the route's thread raises it
            self._fail(error)
            return
        if app_task is None:
            _log.warning("an earlier driver has recorded the call of %s: its outcome counts", call.task)
        elif call.key in self._outcomes:
            self._recorded[call.key] = app_task

    def _write(self, write: Callable[..., None], *arguments: object) -> None:
        """Make a request in a thread of the writers."""
        with self._changed:
            self._open_writes += 1
        self._writers.submit(self._finish_write, write, *arguments)

    def _finish_write(self, write: Callable[..., None], *arguments: object) -> None:
        try:
            write(*arguments)
        finally:
            with self._changed:
                self._open_writes -= 1

    def _create(self, call: ScheduledCall) -> None:
        try:
            create(self._api, call, self._owner, self._pause)
        except BaseException as error:  # noqa: BLE001 - the route's thread raises it
            self._fail(error)

    def _write_abandoned(self) -> None:
        """Write the calls that the route no longer waits for into the driver's AppTask: the
        operator cancels them."""
        # Each write replaces the whole list, so an older list mustn't overtake a newer one.
        with self._abandon_lock:
            with self._changed:
                committed = {checkpoint["key"] for checkpoint in self._ledger.since(0)}
                self._abandoned = [key for key in self._abandoned if key not in committed]
                keys: list[JSON] = [*self._abandoned[:MAX_ABANDONED]]
            name = names.driver_task_name(self._owner.run)
            write = partial(self._api.set_status, names.APP_TASKS, name, {"abandoned": keys})
            try:
                retry_request(write, "giving up calls", self._pause)
            except BaseException as error:  # noqa: BLE001 - the route's thread raises it
                self._fail(error)

    def _completion(self, checkpoint: Checkpoint) -> Completion:
        key = checkpoint["key"]
        if key in self._timers or key == CANCEL_KEY:
            return timer_completion(checkpoint)
        app_task = self._recorded.pop(key, None) or self._final_task(checkpoint)
        if app_task is None:
            name = names.task_name(self._owner.run, key)
            try:
                app_task = retry_request(lambda: self._api.get(names.APP_TASKS, name), f"reading {name}", self._pause)
            except NotFound as error:
                raise LedgerUnreadable(
                    f"AppTask {name} is gone, and with it the result of checkpoint {checkpoint['sequence']} "
                    f"({checkpoint['task']}). Start a new run"
                ) from error
        return completion(checkpoint, app_task)

    def _final_task(self, checkpoint: Checkpoint) -> JSONObject | None:
        """The call's AppTask as it was listed, if nothing can have been written into it since."""
        app_task = self._previous_tasks.get(checkpoint["key"])
        if app_task is None or checkpoint["sequence"] < self._listed:
            return app_task
        return app_task if cast("TaskSpec", app_task["spec"])["role"] == "local" else None

    def _index_task(self, app_task: JSONObject) -> None:
        spec = cast("TaskSpec", app_task["spec"])
        if spec["role"] == "driver" and self._owner.uid in owner_uids(app_task):
            self._driver = app_task
            return
        if spec["role"] == "driver" or self._owner.uid not in owner_uids(app_task):
            return  # Left by a deleted run of the same name, until the garbage collector removes it.
        self._previous_tasks[spec["key"]] = app_task
        if spec["role"] == "timer":
            self._timers.add(spec["key"])

    def _follow(self) -> None:
        try:
            watch_run(self._api, self._app_run, self._absorb, lambda: self._closed, self._pause)
        except BaseException as error:  # noqa: BLE001 - the route's thread raises it
            self._fail(error)

    def _absorb(self, app_run: JSONObject) -> None:
        for name in self._ledger.missing_pages(app_run):
            read_page = partial(self._api.get, names.APP_LEDGERS, name)
            try:
                page = retry_request(read_page, f"reading AppLedger {name}", self._pause)
            except NotFound as error:
                message = f"AppLedger {name} is gone, and the run's past with it. Start a new run"
                raise LedgerUnreadable(message) from error
            with self._changed:
                self._ledger.absorb_page(page)
        with self._changed:
            self._suspended = is_suspended(app_run)
            if self._driver_tasks is not None:
                self._driver_tasks.pause(self._suspended)
            self._ledger.absorb(app_run)
            self._changed.notify_all()

    def _fail(self, error: BaseException) -> None:
        with self._changed:
            self._failure = self._failure or error
            self._changed.notify_all()


def _park_after(app_run: JSONObject) -> float:
    """Seconds without a completion after which the driver may leave; 0 if it has to stay. An
    operator that can't start the next one says nothing of it."""
    status = cast("Mapping[str, JSONObject]", app_run.get("status") or {})
    seconds = status.get("app", {}).get("parkAfterSeconds")
    return float(seconds) if isinstance(seconds, int) else 0.0
