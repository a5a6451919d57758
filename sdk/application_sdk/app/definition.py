"""From a class to its `AppDefinition`: finds tasks and entry points, checks all of it, reports all faults together.

`app.base` calls it once for each class. The result is data; nothing is executed.
"""

from __future__ import annotations

import contextlib
import inspect
from collections.abc import Callable, Mapping
from types import FunctionType, MappingProxyType
from typing import TYPE_CHECKING, Any, Final, get_args

from application_sdk.app.entrypoint import Mark, kebab_case, mark_of
from application_sdk.app.signature import function_line, read_contracts
from application_sdk.app.task import Task
from application_sdk.errors import AppDefinitionError
from application_sdk.execution.definition import (
    PREFLIGHT,
    AppDefinition,
    EntrypointDefinition,
    GateMode,
    GateSettings,
    TaskDefinition,
)
from application_sdk.wire.fields import MAX_PAYLOAD_BYTES, MAX_SECONDS
from application_sdk.wire.names import TIMER_TASK

if TYPE_CHECKING:
    from application_sdk.replay.preflight import GateInput, Verdict

RUN: Final = "run"
_FREE_NAMES: Final = frozenset({"on_complete", "upload", "download", "map"})
"""Attributes of `App` that an app may have as tasks of its own, or that are checked apart."""
_WRAPPERS: Final = 20
"""So many things are looked into for a task that a decorator has wrapped."""
_GATE: Final = "preflight_gate_"
_MODES: Final = get_args(GateMode)
_EXAMPLE: Final = "async def run(self, input: MyInput) -> MyOutput"
NO_ROUTE: Final = f"it has no run() and no @entrypoint, so there is nothing to run. Add `{_EXAMPLE}`"


def define(
    cls: type, base: type, name: str, version: str, line: str, names: Mapping[str, object]
) -> AppDefinition | None:
    """The definition of `cls`, a subclass of `base`; None when it has no route, so that others have to derive from it.

    `names` are the local names where the class is defined.

    Raises AppDefinitionError with all faults of the class.
    """
    faults: list[str] = []
    members = _members(cls, base)
    tasks = _tasks(cls, base, members, names, faults)
    entrypoints = _entrypoints(cls, members, names, faults)
    default = _default(members, entrypoints, faults)
    _check_on_complete(members, faults)
    _check_constructor(cls, faults)
    _check_names(base, members, tasks, faults)
    _check_driver_tasks(cls, tasks, faults)
    limit = _payload_limit(cls, faults)
    gate = _gate(cls, entrypoints, faults)
    if faults:
        listed = "\n".join(f"  - {fault}" for fault in faults)
        raise AppDefinitionError(f"{cls.__qualname__} ({line}) is no complete app:\n{listed}")
    if not entrypoints:
        return None
    return AppDefinition(
        name=name,
        version=version,
        entry=f"{cls.__module__}:{cls.__qualname__}",
        line=line,
        tasks=MappingProxyType(tasks),
        entrypoints=MappingProxyType(entrypoints),
        default_entrypoint=default,
        max_payload_bytes=limit,
        gate=gate,
        builtin_task=_builtin_task,
    )


def _builtin_task(name: str, gate: GateSettings) -> TaskDefinition:
    # Inside of the function: pods of the app's own tasks load neither of the two.
    if name == PREFLIGHT:
        from application_sdk.replay.preflight import gate_task

        return gate_task(gate)
    from application_sdk.attempt.builtin_tasks import file_task

    return file_task(name)


def _check_constructor(cls: type, faults: list[str]) -> None:
    found: object = next((vars(owner)["__init__"] for owner in cls.__mro__ if "__init__" in vars(owner)), None)
    if not isinstance(found, FunctionType):
        return
    wanted = [
        name
        for name, parameter in list(inspect.signature(found).parameters.items())[1:]
        if parameter.default is parameter.empty
        and parameter.kind not in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD)
    ]
    if wanted:
        faults.append(
            f"__init__() ({function_line(found)}) wants {', '.join(wanted)}, but each route and each task gets "
            f"an instance made without arguments: give defaults, or pass it in the input"
        )


def _check_names(
    base: type, members: Mapping[str, object], tasks: Mapping[str, TaskDefinition], faults: list[str]
) -> None:
    own = {"definition", *(name for name in vars(base) if not name.startswith("_"))} - _FREE_NAMES
    for attribute, member in members.items():
        if attribute in own and (_is_task(member) or mark_of(member) is not None):
            faults.append(f"{attribute!r} is a name of App's own, so no task and no entry point can have it: rename it")
    if TIMER_TASK in tasks and TIMER_TASK not in members:
        faults.append(
            f"task {TIMER_TASK!r} ({tasks[TIMER_TASK].line}) has the name that timers have in the ledger: rename it"
        )


