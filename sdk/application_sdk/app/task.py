"""`@task`: makes a method of an `App` a unit of work that is executed apart, retried, and recorded once it is done.

What a call of it does depends on `execution.current`: nothing there means a plain method call, a route has it executed
as a checkpoint. No engine is known here.
"""

from __future__ import annotations

import inspect
import logging
import math
import re
import sys
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final, Generic, Literal, TypedDict, TypeVar, Unpack, cast, overload

from typing_extensions import override

from application_sdk.app.signature import function_line
from application_sdk.contracts.base import Input, Output
from application_sdk.errors import AppDefinitionError, MisuseError
from application_sdk.execution import current
from application_sdk.execution.definition import TaskDefinition, TaskSettings, Watchdog
from application_sdk.execution.retry import RetryPolicy
from application_sdk.wire.fields import MAX_SECONDS, PodFields, RunsIn

if TYPE_CHECKING:
    from application_sdk.wire.digest import JSONObject

In = TypeVar("In", bound=Input)
Out = TypeVar("Out", bound=Output)


class _Default:
    """Stands for a keyword that wasn't given, where None means "no limit"."""

    @override
    def __repr__(self) -> str:
        return "<default>"


_DEFAULT: Final = _Default()
_SEPARATORS: Final = re.compile(r"[:.-]")
"""What a task's name may have between its parts. Names of objects and labels have an underscore there."""
_log = logging.getLogger("apprun.app")
Seconds = float | None


class TaskOptions(TypedDict, total=False):
    """The keywords of `@task` that a single call may change with `.options()`. Times in seconds, None for no limit."""

    timeout_seconds: Seconds
    heartbeat_timeout_seconds: Seconds
    auto_heartbeat_seconds: Seconds
    schedule_to_close_seconds: Seconds
    max_no_progress_seconds: Seconds
    progress_watchdog: Watchdog
    retry_policy: RetryPolicy | None
    retry_max_attempts: int
    retry_initial_interval_seconds: float
    retry_max_interval_seconds: float
    pool: str | None
    cpu: str
    memory: str
    image: str
    node_selector: Mapping[str, str]
    tolerations: list[JSONObject]
    service_account: str
    secrets: list[str]


class TaskKeywords(TaskOptions, total=False):
    """The keywords of `@task` beside name and description. Limits hold for all calls of the task in a run."""

    runs_in: RunsIn
    limit: int | None
    rate: str | None


class Task(Generic[In, Out]):
    """A task in its class. Read from an instance it is a `BoundTask`."""

    def __init__(
        self, function: Callable[..., object], name: str | None, description: str | None, settings: TaskSettings
    ) -> None:
        self.function = function
        own_name: str = getattr(function, "__name__", "task")
        self.name: str = name or own_name
        self.description = inspect.cleandoc(description or function.__doc__ or "")
        self.settings = settings
        self.is_async = inspect.iscoroutinefunction(function)
        self.definition: TaskDefinition | None = None
        """Set when the class is complete and checked; None for a task outside an `App`."""
        self.__doc__ = function.__doc__
        self.__name__ = own_name
        self.__qualname__ = getattr(function, "__qualname__", self.name)
        self.__module__ = function.__module__
        self.__wrapped__ = function

    @overload
    def __get__(self, instance: None, owner: type | None = None) -> Task[In, Out]: ...

    @overload
    def __get__(self, instance: object, owner: type | None = None) -> BoundTask[In, Out]: ...

    def __get__(self, instance: object | None, owner: type | None = None) -> Task[In, Out] | BoundTask[In, Out]:
        if instance is None:
            return self
        definition = self.definition if owner is None else _definition_in(owner, self)
        return BoundTask(instance, self, definition)

    def __call__(self, instance: object, input: In) -> Awaitable[Out]:
        return self.__get__(instance, type(instance))(input)


def _in_event_loop() -> bool:
    # Where nobody has imported asyncio no loop runs; importing it here would cost every pod that only needs the class.
    asyncio = sys.modules.get("asyncio")
    if asyncio is None:
        return False
    running: object = asyncio._get_running_loop()  # noqa: SLF001
    return running is not None


def _definition_in(owner: type, found: Task[In, Out]) -> TaskDefinition | None:
    # A subclass has definitions of its own, made with its module's names; the attribute itself may be inherited.
    app = getattr(owner, "definition", None)
    return app.tasks.get(found.name, found.definition) if app is not None else found.definition


