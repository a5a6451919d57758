"""The handler's part of the gate before a route: the preflight check of a run that begins, asked in
a task of it.

The handler answers as it would over HTTP. What the caller of a request would send comes from the
run's input: credentials are what its references stand for.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Final

from application_sdk.contracts.codec import decode, encode
from application_sdk.contracts.types import CredentialRef
from application_sdk.credentials.resolver import resolve_credential_raw
from application_sdk.errors import NonRetryableError
from application_sdk.handler.context import HandlerContext, bind_handler_context
from application_sdk.handler.contracts import (
    BaseConnectionConfig,
    BaseMetadataConfig,
    HandlerCredential,
    PreflightInput,
    PreflightStatus,
)
from application_sdk.handler.discovery import find_handler
from application_sdk.handler.errors import HandlerError
from application_sdk.infrastructure import get_infrastructure
from application_sdk.replay.preflight import MAX_CHECKS, GateCheck, GateInput, Verdict

if TYPE_CHECKING:
    from application_sdk.contracts.base import Input
    from application_sdk.execution.definition import AppDefinition

_log = logging.getLogger("apprun.preflight")

CREDENTIAL_FIELD: Final = "credential_guid"
CONFIG_FIELD: Final = "connection_config"
_WORTH_A_RETRY: Final = frozenset({408, 425, 429})


class CheckRefusedError(NonRetryableError):
    """The handler refused to make the check, with a status that says that asking again is of no
    use."""


async def ask(app: object, request: GateInput) -> Verdict:
    """What the app's handler says of a run with this input. Raises what it raises."""
    definition: AppDefinition = app.definition  # type: ignore[attr-defined] # `app` is a layer above
    handler = find_handler(type(app), request.entrypoint)()
    contract = definition.entrypoint(request.entrypoint).input_type
    given = decode(contract, request.input)
    fields = encode(given, contract)  # with the defaults of what wasn't given
    by_name = {name: await _parts(ref) for name, ref in _references(given)}
    parts = next(iter(by_name.values())) if len(by_name) == 1 else []
    config = fields.get(CONFIG_FIELD)
    question = PreflightInput(
        credentials=parts,
        credentials_by_name=by_name,
        connection_config=BaseConnectionConfig(**(config if isinstance(config, dict) else fields)),
        metadata=BaseMetadataConfig(**fields),
        entrypoint=request.entrypoint,
        timeout_seconds=max(1, int(request.timeout_seconds)),
    )
    with bind_handler_context(HandlerContext(definition.name, tuple(parts))):
        try:
            output = await handler.preflight_check(question)
        except HandlerError as error:
            if error.http_status < 500 and error.http_status not in _WORTH_A_RETRY:
                raise CheckRefusedError(str(error)) from error
            raise
    _log.info("%s.preflight_check says %s", type(handler).__name__, output.status)
    return Verdict(
        ready=output.status is not PreflightStatus.NOT_READY,
        status=str(output.status),
        message=output.message,
        checks=[GateCheck(name=one.name, passed=one.passed, message=one.message) for one in output.checks[:MAX_CHECKS]],
    )


def _references(given: Input) -> Iterator[tuple[str, CredentialRef]]:
    """The credentials that an input refers to, by the names of its fields."""
    for name in type(given).model_fields:
        value: Any = getattr(given, name)
        if isinstance(value, CredentialRef) and value.name:
            yield name, value
        elif name == CREDENTIAL_FIELD and isinstance(value, str) and value:
            yield name, CredentialRef(name=value)


async def _parts(ref: CredentialRef) -> list[HandlerCredential]:
    fields = await resolve_credential_raw(get_infrastructure(), ref)
    return [
        HandlerCredential(key=key, value=value if isinstance(value, str) else json.dumps(value))
        for key, value in fields.items()
        if value is not None
    ]
