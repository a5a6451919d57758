"""The web application: paths, bodies, statuses. `create_application` puts it together; everything
it asks is a port.

Paths and shapes are those of the App Framework's handler service. Its OpenAPI document is at
`/openapi.json`.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Annotated, Any, Final, TypeVar

from fastapi import Body, FastAPI, Header, Path, Query, Response
from fastapi.responses import PlainTextResponse
from pydantic import BaseModel, JsonValue

from application_sdk.contracts.codec import decode
from application_sdk.contracts.edge import without_unknown
from application_sdk.contracts.errors import ContractValidationError
from application_sdk.contracts.size import check_size
from application_sdk.errors import AppNotFoundError
from application_sdk.handler.base import Handler
from application_sdk.handler.context import HandlerContext
from application_sdk.handler.contracts import (
    AuthInput,
    AuthOutput,
    MetadataInput,
    PreflightInput,
)
from application_sdk.server.access import Access, OpenAccess
from application_sdk.server.document import describe
from application_sdk.server.errors import Problem, invalid_input
from application_sdk.server.exception_handlers import refuse_in_one_form
from application_sdk.server.guarded import RUN_PATTERN, Gate
from application_sdk.server.handler_thread import HandlerThread
from application_sdk.server.limits import BodyLimit, Limits, check_credentials
from application_sdk.server.origin import SameOrigin
from application_sdk.server.request_metrics import Counting, Counts
from application_sdk.server.runs import Runs, RunSnapshot, StartRequest, run_name_for_key
from application_sdk.server.schemas import (
    Answer,
    CheckAnswer,
    Fault,
    Health,
    RefusalBody,
    RunResult,
    RunState,
    Started,
    check_answer,
)
from application_sdk.wire.names import RUN_NAME_MAX_LENGTH, run_name_fault

if TYPE_CHECKING:
    from application_sdk.app.base import App
    from application_sdk.execution.definition import EntrypointDefinition
    from application_sdk.wire.digest import JSONObject

_ID_LENGTH: Final = 128
LOOK_SECONDS: Final = 0.5
READY_SECONDS: Final = 1.0
"""How long an answer to whether runs could be started is good: nobody needs a token to ask."""
_REFUSALS: Final[dict[int | str, dict[str, Any]]] = {
    status: {"model": RefusalBody} for status in (400, 401, 403, 404, 408, 409, 413, 422, 500, 503)
}
_TIMED: Final = {**_REFUSALS, 504: {"model": RefusalBody}}
_AUTH: Final = {**_TIMED, 401: {"model": Answer[AuthOutput] | RefusalBody}}

Question = AuthInput | PreflightInput | MetadataInput
Asked = TypeVar("Asked", bound=Question)
Said = TypeVar("Said", bound=BaseModel)

RunPath = Annotated[
    str, Path(max_length=RUN_NAME_MAX_LENGTH, pattern=RUN_PATTERN, description="Name of the run, as `start` gave it")
]
EntrypointQuery = Annotated[
    str, Query(max_length=128, description="Of several entry points the one that is meant; the default one if empty")
]


@dataclass(frozen=True)
class Service:
    """What one server serves."""

    app_class: type[App]
    handlers: Mapping[str, Handler]
    """By the name of the entry point that each answers for."""
    runs: Runs
    manifest: JSONObject
    access: Access = field(default_factory=OpenAccess)
    limits: Limits = field(default_factory=Limits)
    hosts: frozenset[str] | None = None
    """Names that requests may call this server by, and pages may be of that send any. None: any,
    where a token is needed."""


def create_application(service: Service) -> FastAPI:
    """The ASGI application of a service."""
    definition = service.app_class.definition

    @asynccontextmanager
    async def lifespan(application: FastAPI) -> AsyncIterator[None]:
        yield
        server.close()

    server = _Server(service)
    application = FastAPI(
        title=definition.name,
        version=definition.version,
        description=(service.app_class.__doc__ or "").strip(),
        lifespan=lifespan,
        docs_url=None,
        redoc_url=None,
        openapi_url=None,
    )
    application.add_middleware(BodyLimit, limit=service.limits.body_bytes, seconds=service.limits.body_seconds)
    if service.hosts is not None:
        application.add_middleware(SameOrigin, hosts=service.hosts)
    refuse_in_one_form(application, service.limits)
    application.add_middleware(Counting, counts=server.counts)
    _serve_health(application, server)
    _serve_questions(application, server)
    _serve_runs(application, server)
    _serve_descriptions(application, server)
    describe(application, definition, service.app_class.__name__)
    return application


class _Server:
    """What the paths have in common."""

    def __init__(self, service: Service) -> None:
        self.service = service
        self.definition = service.app_class.definition
        self.thread = HandlerThread()
        self.gate = Gate(service.access)
        self.counts = Counts()
        self._ready_until = 0.0

    def close(self) -> None:
        self.thread.close()
        self.gate.close()

    async def until_ready(self) -> None:
        """Raises Problem when no run could be started now."""
        if time.monotonic() >= self._ready_until:
            await asyncio.to_thread(self.service.runs.check)
            self._ready_until = time.monotonic() + READY_SECONDS

    def context(self, asked: Question) -> HandlerContext:
        return HandlerContext(self.definition.name, tuple(asked.credentials))

    def seconds(self, wanted: float) -> float:
        return max(0.001, min(wanted, self.service.limits.call_seconds))

    def entrypoint(self, name: str) -> EntrypointDefinition:
        try:
            return self.definition.entrypoint(name or None)
        except AppNotFoundError as error:
            raise Problem("UnknownEntrypoint", str(error)) from error

    async def ask(
        self, question: Callable[[Handler], Callable[[Asked], Coroutine[Any, Any, Said]]], asked: Asked
    ) -> Said:
        """What the handler of the entry point that is meant says."""
        method = question(self.service.handlers[self.entrypoint(asked.entrypoint).name])
        by_name = asked.credentials_by_name if isinstance(asked, PreflightInput) else {}
        others = [part for parts in by_name.values() for part in parts]
        check_credentials([*asked.credentials, *others], self.service.limits)
        seconds = self.seconds(asked.timeout_seconds)
        return await self.thread.call_handler(method, asked, self.context(asked), seconds, others)


def _serve_questions(application: FastAPI, server: _Server) -> None:
    asking = server.gate.router("ask")

    @asking.post("/workflows/v1/auth", responses=_AUTH, operation_id="test_auth")
    async def test_auth(asked: AuthInput, response: Response) -> Answer[AuthOutput]:
        """Whether the credentials are good. `success` says so too, and the status: it is 401 for
        those that aren't."""
        output = await server.ask(lambda handler: handler.test_auth, asked)
        response.status_code = 200 if output.status.is_success else 401
        return Answer(success=output.status.is_success, message=output.message or f"auth: {output.status}", data=output)

    @asking.post("/workflows/v1/check", responses=_TIMED, operation_id="preflight_check")
    async def preflight_check(asked: PreflightInput) -> CheckAnswer:
        """Whether a run would find what it needs. `success` is False when it would not."""
        return check_answer(await server.ask(lambda handler: handler.preflight_check, asked))

    @asking.post("/workflows/v1/metadata", responses=_TIMED, operation_id="fetch_metadata")
    async def fetch_metadata(asked: MetadataInput) -> Answer[JsonValue]:
        """What there is to choose from: `data` is the list of objects."""
        output = await server.ask(lambda handler: handler.fetch_metadata, asked)
        return Answer(message=f"{len(output.objects)} objects", data=output.model_dump(mode="json")["objects"])

    application.include_router(asking)


