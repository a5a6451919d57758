"""The base classes of everything that crosses a boundary: `Input`, `Output`, `Record`, `HeartbeatDetails`.

User code subclasses them. A subclass is checked as soon as pydantic has completed it, which for forward references may
be later than its `class` statement; all its faults come in one PayloadSafetyError. Nothing here stores or sends
anything: `contracts.codec` does the JSON, `contracts.size` the limit.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from enum import StrEnum
from functools import partial
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ConfigDict
from typing_extensions import override

from application_sdk.contracts.bounds import MaxItems
from application_sdk.contracts.errors import ContractValidationError, PayloadSafetyError
from application_sdk.contracts.safety import check_definition, validate_payload_safety

if TYPE_CHECKING:
    from application_sdk.contracts.compatibility import is_backwards_compatible

__all__ = [
    "ContractValidationError",
    "HeartbeatDetails",
    "Input",
    "MaxItems",
    "Output",
    "OutputStatus",
    "PayloadSafetyError",
    "Record",
    "SerializableEnum",
    "is_backwards_compatible",
    "validate_payload_safety",
]


class SerializableEnum(StrEnum):
    """An enum whose members are written as their text. `auto()` gives the member's name in lower case."""


class OutputStatus(SerializableEnum):
    """How far a run got, for an output that says so in a field of its own."""

    SUCCESS = "success"
    PARTIAL_SUCCESS = "partial_success"
    FAILURE = "failure"


class Contract(BaseModel):
    """What `Input`, `Output`, `Record` and `HeartbeatDetails` have in common. Not for direct use.

    Unknown fields are errors, defaults are validated, a field with an alias is accepted under both names. The class
    keyword `allow_unbounded_fields=True` switches the check of the class' fields off, for it and its subclasses.
    """

    model_config = ConfigDict(
        extra="forbid",
        validate_default=True,
        validate_by_name=True,
        validate_by_alias=True,
        serialize_by_alias=True,
        # Not to allow them: so that a class with several faults gets one error, and one that says what to do.
        arbitrary_types_allowed=True,
    )

    __allow_unbounded_fields__ = False
    """Whether this class, or one that it derives from, was declared with `allow_unbounded_fields=True`."""

    __written_by_any_version__ = False
    """Whether payloads of this class may come from another version of the app, which had other fields."""

    @override
    def __init_subclass__(cls, *, allow_unbounded_fields: bool = False, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if allow_unbounded_fields:
            cls.__allow_unbounded_fields__ = True

    @classmethod
    @override
    def __pydantic_init_subclass__(cls, *, allow_unbounded_fields: bool = False, **kwargs: Any) -> None:
        super().__pydantic_init_subclass__(**kwargs)

    @classmethod
    @override
    def __pydantic_on_complete__(cls) -> None:
        super().__pydantic_on_complete__()
        if any(field.default_factory is not None for field in cls.model_fields.values()) and _make_durable(cls):
            cls.model_rebuild(force=True)  # Completes the class once more, and so comes back here.
            return
        check_definition(cls)


def _make_durable(contract: type[Contract]) -> bool:
    # Most contracts have no such field, and their pods don't load this.
    from application_sdk.contracts.factories import make_durable

    return make_durable(contract.model_fields)


def _no_run(name: str) -> str:
    return ""


class OfTheRun:
    """The slot for what an input says of the run that it is given to. `app` fills it, which knows runs."""

    ask: Callable[[str], str] = staticmethod(_no_run)


class Input(Contract):
    """Base class of what an entry point or a task is given. Each takes exactly one.

    Programs for the App Framework read `workflow_id`, `correlation_id` and `config_hash()` of any input:
    without a field of that name they are those of the run. They are no fields, so they aren't stored.
    """

    if TYPE_CHECKING:

        @property
        def workflow_id(self) -> str: ...

        @property
        def correlation_id(self) -> str: ...

        def config_hash(self, extra_exclude: Collection[str] = ()) -> str: ...

    else:

        def __getattr__(self, name):
            if name not in ("workflow_id", "correlation_id", "config_hash"):
                return super().__getattr__(name)
            if name != "config_hash":
                return OfTheRun.ask(name)
            from application_sdk.contracts.framework import config_hash

            return partial(config_hash, self)


class Output(Contract):
    """Base class of what an entry point or a task returns. Each returns exactly one.

    Programs for the App Framework read `status`, `metrics` and `artifacts` of any output: without a field of that name
    an output succeeded and has neither. One that says more declares the field.
    """

    __written_by_any_version__ = True

    if not TYPE_CHECKING:

        def __getattr__(self, name):
            if name not in ("status", "metrics", "artifacts"):
                return super().__getattr__(name)
            return OutputStatus.SUCCESS if name == "status" else None


class HeartbeatDetails(Contract):
    """Base class of what a task attempt leaves behind while it works; the next attempt is given the latest."""

    __written_by_any_version__ = True


class Record(Contract):
    """Base class of domain data inside inputs and outputs: anything with an identity of its own."""

    id: str


def __getattr__(name: str) -> object:
    # Comparing versions of contracts is a tool's business: task pods never pay for it.
    if name == "is_backwards_compatible":
        from application_sdk.contracts.compatibility import is_backwards_compatible

        return is_backwards_compatible
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
