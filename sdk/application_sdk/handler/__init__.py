"""Handlers: what an app answers to those who set it up. Are the credentials good, is it ready, what
is there?

A handler is a class beside the app, named `{AppClass}Handler`. It is plain Python and can be called
as such; serving it over HTTP is another module's business. Task pods never import this.
"""

from typing import TYPE_CHECKING

from application_sdk.handler.base import DefaultHandler, Handler
from application_sdk.handler.context import HandlerContext
from application_sdk.handler.contracts import (
    ApiMetadataObject,
    ApiMetadataOutput,
    AuthInput,
    AuthOutput,
    AuthStatus,
    BaseConnectionConfig,
    BaseMetadataConfig,
    HandlerCredential,
    MetadataInput,
    MetadataOutput,
    PreflightCheck,
    PreflightInput,
    PreflightOutput,
    PreflightStatus,
    SqlMetadataObject,
    SqlMetadataOutput,
)
from application_sdk.handler.discovery import find_handler
from application_sdk.handler.errors import HandlerError

__all__ = [
    "ApiMetadataObject",
    "ApiMetadataOutput",
    "AuthInput",
    "AuthOutput",
    "AuthStatus",
    "BaseConnectionConfig",
    "BaseMetadataConfig",
    "DefaultHandler",
    "Handler",
    "HandlerContext",
    "HandlerCredential",
    "HandlerError",
    "MetadataInput",
    "MetadataOutput",
    "PreflightCheck",
    "PreflightInput",
    "PreflightOutput",
    "PreflightStatus",
    "SqlMetadataObject",
    "SqlMetadataOutput",
    "find_handler",
]


if not TYPE_CHECKING:

    def __getattr__(name):
        from application_sdk.lazy_attributes import load

        return load(__name__, name, {})
