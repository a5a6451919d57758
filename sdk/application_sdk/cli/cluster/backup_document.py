"""The document that `apprun export --full` writes and `apprun import` reads: whole runs, as objects of a cluster.

What belongs to one cluster alone is left out: owners, versions, managers of fields, the namespace. A run keeps its uid,
since idempotency keys, files and the route's random numbers go by it.
"""

from __future__ import annotations

import gzip
import json
import zlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from application_sdk.cli.cluster.api import Object
from application_sdk.cli.errors import InputError
from application_sdk.engines.kubernetes.ledger import Ledger, LedgerUnreadable, completion
from application_sdk.wire import names

KIND: Final = "AppRunBackup"
VERSION: Final = 1
"""Of the document. A reader takes its own version and older ones."""
_KEPT_METADATA: Final = ("name", "uid", "creationTimestamp", "labels", "annotations")
_KEPT_PARTS: Final = ("apiVersion", "kind", "spec", "status", "data", "binaryData", "immutable")
_LAST_APPLIED: Final = "kubectl.kubernetes.io/last-applied-configuration"


@dataclass(frozen=True, slots=True)
class SavedRun:
    """An AppRun with its AppTasks and the pages of its ledger."""

    run: Object
    tasks: tuple[Object, ...]
    pages: tuple[Object, ...]

    @property
    def name(self) -> str:
        return str(self.run["metadata"]["name"])

    def problem(self) -> str:
        """What is missing or altered of the past that its status tells of; empty when all of it is there."""
        by_key = {str(task["spec"].get("key")): task for task in self.tasks}
        ledger = Ledger(self.name)
        try:
            for page in sorted(self.pages, key=lambda page: int(page["spec"]["number"])):
                ledger.absorb_page(page)
            missing = ledger.missing_pages(self.run)
            if missing:
                return f"AppLedger {missing[0]} is missing"
            ledger.absorb(self.run)
            for checkpoint in ledger.since(0):
                key = checkpoint["key"]
                if key == names.CANCEL_KEY:
                    continue
                if key not in by_key:
                    return f"AppTask {names.task_name(self.name, key)} is missing, and with it the result of a call"
                if checkpoint["task"] != names.TIMER_TASK:
                    completion(checkpoint, by_key[key])
        except LedgerUnreadable as error:
            return str(error)
        except (KeyError, TypeError, ValueError) as error:
            return f"its objects can't be read: {type(error).__name__}: {error}"
        return ""


@dataclass(frozen=True, slots=True)
class Backup:
    """Runs, and what they need to go on: Apps, what those keep, and ConfigMaps with their code."""

    namespace: str
    at: str
    """When it was made."""
    runs: tuple[SavedRun, ...]
    apps: tuple[Object, ...] = ()
    states: tuple[Object, ...] = ()
    config_maps: tuple[Object, ...] = ()

    def to_json(self) -> Object:
        return {
            "kind": KIND,
            "version": VERSION,
            "createdAt": self.at,
            "namespace": self.namespace,
            "configMaps": list(self.config_maps),
            "apps": list(self.apps),
            "states": list(self.states),
            "runs": [{"run": run.run, "tasks": list(run.tasks), "pages": list(run.pages)} for run in self.runs],
        }

    def chosen(self, names: Iterable[str]) -> Backup:
        """The same with these runs only; with all when none is named. Raises InputError for one that isn't in it."""
        by_name = {saved.name: saved for saved in self.runs}
        unique = list(dict.fromkeys(names))
        for name in unique:
            if name not in by_name:
                raise InputError(f"there is no run {name!r} in the backup; it has {', '.join(by_name) or 'none'}")
        runs = tuple(by_name[name] for name in unique) if unique else self.runs
        return Backup(self.namespace, self.at, runs, self.apps, self.states, self.config_maps)


def portable(item: Object) -> Object:
    """An object without what only its cluster knows of it."""
    metadata = {name: item["metadata"][name] for name in _KEPT_METADATA if item["metadata"].get(name)}
    if _LAST_APPLIED in metadata.get("annotations", {}):
        metadata["annotations"] = {k: v for k, v in metadata["annotations"].items() if k != _LAST_APPLIED}
    return {"metadata": metadata, **{part: item[part] for part in _KEPT_PARTS if part in item}}


def write(backup: Backup, to: Path) -> None:
    """Write it, compressed when the name ends with `.gz`. Raises InputError where that isn't possible."""
    content = json.dumps(backup.to_json(), separators=(",", ":"), ensure_ascii=False).encode()
    # Beside it first: a file that is there is replaced by a whole one or not at all.
    partial = to.with_name(f"{to.name}.partial")
    try:
        partial.write_bytes(gzip.compress(content) if to.suffix == ".gz" else content)
        partial.replace(to)
    except OSError as error:
        raise InputError(f"{to}: {error.strerror or error}") from error


def read(file: Path) -> Backup:
    """Raises InputError for a file that is no backup, is damaged, or is of a later version."""
    try:
        content = file.read_bytes()
        document: object = json.loads(gzip.decompress(content) if content[:2] == b"\x1f\x8b" else content)
    except (OSError, EOFError, zlib.error) as error:
        raise InputError(f"{file}: {getattr(error, 'strerror', None) or error}") from error
    except ValueError as error:
        raise InputError(f"{file} isn't whole: it is no JSON ({error}). Was the export interrupted?") from error
    if not isinstance(document, dict) or document.get("kind") != KIND:
        raise InputError(
            f"{file} is no full backup. `apprun export --full RUN --to FILE` writes one; without --full it writes a"
            " ledger, for `apprun check --replay`"
        )
    version = document.get("version")
    if not isinstance(version, int) or not 1 <= version <= VERSION:
        raise InputError(
            f"{file} has version {version!r} of the format, and this apprun reads up to {VERSION}: update it"
        )
    try:
        return _parsed(document)
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        raise InputError(f"{file} is damaged: {type(error).__name__}: {error}") from error


def _parsed(document: Mapping[str, object]) -> Backup:
    runs = []
    for entry in _objects(document, "runs"):
        run, tasks, pages = _checked(entry["run"]), _objects(entry, "tasks"), _objects(entry, "pages")
        run["metadata"]["uid"], run["spec"]
        for part in (*tasks, *pages):
            _checked(part)["spec"]
        runs.append(SavedRun(run, tasks, pages))
    apps, states, maps = (_objects(document, part) for part in ("apps", "states", "configMaps"))
    for item in (*apps, *states, *maps):
        _checked(item)
    return Backup(str(document["namespace"]), str(document["createdAt"]), tuple(runs), apps, states, maps)


def _objects(document: Mapping[str, object], part: str) -> tuple[Object, ...]:
    items = document[part]
    if not isinstance(items, list) or not all(isinstance(item, dict) for item in items):
        raise ValueError(f"{part} is no list of objects")
    return tuple(items)


def _checked(item: Object) -> Object:
    if not isinstance(item["metadata"]["name"], str):
        raise TypeError(f"an object has the name {item['metadata']['name']!r}")
    return item
