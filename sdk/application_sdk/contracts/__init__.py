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
    from application_sdk.contracts.storage import DownloadInput, DownloadOutput, UploadInput, UploadOutput
    from application_sdk.contracts.types import FileReference, GitReference, StorageTier

__all__ = [
    "BoundedDict",
    "BoundedList",
    "ContractValidationError",
    "DownloadInput",
    "DownloadOutput",
    "FileReference",
    "GitReference",
    "HeartbeatDetails",
    "Input",
    "MaxItems",
    "Output",
    "PayloadSafetyError",
    "PayloadTooLargeError",
    "Record",
    "SerializableEnum",
    "StorageTier",
    "UploadInput",
    "UploadOutput",
    "is_backwards_compatible",
    "validate_payload_safety",
]

_LATER = {
    "DownloadInput": "storage",
    "DownloadOutput": "storage",
    "FileReference": "types",
    "GitReference": "types",
    "StorageTier": "types",
    "UploadInput": "storage",
    "UploadOutput": "storage",
    "is_backwards_compatible": "compatibility",
}
"""Names by the module that is loaded when they are first asked for."""


def __getattr__(name: str) -> object:
    home = _LATER.get(name)
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    value: object = getattr(import_module(f"{__name__}.{home}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(set(globals()) | set(__all__))
