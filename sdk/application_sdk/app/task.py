"""`@task`: makes a method of an `App` a unit of work that is executed apart, retried, and recorded once it is done.

What a call of it does depends on `execution.current`: nothing there means a plain method call, a route has it executed
as a checkpoint. No engine is known here.
"""

from __future__ import annotations

import inspect
import re
import sys
from collections.abc import Awaitable, Callable, Coroutine, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final, Generic, TypeVar, Unpack, cast, overload

from application_sdk.app.signature import function_line
from application_sdk.app.task_options import TaskKeywords, TaskOptions, apply_options, task_settings
from application_sdk.contracts.base import Input, Output
from application_sdk.errors import AppDefinitionError, MisuseError
from application_sdk.execution import current
from application_sdk.execution.definition import TaskDefinition, TaskSettings

if TYPE_CHECKING:
    from application_sdk.app.pod_amounts import Amount, ResourceAmount
    from application_sdk.app.pod_options import ConfigMapKey, ConfigMapSource, SecretKey, SecretSource
    from application_sdk.execution.definition import Watchdog
    from application_sdk.execution.retry import RetryPolicy
    from application_sdk.execution.reuse import ReusePolicy
    from application_sdk.wire.digest import JSONObject
    from application_sdk.wire.fields import RunsIn
    from application_sdk.wire.pod_fields import Affinity, DnsConfig, HostAlias, Volume

In = TypeVar("In", bound=Input)
Out = TypeVar("Out", bound=Output)


_SEPARATORS: Final = re.compile(r"[:.-]")
"""What a task's name may have between its parts. Names of objects and labels have an underscore there."""


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


