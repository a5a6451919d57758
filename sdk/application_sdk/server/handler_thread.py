"""Calls of a handler: each with the context of its request and a time limit, in a thread away from
the server's.

Handlers are users' code. One that blocks holds up other questions to it, but neither the probes of
the kubelet nor what is asked about runs.
"""

from __future__ import annotations

import asyncio
import logging
import threading
import traceback
from collections.abc import Callable, Coroutine, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

from application_sdk.errors import AppError
from application_sdk.execution.redaction import Redactor, redacted
from application_sdk.execution.secret_leaks import secret_values
from application_sdk.handler.base import HandlerError
from application_sdk.handler.context import HandlerContext, bind_handler_context
from application_sdk.server.errors import Problem

if TYPE_CHECKING:
    from pydantic import BaseModel

    from application_sdk.handler.contracts import HandlerCredential

_log = logging.getLogger("apprun.server")

HandlerInput = TypeVar("HandlerInput", bound="BaseModel")
HandlerOutput = TypeVar("HandlerOutput", bound="BaseModel")


class HandlerThread:
    """The thread of an app's handlers, with an event loop of its own. `close` ends it."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="handler", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """End the thread; calls under way are dropped."""
        self._loop.call_soon_threadsafe(self._loop.stop)

    async def call_handler(
        self,
        method: Callable[[HandlerInput], Coroutine[Any, Any, HandlerOutput]],
        payload: HandlerInput,
        context: HandlerContext,
        seconds: float,
        others: Sequence[HandlerCredential] = (),
    ) -> HandlerOutput:
        """What a handler's method says. Raises Problem when it raises, or doesn't answer within
        `seconds`. `others` are credentials beside those of the context, hidden as they are."""

        async def call() -> HandlerOutput:
            with bind_handler_context(context):
                return await method(payload)

        answer = asyncio.run_coroutine_threadsafe(call(), self._loop)
        handler_call = _HandlerCall(method.__qualname__, context, others)
        try:
            async with asyncio.timeout(seconds) as limit:
                return await asyncio.wrap_future(answer)
        except TimeoutError as error:
            if not limit.expired():
                raise await asyncio.to_thread(handler_call.failed, error) from error
            raise Problem(
                "TimedOut",
                f"{handler_call.name}() hasn't answered in {seconds:g} s. Ask with a larger `timeout_seconds`, or "
                "look at what it waits for",
            ) from error
        except HandlerError as error:
            raise await asyncio.to_thread(handler_call.refused, error) from error
        except Exception as error:
            raise await asyncio.to_thread(handler_call.failed, error) from error


class _HandlerCall:
    """A call of a handler, for the messages about its failure."""

    def __init__(self, name: str, context: HandlerContext, others: Sequence[HandlerCredential] = ()) -> None:
        self.name = name
        self._request = context.request_id_str
        self._credentials = [*context.credentials, *others]

    def refused(self, error: HandlerError) -> Problem:
        _log.warning("%s refused request %s: %s", self.name, self._request, self._masked(str(error)))
        return Problem("HandlerError", self._masked(error.message), status=error.http_status)

    def failed(self, error: Exception) -> Problem:
        """What the handler didn't mean to say may hold anything, so callers get its type, and the
        log the rest."""
        trace = "".join(traceback.format_exception(error))
        _log.error("%s failed on request %s\n%s", self.name, self._request, self._masked(trace).rstrip())
        detail = f": {self._masked(str(error))}" if isinstance(error, AppError) else ""
        return Problem(
            "HandlerFailed",
            f"{self.name}() raised {type(error).__name__}{detail}. The server's log has more, under request "
            f"{self._request}",
        )

    def _masked(self, text: str) -> str:
        """`text` without the credentials of the request."""
        # Built for a failure only: listing each value in all of its encodings takes a while.
        secrets = Redactor()
        secrets.hide(*(value for part in self._credentials for value in secret_values(part.key, part.value)))
        return redacted(secrets.redacted(text))
