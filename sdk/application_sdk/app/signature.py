"""Reads the one input and the one output off a method, and says what is wrong with a signature.

`app.base` calls it for tasks and entry points when a class is defined. It collects faults rather than raise them, so
that a class's faults come together.
"""

from __future__ import annotations

import inspect
import typing
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from application_sdk.contracts.base import Input, Output
from application_sdk.contracts.errors import PayloadSafetyError
from application_sdk.contracts.safety import validate_payload_safety

_POSITIONAL = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
_HOW = "async def {name}(self, input: MyInput) -> MyOutput"


@dataclass(frozen=True, slots=True)
class Contracts:
    """The types of a method that has none but good ones."""

    input_type: type[Input]
    output_type: type[Output]


def function_line(function: Callable[..., object]) -> str:
    """`file:line` where a function is defined, its decorators included."""
    code = getattr(function, "__code__", None)
    return f"{code.co_filename}:{code.co_firstlineno}" if code is not None else "unknown line"


def read_contracts(
    kind: str, function: Callable[..., object], names: Mapping[str, object], faults: list[str]
) -> Contracts | None:
    """The method's contracts; None when `faults` has grown.

    `names` are local names at the class definition, for annotations that are text.
    """
    name = getattr(function, "__name__", repr(function))
    title = f"{kind} {name!r} ({function_line(function)})"
    parameters = _parameters(function)
    count = len(faults)
    if inspect.isgeneratorfunction(function) or inspect.isasyncgenfunction(function):
        faults.append(f"{title} has a `yield`, but it returns exactly one Output: return one that holds all items")
    if len(parameters) != 1 or parameters[0].kind not in _POSITIONAL:
        listed = ", ".join(map(_as_written, parameters)) or "none"
        faults.append(
            f"{title} takes exactly one parameter beside self, an Input; it has {len(parameters)}: {listed}. "
            f"Make them fields of one Input class: {_HOW.format(name=name)}"
        )
    hints = _hints(title, function, names, faults)
    if len(faults) > count or hints is None:
        return None
    input_type = hints.get(parameters[0].name)
    if input_type is None:
        faults.append(
            f"{title} doesn't say of which type {parameters[0].name!r} is: annotate it with a subclass of Input, as in "
            f"{_HOW.format(name=name)}"
        )
    elif not _is_a(input_type, Input):
        faults.append(
            f"{title} takes {_shown(input_type)}, which is no subclass of Input. Declare "
            f"`class MyInput(Input)` with it as a field, and take that"
        )
    output_type = hints.get("return")
    if "return" not in hints:
        faults.append(
            f"{title} doesn't say what it returns: annotate it with a subclass of Output, as in "
            f"{_HOW.format(name=name)}"
        )
    elif not _is_a(output_type, Output):
        faults.append(
            f"{title} returns {_shown(output_type)}, which is no subclass of Output. Declare "
            f"`class MyOutput(Output)` with it as a field, and return that"
        )
    if len(faults) == count:
        for verb, contract in (("takes", input_type), ("returns", output_type)):
            _check_safety(f"{title} {verb}", typing.cast("type[Input | Output]", contract), faults)
    if len(faults) > count:
        return None
    return Contracts(typing.cast("type[Input]", input_type), typing.cast("type[Output]", output_type))


def _as_written(parameter: inspect.Parameter) -> str:
    return f"*, {parameter}" if parameter.kind is inspect.Parameter.KEYWORD_ONLY else str(parameter)


def _check_safety(what: str, contract: type[Input | Output], faults: list[str]) -> None:
    # Most were checked when they were defined; what is left are open type variables and names that nobody resolved.
    try:
        validate_payload_safety(contract)
    except PayloadSafetyError as error:
        listed = "".join(f"\n      {line}" for problem in error.problems for line in str(problem).split("\n"))
        faults.append(f"{what} {contract.__name__}, which can't be stored:{listed}")


def _parameters(function: Callable[..., object]) -> list[inspect.Parameter]:
    return list(inspect.signature(function).parameters.values())[1:]


def _hints(
    title: str, function: Callable[..., object], names: Mapping[str, object], faults: list[str]
) -> dict[str, object] | None:
    try:
        return typing.get_type_hints(function, localns=dict(names))
    except NameError as error:
        faults.append(
            f"{title} has an annotation that can't be resolved: {error}. Define or import the class at the module's "
            f"top level, and not under `if TYPE_CHECKING:`"
        )
    except Exception as error:  # noqa: BLE001 - an annotation is an expression of the user's: anything can come
        faults.append(f"{title} has an annotation that can't be evaluated: {type(error).__name__}: {error}")
    return None


def _is_a(annotation: object, base: type) -> bool:
    return isinstance(annotation, type) and issubclass(annotation, base)


def _shown(annotation: object) -> str:
    if annotation is None or annotation is type(None):
        return "None"
    return annotation.__name__ if isinstance(annotation, type) else str(annotation)
