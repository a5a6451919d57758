"""`apprun export --full`: whole runs out of a cluster, while they go on.

The order of the reads is what makes the backup agree with itself. AppTasks are read before their AppRun, so that every
call in it was made for a reason that the ledger has: a call that a later commit led to would be one that the restored
route needn't make. What was committed between the two reads is read again: a committed AppTask never changes. What apps
keep is read last: it is written before the call that saved it is committed, and knows which calls have written to it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import UTC, datetime
from typing import Any

from application_sdk.cli.cluster.api import Object
from application_sdk.cli.cluster.backup_document import Backup, SavedRun, portable
from application_sdk.cli.cluster.errors import ObjectNotFoundError, RefusedError
from application_sdk.cli.cluster.namespaces import CONFIG_MAPS, Namespace
from application_sdk.engines.kubernetes.ledger import outcome_of
from application_sdk.wire import names
from application_sdk.wire.fields import TERMINAL_TASK_PHASES


def save(source: Namespace, run_names: Sequence[str], note: Callable[[str], None]) -> Backup:
    """These runs of the namespace, or all of it when none is named."""
    tasks = _tasks(source, run_names)
    selected = [_get(source, names.APP_RUNS, run) for run in run_names] if run_names else source.listed(names.APP_RUNS)
    runs: list[SavedRun] = []
    for run in selected:
        name = str(run["metadata"]["name"])
        if "deletionTimestamp" in run["metadata"]:
            note(f"{name} is being deleted, and left out")
            continue
        try:
            # guard: backup-tasks-before-run - tasks read after their run could hold results that the run's ledger lacks
            runs.append(_saved(source, run, tasks.get(str(run["metadata"]["uid"]), {})))
        except ObjectNotFoundError as error:
            if run_names:
                raise RefusedError(f"run {name!r} can't be exported: {error}") from error
            note(f"{name} is left out: {error}")
    apps = _apps(source, selected, everything=not run_names)
    maps = [source.find(CONFIG_MAPS, name) for name in _code([*selected, *apps])]
    states = _states(source, selected, everything=not run_names)
    at = datetime.now(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
    return Backup(
        source.name,
        at,
        tuple(runs),
        tuple(portable(app) for app in apps),
        tuple(portable(state) for state in states),
        tuple(portable(config_map) for config_map in maps if config_map is not None),
    )


def _tasks(source: Namespace, runs: Sequence[str]) -> dict[str, dict[str, Object]]:
    """AppTasks by name, by the uid of the run that owns them."""
    tasks: dict[str, dict[str, Object]] = {}
    for selector in [f"{names.RUN_LABEL}={run}" for run in runs] or [names.RUN_LABEL]:
        for task in source.listed(names.APP_TASKS, selector):
            tasks.setdefault(_owner(task), {})[str(task["metadata"]["name"])] = task
    return tasks


def _saved(source: Namespace, run: Object, tasks: dict[str, Object]) -> SavedRun:
    name, status = str(run["metadata"]["name"]), run.get("status") or {}
    pages = [
        _get(source, names.APP_LEDGERS, names.page_name(name, number))
        for number in range(int(status.get("ledgerPages") or 0))
    ]
    for checkpoint in _checkpoints(run, pages):
        task = names.task_name(name, str(checkpoint["key"]))
        phase = outcome_of(tasks.get(task) or {}).get("phase")
        if checkpoint["key"] != names.CANCEL_KEY and phase not in TERMINAL_TASK_PHASES:
            tasks[task] = _get(source, names.APP_TASKS, task)
    ordered = sorted(tasks.values(), key=lambda task: (task["spec"].get("sequence") or 0, task["metadata"]["name"]))
    saved = SavedRun(portable(run), tuple(map(portable, ordered)), tuple(map(portable, pages)))
    problem = saved.problem()
    if problem:
        raise ObjectNotFoundError(f"its past isn't whole: {problem}")
    return saved


def _checkpoints(run: Object, pages: Iterable[Object]) -> Iterator[dict[str, Any]]:
    for page in pages:
        yield from page["spec"].get("checkpoints") or []
    yield from (run.get("status") or {}).get("checkpoints") or []


def _apps(source: Namespace, runs: Iterable[Object], *, everything: bool) -> list[Object]:
    if everything:
        return [_without_status(app) for app in source.listed(names.APPS)]
    app_names = {str((run["spec"].get("appRef") or {}).get("name") or "") for run in runs} - {""}
    apps = [source.find(names.APPS, name) for name in sorted(app_names)]
    return [_without_status(app) for app in apps if app is not None]


def _without_status(app: Object) -> Object:
    """The operator derives its status again."""
    return {part: value for part, value in app.items() if part != "status"}


def _code(objects: Iterable[Object]) -> list[str]:
    """Names of the ConfigMaps with the code of runs and Apps."""
    parts = [
        part
        for item in objects
        for part in (item["spec"], item["spec"].get("app") or {}, (item.get("status") or {}).get("app") or {})
    ]
    named = {str(((part.get("source") or {}).get("configMap") or {}).get("name") or "") for part in parts}
    return sorted(named - {""})


def _states(source: Namespace, runs: Iterable[Object], *, everything: bool) -> list[Object]:
    if everything:
        return source.listed(names.APP_STATES)
    apps = {str(((run.get("status") or {}).get("app") or {}).get("name") or "") for run in runs} - {""}
    states = [source.find(names.APP_STATES, names.state_name(app)) for app in sorted(apps)]
    return [state for state in states if state is not None]


def _get(source: Namespace, plural: str, name: str) -> Object:
    item = source.find(plural, name)
    if item is None:
        raise ObjectNotFoundError(f"there is no {plural}/{name} in namespace {source.name}")
    return item


def _owner(task: Object) -> str:
    owners = task["metadata"].get("ownerReferences") or [{}]
    return str(owners[0].get("uid") or "")