class BoundTask(Generic[In, Out]):
    """A task of an app instance: call it with its input and await the output."""

    __slots__ = ("app", "definition", "keyed_by", "task")

    def __init__(
        self, app: object, task: Task[In, Out], definition: TaskDefinition | None, keyed_by: str | None = None
    ) -> None:
        self.app = app
        self.task = task
        self.definition = definition
        self.keyed_by = keyed_by

    if TYPE_CHECKING:

        def __call__(self, input: In) -> Coroutine[Any, Any, Out]:
            """Have the task executed. In a route: a checkpoint, raises TaskFailedError when it fails for good.
            Elsewhere: a plain method call."""

    else:

        def __call__(self, *given, **named):
            # The input may also be given under the name that it has in the user's method.
            frame = sys._getframe(1)  # noqa: SLF001
            line = f"{frame.f_code.co_filename}:{frame.f_lineno}"
            if len(given) == 1 and not named:
                return self.call_from(line, given[0])
            return self.call_from(line, _the_input(self.task.function, given, named, line))

    def call_from(self, line: str, input: In) -> Coroutine[Any, Any, Out]:
        """Call the task for a line of the route that isn't the caller's own."""
        runtime = current.get()
        if runtime is None:
            return self._call_plainly(input)
        if not runtime.in_route and self._is_overridden():
            # `super().fetch(input)` in the task that overrides it: a part of its body, within its attempt.
            return self._call_plainly(input)
        definition = self.definition
        if definition is None:
            raise MisuseError(
                f"{self.task.__qualname__} is marked with @task, but its class is no App: derive it from App"
            )
        if not isinstance(input, definition.input_type):
            wanted = definition.input_type.__name__
            raise MisuseError(
                f"{line}: task {definition.name!r} takes {wanted}, but was given {type(input).__name__}. Write "
                f"self.{self.task.__name__}({wanted}(...))"
            )
        request = current.TaskRequest(definition, input, line, self.keyed_by)
        return runtime.call_task(request)  # type: ignore[return-value] # the definition's type is the annotation's

    def options(self, **options: Unpack[TaskOptions]) -> BoundTask[In, Out]:
        """This task with other settings, for the calls made through the result only."""
        definition = self.definition
        if definition is None:
            return self
        frame = sys._getframe(1)  # noqa: SLF001
        title = f"{definition.name}.options() at {frame.f_code.co_filename}:{frame.f_lineno}"
        settings = apply_options(definition.settings, options, title)
        return BoundTask(self.app, self.task, replace(definition, settings=settings), self.keyed_by)

    def keyed(self, key: str) -> BoundTask[In, Out]:
        """This task, its next call identified by `key` alone rather than by its input and its place in the route.

        A key names one call of this task in the run; a second call with it is an error.
        """
        if not key or not isinstance(key, str):
            raise MisuseError(f"{self.task.name}.keyed() takes a text that names the call, not {key!r}")
        return BoundTask(self.app, self.task, self.definition, key)

    def _is_overridden(self) -> bool:
        name = self.task.__name__
        nearest: object = next((vars(cls)[name] for cls in type(self.app).__mro__ if name in vars(cls)), None)
        return isinstance(nearest, Task) and nearest is not self.task

    def _call_plainly(self, input: In) -> Coroutine[Any, Any, Out]:
        if self.task.is_async or not _in_event_loop():
            return self.task.function(self.app, input)  # type: ignore[return-value]
        return self._call_in_thread(input)

    async def _call_in_thread(self, input: In) -> Out:
        import asyncio

        function = cast("SyncMethod[In, Out]", self.task.function)
        return await asyncio.to_thread(function, self.app, input)


def _the_input(
    function: Callable[..., object], given: tuple[object, ...], named: Mapping[str, object], line: str
) -> object:
    name = function.__code__.co_varnames[1]
    if not given and len(named) == 1 and next(iter(named)) in (name, "input"):
        return next(iter(named.values()))
    listed = ", ".join([*(type(value).__name__ for value in given), *(f"{key}=…" for key in named)]) or "nothing"
    raise MisuseError(
        f"{line}: {function.__name__}() takes one Input, its {name!r}, but was given {listed}. Put all that it needs "
        f"into fields of that Input"
    )


AsyncMethod = Callable[[Any, In], Coroutine[Any, Any, Out]]
SyncMethod = Callable[[Any, In], Out]


