"""What a call of a task returns in a route, until it is awaited."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Generator
from types import TracebackType
from typing import TYPE_CHECKING, Any, NoReturn

from typing_extensions import override

from application_sdk.errors import MisuseError
from application_sdk.execution.source_lines import user_line

if TYPE_CHECKING:
    from application_sdk.contracts.base import Output
    from application_sdk.execution.current import TaskRequest


class TaskCall(Coroutine[Any, None, "Output"]):
    """A task call, made when it is first awaited or wrapped into an asyncio Task. A coroutine in all but type."""

    __slots__ = ("_body", "_inner", "_on_begin", "request")

    def __init__(
        self,
        request: TaskRequest,
        body: Callable[[], Coroutine[Any, Any, Output]],
        on_begin: Callable[[TaskCall], None],
    ) -> None:
        self.request = request
        self._body = body
        self._on_begin = on_begin
        self._inner: Coroutine[Any, None, Output] | None = None

    def _begin(self) -> Coroutine[Any, None, Output]:
        if self._inner is None:
            self._on_begin(self)
            self._inner = self._body()
        return self._inner

    @override
    def __await__(self) -> Generator[Any, None, Output]:
        return self._begin().__await__()

    @override
    def send(self, value: None) -> Any:
        return self._begin().send(value)

    @override
    def throw(
        self,
        typ: type[BaseException] | BaseException,
        val: BaseException | object = None,
        tb: TracebackType | None = None,
    ) -> Any:
        error = typ if isinstance(typ, BaseException) else (val if isinstance(val, BaseException) else typ())
        return self._begin().throw(error)

    @override
    def close(self) -> None:
        if self._inner is None:
            self._on_begin(self)
        else:
            self._inner.close()

    def __getattr__(self, name: str) -> NoReturn:
        if name.startswith(("_", "cr_")):
            raise AttributeError(name)  # What tools ask of a coroutine.
        task = self.request.definition.name
        raise NotAwaitedError(
            f"{user_line()}: {name!r} of {task}(), which was called at {self.request.line} and not awaited, so there "
            f"is no {self.request.definition.output_type.__name__} yet. Write `await` before the call"
        )

    @override
    def __repr__(self) -> str:
        return f"<{self.request.definition.name}(), called at {self.request.line}, not awaited>"


class NotAwaitedError(MisuseError, AttributeError):
    """A call was taken for its output."""
