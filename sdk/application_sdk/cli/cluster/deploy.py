"""`apprun deploy`: an app's code and its App by server-side apply, what the operator makes of it, and what an earlier
deployment has left."""

from __future__ import annotations

import sys
import time
from typing import Final, Literal, TypeAlias

from application_sdk.cli import exit_codes
from application_sdk.cli.cluster.api import CORE, Object
from application_sdk.cli.cluster.errors import ClusterError, WaitedTooLongError
from application_sdk.cli.cluster.package import APP_LABEL, Package
from application_sdk.cli.cluster.parse import seconds
from application_sdk.cli.cluster.source import ClusterSource
from application_sdk.cli.cluster.watch import follow_until
from application_sdk.cli.output import Format, echo, notify, write_result
from application_sdk.wire import names

Change: TypeAlias = Literal["created", "changed", "unchanged"]
KEPT_SECONDS: Final = 3600.0
"""Code is left in place for so long after its making: a run that was just submitted may be about to use it."""


def print_manifests(package: Package, format: Format) -> int:
    """Write the objects for Git. Talks to nobody."""
    if format is Format.JSON:
        write_result({"apiVersion": "v1", "kind": "List", "items": package.objects}, format)
    else:
        for number, manifest in enumerate(package.objects):
            sys.stdout.write("---\n" if number else "")
            write_result(manifest, Format.YAML)
    notify("nothing was applied; without -o the cluster gets it", "dim")
    return exit_codes.SUCCEEDED


def deploy(
    source: ClusterSource,
    package: Package,
    format: Format,
    *,
    dry_run: bool,
    force: bool,
    waits: bool = False,
    timeout: float | None = None,
) -> int:
    """Apply the objects, and remove code of earlier deployments that nobody uses any more.

    With `waits` until the operator has found the App fit for runs or not; `timeout` is in seconds. Returns the exit
    code.
    """
    for manifest in package.objects:
        kind, name = str(manifest["kind"]), str(manifest["metadata"]["name"])
        change = _apply(source, manifest, dry_run=dry_run, force=force)
        tried = " (dry run)" if dry_run else ""
        if format is not Format.NAME:
            notify(f"{kind.lower()}/{name} {change}{tried}", "" if change == "unchanged" else "green")
    if format is Format.NAME:
        echo(package.name)
    if not dry_run:
        _prune(source, package)
        if format is not Format.NAME:
            notify(f"deployed to {source.title}; run it with `apprun submit {package.name}`", "dim")
        if waits:
            return _wait_until_ready(source, package.name, timeout)
    return exit_codes.SUCCEEDED


def _wait_until_ready(source: ClusterSource, name: str, timeout: float | None) -> int:
    """Say what the operator finds out about the App: what it contains, or why it can't be run."""
    api, printed = source.api, ""
    deadline = None if timeout is None else time.monotonic() + timeout
    try:
        for app in follow_until(api, api.path(names.APPS), name, deadline):
            conditions = _conditions(app)
            ready, stalled = conditions.get("Ready", {}), conditions.get("Stalled", {})
            text = f"app/{name}: {ready.get('reason', 'the operator has not processed it yet')}"
            text += f": {ready['message']}" if ready.get("message") else ""
            if stalled.get("status") == "True":
                notify(text, "red")
                return exit_codes.REFUSED
            changes = conditions.get("ContractsCompatible", {})
            if ready.get("status") == "True":
                notify(text, "green")
                if changes.get("status") == "False":
                    notify(f"app/{name}: {changes['message']}", "yellow")
                return exit_codes.SUCCEEDED
            if text != printed:
                notify(text, "dim")
                printed = text
    except TimeoutError:
        raise WaitedTooLongError(
            f"App {name!r} isn't ready after {timeout:g} s: {printed}. `kubectl describe app {name}` shows its progress"
        ) from None
    raise AssertionError("a watch has no end of its own")


def _conditions(app: Object) -> dict[str, Object]:
    """By type, if they speak of the App as it is now."""
    status = app.get("status") or {}
    if status.get("observedGeneration") != app["metadata"].get("generation"):
        return {}
    return {str(condition["type"]): condition for condition in status.get("conditions") or []}


def _apply(source: ClusterSource, manifest: Object, *, dry_run: bool, force: bool) -> Change:
    api = source.api
    path = _path(source, manifest)
    before = api.find(path)
    body = {**manifest, "metadata": {**manifest["metadata"], "namespace": api.access.namespace}}
    after = api.apply(path, body, dry_run=dry_run, force=force)
    if before is None:
        return "created"
    return "unchanged" if _spec_of(before) == _spec_of(after) else "changed"


def _spec_of(manifest: Object) -> object:
    """What people see of an object: all but what the API server notes about the writing of it."""
    labels = (manifest.get("metadata") or {}).get("labels")
    return (labels, manifest.get("spec"), manifest.get("data"), manifest.get("immutable"))


def _path(source: ClusterSource, manifest: Object) -> str:
    name = str(manifest["metadata"]["name"])
    if manifest["kind"] == "ConfigMap":
        return source.api.path("configmaps", name, group=CORE)
    return source.api.path(names.APPS, name)


def _prune(source: ClusterSource, package: Package) -> None:
    """Delete ConfigMaps of earlier deployments that no App names, and no run that isn't over."""
    api = source.api
    try:
        maps = api.items(api.path("configmaps", group=CORE), f"{APP_LABEL}={package.name}")
        if len(maps) < 2:
            return
        used = {_source(app.get("spec") or {}) for app in api.items(api.path(names.APPS))}
        for run in api.items(api.path(names.APP_RUNS)):
            status, spec = run.get("status") or {}, run.get("spec") or {}
            if status.get("phase") not in ("Succeeded", "Failed", "Cancelled"):
                used |= {_source(status.get("app") or {}), _source(spec.get("app") or {})}
        for old in maps:
            name = str(old["metadata"]["name"])
            created_at = seconds(old["metadata"].get("creationTimestamp")) or time.time()
            if name not in used and time.time() - created_at > KEPT_SECONDS:
                api.delete(api.path("configmaps", name, group=CORE))
                notify(f"configmap/{name} removed: no run uses it any more", "dim")
    except ClusterError as error:
        notify(f"code of earlier deployments may be left over: {error}", "yellow")


def _source(app: Object) -> str:
    return str(((app.get("source") or {}).get("configMap") or {}).get("name") or "")
