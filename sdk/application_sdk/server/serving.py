"""From an app to a server that listens: on this machine (`serve_here`), or what a pod serves
(`server.pod`)."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import signal
import socket
import threading
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, Final, cast

from application_sdk.app.manifest import manifest_of
from application_sdk.engines.local.limits import Limits
from application_sdk.engines.local.run_store import RunStore
from application_sdk.engines.processes.source import AppSource
from application_sdk.errors import NotAvailableError
from application_sdk.handler.discovery import handlers_of
from application_sdk.server.local_runs import LocalRuns

if TYPE_CHECKING:
    import uvicorn

    from application_sdk.app.base import App
    from application_sdk.server.application import Service
    from application_sdk.wire.digest import JSONObject

_log = logging.getLogger("apprun.server")

DEFAULT_PORT: Final = 8000
_GRACE_SECONDS: Final = 10
_MISSING: Final = (
    "serving an app over HTTP needs FastAPI and uvicorn: pip install '/path/to/apprun[handler]' (a clone or a wheel)"
)


def manifest_as_json(app_class: type[App]) -> JSONObject:
    """The app's manifest, as the server gives it."""
    return cast("JSONObject", manifest_of(app_class.definition))


@contextlib.contextmanager
def local_service(
    app_class: type[App], source: AppSource, home: RunStore, limits: Limits, hosts: Iterable[str] = ()
) -> Iterator[Service]:
    """What is served of an app on this machine: runs of the local engine, open to this machine's
    programs.

    `hosts` are names of the server beside `localhost` and the loopback addresses. No web page but
    its own may use it.
    """
    with _extra():
        # FastAPI is in the extra `handler`: importing this module must work without it.
        from application_sdk.server.application import Service

    runs = LocalRuns(home, app_class, source, limits)
    with contextlib.closing(runs):
        runs.resume_interrupted()
        known = frozenset(host.lower() for host in hosts)
        yield Service(app_class, handlers_of(app_class), runs, manifest_as_json(app_class), hosts=known)


async def serve(service: Service, host: str, port: int, told: Callable[[str], None] = _log.info) -> None:
    """Listen until SIGINT or SIGTERM. Requests under way have ten seconds to end. Raises OSError
    when the port is taken, NotAvailableError without the extra."""
    with _extra():
        import uvicorn

        from application_sdk.server.application import create_application
        from application_sdk.server.connections import Patience

    application = create_application(service)
    with socket.create_server((host, port), family=socket.AF_INET6 if ":" in host else socket.AF_INET) as listening:
        at = f"[{host}]" if ":" in host else host
        told(f"{service.app_class.definition.name} is served at http://{at}:{listening.getsockname()[1]}")
        config = uvicorn.Config(
            application,
            log_config=None,
            access_log=False,
            timeout_graceful_shutdown=_GRACE_SECONDS,
            server_header=False,
            http=Patience().protocol(),
            ws="none",
        )
        server = uvicorn.Server(config)
        with _ending(server):
            # Not `serve`, which raises the signal once more when all is done.
            await server._serve([listening])  # noqa: SLF001


@contextlib.contextmanager
def _ending(server: uvicorn.Server) -> Iterator[None]:
    """SIGINT and SIGTERM end the server in good order; a second SIGINT does at once."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    loop, signals = asyncio.get_running_loop(), (signal.SIGINT, signal.SIGTERM)
    for number in signals:
        loop.add_signal_handler(number, server.handle_exit, number, None)
    try:
        yield
    finally:
        for number in signals:
            loop.remove_signal_handler(number)


@contextlib.contextmanager
def _extra() -> Iterator[None]:
    try:
        yield
    except ModuleNotFoundError as error:
        if error.name in ("fastapi", "starlette", "uvicorn"):
            raise NotAvailableError(_MISSING) from error
        raise
