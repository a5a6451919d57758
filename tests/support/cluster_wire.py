"""A small API server behind a real socket, for tests of the command line: objects by path, refusals by request.

Knows lists with equality selectors, create, merge patch, server-side apply of whole objects, dry runs, watches that
tell what changes, and logs of pods. The cluster tests show that the real one agrees.
"""

from __future__ import annotations

import copy
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import yaml
from tests.support.wire_server import Handler, Request, Step, WireServer, answer, refuse, wire_server

from application_sdk.cli.cluster.parse import seconds
from application_sdk.wire import names

Object = dict[str, Any]

GROUP = "/apis/apprun.dev/v1alpha1"
NAMESPACED = f"{GROUP}/namespaces/team"
PODS = "/api/v1/namespaces/team/pods"
RUN_UID = "0a1b2c3d-0000-4000-8000-000000000000"
COLLECTIONS = {"apps", "appruns", "apptasks", "appledgers", "appstates", "pods", "configmaps", "deployments",
               "namespaces", "networkpolicies", "endpointslices", "validatingadmissionpolicies",
               "validatingadmissionpolicybindings"}  # fmt: skip


@dataclass
class FakeCluster:
    """What the server holds. Tests put objects in and read what was written."""

    wire: WireServer
    kubeconfig: Path
    objects: dict[str, Object] = field(default_factory=dict)
    logs: dict[str, str] = field(default_factory=dict)
    refusals: dict[tuple[str, str], Step] = field(default_factory=dict)
    served: bool = True
    forbidden: set[tuple[str, str]] = field(default_factory=set)
    """Verb and resource of what an access review says no to."""
    version: Object = field(default_factory=lambda: {"major": "1", "minor": "34", "gitVersion": "v1.34.4"})
    _number: int = 0
    _changed: threading.Condition = field(default_factory=threading.Condition)
    _news: list[tuple[int, str, str, Object]] = field(default_factory=list)

    def put(self, path: str, item: Object, kind: str = "MODIFIED") -> Object:
        """Create or replace an object."""
        with self._changed:
            self._number += 1
            metadata = item.setdefault("metadata", {})
            metadata.setdefault("name", path.rpartition("/")[2])
            metadata.setdefault("uid", f"uid-{metadata['name']}")
            metadata.setdefault("creationTimestamp", "2026-07-01T10:00:00Z")
            metadata["resourceVersion"] = str(self._number)
            event = kind if path in self.objects else "ADDED"
            self.objects[path] = item
            self._news.append((self._number, path, event, copy.deepcopy(item)))
            self._changed.notify_all()
        return item

    def remove(self, path: str) -> None:
        with self._changed:
            self._number += 1
            item = self.objects.pop(path)
            item["metadata"]["resourceVersion"] = str(self._number)
            self._news.append((self._number, path, "DELETED", item))
            self._changed.notify_all()

    def run(self, name: str, **status: Any) -> Object:
        """An AppRun of app `hello`."""
        spec = {"appRef": {"name": "hello"}, "input": {"name": "Ada"}}
        app = {"name": "hello", "entry": "app:Hello", "image": "runtime:1"}
        return self.put(
            f"{NAMESPACED}/appruns/{name}",
            {"metadata": {"name": name, "namespace": "team"}, "spec": spec, "status": {"app": app, **status}},
        )

    def task(self, run: str, key: str, task: str, spec: Object | None = None, **status: Any) -> Object:
        """An AppTask; `key` is filled up to its length."""
        full_key = (key + "0" * 32)[:32]
        name = f"{run}-driver" if task == "driver" else f"{run}-{full_key[:16]}"
        body = {"run": run, "role": "task", "key": full_key, "task": task, "input": {}, "sequence": 0,
                "identity": {"inputDigest": key, "lineage": "", "occurrence": 0}, **(spec or {})}  # fmt: skip
        labels = {"apprun.dev/run": run}
        owner = {"kind": "AppRun", "name": run, "uid": RUN_UID}
        return self.put(
            f"{NAMESPACED}/apptasks/{name}",
            {
                "metadata": {"name": name, "namespace": "team", "labels": labels, "ownerReferences": [owner]},
                "spec": body,
                "status": status,
            },
        )

    def pod(self, task: Object, attempt: int, phase: str, log: str = "", **status: Any) -> Object:
        """The pod of an attempt."""
        name = names.pod_name(task["metadata"]["name"], attempt, RUN_UID)
        self.logs[name] = log
        labels = {
            "apprun.dev/run": task["spec"]["run"],
            "apprun.dev/task": task["spec"]["task"],
            "apprun.dev/role": task["spec"]["role"],
            "apprun.dev/key": task["spec"]["key"],
            "apprun.dev/attempt": str(attempt),
        }
        state = {"Running": "running", "Succeeded": "terminated"}.get(phase)
        if state:
            own = {"name": task["spec"]["role"], "state": {state: {"startedAt": "2026-07-01T10:00:01Z"}}}
            status.setdefault("containerStatuses", [own])
        return self.put(
            f"{PODS}/{name}",
            {"metadata": {"name": name, "labels": labels}, "spec": {"nodeName": "node1"},
             "status": {"phase": phase, **status}},
        )  # fmt: skip

    def written(self, method: str) -> list[tuple[str, Any]]:
        """Requests of a method: target and body."""
        return [
            (request.target, request.json if request.body else None)
            for request in self.wire.requests
            if request.method == method
        ]

    def step(self, handler: Handler, request: Request) -> None:
        parts = urlsplit(request.target)
        query = {name: values[0] for name, values in parse_qs(parts.query).items()}
        refusal = self.refusals.get((request.method, parts.path))
        if refusal is not None:
            refusal(handler, request)
        elif parts.path == "/version":
            answer(body=self.version)(handler, request)
        elif parts.path.startswith("/apis/apprun.dev") and not self.served:
            handler.plain(404, b"404 page not found\n", {"Content_Type": "text/plain"})
        elif parts.path == GROUP:
            kinds = ("apps", "appruns", "apptasks", "appledgers")
            answer(body={"resources": [{"name": kind} for kind in kinds]})(handler, request)
        elif parts.path.endswith("/log"):
            self._log(handler, request, parts.path, query)
        elif request.method == "GET" and "watch" in query:
            self._watch(handler, parts.path, query)
        else:
            self._plain(handler, request, parts.path, query)

    def _plain(self, handler: Handler, request: Request, path: str, query: dict[str, str]) -> None:
        collection = path.rpartition("/")[2] in COLLECTIONS
        if request.method == "GET" and collection:
            answer(body=self._list(path, query))(handler, request)
        elif request.method == "GET":
            self._one(path, handler, request)
        elif request.method == "POST" and path.endswith("selfsubjectaccessreviews"):
            attributes = request.json["spec"]["resourceAttributes"]
            allowed = (attributes["verb"], attributes["resource"]) not in self.forbidden
            answer(body={"status": {"allowed": allowed}})(handler, request)
        elif request.method == "POST":
            target = f"{path}/{request.json['metadata']['name']}"
            if target in self.objects:
                refuse(409, "AlreadyExists", f"{target} already exists")(handler, request)
            else:
                self._write(target, request.json, query, handler, request)
        elif request.method == "PATCH" and "apply" in request.headers["content-type"]:
            self._write(path, {**self.objects.get(path, {}), **request.json}, query, handler, request)
        elif request.method == "PATCH" and path.endswith("/status"):
            (change,) = request.json
            target = path.removesuffix("/status")
            self._write(
                target, {**copy.deepcopy(self.objects[target]), "status": change["value"]}, query, handler, request
            )
        elif request.method == "PATCH" and "metadata" in request.json:
            noted = copy.deepcopy(self.objects[path])
            noted["metadata"].setdefault("annotations", {}).update(request.json["metadata"]["annotations"])
            self._write(path, noted, query, handler, request)
        elif request.method == "PATCH":
            merged = copy.deepcopy(self.objects[path])
            merged["spec"] = {**merged["spec"], **request.json["spec"]}
            self._write(path, merged, query, handler, request)
        elif request.method == "DELETE":
            self.remove(path)
            answer()(handler, request)

    def _write(self, path: str, body: Object, query: dict[str, str], handler: Handler, request: Request) -> None:
        answer(body=body if "dryRun" in query else self.put(path, body))(handler, request)

    def _one(self, path: str, handler: Handler, request: Request) -> None:
        item = self.objects.get(path)
        if item is not None:
            answer(body=item)(handler, request)
            return
        *_, plural, name = path.split("/")
        message = f'{plural}.apprun.dev "{name}" not found'
        body = {"kind": "Status", "code": 404, "reason": "NotFound", "message": message,
                "details": {"name": name, "kind": plural}}  # fmt: skip
        answer(404, body)(handler, request)

    def _chosen(self, path: str, item: Object, query: dict[str, str]) -> bool:
        parts = [part for part in query.get("labelSelector", "").split(",") if part]
        wanted = dict(part.split("=", 1) for part in parts if "=" in part)
        labels = item["metadata"].get("labels") or {}
        if any("=" not in part and part not in labels for part in parts):
            return False
        named = query.get("fieldSelector", "").partition("metadata.name=")[2]
        return all(labels.get(name) == value for name, value in wanted.items()) and named in (
            "",
            path.rpartition("/")[2],
        )

    def _list(self, path: str, query: dict[str, str]) -> Object:
        with self._changed:
            plural = path.rpartition("/")[2]
            everywhere = "/namespaces/" not in path
            items = [
                item
                for place, item in self.objects.items()
                if (place.rpartition("/")[0] == path or (everywhere and place.split("/")[-2] == plural))
                and self._chosen(place, item, query)
            ]
            return {"items": items, "metadata": {"resourceVersion": str(self._number)}}

    def _watch(self, handler: Handler, path: str, query: dict[str, str]) -> None:
        handler.begin_chunks()
        version = int(query.get("resourceVersion") or 0)
        while not handler.server.stopping.is_set():
            with self._changed:
                news = [entry for entry in self._news if entry[0] > version]
                if not news:
                    self._changed.wait(0.05)
            for number, place, event, item in news:
                version = number
                if place.rpartition("/")[0] == path and self._chosen(place, item, query):
                    handler.chunk(json.dumps({"type": event, "object": item}).encode() + b"\n")

    def _log(self, handler: Handler, request: Request, path: str, query: dict[str, str]) -> None:
        name = path.split("/")[-2]
        statuses = self.objects.get(path.removesuffix("/log"), {}).get("status", {}).get("containerStatuses") or []
        containers = [status["name"] for status in statuses]
        if query.get("container", "") not in containers and len(containers) > 1:
            words = f"a container name must be specified for pod {name}, choose one of: [{' '.join(containers)}]"
            refuse(400, "BadRequest", words)(handler, request)
            return
        if name not in self.logs:
            refuse(404, "NotFound", f'pods "{name}" not found')(handler, request)
            return
        since = seconds(query.get("sinceTime", "")) or 0.0
        lines = self.logs[name].splitlines(keepends=True)
        text = "".join(line for line in lines if (seconds(line.partition(" ")[0]) or since) >= int(since))
        handler.plain(200, text.encode(), {"Content_Type": "text/plain"})


@contextmanager
def fake_cluster(certificate: Path, key: Path, folder: Path) -> Iterator[FakeCluster]:
    """A running server, and a kubeconfig that leads to it: context `test`, namespace `team`."""
    with wire_server(certificate, key) as wire:
        kubeconfig = folder / "kubeconfig"
        config = {
            "current-context": "test",
            "contexts": [{"name": "test", "context": {"cluster": "c", "user": "u", "namespace": "team"}}],
            "clusters": [
                {"name": "c", "cluster": {"server": f"https://127.0.0.1:{wire.port}",
                                          "certificate-authority": str(certificate)}}
            ],
            "users": [{"name": "u", "user": {"token": "secret-token"}}],
        }  # fmt: skip
        kubeconfig.write_text(yaml.safe_dump(config))
        cluster = FakeCluster(wire, kubeconfig)
        wire.always = cluster.step
        yield cluster
