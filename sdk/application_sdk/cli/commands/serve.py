"""`apprun run --handler`: an app of this machine over HTTP."""

from __future__ import annotations

import asyncio
import logging
import os
from pathlib import Path
from typing import Final

from application_sdk.cli.errors import InputError
from application_sdk.cli.exit_codes import SUCCEEDED
from application_sdk.cli.output import app_output, notify
from application_sdk.engines.local.limits import Limits
from application_sdk.engines.local.run_store import RunStore
from application_sdk.engines.local.source import find_source
from application_sdk.server.serving import local_service, serve

_HERE: Final = "127.0.0.1"
_PARALLELISM: Final = 100


def serve_app(app: str, port: int, parallelism: int | None) -> int:
    """Serve an app until Ctrl-C, to this machine only. Returns the exit code."""
    with app_output():
        return _serve(app, port, parallelism)


def _serve(app: str, port: int, parallelism: int | None) -> int:
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    source = find_source(app, Path.cwd())
    app_class = source.load()
    home = RunStore.from_environment(os.environ)
    with local_service(app_class, source, home, Limits(parallelism or _PARALLELISM)) as service:
        try:
            asyncio.run(serve(service, _HERE, port, told=notify))
        except OSError as error:
            raise InputError(
                f"port {port} can't be listened on: {error.strerror}. Choose another with --port"
            ) from error
    return SUCCEEDED
