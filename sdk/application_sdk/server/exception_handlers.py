"""Whatever goes wrong with a request, in one form: a `RefusalBody` with a status, a code and
words."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Final, cast

from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

from application_sdk.server.errors import MAX_FAULTS, Problem, fault_of, see_faults
from application_sdk.server.limits import BodyTimeoutError, BodyTooLargeError, Limits
from application_sdk.server.schemas import Code, Refusal, RefusalBody

if TYPE_CHECKING:
    from fastapi import FastAPI, Request

_log = logging.getLogger("apprun.server")

MAX_PATH_LENGTH: Final = 200
"""Of a path as it is told back."""


def refuse_in_one_form(application: FastAPI, limits: Limits) -> None:
    """Have the application answer all failures so."""

    async def problem(request: Request, error: Exception) -> JSONResponse:
        return refusal(cast("Problem", error))

    async def invalid(request: Request, error: Exception) -> JSONResponse:
        return refusal(_not_valid(cast("RequestValidationError", error)))

    async def http(request: Request, error: Exception) -> JSONResponse:
        known = cast("HTTPException", error)
        # FastAPI takes whatever is raised while a body is read for a body that can't be parsed.
        if isinstance(known.__cause__, BodyTooLargeError):
            return refusal(Problem("RequestTooLarge", f"a request may have {limits.body_bytes} bytes at most"))
        if isinstance(known.__cause__, BodyTimeoutError):
            message = f"the body hasn't come in {limits.body_seconds:g} s. Send the request again"
            return refusal(Problem("RequestTimeout", message, headers={"Connection": "close"}))
        if isinstance(known.__cause__, RecursionError):
            return refusal(Problem("MalformedJSON", "the body is nested too deep. Send a flatter one"))
        code: Code = {404: "NotFound", 405: "MethodNotAllowed"}.get(known.status_code, "InvalidRequest")  # type: ignore[assignment]
        path = request.url.path[:MAX_PATH_LENGTH]
        message = f"there is no {request.method} {path}" if known.status_code == 404 else known.detail
        return refusal(Problem(code, message, status=known.status_code, headers=known.headers))

    async def unknown(request: Request, error: Exception) -> JSONResponse:
        _log.error("%s %s failed", request.method, request.url.path, exc_info=error)
        return refusal(Problem("InternalError", f"the server failed with {type(error).__name__}; its log has more"))

    application.add_exception_handler(Problem, problem)
    application.add_exception_handler(RequestValidationError, invalid)
    application.add_exception_handler(HTTPException, http)
    application.add_exception_handler(Exception, unknown)


def refusal(problem: Problem) -> JSONResponse:
    """The answer to a request that is refused."""
    body = RefusalBody(error=Refusal(code=problem.code, message=problem.message, faults=problem.faults))
    return JSONResponse(body.model_dump(mode="json"), problem.status, headers=problem.headers)


def _not_valid(error: RequestValidationError) -> Problem:
    """What FastAPI found, without the values: they may be secrets."""
    faults_found = error.errors()
    faults = []
    for fault in faults_found[:MAX_FAULTS]:
        place = [str(part) for part in fault["loc"]]
        if fault["type"] == "json_invalid":
            why = str((fault.get("ctx") or {}).get("error", ""))
            return Problem("MalformedJSON", f"the body isn't JSON, at character {place[-1]}: {why}")
        faults.append(fault_of(".".join(place[1:]) or place[0], str(fault["msg"])))
    return Problem(
        "InvalidRequest", f"the request isn't as it should be: see {see_faults(len(faults_found))}", faults=faults
    )
