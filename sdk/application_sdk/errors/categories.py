"""Kinds of failures and who is to act on them: words that are the same in every app."""

from __future__ import annotations

from enum import StrEnum


class FailureCategory(StrEnum):
    """What kind of failure it is."""

    CANCELLED = "CANCELLED"
    TIMEOUT = "TIMEOUT"
    RATE_LIMITED = "RATE_LIMITED"
    AUTH = "AUTH"
    PERMISSION = "PERMISSION"
    NOT_FOUND = "NOT_FOUND"
    ALREADY_EXISTS = "ALREADY_EXISTS"
    INVALID_INPUT = "INVALID_INPUT"
    PRECONDITION = "PRECONDITION"
    DEPENDENCY_UNAVAILABLE = "DEPENDENCY_UNAVAILABLE"
    SOURCE_UNAVAILABLE = "SOURCE_UNAVAILABLE"
    RESOURCE_EXHAUSTED = "RESOURCE_EXHAUSTED"
    DATA_INTEGRITY = "DATA_INTEGRITY"
    INTERNAL = "INTERNAL"
    UNIMPLEMENTED = "UNIMPLEMENTED"


class Audience(StrEnum):
    """Who can do something about a failure."""

    USER = "USER"
    PLATFORM = "PLATFORM"
    APP_OWNER = "APP_OWNER"