class Decorator:
    """What `@task(…)` with parentheses returns."""

    __slots__ = ("_description", "_name", "_settings")

    def __init__(self, name: str | None, description: str | None, settings: TaskSettings) -> None:
        self._name = name
        self._description = description
        self._settings = settings

    @overload
    def __call__(self, function: AsyncMethod[In, Out]) -> Task[In, Out]: ...

    @overload
    def __call__(self, function: SyncMethod[In, Out]) -> Task[In, Out]: ...

    def __call__(self, function: Callable[..., object]) -> Task[Any, Any]:
        return _make_task(function, self._name, self._description, self._settings)


@overload
def task(function: AsyncMethod[In, Out], /) -> Task[In, Out]: ...


@overload
def task(function: SyncMethod[In, Out], /) -> Task[In, Out]: ...


@overload
def task(
    function: None = None,
    /,
    *,
    name: str | None = None,
    description: str | None = None,
    **options: Unpack[TaskKeywords],
) -> Decorator: ...


def task(
    function: Callable[..., object] | None = None,
    /,
    *,
    name: str | None = None,
    description: str | None = None,
    **options: Unpack[TaskKeywords],
) -> Task[Any, Any] | Decorator:
    """Mark a method of an App as a task: `async def name(self, input: MyInput) -> MyOutput`, or `def`, which then runs
    in a thread.

    Times are in seconds and None means no limit. `timeout_seconds` bounds one attempt, `schedule_to_close_seconds` all
    of them; `heartbeat_timeout_seconds` ends an attempt that sends no heartbeat, which is sent every
    `auto_heartbeat_seconds`; `max_no_progress_seconds` with `progress_watchdog` ("off", "warn", "enforce") watches for
    attempts that live but don't get on. `retry_policy`, or `retry_max_attempts`, `retry_initial_interval_seconds` and
    `retry_max_interval_seconds`, say what happens when an attempt fails. `cpu`, `memory`, `image`, `node_selector`,
    `tolerations` and `service_account` shape the task's pod; `secrets` names those of the App's that it is given, all
    when absent. `limit` is how many calls of the task a run has at once, `rate` how many it makes in a time (`"10/s"`,
    `"5/10s"`, `"600/m"`). `runs_in="driver"` has it executed in a process beside the route, for steps of milliseconds
    to seconds: without a pod of its own, and so without the keywords that shape one. Raises AppDefinitionError for
    values that make no sense.
    """
    if function is not None:
        return _make_task(function, name, description, TaskSettings())
    frame = sys._getframe(1)  # noqa: SLF001
    title = f"@task at {frame.f_code.co_filename}:{frame.f_lineno}"
    if name is not None:
        name = _SEPARATORS.sub("_", name)
        if not name.isidentifier():
            raise AppDefinitionError(f"{title}: name={name!r} isn't an identifier; use letters, digits and underscores")
    given: dict[str, Any] = dict(options)
    limits: dict[str, Any] = {keyword: given.pop(keyword) for keyword in ("limit", "rate") if keyword in given}
    runs_in = given.pop("runs_in", "pod")
    settings = apply_options(TaskSettings(), cast("TaskOptions", given), title)
    if runs_in != "pod":
        settings = _in_driver(settings, runs_in, given, title)
    if limits:
        from application_sdk.replay.limiter import with_limits

        settings = with_limits(settings, limits, title)
    return Decorator(name, description, settings)


def _in_driver(settings: TaskSettings, runs_in: object, given: Mapping[str, object], title: str) -> TaskSettings:
    if runs_in != "driver":
        raise AppDefinitionError(f'{title}: runs_in={runs_in!r} must be "pod" or "driver"')
    from application_sdk.app.driver_tasks import driver_settings

    return driver_settings(settings, given, title)


_LIMITS: Final = (
    "timeout_seconds",
    "heartbeat_timeout_seconds",
    "auto_heartbeat_seconds",
    "schedule_to_close_seconds",
    "max_no_progress_seconds",
)
_POD: Final[
    Mapping[str, Literal["cpu", "memory", "image", "nodeSelector", "tolerations", "serviceAccountName", "secrets"]]
] = {
    "cpu": "cpu",
    "memory": "memory",
    "image": "image",
    "node_selector": "nodeSelector",
    "tolerations": "tolerations",
    "service_account": "serviceAccountName",
    "secrets": "secrets",
}

_CHECKED_TOGETHER: Final = frozenset(
    {"secrets", "service_account", "heartbeat_timeout_seconds", "auto_heartbeat_seconds"}
)
_POOLS: Final = " Each task has a pod of its own, whose place cpu, memory, node_selector and tolerations say."


