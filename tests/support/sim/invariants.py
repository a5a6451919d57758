"""The invariants of the design, checked at every single change of any object. What breaks is kept, with its number."""

from __future__ import annotations

import json
from typing import Any

from tests.support.fake_api import TERMINAL, FakeServer, Object, Place

from application_sdk.wire import names
from application_sdk.wire.digest import digest


def outcome_of(task: Object) -> Object:
    """How a call stands: what its driver has recorded with it, or its status."""
    outcome: Object = task["spec"].get("outcome") or task["status"]
    return outcome


class Invariants:
    """An observer of a server. `tolerate` names what a test breaks on purpose."""

    def __init__(self, server: FakeServer) -> None:
        self._server = server
        self.broken: list[str] = []
        self._ledgers: dict[str, list[Object]] = {}
        """Every checkpoint ever committed, by the uid of its run."""
        self._results: dict[str, tuple[Any, ...]] = {}
        """The end of each task call, by the uid of its AppTask."""
        self._attempts: dict[str, int] = {}
        self.expected: set[str] = set()
        self.tampered: set[str] = set()
        """Names of runs whose past somebody altered by force: they may stall."""

    def expect(self, run: str) -> None:
        self.expected.add(run)

    def observe(self, event: str, place: Place, item: Object, before: Object | None) -> None:
        if place.plural == "appruns" and event != "DELETED":
            self._run(item)
        elif place.plural == "apptasks" and event != "DELETED":
            self._task(item)
        elif place.plural == "pods" and event == "ADDED":
            self._pod(item)

    def _break(self, number: int, message: str) -> None:
        self.broken.append(f"invariant {number}: {message}")

    def _run(self, run: Object) -> None:
        """1: what is committed is never changed or lost; its order stays."""
        uid, name = run["metadata"]["uid"], run["metadata"]["name"]
        try:
            entries = self._server.ledger(run)
        except KeyError as missing:
            if name not in self.tampered:
                self._break(1, f"page {missing} of {name} is counted, but isn't there")
            return
        ledger = self._ledgers.setdefault(uid, [])
        if entries[: len(ledger)] != ledger:
            self._break(1, f"the ledger of {name} was {ledger}, is {entries}")
        for entry in entries[len(ledger) :]:
            self._commit(run, entry, len(ledger))
            ledger.append(entry)
        if run["status"].get("phase") in TERMINAL and any(
            entry["key"] in [e["key"] for e in ledger[:number]] for number, entry in enumerate(ledger)
        ):
            self._break(1, f"a call of {name} is committed twice")

    def _commit(self, run: Object, entry: Object, position: int) -> None:
        name = run["metadata"]["name"]
        if entry["sequence"] != position:
            self._break(3, f"checkpoint {entry['sequence']} of {name} stands at {position}")
        if entry["key"] == names.CANCEL_KEY:
            return
        task = self._server.objects.get(
            Place("apptasks", run["metadata"]["namespace"], names.task_name(name, entry["key"]))
        )
        if task is None:
            if name not in self.tampered:
                self._break(1, f"{entry['task']} of {name} was committed without an AppTask")
            return
        status = outcome_of(task)
        payload = status.get("output") if status["phase"] == "Succeeded" else status.get("error")
        if (status["phase"], digest(payload)) != (entry["outcome"], entry["digest"]):
            self._break(1, f"{entry} isn't what {task['metadata']['name']} says: {status}")

    def _task(self, task: Object) -> None:
        """2: one result per call, which never changes; attempt numbers only grow."""
        uid, name, status = task["metadata"]["uid"], task["metadata"]["name"], outcome_of(task)
        attempt = status.get("attempt", 1)
        if attempt < self._attempts.get(uid, 1):
            self._break(2, f"{name} went back to attempt {attempt}")
        self._attempts[uid] = attempt
        if status["phase"] in TERMINAL:
            result = (status["phase"], status.get("output"), status.get("error"), attempt)
            if self._results.setdefault(uid, result) != result:
                self._break(2, f"{name} ended as {self._results[uid]}, then as {result}")
        if "reuse" in task["spec"] and (status.get("pod") or {}).get("uid"):
            self._assignment(task["spec"]["reuse"], status["pod"]["uid"])

    def _assignment(self, reuse: Object, pod_uid: str) -> None:
        """No pod has more calls than it executes at a time, and one ahead."""
        assigned = [
            place.name
            for place, task in self._server.objects.items()
            if place.plural == "apptasks"
            and "reuse" in task["spec"]
            and task["status"]["phase"] not in TERMINAL
            and (task["status"].get("pod") or {}).get("uid") == pod_uid
        ]
        if len(assigned) > reuse["concurrency"] + 1:
            self._break(0, f"{len(assigned)} calls are assigned to one pod: {assigned}")

    def _pod(self, pod: Object) -> None:
        """1: what is committed, or has reported its result, is never started again. 8: pods are restricted."""
        if pod["spec"].get("automountServiceAccountToken") is not False or not pod["spec"]["securityContext"].get(
            "runAsNonRoot"
        ):
            self._break(8, f"pod {pod['metadata']['name']} isn't restricted")
        if names.POOL_LABEL in pod["metadata"]["labels"]:
            return
        call = json.loads(pod["metadata"]["annotations"][names.CALL_ANNOTATION])
        if call["key"] in [entry["key"] for entry in self._ledgers.get(call["runUid"], [])]:
            self._break(1, f"pod {pod['metadata']['name']} of a committed call was made")
        task = self._server.objects.get(Place("apptasks", pod["metadata"]["namespace"], call["appTask"]))
        owner = pod["metadata"]["ownerReferences"][0]["uid"]
        if task is not None and task["metadata"]["uid"] == owner and task["status"]["phase"] in TERMINAL:
            self._break(1, f"pod {pod['metadata']['name']} of a finished call was made")