def _definition_in(owner: type, task: Task[In, Out]) -> TaskDefinition | None:
    # A subclass has definitions of its own, made with its module's names; the attribute itself may be inherited.
    app = getattr(owner, "definition", None)
    return app.tasks.get(task.name, task.definition) if app is not None else task.definition


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
            """Execute the task. In a route the call is a checkpoint; elsewhere it is a plain method call.

            Args:
                input: The task's input.

            Returns:
                The task's output, once it is awaited.

            Raises:
                TaskFailedError: The task has failed, and no attempt is left.
                MisuseError: The input is of another type, or a task calls a task.
            """

    else:

        def __call__(self, *values, **named):
            # The input may also be given under the name that it has in the user's method.
            frame = sys._getframe(1)  # noqa: SLF001
            line = f"{frame.f_code.co_filename}:{frame.f_lineno}"
            if len(values) == 1 and not named:
                return self.call_from(line, values[0])
            return self.call_from(line, _the_input(self.task.function, values, named, line))

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
        """This task with other settings, for the calls made through the result only.

        Args:
            **options: Keywords of `@task`, which documents them: all but `name`, `description`, `runs_in`, `reuse`,
                `limit` and `rate`. Those that are left out stay as the task has them.

        Returns:
            The task to call: `await self.fetch.options(timeout_seconds=30)(input)`.

        Raises:
            AppDefinitionError: A keyword is unknown, has a value that makes no sense, or excludes another one.
        """
        definition = self.definition
        if definition is None:
            return self
        frame = sys._getframe(1)  # noqa: SLF001
        title = f"{definition.name}.options() at {frame.f_code.co_filename}:{frame.f_lineno}"
        settings = apply_options(definition.settings, options, title)
        return BoundTask(self.app, self.task, replace(definition, settings=settings), self.keyed_by)

    def keyed(self, key: str) -> BoundTask[In, Out]:
        """This task, its next call identified by `key` alone rather than by its input and its place in the route.

        Args:
            key: Names one call of this task in the run, such as "orders-42". A second call with it ends the run.

        Returns:
            The task to call: `await self.fetch.keyed("orders-42")(input)`.

        Raises:
            MisuseError: `key` is no text, or empty.
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
    function: Callable[..., object], values: tuple[object, ...], named: Mapping[str, object], line: str
) -> object:
    name = function.__code__.co_varnames[1]
    if not values and len(named) == 1 and next(iter(named)) in (name, "input"):
        return next(iter(named.values()))
    listed = ", ".join([*(type(value).__name__ for value in values), *(f"{key}=…" for key in named)]) or "nothing"
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
    timeout_seconds: float | None = 86_400,
    heartbeat_timeout_seconds: float | None = 60,
    auto_heartbeat_seconds: float | None = 10,
    schedule_to_close_seconds: float | None = None,
    max_no_progress_seconds: float | None = 900,
    progress_watchdog: Watchdog = "warn",
    retry_policy: RetryPolicy | None = None,
    retry_max_attempts: int = 3,
    retry_initial_interval_seconds: float = 1,
    retry_max_interval_seconds: float = 300,
    pool: str | None = None,
    cpu: Amount = ...,
    memory: Amount = ...,
    image: str = ...,
    node_selector: Mapping[str, str] = ...,
    tolerations: list[JSONObject] = ...,
    service_account: str = ...,
    secrets: list[str] = ...,
    env: Mapping[str, str | SecretKey | ConfigMapKey] = ...,
    env_from: Sequence[SecretSource | ConfigMapSource] = ...,
    labels: Mapping[str, str] = ...,
    annotations: Mapping[str, str] = ...,
    image_pull_secrets: Sequence[str] = ...,
    resources: Mapping[str, ResourceAmount] = ...,
    gpu: int = ...,
    shm: str = ...,
    volumes: Mapping[str, Volume] = ...,
    affinity: Affinity = ...,
    topology_spread: Sequence[JSONObject] = ...,
    runtime_class: str = ...,
    priority_class: str = ...,
    scheduler_name: str = ...,
    host_aliases: Sequence[HostAlias] = ...,
    dns_config: DnsConfig = ...,
    termination_grace_seconds: int = ...,
    run_as_user: int = ...,
    fs_group: int = ...,
    spot: bool = ...,
    queue: str = ...,
    runs_in: RunsIn = "pod",
    reuse: ReusePolicy | None = None,
    limit: int | None = None,
    rate: str | None = None,
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
    in a thread. Written with or without parentheses.

    Times are in seconds, and None means no limit.

    Args:
        function: The method, where the decorator is written without parentheses.
        name: Name of the task in the ledger. By default the method's.
        description: Text for people. By default the method's docstring.
        timeout_seconds: Limit of one attempt, 86,400 (a day) by default; 10 for a task that runs in the driver.
        heartbeat_timeout_seconds: An attempt that sends no heartbeat for so long is ended and counts as failed. 60 by
            default.
        auto_heartbeat_seconds: How often a heartbeat is sent while the attempt's event loop turns, 10 by default. Less
            than `heartbeat_timeout_seconds`.
        schedule_to_close_seconds: Limit of all attempts together, with the waits between them. None by default.
        max_no_progress_seconds: How long an attempt may make no progress before `progress_watchdog` acts, 900 by
            default.
        progress_watchdog: What happens to an attempt without progress: "warn" (the default) logs it, "enforce" ends the
            attempt, "off" does nothing.
        retry_policy: The whole policy of retries. The three keywords below have no effect beside it.
        retry_max_attempts: Attempts in all, the first one included. 3 by default. What the cluster does to a pod isn't
            counted.
        retry_initial_interval_seconds: Wait before the second attempt, 1 by default. It doubles with each attempt.
        retry_max_interval_seconds: Longest wait between two attempts, 300 by default.
        pool: Has no effect, and is accepted for programs of the App Framework.
        cpu: CPU request and limit of the task's pod, such as "500m"; `("100m", "1")` sets them
            apart, and `("100m", None)` sets no limit. The App's by default, as for the further
            keywords of the pod.
        memory: Memory request and limit of the pod, such as "1Gi" or `("256Mi", "1Gi")`.
        image: Image of the pod.
        node_selector: Labels of the nodes that the pod may run on.
        tolerations: Tolerations of the pod, as in a pod's manifest.
        service_account: Service account of the pod.
        secrets: Which of the App's secrets the task is given. All of them by default; [] for none.
        env: Environment variables by name: a text, `{"secret": name, "key": key}` or
            `{"configMap": name, "key": key}`. Names that begin with APPRUN_ are refused.
        env_from: ConfigMaps and Secrets all of whose keys become environment variables:
            `[{"configMap": name}, {"secret": name, "prefix": "DB_"}]`.
        labels: Further labels of the pod.
        annotations: Further annotations of the pod.
        image_pull_secrets: Names of the Secrets with which the pod's images are pulled.
        resources: Amounts of further resources by name, such as
            `{"ephemeral-storage": "10Gi", "amd.com/gpu": 1}`.
        gpu: Number of NVIDIA GPUs, short for the resource nvidia.com/gpu.
        shm: Size of /dev/shm, which counts as memory of the pod, such as "2Gi".
        volumes: Volumes by mount path, each as in a pod's manifest, with `readOnly` and `subPath`:
            `{"/data": {"persistentVolumeClaim": {"claimName": "shared"}}}`. Paths that AppRun uses
            itself are refused.
        affinity: `nodeAffinity`, `podAffinity` and `podAntiAffinity` of the pod, as in its manifest.
        topology_spread: Topology spread constraints of the pod, as in its manifest.
        runtime_class: RuntimeClass of the pod, such as "gvisor".
        priority_class: PriorityClass of the pod.
        scheduler_name: The scheduler that places the pod. Kubernetes' own by default.
        host_aliases: Entries of /etc/hosts: `[{"ip": "10.0.0.1", "hostnames": ["db.example.com"]}]`.
        dns_config: `nameservers`, `searches` and `options` that are added to the pod's resolver.
        termination_grace_seconds: Seconds between SIGTERM and SIGKILL, 30 by default.
        run_as_user: User and group of the pod's processes, 65532 by default. Not root.
        fs_group: Group that volumes are handed to. By default that of `run_as_user`, where a claim
            is mounted.
        spot: True runs the pod on nodes that the cloud may take back, as the chart's `spot`
            describes them. The last attempt, and all after two disruptions, may run anywhere.
        queue: Kueue's LocalQueue that admits the pod, such as "team-a".
        runs_in: "pod" (the default), or "driver" for steps of milliseconds to seconds: a process beside the route,
            without a pod of its own and so without the keywords that shape one.
        reuse: Executes the calls in warm pods, which have imported the app and stay between calls: a `ReusePolicy`.
            None, the default, gives each call its own pod.
        limit: How many calls of the task a run has at once. None, the default, sets no limit.
        rate: How many calls of the task a run makes in a time, such as "10/s", "5/10s" or "600/m".

    Returns:
        The task; with parentheses, the decorator that makes it.

    Raises:
        AppDefinitionError: A keyword is unknown, has a value that makes no sense, or excludes another one.
    """
    if function is not None:
        return _make_task(function, name, description, TaskSettings())
    frame = sys._getframe(1)  # noqa: SLF001
    title = f"@task at {frame.f_code.co_filename}:{frame.f_lineno}"
    if name is not None:
        name = _SEPARATORS.sub("_", name)
        if not name.isidentifier():
            raise AppDefinitionError(f"{title}: name={name!r} isn't an identifier; use letters, digits and underscores")
    settings = task_settings(options, title)
    return Decorator(name, description, settings)


def _make_task(
    function: Callable[..., object], name: str | None, description: str | None, settings: TaskSettings
) -> Task[Any, Any]:
    code = getattr(function, "__code__", None)
    if isinstance(function, staticmethod | classmethod):
        decorator = type(function).__name__
        raise AppDefinitionError(
            f"task {function.__name__!r} ({function_line(function.__func__)}) is a {decorator}, but a task is a plain "
            f"method: remove @{decorator} and take self first"
        )
    if code is None:
        raise AppDefinitionError(f"@task marks a method, not {function!r}. Put it directly above `def`")
    task: Task[Any, Any] = Task(function, name, description, settings)
    frame = sys._getframe(2)  # noqa: SLF001
    earlier = frame.f_locals.get(task.__name__) if "__qualname__" in frame.f_locals else None
    if isinstance(earlier, Task):
        old = earlier.function.__code__
        raise AppDefinitionError(
            f"{frame.f_locals['__qualname__']} has two tasks named {task.__name__!r}: {old.co_filename}:"
            f"{old.co_firstlineno} and {code.co_filename}:{code.co_firstlineno}. The second would replace the first; "
            f"rename one"
        )
    return task
