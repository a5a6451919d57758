"""`run_dev_combined`: an app on this machine from a script of its own, without the command line.

It is the local engine with all tasks in this process, so that a debugger sees them. What it runs is
a run like any other: `apprun show` and `apprun resume` know it. Scripts import it from
`application_sdk.main`; `command` makes it a console script.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Final

from application_sdk.contracts.codec import decode
from application_sdk.contracts.edge import without_unknown
from application_sdk.engines.local.events import Event
from application_sdk.engines.local.limits import Limits, Requests
from application_sdk.engines.local.records import RunRecord
from application_sdk.engines.local.render import format_event
from application_sdk.engines.local.run_store import RunStore
from application_sdk.engines.local.runs import ExecutionOptions, create_checked_run, execute_in_process
from application_sdk.engines.local.source import source_of
from application_sdk.engines.processes.fork_server import FORK_SERVER_VARIABLE
from application_sdk.errors import AppError, MisuseError
from application_sdk.infrastructure import InfrastructureContext, SecretNotFoundError, SecretStore, set_infrastructure
from application_sdk.server.serving import DEFAULT_PORT, local_service
from application_sdk.server.serving import serve as serve_service

if TYPE_CHECKING:
    from application_sdk.app.base import App
    from application_sdk.contracts.base import Input
    from application_sdk.wire.digest import JSON, JSONObject

_log = logging.getLogger("apprun")

_PARALLELISM: Final = 100
_CREDENTIAL_FIELD: Final = "credential_guid"
_WITHOUT_EFFECT: Final = frozenset(
    {"temporal_host", "temporal_namespace", "temporal_ui", "temporal_ui_port", "task_queue"}
)
_HOST: Final = "127.0.0.1"


class RunNotSucceededError(AppError):
    """The run ended, or came to a halt, without an output."""

    def __init__(self, run: RunRecord) -> None:
        error = run.error
        what = f": {error['type']}: {error['message']}" if error else ""
        trace = f"\n{error['traceback'].rstrip()}" if error and error.get("traceback") else ""
        super().__init__(f"run {run.name!r} is {run.phase}{what}{trace}\nSee `apprun show {run.name}`")
        self.run = run.name
        self.phase = run.phase


async def run_dev_combined(
    app_class: type[App],
    *,
    example_input: JSONObject | None = None,
    credentials: Mapping[str, JSON] | None = None,
    credential_stores: Mapping[str, SecretStore] | None = None,
    entrypoint: str | None = None,
    host: str | None = None,
    port: int | None = None,
    handler_host: str = _HOST,
    handler_port: int | None = None,
    serve: bool = True,
    **of_the_platform: object,
) -> JSON:
    """Serve an app over HTTP at `host` and `port` (127.0.0.1 and 8000) until Ctrl-C, and meanwhile
    run it once on `example_input`, if there is one. Returns the output of that run as JSON.

    With `serve=False` nothing is served: it runs the app once, on `example_input` or an empty one,
    and raises RunNotSucceededError if that fails. While the app is served, a failure is told in the
    log. Serving needs the extra `handler`; whoever reaches the port may ask, but for web pages of
    others. `handler_host` and `handler_port` are other names of `host` and `port`.

    `credentials` are secrets by name, for `self.context.get_secret`; so are the stores in
    `credential_stores`, asked in their order. An input with a field `credential_guid` takes them as
    one credential of that name as well. What is no field of the input is left out of
    `example_input`, with a warning. Keywords of the App Framework about Temporal and its task queue
    (`temporal_ui` and the like) are accepted and have no effect. Raises ContractValidationError for
    an input that doesn't fit, and MisuseError for a port that is taken.
    """
    _check_keywords(of_the_platform)
    if FORK_SERVER_VARIABLE in os.environ:
        raise MisuseError(
            "run_dev_combined() is called while the app's module is imported to execute its tasks. "
            'Put the call under `if __name__ == "__main__":`'
        )
    contract = app_class.definition.entrypoint(entrypoint).input_type
    if not logging.getLogger().handlers:
        logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    payload = without_unknown(contract, dict(example_input or {}))
    stores = list((credential_stores or {}).values())
    if credentials is not None:
        name = _credential_name(contract, payload)
        stores.insert(0, GivenSecrets({**credentials, name: dict(credentials)} if name else credentials))
    if stores:
        set_infrastructure(InfrastructureContext(secret_store=SecretStores(stores)))
    if not serve:
        return await _run_once(app_class, entrypoint, payload)
    if example_input is not None:
        # Told before anything listens: the mistake is in the script.
        decode(contract, payload, paths="keep")
    example = (entrypoint, payload) if example_input is not None else None
    at = port if port is not None else handler_port
    return await _serve(app_class, example, host or handler_host, DEFAULT_PORT if at is None else at)


async def _serve(app_class: type[App], example: tuple[str | None, JSONObject] | None, host: str, port: int) -> JSON:
    """Serve until Ctrl-C, with a run on the example beside it. The output of that, if it has ended
    well."""
    source, home = source_of(app_class), RunStore.from_environment(os.environ)
    with local_service(app_class, source, home, Limits(_PARALLELISM)) as service:
        run: asyncio.Task[JSON] | None = None

        def listening(told: str) -> None:
            nonlocal run
            _log.info("%s", told)
            if example is not None:
                run = asyncio.create_task(_run_example(app_class, *example))

        try:
            await serve_service(service, host, port, told=listening)
        except OSError as error:
            raise MisuseError(
                f"port {port} of {host} can't be listened on: {error.strerror}. Give run_dev_combined() another "
                "`port`, or end what listens there"
            ) from error
        finally:
            if run is not None and not run.done():
                run.cancel()
                await asyncio.wait([run])
        return None if run is None or run.cancelled() else run.result()


async def _run_example(app_class: type[App], entrypoint: str | None, payload: JSONObject) -> JSON:
    try:
        output = await _run_once(app_class, entrypoint, payload)
    except AppError as error:
        _log.error("%s", error)
        return None
    _log.info("the example's output: %s", output)
    return output


async def _run_once(app_class: type[App], entrypoint: str | None, payload: JSONObject) -> JSON:
    requests = Requests()
    work = asyncio.get_running_loop().run_in_executor(None, _run, app_class, entrypoint, payload, requests)
    try:
        run = await asyncio.shield(work)
    except asyncio.CancelledError:
        # Ctrl-C, as `asyncio.run` passes it on: let the engine note what was under way.
        requests.stop()
        await asyncio.wait([work])
        _log.info("%s", work.exception() or "the run had just ended")
        raise
    if run.phase != "Succeeded":
        raise RunNotSucceededError(run)
    return run.output


def _check_keywords(given: Mapping[str, object]) -> None:
    unknown = sorted(given.keys() - _WITHOUT_EFFECT)
    if unknown:
        raise TypeError(f"run_dev_combined() got an unexpected keyword argument {unknown[0]!r}")


def _credential_name(contract: type[Input], payload: JSONObject) -> str | None:
    """The name in the input under which the given credentials are one credential; it is put there
    if it isn't."""
    if _CREDENTIAL_FIELD not in contract.model_fields:
        return None
    return str(payload.get(_CREDENTIAL_FIELD) or payload.setdefault(_CREDENTIAL_FIELD, "given"))


