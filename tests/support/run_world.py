"""One run as an API server holds it: its AppRun with the ledger, its AppTasks and pages. Speaks through `WireServer`.

It stands for the API server and for what the operator does to these objects; a test moves it by hand.
"""

from __future__ import annotations

import copy
import json
import threading
from typing import Any

from tests.support.wire_server import Handler, Request, answer, refuse

from application_sdk.wire.digest import digest

RUN = "daily"
UID = "run-uid"
BASE = "/apis/apprun.dev/v1alpha1/namespaces/ns"
PAGE_SIZE = 128


class RunWorld:
    """Answers requests about the run; use it as `server.always`."""

    def __init__(self) -> None:
        self.version = 10
        self.uid = UID
        self.tasks: dict[str, dict[str, Any]] = {}
        self.pages: dict[str, dict[str, Any]] = {}
        self.status: dict[str, Any] = {}
        self.input: dict[str, Any] = {}
        self.driver: dict[str, Any] = {}
        """Status of the driver's AppTask, where a test has one."""
        self.deleted = False
        self.watches = 0
        self.reports: dict[str, dict[str, Any]] = {}
        """What pods reported, by AppTask."""
        self.outputs: dict[str, Any] = {}
        """Outputs by task name: a created task with such a name is finished and committed at once."""
        self.changed = threading.Condition()
        self._sequence = 0

    def __call__(self, handler: Handler, request: Request) -> None:
        path, _, query = request.target.partition("?")
        resource = path.removeprefix(BASE).strip("/")
        if request.method == "POST":
            self._create(handler, request)
        elif request.method == "PATCH":
            fields = {operation["path"].rpartition("/")[2]: operation.get("value") for operation in request.json}
            # As a status: a write that gives up calls may come after the one that ends the task.
            reported = self.reports.setdefault(resource.split("/")[1], {})
            reported |= fields
            answer(200, {"metadata": {}})(handler, request)
        elif "watch=1" in query:
            self._watch(handler, request, int(query.partition("resourceVersion=")[2].partition("&")[0]))
        elif resource == "apptasks":
            items = [*self.tasks.values(), *([self._driver()] if self.driver else [])]
            answer(200, {"items": items, "metadata": {}})(handler, request)
        else:
            self._get(handler, request, resource)

    def run(self) -> dict[str, Any]:
        metadata = {
            "name": RUN,
            "uid": self.uid,
            "resourceVersion": str(self.version),
            "creationTimestamp": "2026-01-02T03:04:05Z",
        }
        return copy.deepcopy(
            {"kind": "AppRun", "metadata": metadata, "spec": {"input": self.input}, "status": self.status}
        )

    def add_task(self, key: str, *, task: str = "work", role: str = "task", owner: str = UID, **status: Any) -> None:
        """An AppTask as an earlier life of the driver made it."""
        spec = {"run": RUN, "role": role, "key": key, "task": task, "entrypoint": "run", "input": {"n": 1}}
        spec |= {"identity": {"inputDigest": "d", "lineage": "", "occurrence": 0}, "line": "app.py:7"}
        name = f"{RUN}-{key[:16]}"
        metadata = {"name": name, "ownerReferences": [{"uid": owner}]}
        self.tasks[name] = {"metadata": metadata, "spec": spec, "status": status}

    def finish(self, key: str, output: Any = None, error: dict[str, Any] | None = None) -> None:
        """The pod of this call reports."""
        status = self.tasks[f"{RUN}-{key[:16]}"]["status"]
        status |= {"phase": "Failed", "error": error} if error else {"phase": "Succeeded", "output": output}

    def commit(self, *keys: str) -> None:
        """The operator commits these calls, in one write."""
        with self.changed:
            for key in keys:
                task = self.tasks[f"{RUN}-{key[:16]}"]
                status = task["spec"].get("outcome") or task["status"]
                outcome = status.get("phase") if status.get("phase") in ("Failed", "Cancelled") else "Succeeded"
                payload = status.get("output" if outcome == "Succeeded" else "error")
                entry = {
                    "sequence": self._sequence,
                    "key": key,
                    "task": task["spec"]["task"],
                    "outcome": outcome,
                    "attempts": status.get("attempt", 1),
                    "digest": digest(payload),
                    "at": "2026-01-02T03:04:06.5Z",
                }
                self._sequence += 1
                self.status.setdefault("checkpoints", []).append(entry)
            self.touch()

    def cancel(self) -> None:
        """The operator commits the cancellation of the run."""
        entry = {"sequence": self._sequence, "key": "cancel", "task": "cancel", "outcome": "Cancelled", "attempts": 0}
        with self.changed:
            self._sequence += 1
            entry |= {"digest": "", "at": "2026-01-02T03:04:07Z"}
            self.status.setdefault("checkpoints", []).append(entry)
            self.touch()

    def turn_page(self) -> None:
        """The operator moves the oldest checkpoints to a page."""
        number = self.status.get("ledgerPages", 0)
        moved, self.status["checkpoints"] = (
            self.status["checkpoints"][:PAGE_SIZE],
            self.status["checkpoints"][PAGE_SIZE:],
        )
        name = f"{RUN}-{number}"
        self.pages[name] = {"metadata": {"name": name}, "spec": {"number": number, "checkpoints": moved}}
        self.status["ledgerPages"] = number + 1

    def touch(self) -> None:
        """A new version of the run, which watches see."""
        with self.changed:
            self.version += 1
            self.changed.notify_all()

    def delete(self) -> None:
        with self.changed:
            self.deleted = True
            self.touch()

    def _driver(self) -> dict[str, Any]:
        metadata = {"name": f"{RUN}-driver", "ownerReferences": [{"uid": self.uid}]}
        return {"metadata": metadata, "spec": {"run": RUN, "role": "driver", "key": "driver"}, "status": self.driver}

    def _get(self, handler: Handler, request: Request, resource: str) -> None:
        plural, _, name = resource.partition("/")
        item = {"appruns": None if self.deleted else self.run(), "apptasks": self.tasks.get(name)}.get(
            plural, self.pages.get(name)
        )
        if item is None:
            refuse(404, "NotFound", f"{resource} not found")(handler, request)
        else:
            answer(200, item)(handler, request)

    def _create(self, handler: Handler, request: Request) -> None:
        body = request.json
        name = body["metadata"]["name"]
        if name in self.tasks:
            refuse(409, "AlreadyExists", f'apptasks.apprun.dev "{name}" already exists')(handler, request)
            return
        self.tasks[name] = body | {"status": {"phase": "Active"}}
        answer(201, self.tasks[name])(handler, request)
        task, key = body["spec"]["task"], body["spec"]["key"]
        if body["spec"]["role"] == "local":
            self.commit(key)
        elif task in self.outputs:
            self.finish(key, self.outputs[task])
            self.commit(key)

    def _watch(self, handler: Handler, request: Request, since: int) -> None:
        self.watches += 1
        handler.begin_chunks()
        while not handler.server.stopping.is_set():
            with self.changed:
                if self.version == since:
                    self.changed.wait(0.1)
                    continue
                since = self.version
                event = {"type": "DELETED" if self.deleted else "MODIFIED", "object": self.run()}
            handler.chunk(json.dumps(event).encode() + b"\n")
        handler.chunk(b"")
