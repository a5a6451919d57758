"""`Handler`: the class that users derive from beside their `App`, and the one that stands in where
they don't."""

from __future__ import annotations

import inspect
from abc import ABC, abstractmethod
from typing import Final

from typing_extensions import override

from application_sdk.errors import AppDefinitionError, MisuseError
from application_sdk.handler.context import HandlerContext, get_handler_context
from application_sdk.handler.contracts import (
    AuthInput,
    AuthOutput,
    AuthStatus,
    MetadataInput,
    MetadataOutput,
    PreflightInput,
    PreflightOutput,
    PreflightStatus,
    SqlMetadataOutput,
)
from application_sdk.handler.errors import HandlerError as HandlerError

OPERATIONS: Final = ("test_auth", "preflight_check", "fetch_metadata")


class Handler(ABC):
    """Answers for an app. Has no state of its own: one instance may answer several requests at a
    time.

    What is wrong with the credentials or the source is told by the status that is returned. An
    exception says that the question couldn't be answered.
    """

    @override
    def __init_subclass__(cls, **kwargs: object) -> None:
        super().__init_subclass__(**kwargs)
        for name in OPERATIONS:
            method = vars(cls).get(name)
            if method is not None and not inspect.iscoroutinefunction(method):
                code = getattr(method, "__code__", None)
                line = f" ({code.co_filename}:{code.co_firstlineno})" if code is not None else ""
                raise AppDefinitionError(
                    f"{cls.__qualname__}.{name}{line} isn't async: write `async def {name}(self, input)`"
                )

    @property
    def context(self) -> HandlerContext:
        """The request that is being answered. Raises MisuseError outside of one."""
        found = get_handler_context()
        if found is None:
            raise MisuseError(
                f"{type(self).__name__}.context belongs to a request, and there is none. In a test: "
                f"`with bind_handler_context(HandlerContext(app_name)):`"
            )
        return found

    @abstractmethod
    async def test_auth(self, input: AuthInput) -> AuthOutput:
        """Whether the credentials are good."""

    @abstractmethod
    async def preflight_check(self, input: PreflightInput) -> PreflightOutput:
        """Whether a run would find what it needs."""

    @abstractmethod
    async def fetch_metadata(self, input: MetadataInput) -> MetadataOutput:
        """What there is to choose from."""


class DefaultHandler(Handler):
    """Finds everything in order and nothing to choose from. Derive from it to answer some of the
    questions only."""

    @override
    async def test_auth(self, input: AuthInput) -> AuthOutput:
        return AuthOutput(status=AuthStatus.SUCCESS, message="this app tests no credentials")

    @override
    async def preflight_check(self, input: PreflightInput) -> PreflightOutput:
        return PreflightOutput(status=PreflightStatus.READY, message="this app has no checks")

    @override
    async def fetch_metadata(self, input: MetadataInput) -> MetadataOutput:
        return SqlMetadataOutput()
