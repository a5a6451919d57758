"""Reads a run's input before its route begins, and puts on record what its defaults fill in."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from application_sdk.contracts.codec import decode, encode
from application_sdk.contracts.size import check_size
from application_sdk.execution import secret_leaks

if TYPE_CHECKING:
    from application_sdk.contracts.base import Input
    from application_sdk.execution.definition import EntrypointDefinition, RunInfo
    from application_sdk.execution.engine import Engine
    from application_sdk.wire.digest import JSONObject

ROOM_FOR_DEFAULTS: Final = 16 * 1024
"""Bytes that defaults may add to a run's input of the largest size."""


def read_input(
    entrypoint: EntrypointDefinition, input_json: JSONObject, engine: Engine, info: RunInfo
) -> tuple[Input, JSONObject]:
    """The run's input as an object, and its JSON with the defaults filled in.

    Defaults are recorded once: code, clock or chance may give another default to the next execution.

    Raises:
        ContractValidationError: The input doesn't fit the entry point.
        SecretLeakError: A default holds a secret.
    """
    if info.replay_rules != 1:
        input_json = engine.begun_with() or input_json
    contract = entrypoint.input_type
    # guard: input-path-on-cluster - a path of the submitting machine means nothing in a pod
    input = decode(contract, input_json, paths="keep" if info.own_disk else "refuse")
    check_size(input_json, info.max_payload_bytes, contract=contract.__name__)
    if info.replay_rules == 1:
        return input, input_json
    completed = encode(input, contract)
    if completed != input_json:
        # What the user gave fits, so defaults alone must not make it too large.
        check_size(completed, info.max_payload_bytes + ROOM_FOR_DEFAULTS, contract=contract.__name__)
        secret_leaks.check(completed, "the run's input")
        # Before any call: a crash here leaves a run that has done nothing, so its next execution may fill in
        # other defaults.
        # guard: input-recorded - a default that was computed at the start must be the same in replay
        engine.begin(completed)
    return input, completed
