"""`apprun import`: whole runs back into a cluster, each with the past that its backup has.

The objects are new ones, so their owners are mapped to new uids; their statuses are written by the importer, which the
admission policies allow to holders of the verb `restore` on AppRuns, once for each object. The operator leaves the run
alone until its status says `restoredFrom`. That is the last write: a crash before it leaves a run that is held, and the
next import of the same file continues from there.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Final, Literal, TypeAlias

from application_sdk.cli.cluster.api import Object
from application_sdk.cli.cluster.backup_document import Backup, SavedRun
from application_sdk.cli.cluster.errors import RefusedError, TakenError
from application_sdk.cli.cluster.namespaces import CONFIG_MAPS, Namespace
from application_sdk.wire import names
from application_sdk.wire.fields import TERMINAL_TASK_PHASES

RestoreOutcome: TypeAlias = Literal["restored", "completed", "there already"]
FIXED: Final = ("appRef", "app", "entrypoint", "input")
"""Parts of a spec by which a run that is held is known to be the one of the backup."""
OF_THE_POD: Final = ("pod", "node", "startedAt", "progress")
"""Parts of an AppTask's status that speak of the pod of its current attempt."""
KINDS: Final[Mapping[str, tuple[str, str]]] = {
    CONFIG_MAPS: ("v1", "ConfigMap"),
    names.APPS: (names.API_VERSION, names.APP_KIND),
    names.APP_STATES: (names.API_VERSION, names.APP_STATE_KIND),
    names.APP_RUNS: (names.API_VERSION, names.APP_RUN_KIND),
    names.APP_TASKS: (names.API_VERSION, names.APP_TASK_KIND),
    names.APP_LEDGERS: (names.API_VERSION, names.APP_LEDGER_KIND),
}


def check(target: Namespace, backup: Backup) -> None:
    """Raise RefusedError or TakenError, with all that is in the way, before anything is written."""
    broken = [f"run {saved.name!r}: {problem}" for saved in backup.runs if (problem := saved.problem())]
    # guard: backup-complete - a run with a hole in its ledger would execute calls again
    if broken:
        raise RefusedError(f"the backup isn't whole, so nothing was imported: {'; '.join(broken)}")
    conflicts = [
        f"run {saved.name!r} {problem}"
        for saved in backup.runs
        if (problem := _conflict(saved, target.find(names.APP_RUNS, saved.name)))
    ]
    if conflicts:
        raise TakenError(f"nothing was imported: {'; '.join(conflicts)}")


def restore_apps(target: Namespace, backup: Backup, note: Callable[[str], None]) -> None:
    """Create what runs need to go on. What is there already stays as it is."""
    for plural, objects in (
        (CONFIG_MAPS, backup.config_maps),
        (names.APPS, backup.apps),
        (names.APP_STATES, backup.states),
    ):
        for saved in objects:
            name = str(saved["metadata"]["name"])
            existing = target.find(plural, name)
            if existing is None:
                target.create(plural, _new(plural, saved))
                note(f"{KINDS[plural][1]} {name} created")
            elif any(existing.get(part) != saved.get(part) for part in ("spec", "data", "binaryData")):
                note(f"{KINDS[plural][1]} {name} is there already, with other content, and stays as it is")


def restore_run(target: Namespace, saved: SavedRun, now: datetime) -> RestoreOutcome:
    """Bring one run back. Does what is still missing of it, so that it may be called again after a crash."""
    existing = target.find(names.APP_RUNS, saved.name)
    problem = _conflict(saved, existing)
    if problem:
        raise TakenError(f"run {saved.name!r} {problem}")
    origin, at = _origin(saved), _rfc3339(now)
    mark = {names.RESTORED_FROM_ANNOTATION: origin}
    began: RestoreOutcome = "restored" if existing is None else "completed"
    if existing is None:
        existing = target.create(names.APP_RUNS, _new(names.APP_RUNS, saved.run, mark))
    elif _is_done(existing, saved):
        return "there already"
    elif _annotation(existing, names.RESTORED_FROM_ANNOTATION) != origin:
        # From here on the operator waits, instead of saying that the run was restored without its past.
        existing = target.annotate(names.APP_RUNS, saved.name, mark)
    owner: Object = {
        "apiVersion": names.API_VERSION,
        "kind": names.APP_RUN_KIND,
        "name": saved.name,
        "uid": existing["metadata"]["uid"],
        "controller": True,
        "blockOwnerDeletion": False,
    }
    # guard: import-status-last - a crash before this write leaves a run that the next import completes; after it the
    # operator starts the run
    _restore_tasks(target, saved, owner, mark, at)
    _restore_pages(target, saved, owner, mark)
    # The last write: with it the operator takes the run up, so everything else has to be there.
    status = _of_generation(saved.run.get("status") or {}, int(existing["metadata"].get("generation") or 1))
    target.write_status(names.APP_RUNS, saved.name, {**status, "restoredFrom": {"uid": origin, "at": at}})
    return began