def _run(app_class: type[App], entrypoint: str | None, payload: JSONObject, requests: Requests) -> RunRecord:
    source, home = source_of(app_class), RunStore.from_environment(os.environ)
    name = create_checked_run(home, app_class, source, payload, entrypoint)
    _log.info("run %s of %s", name, source.entry)
    return execute_in_process(
        home, name, app_class, source, ExecutionOptions(Limits(_PARALLELISM), _log_event, requests)
    )


def _log_event(event: Event) -> None:
    text = format_event(event, time.time())
    if text is not None:
        _log.info("%s", text)


class GivenSecrets:
    """Secrets that were given in the program text. A value that is no text is given as its JSON."""

    def __init__(self, secrets: Mapping[str, JSON]) -> None:
        self._secrets = secrets

    async def get(self, name: str) -> str:
        value = await self.get_optional(name)
        if value is None:
            raise SecretNotFoundError(f"there is no secret {name!r}; given were: {', '.join(self._secrets) or 'none'}")
        return value

    async def get_optional(self, name: str) -> str | None:
        value = self._secrets.get(name)
        return value if value is None or isinstance(value, str) else json.dumps(value)

    async def get_bulk(self, names: list[str]) -> dict[str, str]:
        secrets_found = {name: await self.get_optional(name) for name in names}
        return {name: value for name, value in secrets_found.items() if value is not None}

    async def list_names(self) -> list[str]:
        return sorted(self._secrets)


class SecretStores:
    """Several stores as one: the first that has a secret gives it."""

    def __init__(self, stores: list[SecretStore]) -> None:
        self._stores = stores

    async def get(self, name: str) -> str:
        for store in self._stores[:-1]:
            value = await store.get_optional(name)
            if value is not None:
                return value
        return await self._stores[-1].get(name)

    async def get_optional(self, name: str) -> str | None:
        for store in self._stores:
            value = await store.get_optional(name)
            if value is not None:
                return value
        return None

    async def get_bulk(self, names: list[str]) -> dict[str, str]:
        secrets_found: dict[str, str] = {}
        for store in reversed(self._stores):
            secrets_found.update(await store.get_bulk(names))
        return secrets_found

    async def list_names(self) -> list[str]:
        return sorted({name for store in self._stores for name in await store.list_names()})
