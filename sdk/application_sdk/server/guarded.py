"""Routes that ask who the caller is before they read what he sent.

FastAPI reads and parses a body before it calls a dependency, so that a check in one comes after the
costly part.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, Final

from fastapi import APIRouter, Request, Response
from fastapi.routing import APIRoute
from typing_extensions import override

from application_sdk.server.errors import Problem
from application_sdk.wire.names import RUN_NAME_MAX_LENGTH

if TYPE_CHECKING:
    from application_sdk.server.access import Access, Action, Caller

RUN_PATTERN: Final = r"^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$"
CHECKS_AT_ONCE: Final = 8
CHECKS_WAITING: Final = 100
"""How many more may wait for their turn. Beyond that a caller is sent away at once."""


class Gate:
    """Asks about callers, a few at a time, in threads of its own: a flood of them holds up nothing
    else."""

    def __init__(self, access: Access) -> None:
        self._access = access
        self._threads = ThreadPoolExecutor(CHECKS_AT_ONCE, "access")
        self._asking = 0

    async def check(self, authorization: str, action: Action, run: str) -> Caller:
        """The caller. Raises Problem."""
        known = self._access.recall(authorization, action, run)
        if known is not None:
            return known
        # guard: token-checks-bounded - each check costs a request to the API server
        if self._asking >= CHECKS_AT_ONCE + CHECKS_WAITING:
            message = "too many callers are being checked at this moment: try again in a second"
            raise Problem("Unavailable", message, headers={"Retry-After": "1"})
        self._asking += 1
        try:
            loop = asyncio.get_running_loop()
            return await loop.run_in_executor(self._threads, self._access.check, authorization, action, run)
        finally:
            self._asking -= 1

    def close(self) -> None:
        """End the threads; checks under way are dropped."""
        self._threads.shutdown(wait=False, cancel_futures=True)

    def router(self, action: Action) -> APIRouter:
        """A router whose requests pass only if their caller may do this."""
        gate = self

        class GuardedRoute(APIRoute):
            @override
            def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
                answer = super().get_route_handler()

                async def guarded(request: Request) -> Response:
                    run = str(request.path_params.get("workflow_id", ""))
                    if len(run) > RUN_NAME_MAX_LENGTH or not re.fullmatch(RUN_PATTERN, run):
                        run = ""  # refused as a name once the caller is known
                    authorization = request.headers.get("authorization", "")
                    request.state.caller = (await gate.check(authorization, action, run)).name
                    return await answer(request)

                return guarded

        return APIRouter(route_class=GuardedRoute)