def _restore_tasks(target: Namespace, saved: SavedRun, owner: Object, mark: Mapping[str, str], at: str) -> None:
    existing_tasks = {
        str(task["metadata"]["name"]): task
        for task in target.listed(names.APP_TASKS, f"{names.RUN_LABEL}={saved.name}")
    }
    for task in saved.tasks:
        name = str(task["metadata"]["name"])
        existing = existing_tasks.get(name)
        if existing is None:
            existing = target.create(names.APP_TASKS, _new(names.APP_TASKS, task, mark, owner))
        _refuse_foreign(existing, owner, "AppTask")
        if "restoredAt" not in (existing.get("status") or {}):
            target.write_status(names.APP_TASKS, name, {**_task_status(task), "restoredAt": at})


def _restore_pages(target: Namespace, saved: SavedRun, owner: Object, mark: Mapping[str, str]) -> None:
    for page in saved.pages:
        existing = target.find(names.APP_LEDGERS, str(page["metadata"]["name"]))
        if existing is None:
            existing = target.create(names.APP_LEDGERS, _new(names.APP_LEDGERS, page, mark, owner))
        _refuse_foreign(existing, owner, "AppLedger")


def _refuse_foreign(existing: Object, owner: Object, kind: str) -> None:
    owners = [reference.get("uid") for reference in existing["metadata"].get("ownerReferences") or []]
    if owners != [owner["uid"]]:
        raise TakenError(
            f"{kind} {existing['metadata']['name']!r} is there already and belongs to a run that was deleted."
            " Kubernetes removes it in a moment: import the file again then, which goes on from here"
        )


def _task_status(task: Object) -> Object:
    status: Object = dict(task.get("status") or {})
    status.setdefault("phase", "Active")
    status.setdefault("attempt", names.FIRST_ATTEMPT)
    if status["phase"] in ("Active", "Waiting"):
        # What was true of the pod there isn't true of the one that begins the attempt here. With `pod` only the one
        # there could ever report; with `startedAt` a driver that stays silent would pass for one that was heard.
        for part in OF_THE_POD:
            status.pop(part, None)
    spec = task["spec"]
    if spec.get("role") == "timer" and status["phase"] not in TERMINAL_TASK_PHASES and "notBefore" not in status:
        # The new object is younger than the timer. Creation times are cut to seconds, and no sleep may be short.
        created_at = datetime.fromisoformat(str(task["metadata"]["creationTimestamp"]))
        status["notBefore"] = _rfc3339(created_at + timedelta(seconds=1 + float(spec.get("seconds") or 0)))
    return status


def _conflict(saved: SavedRun, existing: Object | None) -> str:
    """Why the run of that name can't be taken for the one of the backup; empty when it can, or when there is none."""
    if existing is None or _is_done(existing, saved):
        return ""
    metadata, status = existing["metadata"], existing.get("status") or {}
    if "deletionTimestamp" in metadata:
        return "is there and being deleted: import it when it is gone"
    if metadata["uid"] == saved.run["metadata"]["uid"]:
        return "is there still, it was never lost: there is nothing to restore"
    held = _annotation(existing, names.RESTORED_FROM_ANNOTATION) == _origin(saved)
    held = held or _annotation(existing, names.BEGAN_AS_ANNOTATION) == saved.run["metadata"]["uid"]
    # guard: import-same-run - a run of the same name may have a ledger of its own
    if not held or "app" in status or "restoredFrom" in status:
        return "is there already and is another one: delete it, or import into another namespace with -n"
    if any(existing["spec"].get(part) != saved.run["spec"].get(part) for part in FIXED):
        return "is held there with another app or input than the backup has: delete it, and import again"
    return ""


def _is_done(existing: Object, saved: SavedRun) -> bool:
    return ((existing.get("status") or {}).get("restoredFrom") or {}).get("uid") == _origin(saved)


def _origin(saved: SavedRun) -> str:
    """The uid that the run began with, however often it was restored since."""
    restored = (saved.run.get("status") or {}).get("restoredFrom") or {}
    return str(restored.get("uid") or saved.run["metadata"]["uid"])


def _new(plural: str, saved: Object, mark: Mapping[str, str] | None = None, owner: Object | None = None) -> Object:
    """The object to create. Its status is written after it."""
    old = saved["metadata"]
    marks = (names.BEGAN_AS_ANNOTATION, names.RESTORED_FROM_ANNOTATION)
    annotations = {name: text for name, text in (old.get("annotations") or {}).items() if name not in marks}
    metadata: Object = {
        "name": old["name"],
        "labels": old.get("labels"),
        "annotations": {**annotations, **(mark or {})},
    }
    if owner is not None:
        metadata["ownerReferences"] = [owner]
    parts = {part: value for part, value in saved.items() if part not in ("metadata", "status")}
    version, kind = KINDS[plural]
    return {
        **parts,
        "apiVersion": version,
        "kind": kind,
        "metadata": {part: value for part, value in metadata.items() if value},
    }


def _of_generation(status: Object, generation: int) -> Object:
    """A status with the generation of the new object: without it kstatus would wait forever."""
    if "phase" not in status:
        return status
    conditions: Sequence[Object] = status.get("conditions") or []
    return {
        **status,
        "observedGeneration": generation,
        **(
            {"conditions": [{**condition, "observedGeneration": generation} for condition in conditions]}
            if conditions
            else {}
        ),
    }


def _annotation(item: Object, name: str) -> str:
    return str((item["metadata"].get("annotations") or {}).get(name) or "")


def _rfc3339(at: datetime) -> str:
    return at.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
