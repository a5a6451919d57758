"""Read the cluster into a Snapshot: JSON of the API server to records, and the few requests that fetch it.

Used by `catalog`. Reads through `kubectl proxy`, so that any kubeconfig works; writes nothing.
"""

from __future__ import annotations

import json
import socket
import time
from collections.abc import Callable
from dataclasses import dataclass
from http import HTTPStatus
from http.client import HTTPConnection, HTTPException
from pathlib import Path

from hack.demo.snapshot import JSON, Checkpoint, EndedAttempt, Node, Pod, Snapshot, Task, Witness
from hack.restarts import SELECTOR, operator_pods
from typing_extensions import override

from application_sdk.wire.printable import printable_line

APPRUN = "/apis/apprun.dev/v1alpha1"
GROUP = "apprun.dev"
WITNESS = "catalog.apprun.dev"
TIMEOUT_SECONDS = 5.0


@dataclass(frozen=True)
class Value:
    """A JSON value that is asked for fields which may not be there: `value["status"]["phase"].text`."""

    raw: JSON

    def __getitem__(self, key: str) -> Value:
        return Value(self.raw.get(key) if isinstance(self.raw, dict) else None)

    @property
    def text(self) -> str:
        """Fit to be drawn: whatever of the cluster is shown comes from here."""
        return printable_line(self.raw) if isinstance(self.raw, str) else ""

    @property
    def items(self) -> list[Value]:
        return [Value(each) for each in self.raw] if isinstance(self.raw, list) else []

    def number(self, default: int = 0) -> int:
        return self.raw if isinstance(self.raw, int) else default

    def label(self, name: str) -> str:
        return self["metadata"]["labels"][name].text


class _UnixConnection(HTTPConnection):
    """HTTP over a socket file."""

    def __init__(self, path: Path) -> None:
        super().__init__("localhost", timeout=TIMEOUT_SECONDS)
        self._path = path

    @override
    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(TIMEOUT_SECONDS)
        self.sock.connect(str(self._path))


def through(path: Path) -> Callable[[str], JSON]:
    """Asks the API that a socket file leads to. The function raises Unanswered when there is no answer, or an error."""

    def fetch(query: str) -> JSON:
        connection = _UnixConnection(path)
        try:
            connection.request("GET", query)
            answer = connection.getresponse()
            body = answer.read()
            if answer.status != HTTPStatus.OK:
                raise Unanswered(f"GET {query}: {answer.status} {body[:300].decode(errors='replace')}")
            document: JSON = json.loads(body)
            return document
        except (OSError, HTTPException) as error:
            raise Unanswered(f"GET {query}: {error}") from error
        finally:
            connection.close()

    return fetch


class Unanswered(Exception):
    """The API server gave no answer, or an error."""


@dataclass(frozen=True)
class Reader:
    """Reads one run of one namespace. `fetch` gives the API server's answer to a path."""

    fetch: Callable[[str], JSON]
    namespace: str
    run: str

    def get(self, path: str) -> Value:
        return Value(self.fetch(path))

    def snapshot(self) -> Snapshot:
        """All about the run, now. Pods and tasks are read before the run, so that no commit is seen before its task."""
        core, api = f"/api/v1/namespaces/{self.namespace}", f"{APPRUN}/namespaces/{self.namespace}"
        selector = f"labelSelector={GROUP}/run={self.run}"
        pods = self.get(f"{core}/pods?{selector}")
        tasks = self.get(f"{api}/apptasks?{selector}")
        run = self.get(f"{api}/appruns/{self.run}")
        pages = [
            self.get(f"{api}/appledgers/{self.run}-{page}") for page in range(run["status"]["ledgerPages"].number())
        ]
        nodes = self.get("/api/v1/nodes")
        witnesses = self.get(f"{core}/configmaps?labelSelector={WITNESS}/run={self.run}")
        operators = self.get(f"/api/v1/pods?labelSelector={SELECTOR}")
        return Snapshot(
            at=time.time(),
            phase=run["status"]["phase"].text or "Pending",
            message=run["status"]["message"].text,
            ledger=ledger_of(run, pages),
            tasks=tuple(task_of(each) for each in tasks["items"].items),
            pods=tuple(pod_of(each) for each in pods["items"].items),
            nodes=tuple(node_of(each) for each in nodes["items"].items),
            witnesses=tuple(witness_of(each) for each in witnesses["items"].items),
            operators=tuple(operator_pods(each.raw for each in operators["items"].items if isinstance(each.raw, dict))),
            output=run["status"]["output"].raw,
        )

    def served(self) -> tuple[int, int]:
        """How many API groups there are, the nameless one included, and how many kinds of them can be listed."""
        groups = self.get("/apis")["groups"].items
        paths = ["/api/v1", *(f"/apis/{group['preferredVersion']['groupVersion'].text}" for group in groups)]
        kinds = 0
        for path in paths:
            for resource in self.get(path)["resources"].items:
                verbs = {verb.text for verb in resource["verbs"].items}
                kinds += "list" in verbs and "/" not in resource["name"].text
        return len(paths), kinds


def ledger_of(run: Value, pages: list[Value]) -> tuple[Checkpoint, ...]:
    """The whole ledger: older pages, then what the run's status holds."""
    entries = [entry for page in pages for entry in page["spec"]["checkpoints"].items]
    return tuple(
        Checkpoint(
            sequence=entry["sequence"].number(-1),
            key=entry["key"].text,
            task=entry["task"].text,
            outcome=entry["outcome"].text,
            attempts=entry["attempts"].number(),
            digest=entry["digest"].text,
        )
        for entry in [*entries, *run["status"]["checkpoints"].items]
    )


def task_of(item: Value) -> Task:
    spec, status = item["spec"], item["status"]
    return Task(
        name=item["metadata"]["name"].text,
        key=spec["key"].text,
        task=spec["task"].text,
        role=spec["role"].text,
        sequence=spec["sequence"].number(-1),
        subject=subject(spec["input"]),
        phase=status["phase"].text or "Active",
        attempt=status["attempt"].number(1),
        ended=tuple(
            EndedAttempt(each["attempt"].number(), each["reason"].text, each["budget"].text)
            for each in status["attempts"].items
        ),
    )


def subject(given: Value) -> str:
    """What an input is about: its first text, or the id or name of its first object that has one."""
    for value in given.raw.values() if isinstance(given.raw, dict) else ():
        found = Value(value)
        if text := found.text or found["id"].text or found["name"].text:
            return text
    return ""


def pod_of(item: Value) -> Pod:
    attempt = item.label(f"{GROUP}/attempt")
    return Pod(
        name=item["metadata"]["name"].text,
        task=next((owner["name"].text for owner in item["metadata"]["ownerReferences"].items), ""),
        role=item.label(f"{GROUP}/role"),
        attempt=int(attempt) if attempt.isdigit() else 0,
        node=item["spec"]["nodeName"].text,
        phase=item["status"]["phase"].text or "Pending",
        leaving=bool(item["metadata"]["deletionTimestamp"].text),
    )


def node_of(item: Value) -> Node:
    ready = any(
        each["type"].text == "Ready" and each["status"].text == "True" for each in item["status"]["conditions"].items
    )
    return Node(item["metadata"]["name"].text, ready)


def witness_of(item: Value) -> Witness:
    attempt = item.label(f"{WITNESS}/attempt")
    return Witness(
        key=item.label(f"{WITNESS}/key"),
        attempt=int(attempt) if attempt.isdigit() else 0,
        pod=item["data"]["pod"].text,
        node=item["data"]["node"].text,
    )
