"""Runs on a cluster: AppRuns of the server's namespace, made and read with the rights of its
service account.

Whoever asks has been checked by then (`cluster_access`).
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING, cast

from application_sdk.engines.kubernetes.api import Api
from application_sdk.engines.kubernetes.errors import AlreadyExists, ApiError, Invalid, NotFound, Refused, Unreachable
from application_sdk.server.errors import Problem
from application_sdk.server.runs import RunSnapshot, StartRequest, generate_run_name
from application_sdk.server.schemas import STATUS_OF_PHASE, RunError, RunState, Started
from application_sdk.wire import names

if TYPE_CHECKING:
    from application_sdk.wire.digest import JSONObject


class ClusterRuns:
    """The runs of one App. Its runs only: others of the namespace are as if they weren't there."""

    def __init__(self, api: Api, app: str) -> None:
        self._api = api
        self._app = app

    def start(self, order: StartRequest) -> Started:
        name = order.name or generate_run_name(self._app)
        spec: JSONObject = {
            "appRef": {"name": self._app},
            "entrypoint": order.entrypoint,
            "input": order.input,
        }
        body: JSONObject = {
            "apiVersion": names.API_VERSION,
            "kind": names.APP_RUN_KIND,
            "metadata": {"name": name},
            "spec": spec,
        }
        with _translated_errors():
            try:
                app_run, created = self._api.add(names.APP_RUNS, body), True
            except AlreadyExists as error:
                app_run, created = self._api.get(names.APP_RUNS, name), False
                existing = cast("JSONObject", app_run["spec"])
                if any(existing.get(field) != value for field, value in spec.items()):
                    message = f"run {name!r} was started with another app or input: use another key"
                    raise Problem("NameTaken", message) from error
        return Started(workflow_id=name, run_id=_uid(app_run), created=created)

    def get(self, run: str) -> RunSnapshot:
        with _translated_errors(run):
            app_run = self._api.get(names.APP_RUNS, run)
        spec, status = cast("JSONObject", app_run["spec"]), cast("JSONObject", app_run.get("status") or {})
        if cast("JSONObject", spec.get("appRef") or {}).get("name") != self._app:
            raise _not_found(run)
        phase = str(status.get("phase") or "Pending")
        failure = cast("JSONObject", status.get("error") or {})
        error = None
        if failure:
            error = RunError(type=str(failure.get("type", "")), message=str(failure.get("message", "")))
        tasks = cast("dict[str, int]", status.get("tasks") or {})
        timed_out = phase == "Failed" and error is not None and error.type == "TimedOut"
        state = RunState(
            workflow_id=run,
            run_id=_uid(app_run),
            status="TIMED_OUT" if timed_out else STATUS_OF_PHASE.get(phase, "RUNNING"),
            phase=phase,
            message=str(status.get("message") or ""),
            entrypoint=str(spec.get("entrypoint") or ""),
            execution_duration_seconds=_seconds(status),
            tasks_done=sum(tasks.get(word, 0) for word in ("succeeded", "failed", "cancelled")),
            tasks_total=tasks.get("total", 0),
            continued_as=cast("str | None", status.get("continuedAs")),
            error=error,
        )
        return RunSnapshot(state, status.get("output"))

    def stop(self, run: str) -> None:
        if self.get(run).state.status != "RUNNING":
            return
        with _translated_errors(run):
            self._api.set_spec(names.APP_RUNS, run, {"cancel": True})

    def check(self) -> None:
        with _translated_errors():
            self._api.get(names.APPS, self._app)


@contextmanager
def _translated_errors(run: str = "") -> Iterator[None]:
    """What the API server says, as answers of this server."""
    try:
        yield
    except NotFound as error:
        raise _not_found(run) if run else Problem("Unavailable", f"the App isn't there: {error.message}") from error
    except (Invalid, Refused) as error:
        raise Problem("InvalidRequest", f"the cluster refuses the run: {error.message}") from error
    except (ApiError, Unreachable) as error:
        raise Problem("Unavailable", f"the API server didn't answer as hoped: {error}") from error


def _not_found(run: str) -> Problem:
    return Problem("NotFound", f"there is no run {run!r} of this app")


def _uid(run: JSONObject) -> str:
    return str(cast("JSONObject", run["metadata"])["uid"])


def _seconds(status: JSONObject) -> float:
    begun, ended = status.get("startedAt"), status.get("finishedAt")
    if not isinstance(begun, str):
        return 0.0
    until = _moment(ended) if isinstance(ended, str) else time.time()
    return max(0.0, until - _moment(begun))


def _moment(text: str) -> float:
    return datetime.fromisoformat(text).astimezone(UTC).timestamp()
