"""What is done to runs of a cluster: submitted, waited for, cancelled, suspended, resumed."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, cast

from application_sdk.cli.cluster.api import Object
from application_sdk.cli.cluster.errors import ObjectNotFoundError, TakenError, WaitedTooLongError
from application_sdk.cli.cluster.parse import run_of
from application_sdk.cli.cluster.source import ClusterPlace
from application_sdk.cli.cluster.watch import follow_until
from application_sdk.cli.errors import InputError
from application_sdk.cli.sources.protocol import LogLine, LogQuery, Note
from application_sdk.cli.sources.records import Run
from application_sdk.wire import names
from application_sdk.wire.digest import JSONObject


@dataclass(frozen=True, slots=True)
class Order:
    """A run to be submitted."""

    app: str
    input: JSONObject
    name: str = ""
    entrypoint: str = ""
    parallelism: int | None = None
    timeout: int | None = None
    suspend: bool = False


def manifest(order: Order, name: str) -> Object:
    """The AppRun."""
    spec: dict[str, Any] = {"appRef": {"name": order.app}}
    if order.entrypoint:
        spec["entrypoint"] = order.entrypoint
    if order.input:
        spec["input"] = order.input
    if order.parallelism is not None:
        spec["parallelism"] = order.parallelism
    if order.timeout is not None:
        spec["timeoutSeconds"] = order.timeout
    if order.suspend:
        spec["suspend"] = True
    return {"apiVersion": names.API_VERSION, "kind": names.APP_RUN_KIND, "metadata": {"name": name}, "spec": spec}


def submit(place: ClusterPlace, order: Order, *, dry_run: bool = False) -> Run:
    """Create a run. Raises ObjectNotFoundError for an unknown app, TakenError for a name that is taken."""
    from application_sdk.engines.local.run_store import generate_run_name

    fault = names.run_name_fault(order.name) if order.name else ""
    if fault:
        raise InputError(fault)
    api = place.api
    if api.find(api.path(names.APPS, order.app)) is None:
        raise ObjectNotFoundError(_no_app(place, order.app))
    name = order.name or generate_run_name(order.app)
    try:
        made = api.create(api.path(names.APP_RUNS), manifest(order, name), dry_run=dry_run)
    except TakenError as error:
        raise TakenError(
            f"there is a run {name!r} on {place.title} already. Look at it with `apprun show {name}`, or choose"
            " another --name"
        ) from error
    return run_of(made, api.access.context)


def wait(place: ClusterPlace, run: str, timeout: float | None, note: Note) -> Run:
    """The run as it is when it is over, or stalled. Goes on with a run that it continues as.

    Raises WaitedTooLongError, and ObjectNotFoundError when it is deleted meanwhile.
    """
    deadline = None if timeout is None else time.monotonic() + timeout
    while True:
        found = _end(place, run, deadline, timeout, note)
        if found.continued_as is None:
            return found
        note(f"{run} continues as {found.continued_as}")
        run = found.continued_as


def follow_to_end(
    place: ClusterPlace, run: str, timeout: float | None, write: Callable[[LogLine], None], note: Note
) -> Run:
    """As `wait`, while everything that the run's tasks write goes to `write`."""

    def copy() -> None:
        from application_sdk.cli.cluster.errors import ClusterError

        watched = ClusterPlace(place.api.again())
        try:
            for line in watched.logs(LogQuery(run, follow=True), note):
                write(line)
        except ClusterError as error:
            note(f"the logs can't be followed: {error}")

    copying = threading.Thread(target=copy, daemon=True)
    copying.start()
    found = wait(place, run, timeout, note)
    copying.join(5.0)
    return found


def change(place: ClusterPlace, run: str, spec: JSONObject) -> Run:
    """Set fields of a run's spec that may be changed at any time."""
    api = place.api
    changed = api.merge(api.path(names.APP_RUNS, run), {"spec": cast("Any", spec)})
    return run_of(changed, api.access.context)


def _end(place: ClusterPlace, run: str, deadline: float | None, timeout: float | None, note: Note) -> Run:
    api, said = place.api, ""
    try:
        for item in follow_until(api, api.path(names.APP_RUNS), run, deadline):
            found = run_of(item, api.access.context)
            if found.finished or found.phase == "Stalled":
                return found
            text = f"{run}: {found.phase}" + (f": {found.message}" if found.message else "")
            if text != said:
                note(text)
                said = text
    except TimeoutError:
        raise WaitedTooLongError(
            f"run {run!r} isn't over after {timeout:g} s; it goes on. `apprun watch {run}`, `apprun cancel {run}`"
        ) from None
    raise AssertionError("a watch has no end of its own")


def _no_app(place: ClusterPlace, app: str) -> str:
    import difflib

    if app.endswith(".py") or ":" in app:
        return (
            f"{app!r} isn't the name of an App on {place.title}: `apprun deploy {app}` makes one of it, then submit it"
        )
    known = [str(found["metadata"]["name"]) for found in place.api.items(place.api.path(names.APPS))]
    similar = difflib.get_close_matches(app, known, n=2)
    hint = f"did you mean {' or '.join(similar)}?" if similar else f"there are {', '.join(sorted(known)) or 'none'}"
    return f"there is no App {app!r} on {place.title}; {hint} `apprun deploy FILE.py` makes one"
