"""How a handler refuses a request."""

from __future__ import annotations

from typing import Final

from typing_extensions import override

from application_sdk.errors import AppError, MisuseError

_CLIENT_ERRORS: Final = 400
_END_OF_ERRORS: Final = 600


class HandlerError(AppError):
    """Raised by a handler: the request is answered with this HTTP status and message."""

    def __init__(
        self,
        message: str,
        *,
        http_status: int = 500,
        handler_name: str = "",
        app_name: str = "",
        cause: Exception | None = None,
    ) -> None:
        if not _CLIENT_ERRORS <= http_status < _END_OF_ERRORS:
            raise MisuseError(f"HandlerError(http_status={http_status}): an error's status is between 400 and 599")
        super().__init__(message)
        self.message = message
        self.http_status = http_status
        self.handler_name = handler_name
        self.app_name = app_name
        self.__cause__ = cause

    @override
    def __str__(self) -> str:
        named = {"handler": self.handler_name, "app": self.app_name}
        where = ", ".join(f"{kind} {name}" for kind, name in named.items() if name)
        return f"{self.message} ({where})" if where else self.message
