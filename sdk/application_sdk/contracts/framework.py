"""What programs for the App Framework expect on every input and output. Loaded when it is first asked for."""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Callable, Collection
from typing import TYPE_CHECKING, Final

from application_sdk.contracts.base import SerializableEnum
from application_sdk.wire.digest import canonical_json

if TYPE_CHECKING:
    from application_sdk.contracts.base import Input

OF_THE_RUN: Final = frozenset({"workflow_id", "correlation_id", "app_name"})
_HASH_LENGTH: Final = 16


class OutputStatus(SerializableEnum):
    """How far a run got, for an output that says so in a field of its own."""

    SUCCESS = "success"
    PARTIAL_SUCCESS = "partial_success"
    FAILURE = "failure"


def of_input(given: Input, name: str, run: Callable[[str], str]) -> object:
    """What an input has beside its fields: ids of the run that it is given to, and `config_hash()`."""
    return functools.partial(config_hash, given) if name == "config_hash" else run(name)


def of_output(name: str) -> object:
    """What an output says that has no such field: it succeeded, without metrics and artifacts."""
    return OutputStatus.SUCCESS if name == "status" else None


def config_hash(given: Input, extra_exclude: Collection[str] = ()) -> str:
    """Digest of the fields of an input that differ from their defaults, without ids of the run: a new field with a
    default changes none."""
    from application_sdk.contracts.codec import encode

    written = encode(given)
    kept = {
        name: written[field.serialization_alias or name]
        for name, field in type(given).model_fields.items()
        if name not in OF_THE_RUN
        and name not in extra_exclude
        and (field.is_required() or getattr(given, name) != field.get_default(call_default_factory=True))
    }
    return hashlib.sha256(canonical_json(kept)).hexdigest()[:_HASH_LENGTH]
