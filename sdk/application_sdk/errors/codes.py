"""Numbered codes of the App Framework's earlier versions, for programs that compare them. Nothing
here raises them."""

from __future__ import annotations

from dataclasses import dataclass

from typing_extensions import override


@dataclass(frozen=True)
class ErrorCode:
    """A component and a number in it."""

    component: str
    id: int

    @property
    def code(self) -> str:
        """Such as `AAF-APP-001`."""
        return f"AAF-{self.component}-{self.id:03d}"

    @override
    def __str__(self) -> str:
        return self.code


APP_ERROR = ErrorCode("APP", 1)
APP_NON_RETRYABLE = ErrorCode("APP", 2)
APP_CONTEXT_ERROR = ErrorCode("APP", 3)
APP_NOT_FOUND = ErrorCode("APP", 4)
APP_ALREADY_REGISTERED = ErrorCode("APP", 5)
TASK_NOT_FOUND = ErrorCode("APP", 6)
STORAGE_NOT_FOUND = ErrorCode("STR", 1)
STORAGE_PERMISSION = ErrorCode("STR", 2)
STORAGE_CONFIG = ErrorCode("STR", 3)
STORAGE_OPERATION = ErrorCode("STR", 4)
STORAGE_EMPTY_UPLOAD = ErrorCode("STR", 5)
STORAGE_PREFLIGHT = ErrorCode("STR", 6)
STORAGE_INTEGRITY = ErrorCode("STR", 7)
CONTRACT_VALIDATION = ErrorCode("CTR", 1)
PAYLOAD_SAFETY = ErrorCode("CTR", 2)
HANDLER_ERROR = ErrorCode("HDL", 1)
EXECUTION_ERROR = ErrorCode("EXE", 1)
EXECUTION_WORKER_ERROR = ErrorCode("EXE", 2)
EXECUTION_ACTIVITY_ERROR = ErrorCode("EXE", 3)
STATE_STORE_ERROR = ErrorCode("INF", 1)
PUBSUB_ERROR = ErrorCode("INF", 2)
BINDING_ERROR = ErrorCode("INF", 3)
SECRET_STORE_ERROR = ErrorCode("INF", 4)
SECRET_NOT_FOUND = ErrorCode("INF", 5)
CREDENTIAL_ERROR = ErrorCode("CRD", 1)
CREDENTIAL_NOT_FOUND = ErrorCode("CRD", 2)
CREDENTIAL_PARSE_ERROR = ErrorCode("CRD", 3)
CREDENTIAL_VALIDATION_ERROR = ErrorCode("CRD", 4)
CREDENTIAL_VAULT_ERROR = ErrorCode("CRD", 5)
DISCOVERY_ERROR = ErrorCode("DSC", 1)
EVENT_PUBLISH = ErrorCode("EVT", 1)
EVENT_BUS = ErrorCode("EVT", 2)
SEGMENT_ERROR = ErrorCode("EVT", 3)