def _serve_runs(application: FastAPI, server: _Server) -> None:
    service = server.service
    starting, looking, stopping = (server.gate.router(action) for action in ("start", "look", "stop"))

    @starting.post("/workflows/v1/start", responses=_TIMED, operation_id="start")
    async def start(
        payload: Annotated[dict[str, JsonValue], Body(description="The entry point's input")],
        entrypoint: EntrypointQuery = "",
        idempotency_key: Annotated[
            str, Header(max_length=512, description="Requests with the same key start one run")
        ] = "",
    ) -> Answer[Started]:
        """Start a run. The body is the entry point's input; a `workflow_id` beside it names the
        run, `workflow_type` the entry point, and `correlation_id` is given back. `credentials`
        beside it are left out, since inputs are stored: give references. What else is no field of
        the input is left out with a warning in the log."""
        fields = dict(payload)
        chosen = server.entrypoint(entrypoint or _envelope(server, fields))
        correlation = fields.get("correlation_id", "")
        order = _order(server, chosen, fields, idempotency_key)
        started = await asyncio.to_thread(service.runs.start, order)
        if isinstance(correlation, str):
            started = started.model_copy(update={"correlation_id": correlation[:_ID_LENGTH]})
        return Answer(message="started" if started.created else "was started before", data=started)

    @looking.get("/workflows/v1/status/{workflow_id}", responses=_REFUSALS, operation_id="status")
    async def status(workflow_id: RunPath) -> Answer[RunState]:
        """Where a run stands."""
        state = (await asyncio.to_thread(service.runs.get, workflow_id)).state
        return Answer(message=state.message or state.phase, data=state)

    @looking.get("/workflows/v1/status/{workflow_id}/{run_id}", responses=_REFUSALS, operation_id="status_of_run")
    async def status_of_run(workflow_id: RunPath, run_id: Annotated[str, Path(max_length=64)]) -> Answer[RunState]:
        """Where the run with this name and this unique id stands."""
        answer = await status(workflow_id)
        if answer.data.run_id != run_id:
            raise Problem("NotFound", f"run {workflow_id!r} has the id {answer.data.run_id}: the one before it is gone")
        return answer

    @looking.get("/workflows/v1/result/{workflow_id}", responses=_REFUSALS, operation_id="result")
    async def result(
        workflow_id: RunPath,
        wait: Annotated[bool, Query(description="Wait for the end, for half a minute at most")] = False,
    ) -> Answer[RunResult]:
        """What a run has returned. `success` is False if it failed or was cancelled."""
        return _result(workflow_id, await _look(service, workflow_id, wait=wait))

    @stopping.post("/workflows/v1/stop/{workflow_id}", responses=_REFUSALS, operation_id="stop")
    async def stop(workflow_id: RunPath) -> Answer[RunState]:
        """Cancel a run. Its route and its tasks may clean up; `status` tells when it has ended."""
        await asyncio.to_thread(service.runs.stop, workflow_id)
        return await status(workflow_id)

    @stopping.post("/workflows/v1/stop/{workflow_id}/{run_id}", responses=_REFUSALS, operation_id="stop_run")
    async def stop_run(workflow_id: RunPath, run_id: Annotated[str, Path(max_length=64)]) -> Answer[RunState]:
        """Cancel the run with this name and this unique id."""
        await status_of_run(workflow_id, run_id)
        return await stop(workflow_id)

    for router in (starting, looking, stopping):
        application.include_router(router)