def _check_driver_tasks(cls: type, tasks: Mapping[str, TaskDefinition], faults: list[str]) -> None:
    in_driver = [task for task in tasks.values() if task.settings.runs_in == "driver"]
    if not in_driver and not getattr(cls, "driver_secrets", ()):
        return
    from application_sdk.app.driver_tasks import check_secrets, driver_secrets

    listed = driver_secrets(cls, faults)
    # guard: driver-task-secrets-listed - a task in the driver would expose its secret to the route
    faults += [problem for task in in_driver if (problem := check_secrets(task, listed))]


def _payload_limit(cls: type, faults: list[str]) -> int:
    limit: object = getattr(cls, "max_payload_bytes", None)
    if isinstance(limit, bool) or not isinstance(limit, int) or not 0 < limit <= MAX_PAYLOAD_BYTES:
        faults.append(
            f"max_payload_bytes is {limit!r}; it can be lowered only: use a number from 1 to {MAX_PAYLOAD_BYTES}"
        )
        return MAX_PAYLOAD_BYTES
    return limit


def _gate(cls: type, entrypoints: Mapping[str, EntrypointDefinition], faults: list[str]) -> GateSettings:
    mode: Any = _setting(cls, "mode")
    modes: Any = _setting(cls, "entrypoint_modes")
    seconds: Any = _setting(cls, "timeout_seconds")
    attempts: Any = _setting(cls, "max_attempts")
    if not isinstance(modes, Mapping):
        faults.append(f"{_GATE}entrypoint_modes is {modes!r}: use a dict of entry points' names and modes")
        modes = {}
    named = {f"{_GATE}mode": mode, **{f"{_GATE}entrypoint_modes[{name!r}]": one for name, one in modes.items()}}
    faults += [
        f"{name} is {one!r}: use one of {', '.join(map(repr, _MODES))}"
        for name, one in named.items()
        if one not in _MODES
    ]
    unknown = sorted(str(name) for name in modes if name not in entrypoints) if entrypoints else []
    if unknown:
        there = ", ".join(map(repr, sorted(entrypoints)))
        faults.append(f"{_GATE}entrypoint_modes names {', '.join(map(repr, unknown))}; the entry points are {there}")
    if isinstance(seconds, bool) or not isinstance(seconds, int | float) or not 0 < seconds <= MAX_SECONDS:
        faults.append(f"{_GATE}timeout_seconds is {seconds!r}: use a number of seconds above 0, up to a century")
    if isinstance(attempts, bool) or not isinstance(attempts, int) or attempts < 1:
        faults.append(f"{_GATE}max_attempts is {attempts!r}: use a whole number from 1 up")
    return GateSettings(_ask_handler, mode, MappingProxyType(dict(modes)), seconds, attempts)


def _setting(cls: type, name: str) -> object:
    return getattr(cls, f"{_GATE}{name}")


async def _ask_handler(app: object, asked: GateInput) -> Verdict:
    # Only the pod that makes the check loads handlers.
    from application_sdk.handler.gate import ask

    return await ask(app, asked)


def _members(cls: type, base: type) -> dict[str, object]:
    # Own classes only, nearest last, so that an override stands at the place of what it overrides.
    found: dict[str, object] = {}
    for owner in reversed(cls.__mro__):
        if owner is not object:
            found.update(vars(owner) if owner is not base else {k: v for k, v in vars(owner).items() if _is_task(v)})
    return found


def _is_task(thing: object) -> bool:
    return isinstance(thing, Task)


def _tasks(
    cls: type, base: type, members: Mapping[str, object], names: Mapping[str, object], faults: list[str]
) -> dict[str, TaskDefinition]:
    tasks: dict[str, TaskDefinition] = {}
    for attribute, member in members.items():
        if not isinstance(member, Task):
            _check_plain(attribute, member, faults)
            _check_override(cls, attribute, member, faults)
            continue
        if attribute == RUN:
            faults.append(f"run() ({function_line(member.function)}) is the route and can't be a task: remove @task")
            continue
        if mark_of(member.function) is not None:
            faults.append(
                f"{attribute!r} ({function_line(member.function)}) is marked with @task and @entrypoint: it can be one "
                f"of them"
            )
            continue
        definition = member.definition or _define_task(member, names, faults)
        if definition is None:
            continue
        if definition.name in tasks:
            faults.append(
                f"two tasks are named {definition.name!r}: {tasks[definition.name].line} and {definition.line}. "
                f"Give one another name"
            )
        member.definition = definition
        tasks[definition.name] = definition
    return tasks


def _define_task(
    member: Task[object, object],  # type: ignore[type-var] # whatever it takes is what is being found out
    names: Mapping[str, object],
    faults: list[str],
) -> TaskDefinition | None:
    contracts = read_contracts("task", member.function, names, faults)
    if contracts is None:
        return None
    return TaskDefinition(
        name=member.name,
        input_type=contracts.input_type,
        output_type=contracts.output_type,
        function=member.function,
        is_async=member.is_async,
        settings=member.settings,
        line=function_line(member.function),
        description=member.description,
    )


