"""Reads a driver's run and the AppTasks of the run from the API server."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import TYPE_CHECKING, Final, cast

from application_sdk.engines.kubernetes.errors import Gone, NotFound
from application_sdk.engines.kubernetes.retry_request import retry_request
from application_sdk.engines.kubernetes.run_watch import RunGone
from application_sdk.wire import names

if TYPE_CHECKING:
    from application_sdk.engines.kubernetes.api import Api
    from application_sdk.engines.kubernetes.app_tasks import Owner
    from application_sdk.wire.digest import JSONObject

LIST_LIMIT: Final = 500


def is_suspended(app_run: JSONObject) -> bool:
    """Whether this state of the run asks for no new attempts."""
    return cast("Mapping[str, object]", app_run.get("spec") or {}).get("suspend") is True


def read_run(api: Api, owner: Owner) -> JSONObject:
    """The run's current state. Raises RunGone when it was deleted, also when another run has its
    name."""
    try:
        app_run = api.get(names.APP_RUNS, owner.run)
    except NotFound as error:
        raise RunGone(f"AppRun {owner.run} was deleted") from error
    if cast("Mapping[str, str]", app_run["metadata"])["uid"] != owner.uid:
        raise RunGone(f"AppRun {owner.run} was deleted and created again")
    return app_run


def list_tasks(api: Api, run: str, pause: Callable[[float], None]) -> list[JSONObject]:
    """All AppTasks with the run\'s label, read page by page."""
    selector = f"{names.RUN_LABEL}={run}"
    found: list[JSONObject] = []
    token = ""
    while True:
        read_page = partial(api.list_page, names.APP_TASKS, selector, LIST_LIMIT, token)
        try:
            page = retry_request(read_page, "listing AppTasks", pause)
        except Gone:
            found, token = [], ""
            continue
        found += cast("list[JSONObject]", page["items"])
        token = cast("Mapping[str, str]", page["metadata"]).get("continue", "")
        if not token:
            return found
