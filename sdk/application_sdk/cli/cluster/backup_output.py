"""What `apprun export --full` and `apprun import` print. `save_backup` and `restore_backup` do the work."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Final

from application_sdk.cli import exit_codes
from application_sdk.cli.cluster import backup_document, restore_backup, save_backup
from application_sdk.cli.cluster.errors import NotAllowedError
from application_sdk.cli.cluster.namespaces import ClusterNamespace
from application_sdk.cli.errors import InputError
from application_sdk.cli.output import Format, echo, notify, write_result, write_value
from application_sdk.wire import names

if TYPE_CHECKING:
    from application_sdk.cli.cluster.source import ClusterSource

RIGHTS: Final = (
    (names.RESTORE_VERB, names.APP_RUNS, ""),
    ("create", names.APP_RUNS, ""),
    ("patch", names.APP_RUNS, ""),
    ("patch", names.APP_RUNS, "status"),
    ("create", names.APP_TASKS, ""),
    ("patch", names.APP_TASKS, "status"),
    ("create", names.APP_LEDGERS, ""),
)


def export_full(source: ClusterSource, runs: Sequence[str], to: Path | None, *, everything: bool) -> None:
    """Write these runs, or all of the namespace, with all that they need to be brought back."""
    if not runs and not everything:
        raise InputError("name the runs to export, or give --all for every run of the namespace")
    if runs and everything:
        raise InputError("--all means every run of the namespace: name none beside it")
    saved = save_backup.save(ClusterNamespace(source.api), runs, lambda text: notify(text, "yellow"))
    if to is None:
        write_value(saved.to_json())
    else:
        backup_document.write(saved, to)
        calls = sum(len(run.tasks) for run in saved.runs)
        notify(f"{len(saved.runs)} runs with {calls} AppTasks of {source.title} written to {to}", "green")


def import_runs(source: ClusterSource, file: Path, runs: Sequence[str], format: Format, *, dry_run: bool) -> int:
    """Bring runs back. Returns the exit code."""
    chosen = backup_document.read(file).chosen(runs)
    _check_rights(source)
    target = ClusterNamespace(source.api)
    restore_backup.check(target, chosen)
    if chosen.namespace != source.api.access.namespace:
        notify(
            f"the backup is of namespace {chosen.namespace}: tasks in {source.api.access.namespace} can't read files"
            " that its runs have stored",
            "yellow",
        )
    done: list[dict[str, str]] = []
    if not dry_run:
        restore_backup.restore_apps(target, chosen, lambda text: notify(text, "dim"))
    for saved in chosen.runs:
        what = "would be restored" if dry_run else restore_backup.restore_run(target, saved, datetime.now(UTC))
        phase = str((saved.run.get("status") or {}).get("phase") or "Pending")
        done.append({"run": saved.name, "result": what, "phase": phase})
        if format is Format.NAME:
            echo(saved.name)
        elif not format.for_programs:
            echo(f"{saved.name}  {what}  ({phase} when it was exported)")
    if format.for_programs:
        write_result(done, format)
    return exit_codes.SUCCEEDED


def _check_rights(source: ClusterSource) -> None:
    """Raise NotAllowedError before anything is written: half an import is a run that is held."""
    namespace, missing = source.api.access.namespace, []
    for verb, resource, subresource in RIGHTS:
        attributes = {
            "namespace": namespace,
            "verb": verb,
            "group": names.GROUP,
            "resource": resource,
            "subresource": subresource,
        }
        body = {
            "apiVersion": "authorization.k8s.io/v1",
            "kind": "SelfSubjectAccessReview",
            "spec": {"resourceAttributes": attributes},
        }
        answer = source.api.create("/apis/authorization.k8s.io/v1/selfsubjectaccessreviews", body)
        if not (answer.get("status") or {}).get("allowed"):
            missing.append(f"{verb} {resource}{subresource and '/'}{subresource}")
    if missing:
        raise NotAllowedError(
            f"you may not restore runs in namespace {namespace}; missing: {', '.join(missing)}. Somebody who"
            f" administers the cluster can let you: kubectl create rolebinding apprun-restore-YOU -n {namespace}"
            " --clusterrole=apprun-restore --user=YOU"
        )
