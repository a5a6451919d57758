"""The main of a handler pod, which an App's Deployment starts: `python3 -m
application_sdk.server.pod`.

Its environment says which App it serves. What it may do to AppRuns is its service account's rights;
what a caller may is asked of the API server for each request.
"""

from __future__ import annotations

import asyncio
import logging
import os
import sys
from collections.abc import Mapping
from pathlib import Path

from application_sdk.app.loading import AppLoadError, load_app
from application_sdk.engines.kubernetes.api import in_cluster
from application_sdk.engines.kubernetes.mounted_secrets import register_mounted_secrets
from application_sdk.errors import AppError
from application_sdk.handler.discovery import handlers_of
from application_sdk.server.application import Service
from application_sdk.server.cluster_access import ClusterAccess
from application_sdk.server.cluster_runs import ClusterRuns
from application_sdk.server.serving import manifest_as_json, serve
from application_sdk.wire import names
from application_sdk.wire.pod import (
    HANDLER_APP_VARIABLE,
    HANDLER_ENTRY_VARIABLE,
    HANDLER_NAMESPACE_VARIABLE,
    HANDLER_PORT,
)


def main() -> int:
    """Serve until SIGTERM. The exit code is 1 when the app can't be loaded, 2 when the environment
    is incomplete."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    try:
        app, entry, namespace = _of(os.environ)
    except KeyError as error:
        sys.stderr.write(f"the environment variable {error} is missing: this is started by the operator\n")
        return 2
    register_mounted_secrets(Path(names.POD_DIRECTORY), os.environ)
    source = Path(names.SOURCE_DIRECTORY)
    if source.is_dir():
        sys.path.insert(0, str(source))
        sys.dont_write_bytecode = True
    try:
        app_class = load_app(entry)
        handlers = handlers_of(app_class)
    except AppLoadError as error:
        sys.stderr.write(f"{error.traceback}\n{error}\n")
        return 1
    except AppError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    api = in_cluster(os.environ, Path(names.POD_DIRECTORY), namespace)
    service = Service(
        app_class, handlers, ClusterRuns(api, app), manifest_as_json(app_class), ClusterAccess(api, namespace, app)
    )
    asyncio.run(serve(service, "0.0.0.0", HANDLER_PORT))
    return 0


def _of(environment: Mapping[str, str]) -> tuple[str, str, str]:
    return (
        environment[HANDLER_APP_VARIABLE],
        environment[HANDLER_ENTRY_VARIABLE],
        environment[HANDLER_NAMESPACE_VARIABLE],
    )


if __name__ == "__main__":
    sys.exit(main())
