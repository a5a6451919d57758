"""The gate before a route: a task `apprun.preflight`, which asks the app's handler if a run would find what it needs.

`replay.run` calls it before the plan, in an asyncio Task of its own, so the plan's calls are what they would be
without it. It is a call like any other, with a checkpoint, attempts and a pod.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable
from typing import Annotated, Final, Literal, cast

from pydantic import Field, JsonValue

from application_sdk.contracts.base import Input, MaxItems, Output
from application_sdk.errors import AppNotFoundError, PreflightFailedError, TaskFailedError
from application_sdk.execution.current import TaskRequest
from application_sdk.execution.definition import PREFLIGHT, GateSettings, TaskDefinition, TaskSettings
from application_sdk.execution.error_info import error_fields
from application_sdk.execution.retry import RetryPolicy
from application_sdk.replay.preflight_mode import NAME
from application_sdk.wire.digest import JSONObject
from application_sdk.wire.fields import ErrorFields

_log = logging.getLogger("apprun.preflight")

MAX_CHECKS: Final = 500
ENVELOPE_BYTES: Final = 2048
"""How much larger the gate's input may be than the run's, which is in it."""


class GateInput(Input, allow_unbounded_fields=True):
    """What is to be checked: a run that is about to begin."""

    entrypoint: str
    mode: Literal["soft", "hard"]
    timeout_seconds: float
    """How long the handler may take."""
    input: dict[str, JsonValue] = Field(default_factory=dict)
    """The run's."""


class GateCheck(Output):
    """The outcome of one check."""

    name: str
    passed: bool = False
    message: str = ""


class Verdict(Output):
    """What the handler says."""

    ready: bool
    """False only where the run would fail."""
    status: str
    message: str = ""
    checks: Annotated[list[GateCheck], MaxItems(MAX_CHECKS)] = Field(default_factory=list)

    def in_words(self) -> str:
        """What is wrong, with the messages of the checks that failed."""
        failed = [f"{check.name}: {check.message or 'failed'}" for check in self.checks if not check.passed]
        return "; ".join([self.message, *failed] if self.message else failed) or "its handler doesn't say why"


async def _preflight(app: object, input: GateInput) -> Verdict:
    settings: GateSettings = app.definition.gate  # type: ignore[attr-defined] # `app` is a layer above
    if settings.check is None:
        raise AppNotFoundError("this app was defined without a way to its handler")
    verdict = await cast("Awaitable[Verdict]", settings.check(app, input))
    if not verdict.ready:
        if input.mode == "hard":
            raise PreflightFailedError(f"not ready to run: {verdict.in_words()}")
        _log.warning("not ready to run: %s. The run goes on, since preflight_gate_mode is 'soft'", verdict.in_words())
    return verdict


def gate_task(settings: GateSettings) -> TaskDefinition:
    """The gate as a task of an app with these settings."""
    return TaskDefinition(
        name=PREFLIGHT,
        input_type=GateInput,
        output_type=Verdict,
        function=_preflight,
        is_async=True,
        settings=TaskSettings(
            timeout_seconds=settings.timeout_seconds, retry=RetryPolicy(max_attempts=settings.max_attempts)
        ),
        line="application_sdk",
        description="Ask the app's handler whether the run would find what it needs.",
        envelope_bytes=ENVELOPE_BYTES,
    )


def gate_call(settings: GateSettings, entrypoint: str, mode: Literal["soft", "hard"], input: JSONObject) -> TaskRequest:
    """The gate's call in a run with this input."""
    gate_input = GateInput(entrypoint=entrypoint, mode=mode, timeout_seconds=settings.timeout_seconds, input=input)
    return TaskRequest(gate_task(settings), gate_input, "the start of the route", NAME)


def refused(error: BaseException) -> ErrorFields:
    """Why a run fails that the gate doesn't let pass."""
    if isinstance(error, TaskFailedError) and error.type == PreflightFailedError.__name__:
        return error_fields(PreflightFailedError(error.message))
    return error_fields(error)
