"""The console script `application-sdk` of the App Framework: its arguments, for start commands that
have them."""

from __future__ import annotations

import argparse
import asyncio
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final, NoReturn

from application_sdk.development import run_dev_combined
from application_sdk.engines.local.source import find_source
from application_sdk.errors import AppError

_WORKER: Final = (
    "there are no workers: each run has a driver and each task call a pod, which the operator starts. Put the app into "
    "an image and apply its App (`apprun init`, docs/deploying.md), or run it here with `apprun run {app}`"
)
_USAGE: Final = 2


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """Serve an app (`combined`, `handler`), or say what stands in place of a worker. Ends the
    process."""
    options = _parser().parse_args(arguments)
    app: str = options.app or os.environ.get("ATLAN_APP_MODULE", "")
    if options.mode == "worker":
        _refuse(_WORKER.format(app=app or "module:Class"))
    if not app:
        _refuse("name the app: --app module:Class")
    try:
        asyncio.run(run_dev_combined(find_source(app, Path.cwd()).load(), host=options.host, port=options.port))
    except AppError as error:
        _refuse(str(error))
    raise SystemExit(0)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="application-sdk",
        description="Serve an app and its handler, as the App Framework's command of that name does. `apprun` has all "
        "else.",
    )
    parser.add_argument("--mode", choices=("combined", "handler", "worker"), default="combined")
    parser.add_argument("--app", help="module:Class")
    parser.add_argument("--host", "--handler-host", help="to listen at (127.0.0.1)")
    parser.add_argument("--port", "--handler-port", type=int, help="to listen at (8000)")
    return parser


def _refuse(message: str) -> NoReturn:
    print(f"application-sdk: {message}", file=sys.stderr)  # noqa: T201 - a command's own words
    raise SystemExit(_USAGE)