def apply_options(settings: TaskSettings, options: TaskOptions, title: str) -> TaskSettings:
    """`settings` with `options` over them. `title` says in errors whose options they are."""
    given: dict[str, Any] = dict(options)
    unknown = sorted(given.keys() - TaskOptions.__annotations__.keys())
    if unknown:
        known = ", ".join(sorted(TaskOptions.__annotations__))
        raise AppDefinitionError(f"{title}: there is no keyword {', '.join(unknown)}. There are: {known}")
    if given.get("pool") is not None:
        _log.warning("%s: pool=%r has no effect.%s", title, given["pool"], _POOLS)
    changes: dict[str, Any] = {name: given[name] for name in _LIMITS if name in given}
    for name, value in changes.items():
        changes[name] = _limit(name, value, title)
    watchdog = given.get("progress_watchdog", settings.progress_watchdog)
    if watchdog not in ("off", "warn", "enforce"):
        raise AppDefinitionError(f'{title}: progress_watchdog={watchdog!r} must be "off", "warn" or "enforce"')
    pod = PodFields(**settings.pod)
    for name, field in _POD.items():
        if name in given:
            pod[field] = dict(given[name]) if name == "node_selector" else given[name]
    changed = replace(
        settings, progress_watchdog=watchdog, retry=_retry(settings.retry, given, title), pod=pod, **changes
    )
    if given.keys() & _CHECKED_TOGETHER:  # Most tasks name none of them, and their pods don't load this.
        from application_sdk.app.setting_checks import check_settings

        check_settings(changed, title)
    if changed.runs_in == "driver":
        return _in_driver(changed, "driver", given, title)
    return changed


def _limit(name: str, value: object, title: str) -> float | None:
    """A number of seconds that every engine can keep; None for no limit, which infinity says as well."""
    if value is None or value == math.inf:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or not value > 0:
        raise AppDefinitionError(f"{title}: {name}={value!r} must be a number of seconds above 0, or None for no limit")
    if value > MAX_SECONDS:
        raise AppDefinitionError(
            f"{title}: {name}={value!r} is more than a century, {MAX_SECONDS} s. Give less, or None for no limit"
        )
    return value


def _retry(retry: RetryPolicy, given: Mapping[str, Any], title: str) -> RetryPolicy:
    policy = given.get("retry_policy")
    if policy is not None:
        if not isinstance(policy, RetryPolicy):
            raise AppDefinitionError(f"{title}: retry_policy is a {type(policy).__name__}, not a RetryPolicy")
        return policy
    try:
        if "retry_max_attempts" in given:
            retry = retry.with_max_attempts(given["retry_max_attempts"])
        if "retry_max_interval_seconds" in given:
            interval = timedelta(seconds=min(given["retry_max_interval_seconds"], MAX_SECONDS))
            retry = replace(retry, max_interval=interval, initial_interval=min(retry.initial_interval, interval))
        if "retry_initial_interval_seconds" in given:
            interval = timedelta(seconds=given["retry_initial_interval_seconds"])
            if interval > retry.max_interval and "retry_max_interval_seconds" in given:
                raise ValueError("retry_initial_interval_seconds is more than retry_max_interval_seconds")
            retry = replace(retry, initial_interval=interval, max_interval=max(retry.max_interval, interval))
    except (TypeError, ValueError, OverflowError) as error:
        raise AppDefinitionError(f"{title}: {error}") from error
    return retry


def _make_task(
    function: Callable[..., object], name: str | None, description: str | None, settings: TaskSettings
) -> Task[Any, Any]:
    code = getattr(function, "__code__", None)
    if isinstance(function, staticmethod | classmethod):
        kind = type(function).__name__
        raise AppDefinitionError(
            f"task {function.__name__!r} ({function_line(function.__func__)}) is a {kind}, but a task is a plain "
            f"method: remove @{kind} and take self first"
        )
    if code is None:
        raise AppDefinitionError(f"@task marks a method, not {function!r}. Put it directly above `def`")
    made: Task[Any, Any] = Task(function, name, description, settings)
    frame = sys._getframe(2)  # noqa: SLF001
    before = frame.f_locals.get(made.__name__) if "__qualname__" in frame.f_locals else None
    if isinstance(before, Task):
        old = before.function.__code__
        raise AppDefinitionError(
            f"{frame.f_locals['__qualname__']} has two tasks named {made.__name__!r}: {old.co_filename}:"
            f"{old.co_firstlineno} and {code.co_filename}:{code.co_firstlineno}. The second would replace the first; "
            f"rename one"
        )
    return made
