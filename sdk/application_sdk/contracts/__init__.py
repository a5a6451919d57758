"""Typed inputs and outputs: what crosses between route, tasks, runs and the people who start them.

`from application_sdk.contracts import Input, Output` is all that most apps need. The rarer names are loaded when
they are first asked for, since every task pod imports this package.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from application_sdk.contracts.base import HeartbeatDetails, Input, Output, Record, SerializableEnum
from application_sdk.contracts.bounds import BoundedDict, BoundedList, MaxItems
from application_sdk.contracts.errors import ContractValidationError, PayloadSafetyError, PayloadTooLargeError
from application_sdk.contracts.safety import validate_payload_safety

if TYPE_CHECKING:
    from application_sdk.contracts.compatibility import is_backwards_compatible
    from application_sdk.contracts.connections import ConnectionRef, PublishInputMixin
    from application_sdk.contracts.inspection import (
        InputContract,
        OutputContract,
        get_contract_fields,
        has_default,
        validate_is_contract,
    )
    from application_sdk.contracts.storage import DownloadInput, DownloadOutput, UploadInput, UploadOutput
    from application_sdk.contracts.types import FileReference, GitReference, Lazy, StorageTier

__all__ = [
    "BoundedDict",
    "BoundedList",
    "ConnectionRef",
    "ContractValidationError",
    "DownloadInput",
    "DownloadOutput",
    "FileReference",
    "GitReference",
    "HeartbeatDetails",
    "Input",
    "InputContract",
    "Lazy",
    "MaxItems",
    "Output",
    "OutputContract",
    "PayloadSafetyError",
    "PayloadTooLargeError",
    "PublishInputMixin",
    "Record",
    "SerializableEnum",
    "StorageTier",
    "UploadInput",
    "UploadOutput",
    "get_contract_fields",
    "has_default",
    "is_backwards_compatible",
    "validate_is_contract",
    "validate_payload_safety",
]

_LATER = {
    "compatibility": "is_backwards_compatible",
    "connections": "ConnectionRef PublishInputMixin",
    "inspection": "InputContract OutputContract get_contract_fields has_default validate_is_contract",
    "storage": "DownloadInput DownloadOutput UploadInput UploadOutput",
    "types": "FileReference GitReference Lazy StorageTier",
}
"""Names by the module that is loaded when they are first asked for."""


if not TYPE_CHECKING:

    def __getattr__(name):
        from application_sdk.lazy_attributes import load

        return load(__name__, name, _LATER)


def __dir__() -> list[str]:
    return sorted(set(globals()) | set(__all__))
