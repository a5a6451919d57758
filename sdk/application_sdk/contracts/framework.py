"""`config_hash()`, which programs for the App Framework expect on every input. Loaded when it is first called."""

from __future__ import annotations

import hashlib
from collections.abc import Collection
from typing import Final

from pydantic import BaseModel

from application_sdk.contracts.codec import encode
from application_sdk.wire.digest import canonical_json

OF_THE_RUN: Final = frozenset({"workflow_id", "correlation_id", "app_name"})
_HASH_LENGTH: Final = 16


def config_hash(input: BaseModel, extra_exclude: Collection[str] = ()) -> str:
    """Digest of the fields of an input that differ from their defaults, without ids of the run: a new field with a
    default changes none."""
    written = encode(input)
    kept = {
        name: written[field.serialization_alias or name]
        for name, field in type(input).model_fields.items()
        if name not in OF_THE_RUN
        and name not in extra_exclude
        and (field.is_required() or getattr(input, name) != field.get_default(call_default_factory=True))
    }
    return hashlib.sha256(canonical_json(kept)).hexdigest()[:_HASH_LENGTH]
