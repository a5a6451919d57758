"""Submits runs to a cluster, waits for them, and changes their specs."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, cast

from application_sdk.cli.cluster.api import Object
from application_sdk.cli.cluster.errors import ObjectNotFoundError, TakenError, WaitedTooLongError
from application_sdk.cli.cluster.parse import run_of
from application_sdk.cli.cluster.source import ClusterSource
from application_sdk.cli.cluster.watch import follow_until
from application_sdk.cli.errors import InputError
from application_sdk.cli.sources.protocol import LogLine, LogQuery, Note
from application_sdk.cli.sources.records import Run
from application_sdk.wire import names
from application_sdk.wire.digest import JSONObject


@dataclass(frozen=True, slots=True)
class RunRequest:
    """A run to be submitted."""

    app: str
    input: JSONObject
    name: str = ""
    entrypoint: str = ""
    parallelism: int | None = None
    timeout: int | None = None
    suspend: bool = False


def manifest(request: RunRequest, name: str) -> Object:
    """The AppRun."""
    spec: dict[str, Any] = {"appRef": {"name": request.app}}
    if request.entrypoint:
        spec["entrypoint"] = request.entrypoint
    if request.input:
        spec["input"] = request.input
    if request.parallelism is not None:
        spec["parallelism"] = request.parallelism
    if request.timeout is not None:
        spec["timeoutSeconds"] = request.timeout
    if request.suspend:
        spec["suspend"] = True
    return {"apiVersion": names.API_VERSION, "kind": names.APP_RUN_KIND, "metadata": {"name": name}, "spec": spec}


def submit(source: ClusterSource, request: RunRequest, *, dry_run: bool = False) -> Run:
    """Create a run. Raises ObjectNotFoundError for an unknown app, TakenError for a name that is taken."""
    from application_sdk.engines.local.run_store import generate_run_name

    fault = names.run_name_fault(request.name) if request.name else ""
    if fault:
        raise InputError(fault)
    api = source.api
    if api.find(api.path(names.APPS, request.app)) is None:
        raise ObjectNotFoundError(_no_app(source, request.app))
    name = request.name or generate_run_name(request.app)
    try:
        created = api.create(api.path(names.APP_RUNS), manifest(request, name), dry_run=dry_run)
    except TakenError as error:
        raise TakenError(
            f"there is a run {name!r} on {source.title} already. Look at it with `apprun show {name}`, or choose"
            " another --name"
        ) from error
    return run_of(created, api.access.context)


def wait(source: ClusterSource, run: str, timeout: float | None, note: Note) -> Run:
    """The run as it is when it is over, or stalled. Goes on with a run that it continues as.

    Raises WaitedTooLongError, and ObjectNotFoundError when it is deleted meanwhile.
    """
    deadline = None if timeout is None else time.monotonic() + timeout
    while True:
        details = _end(source, run, deadline, timeout, note)
        if details.continued_as is None:
            return details
        note(f"{run} continues as {details.continued_as}")
        run = details.continued_as


def follow_to_end(
    source: ClusterSource, run: str, timeout: float | None, write: Callable[[LogLine], None], note: Note
) -> Run:
    """As `wait`, while everything that the run's tasks write goes to `write`."""

    def copy() -> None:
        from application_sdk.cli.cluster.errors import ClusterError

        watched = ClusterSource(source.api.new_connection())
        try:
            for line in watched.logs(LogQuery(run, follow=True), note):
                write(line)
        except ClusterError as error:
            note(f"the logs can't be followed: {error}")

    copying = threading.Thread(target=copy, daemon=True)
    copying.start()
    ended = wait(source, run, timeout, note)
    copying.join(5.0)
    return ended


def change(source: ClusterSource, run: str, spec: JSONObject) -> Run:
    """Set fields of a run's spec that may be changed at any time."""
    api = source.api
    changed = api.merge(api.path(names.APP_RUNS, run), {"spec": cast("Any", spec)})
    return run_of(changed, api.access.context)


def _end(source: ClusterSource, run: str, deadline: float | None, timeout: float | None, note: Note) -> Run:
    api, printed = source.api, ""
    try:
        for item in follow_until(api, api.path(names.APP_RUNS), run, deadline):
            details = run_of(item, api.access.context)
            if details.finished or details.phase == "Stalled":
                return details
            text = f"{run}: {details.phase}" + (f": {details.message}" if details.message else "")
            if text != printed:
                note(text)
                printed = text
    except TimeoutError:
        raise WaitedTooLongError(
            f"run {run!r} isn't over after {timeout:g} s; it goes on. `apprun watch {run}`, `apprun cancel {run}`"
        ) from None
    raise AssertionError("a watch has no end of its own")


def _no_app(source: ClusterSource, app: str) -> str:
    import difflib

    if app.endswith(".py") or ":" in app:
        return (
            f"{app!r} isn't the name of an App on {source.title}: `apprun deploy {app}` makes one of it, then submit it"
        )
    app_names = [str(item["metadata"]["name"]) for item in source.api.items(source.api.path(names.APPS))]
    similar = difflib.get_close_matches(app, app_names, n=2)
    hint = f"did you mean {' or '.join(similar)}?" if similar else f"there are {', '.join(sorted(app_names)) or 'none'}"
    return f"there is no App {app!r} on {source.title}; {hint} `apprun deploy FILE.py` makes one"