def _check_plain(attribute: str, member: object, faults: list[str]) -> None:
    if isinstance(member, staticmethod | classmethod) and isinstance(member.__func__, Task):
        kind = type(member).__name__
        faults.append(
            f"task {attribute!r} ({function_line(member.__func__.function)}) is a {kind}, but a task is a plain "
            f"method: remove @{kind} and take self first"
        )
        return
    hidden = _task_inside(member, attribute)
    # guard: decorator-above-task - a decorator above @task hides the task, and its body would run in the route
    if hidden is not None:
        faults.append(
            f"task {attribute!r} ({function_line(hidden.function)}) has a decorator above @task, which makes a plain "
            f"method of it: write @task above all others"
        )


def _task_inside(member: object, attribute: str) -> Task[Any, Any] | None:
    """The task of that name that a decorator has wrapped: in what `functools.wraps` notes, or in its closure."""
    looked_at: list[object] = []
    left = [member]
    while left and len(looked_at) < _WRAPPERS:
        thing = left.pop()
        if isinstance(thing, Task):
            if thing.__name__ == attribute:
                return thing
            continue
        if not callable(thing) or isinstance(thing, type) or any(thing is other for other in looked_at):
            continue
        looked_at.append(thing)
        left += [getattr(thing, name, None) for name in ("__wrapped__", "__func__", "func")]
        for cell in getattr(thing, "__closure__", None) or ():
            with contextlib.suppress(ValueError):  # A cell that nothing was put into yet.
                left.append(cell.cell_contents)
    return None


def _check_override(cls: type, attribute: str, member: object, faults: list[str]) -> None:
    for owner in cls.__mro__[1:]:
        if isinstance(vars(owner).get(attribute), Task):
            where = f" ({function_line(member)})" if callable(member) else ""
            faults.append(
                f"{attribute!r}{where} replaces the task of that name of {owner.__qualname__} by something that is no "
                f"task, so its work would be done in the route: mark it with @task"
            )
            return


def _entrypoints(
    cls: type, members: Mapping[str, object], names: Mapping[str, object], faults: list[str]
) -> dict[str, EntrypointDefinition]:
    found: dict[str, EntrypointDefinition] = {}
    for attribute, member in members.items():
        mark = mark_of(member)
        if isinstance(member, Task) or not (mark is not None or attribute == RUN) or not callable(member):
            continue
        title = "run()" if attribute == RUN else f"entry point {attribute!r}"
        if not inspect.iscoroutinefunction(member) and not inspect.isasyncgenfunction(member):
            faults.append(f"{title} ({function_line(member)}) isn't async: write `{_EXAMPLE.replace(RUN, attribute)}`")
            continue
        contracts = read_contracts("entry point" if attribute != RUN else "method", member, names, faults)
        if contracts is None:
            continue
        name = _entrypoint_name(attribute, mark)
        if name in found:
            faults.append(
                f"two entry points are named {name!r}: {found[name].line} and {function_line(member)}. Give one "
                f"another name"
            )
        found[name] = EntrypointDefinition(
            name=name,
            method=attribute,
            input_type=contracts.input_type,
            output_type=contracts.output_type,
            function=member,
            line=function_line(member),
            description=inspect.cleandoc(member.__doc__ or ""),
        )
    return found


def _entrypoint_name(attribute: str, mark: Mark | None) -> str:
    return mark.name if mark is not None and mark.name is not None else kebab_case(attribute)


def _default(members: Mapping[str, object], entrypoints: Mapping[str, EntrypointDefinition], faults: list[str]) -> str:
    marked = [(name, mark) for name, member in members.items() if (mark := mark_of(member)) is not None]
    defaults = [(name, mark) for name, mark in marked if mark.default]
    has_run = RUN in members
    if len(defaults) > 1:
        listed = ", ".join(name for name, _ in defaults)
        faults.append(f"{len(defaults)} entry points say default=True: {listed}. One can be the default")
    if has_run and defaults and not (len(defaults) == 1 and defaults[0][0] == RUN):
        faults.append(
            f"run() is always the default entry point, so {defaults[0][0]!r} can't say default=True beside it: drop "
            f"that, or make run() an @entrypoint of another name"
        )
    if has_run:
        return _entrypoint_name(RUN, mark_of(members[RUN]))
    if defaults:
        return _entrypoint_name(*defaults[0])
    return min(entrypoints, default=RUN)


def _check_on_complete(members: Mapping[str, object], faults: list[str]) -> None:
    hook = members.get("on_complete")
    if hook is None or not callable(hook):
        return
    function: Callable[..., object] = hook
    if not inspect.iscoroutinefunction(function) or len(inspect.signature(function).parameters) != 1:
        faults.append(f"on_complete() ({function_line(function)}) must be `async def on_complete(self) -> None`")
