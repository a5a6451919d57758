"""An error as data, for those who show or count failures."""

from __future__ import annotations

import dataclasses
import re
from typing import TYPE_CHECKING, Final

from pydantic import BaseModel, ConfigDict, JsonValue
from pydantic_core import to_jsonable_python

from application_sdk.errors.categories import Audience, FailureCategory
from application_sdk.errors.texts import redact_secrets, sanitize_cause_repr

if TYPE_CHECKING:
    from application_sdk.errors import AppError

_SECRET_NAME: Final = re.compile(r"(?i)(secret|passw(or)?d|token|api_?key|private_?key|authorization|cookie)$")
_OF_EVERY_ERROR: Final = frozenset({"message", "retryable", "cause", "app_name", "run_id", "suggested_action"})


class FailureDetails(BaseModel):
    """What is told of a failure."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    category: FailureCategory
    code: str
    retryable: bool
    audience: Audience = Audience.APP_OWNER
    message: str
    suggested_action: str | None = None
    evidence: dict[str, JsonValue] = {}
    """What the error's class adds, by the name of its field."""
    app_name: str | None = None
    run_id: str | None = None
    cause_repr: str | None = None


def details_of(error: AppError) -> FailureDetails:
    """The details of an error. Texts are redacted, and evidence that is named like a secret is
    masked."""
    evidence = {
        field.name: _shown(field.name, getattr(error, field.name, None))
        for field in dataclasses.fields(error)
        if field.name not in _OF_EVERY_ERROR
    }
    return FailureDetails(
        category=error.category,
        code=error.code,
        retryable=error.effective_retryable,
        audience=error.audience,
        message=redact_secrets(str(error.message)),
        suggested_action=error.suggested_action and redact_secrets(error.suggested_action),
        evidence=evidence,
        app_name=error.app_name,
        run_id=error.run_id,
        cause_repr=None if error.cause is None else sanitize_cause_repr(error.cause),
    )


def _shown(name: str, value: object) -> JsonValue:
    if value is None or isinstance(value, bool | int | float):
        return value
    if _SECRET_NAME.search(name):
        return "***"
    if isinstance(value, str):
        return redact_secrets(value)
    shown: JsonValue = to_jsonable_python(value, fallback=lambda other: redact_secrets(repr(other)))
    return shown