def _serve_descriptions(application: FastAPI, server: _Server) -> None:
    describing = server.gate.router("describe")

    @describing.get("/workflows/v1/manifest", responses=_REFUSALS, operation_id="manifest")
    async def manifest() -> Answer[dict[str, JsonValue]]:
        """What the app consists of: entry points and tasks, with the JSON Schemas of what they take
        and return."""
        return Answer(message=server.definition.name, data=server.service.manifest)

    @describing.get("/openapi.json", include_in_schema=False)
    async def document() -> dict[str, Any]:
        return application.openapi()

    application.include_router(describing)


def _order(server: _Server, chosen: EntrypointDefinition, payload: dict[str, JsonValue], key: str) -> StartRequest:
    name = payload.pop("workflow_id", "")
    if not isinstance(name, str):
        raise _bad_name("the name of a run is text")
    if fault := run_name_fault(name) if name else "":
        raise _bad_name(fault)
    given: JSONObject = payload
    try:
        # The size first: it bounds how many faults there can be to look for.
        check_size(given, server.definition.max_payload_bytes, contract=chosen.input_type.__name__)
        given = without_unknown(chosen.input_type, given)
        decode(chosen.input_type, given, paths="refuse")
    except ContractValidationError as error:
        raise invalid_input(error) from error
    app = server.definition.name
    return StartRequest(chosen.name, given, name or (run_name_for_key(app, key) if key else ""))


def _bad_name(problem: str) -> Problem:
    return Problem("InvalidRequest", problem, faults=[Fault(field="workflow_id", problem=problem)])


def _envelope(server: _Server, payload: dict[str, JsonValue]) -> str:
    """The entry point that the body names, if it is one that there is: other words for a workflow
    are ignored."""
    named = payload.get("workflow_type")
    return named if isinstance(named, str) and named in server.definition.entrypoints else ""


async def _look(service: Service, run: str, *, wait: bool) -> RunSnapshot:
    """The run as it stands; with `wait` at its end, if that comes soon."""
    until = time.monotonic() + (service.limits.wait_seconds if wait else 0)
    while True:
        found = await asyncio.to_thread(service.runs.get, run)
        if found.state.status != "RUNNING" or time.monotonic() + LOOK_SECONDS > until:
            return found
        await asyncio.sleep(LOOK_SECONDS)


def _result(run: str, ended: RunSnapshot) -> Answer[RunResult]:
    state = ended.state
    if state.status == "RUNNING":
        message = f"the run is {state.phase}: {state.message}" if state.message else f"the run is {state.phase}"
        return Answer(message=message, data=RunResult(workflow_id=run, status="running", error=state.error))
    if state.status == "COMPLETED":
        done = RunResult(workflow_id=run, status="completed", result=ended.output)
        return Answer(message="the run succeeded", data=done)
    word = "canceled" if state.status == "CANCELED" else "failed"
    why = f": {state.error.type}: {state.error.message}" if state.error else ""
    return Answer(
        success=False,
        message=f"the run is {state.phase}{why}",
        data=RunResult(workflow_id=run, status="canceled" if word == "canceled" else "failed", error=state.error),
    )


def _serve_health(application: FastAPI, server: _Server) -> None:
    name = server.definition.name

    @application.get("/server/health", include_in_schema=False)
    @application.get("/health", operation_id="health")
    async def health() -> Health:
        """Whether the server lives."""
        return Health(status="healthy", app=name)

    @application.get("/metrics", include_in_schema=False)
    async def metrics() -> PlainTextResponse:
        """How many requests were answered, for Prometheus."""
        return PlainTextResponse(server.counts.text(name), media_type="text/plain; version=0.0.4")

    @application.get("/server/ready", include_in_schema=False)
    @application.get("/ready", operation_id="ready", responses={503: {"model": RefusalBody}})
    async def ready() -> Health:
        """Whether runs could be started now."""
        await server.until_ready()
        return Health(status="ready", app=name)
