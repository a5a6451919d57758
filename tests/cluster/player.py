"""Plays on both API servers what operators, drivers, tasks and people do, right as often as wrong, by one seed."""

from __future__ import annotations

import random
import time
from typing import Any

from tests.cluster.apiserver import JSON_PATCH, MERGE_PATCH
from tests.cluster.twins import API, KINDS, Pair, Twins
from tests.support.fake_api import Object

from application_sdk.wire import names

KEYS = [f"{n:x}" * 32 for n in range(3)]
ERROR = {"type": "ValueError", "message": "no"}
GATED = {
    "serviceAccountName": "apprun-task",
    "schedulingGates": [{"name": "apprun.dev/test"}],
    "containers": [{"name": "main", "image": "none"}],
}


def checkpoint(sequence: int) -> Object:
    return {
        "sequence": sequence, "key": f"{sequence:032x}", "task": "t", "outcome": "Succeeded", "attempts": 1,
        "digest": "d", "at": "2026-01-01T00:00:00Z",
    }  # fmt: skip


class Player:
    """Of one seed: its runs have its number in their names, so that several seeds share a namespace."""

    def __init__(self, twins: Twins, seed: int) -> None:
        self.twins = twins
        self.chance = random.Random(seed)
        self.runs = [f"alpha{seed}", f"beta{seed}"]
        self.pods: dict[str, str] = {}
        """The users that are pods, with the name of their task."""
        self.staffed: dict[str, str] = {}
        """For which uid each run has its pods; those for uids before it are zombies."""
        for run in self.runs:
            self._staff(run, ("00000000", "00000000"))

    def _staff(self, run: str, uids: tuple[str, str]) -> None:
        """The pods that a run would have: named after its uid, which is another one on either server."""
        zombies = {user: task for user, task in self.pods.items() if task.startswith(f"{run}-") and "*" not in user}
        for user, task in zombies.items():
            del self.pods[user]
            late = f"{user}*{len(self.pods)}"
            self.twins.users[late] = self.twins.users.pop(user)
            self.twins.references[late] = self.twins.references.pop(user)
            self.pods[late] = task
        self.staffed[run] = uids[1]
        self._add(run, "driver", 1, "apprun-driver", uids)
        for key in KEYS[:2]:
            for attempt in (1, 2):
                self._add(run, key[:16], attempt, "apprun-task", uids)

    def _add(self, run: str, part: str, attempt: int, account: str, uids: tuple[str, str]) -> None:
        user, task = f"{run}-{part}-{attempt}", f"{run}-{part}"
        self.twins.add_pod(user, account, Pair(*(names.pod_name(task, attempt, uid) for uid in uids)))
        self.pods[user] = task

    def play(self) -> None:
        moves = [
            self.create_run, self.create_run, self.create_task, self.create_task, self.create_task,
            self.report, self.report, self.report, self.decide, self.commit, self.commit, self.edit, self.interfere,
            self.delete, self.page, self.read, self.pod, self.app, self.state, self.restore, self.restore, self.mark,
        ]  # fmt: skip
        self.chance.choice(moves)()

    def one(self, *choices: Any) -> Any:
        return self.chance.choice(choices)

    def likely(self, of_hundred: int) -> bool:
        return self.chance.random() * 100 < of_hundred

    def user(self, *likely: str) -> str:
        """Mostly one of those who may."""
        if self.likely(75):
            return str(self.chance.choice(likely))
        return str(self.one("operator", "person", "account", "collector", *self.pods))

    def task_name(self) -> tuple[str, str, str]:
        run, key = self.chance.choice(self.runs), self.chance.choice([*KEYS, "driver"])
        return run, key, f"{run}-{key[:16]}"

    # Creating

    def create_run(self) -> None:
        name = self.chance.choice(self.runs)
        spec: Object = {"app": {"entry": "app:A"}, "input": {"n": None, "m": [1, {}]}}
        spec |= self.one({}, {}, {}, {"suspend": True}, {"appRef": {"name": "x"}}, {"parallelism": 0}, {"odd": 1})
        metadata: Object = {"name": name} | self.one({}, {"annotations": {"apprun.dev/restored-from": "before"}})
        body = {"apiVersion": API, "kind": "AppRun", "metadata": metadata, "spec": spec, "status": {"phase": "X"}}
        self.twins.ask(self.user("person"), "create", self.twins.path("appruns"), body)
        if self.twins.there("appruns", name):
            uids = self.twins.field("appruns", name, "uid", right=True)
            if self.staffed[name] != uids[1]:
                self._staff(name, uids)

    def create_task(self) -> None:
        run, key, name = self.task_name()
        role = "driver" if key == "driver" else self.one("task", "task", "task", "timer", "local", "local", "driver")
        spec: Object = {"run": run, "role": role, "key": key, "task": "t", "input": {"a": None, "b": 1}}
        spec |= self.one(
            {},
            {},
            {},
            {"seconds": 1.5},
            {"sequence": -1},
            {"run": "gamma"},
            {"cleanup": "yes"},
            {"pod": {"serviceAccountName": "apprun-handler"}},
            {"pod": {"serviceAccountName": "x"}},
        )
        if role == "local" or self.likely(5):
            spec |= self.outcome()
        metadata: Object = {"name": name, "labels": {"apprun.dev/run": run}}
        if self.likely(5):
            metadata["finalizers"] = ["apprun.dev/hold"]
        if self.likely(30):
            metadata["annotations"] = {"apprun.dev/restored-from": "before"}
        owned = self.twins.there("appruns", run) and self.likely(85)
        bodies: list[Object] = []
        for uid in self.twins.field("appruns", run, "uid", right=True):
            owner = {"apiVersion": API, "kind": "AppRun", "name": run, "uid": uid, "controller": True}
            made = metadata | ({"ownerReferences": [owner]} if owned else {})
            bodies.append({"apiVersion": API, "kind": "AppTask", "metadata": made, "spec": spec})
        user = self.user("operator", f"{run}-driver-1", "person")
        self.twins.ask(user, "create", self.twins.path("apptasks"), Pair(*bodies))

    def outcome(self) -> Object:
        """What a driver records with a call that it has executed itself, mostly as it should be."""
        times = {"startedAt": "2026-01-01T00:00:00Z", "finishedAt": "2026-01-01T00:00:01Z"}
        done = {"phase": "Succeeded", "attempt": 1, "output": {"n": 1}} | times
        failed = {"phase": "Failed", "attempt": 2, "error": {"type": "E", "message": "m", "attempt": 2}} | times
        found: Object = self.one(
            done,
            done,
            failed,
            {**failed, "attempts": [{"attempt": 1, "reason": "E", "budget": "App"}]},
            {**done, "error": {"type": "E", "message": "m"}},
            {**failed, "error": None},
            {**done, "attempt": 0},
            {**done, "phase": "Active"},
            {**done, "output": {"text": "x" * 400_000}},
            {},
        )
        return {"outcome": found} if found else {}

    def restore(self) -> None:
        """What an import does: statuses that are written once, of objects that it has marked."""
        run, _, task = self.task_name()
        origin, user = self.one("before", "before", "other"), self.user("person")
        at = {"restoredAt": "2026-01-01T00:00:00Z"}
        if self.likely(50):
            status = self.one({"phase": "Succeeded", "output": {"x": None}}, {"phase": "Waiting", "attempt": 2}, {})
            self.write(user, "apptasks", task, {"status": status | self.one(at, at, {})}, "status")
            return
        past = self.one({"phase": "Succeeded"}, {"app": {"name": "A", "entry": "app:A"}, "phase": "Running"}, {})
        past |= self.one({"restoredFrom": {"uid": origin}}, {"restoredFrom": {"uid": origin}}, {})
        self.write(user, "appruns", run, {"status": past}, "status")

    def mark(self) -> None:
        """What the operator writes to a run before it begins."""
        name, mark = self.chance.choice(self.runs), "apprun.dev/began-as"
        extra = self.one({}, {}, {"labels": {"a": "c"}})
        path, user = self.twins.path("appruns", name), self.user("operator")
        bodies: list[Object] = [
            {"metadata": {"annotations": {mark: uid}, **extra}}
            for uid in self.twins.field("appruns", name, "uid", right=self.likely(80))
        ]
        self.twins.ask(user, "patch", path, Pair(*bodies), kind=MERGE_PATCH)

    def page(self) -> None:
        run, number = self.chance.choice(self.runs), self.one(0, 0, 1)
        if self.likely(30):
            change = self.one({"spec": {"run": "gamma"}}, {"metadata": {"labels": {"a": "b"}}}, {})
            self.write(self.user("person"), "appledgers", f"{run}-{number}", change)
            return
        count = self.one(128, 128, 128, 127)
        spec: Object = {"run": run, "number": number, "checkpoints": [checkpoint(n) for n in range(count)]}
        body = {"apiVersion": API, "kind": "AppLedger", "metadata": {"name": f"{run}-{number}"}, "spec": spec}
        self.twins.ask(self.user("operator"), "create", self.twins.path("appledgers"), body)

    def app(self) -> None:
        name = f"app-{self.runs[0]}"
        if self.likely(50):
            spec = self.one({"entry": "app:A"}, {"entry": "app:A", "parallelism": 2}, {"image": "x"}, {"entry": 1})
            body = {"apiVersion": API, "kind": "App", "metadata": {"name": name}, "spec": spec}
            self.twins.ask(self.user("person"), "create", self.twins.path("apps"), body)
        else:
            self.write(self.user("operator"), "apps", name, {"status": {"observedGeneration": 1}}, "status")

    def state(self) -> None:
        name = f"state-{self.runs[0]}"
        entry = {"value": self.one(1, {"x": None}, None), "run": self.runs[0], "key": KEYS[0]}
        spec = {"app": name, "entries": {"k": entry}}
        if self.likely(50):
            body = {"apiVersion": API, "kind": "AppState", "metadata": {"name": name}, "spec": spec}
            self.twins.ask(self.user("operator", "person"), "create", self.twins.path("appstates"), body)
        else:
            self.write(self.user("operator"), "appstates", name, {"spec": spec})

    def pod(self) -> None:
        name = f"{self.runs[0]}-{self.one('extra-1', 'extra-2', f'{KEYS[0][:16]}-7-0a1b2c3d')}"
        if self.likely(40):
            # Nobody looks after pods of a node that there isn't, for the first forty seconds.
            bound = {**GATED, "schedulingGates": [], "nodeName": f"nowhere-{name}"}
            body = {"metadata": {"name": name}, "spec": self.one(GATED, bound)}
            self.twins.ask(self.user("operator", "person"), "create", self.twins.path("pods"), body)
        elif self.likely(20) and self.twins.there("pods", name):
            path = self.twins.path("pods", name, "status")
            self.twins.ask("person", "patch", path, {"status": {"phase": "Succeeded"}}, kind=MERGE_PATCH)
        else:
            options: Object = {"propagationPolicy": "Background"} | self.one({}, {}, {"gracePeriodSeconds": 0})
            self.remove(self.user("operator"), "pods", name, options)

    # Writing

    def write(self, user: str, plural: str, name: str, change: Object, subresource: str = "") -> None:
        """Merged or exact, with any preconditions."""
        wanted = {
            field: self.twins.field(plural, name, field, right=self.likely(75))
            for field in ("uid", "resourceVersion")
            if self.likely(40)
        }
        exact = self.likely(50)
        bodies: list[Any] = []
        for side in (0, 1):
            values = {field: both[side] for field, both in wanted.items()}
            if exact:
                bodies.append(_operations(values, change))
            else:
                metadata = {**change.get("metadata", {}), **values}
                bodies.append({**change, **({"metadata": metadata} if metadata else {})})
        path = self.twins.path(plural, name, subresource)
        self.twins.ask(user, "patch", path, Pair(*bodies), kind=JSON_PATCH if exact else MERGE_PATCH)

    def report(self) -> None:
        _, _, name = self.task_name()
        pods = [pod for pod, task in self.pods.items() if task == name] or ["operator"]
        attempt = self.one(1, 1, 2)
        status = self.one(
            {"phase": "Succeeded", "output": {"x": None, "y": 1}, "error": None},
            {"phase": "Succeeded", "output": {"x": 1}, "node": "n", "finishedAt": "2026-01-01T00:00:00.5Z"},
            {"phase": "Saving", "output": {}, "state": [{"key": "k", "value": None, "loaded": None}]},
            {"error": {**ERROR, "attempt": attempt}, "log": {"attempt": attempt, "text": "x"}},
            {"error": {**ERROR, "attempt": attempt}},
            {"log": {"attempt": attempt, "text": "x"}},
            {"error": ERROR},
            {"heartbeat": {"at": 1}},
            {"heartbeat": {"details": [None, {"a": None}], "attempt": attempt}},
            {"progress": {"message": "m"}},
            {"continueWith": {"input": {"a": None}, "entrypoint": "run"}},
            {"phase": "Failed"},
            {"phase": "Waiting"},
            {"attempt": 2},
            {"message": "m"},
            {"attempts": []},
            {"finishedAt": "yesterday"},
            {"odd": 1},
        )
        self.write(self.user(*pods), "apptasks", name, {"status": status}, "status")

    def decide(self) -> None:
        _, _, name = self.task_name()
        if self.likely(20):
            pod = self.twins.references[self.chance.choice([*self.pods])]
            body = Pair(*({"status": {"attempt": 2, "pod": reference}} for reference in (pod.real, pod.fake)))
            self.twins.ask("operator", "patch", self.twins.path("apptasks", name, "status"), body, kind=MERGE_PATCH)
            return
        ended = {"attempt": 1, "reason": "Error", "budget": "App"}
        status = self.one(
            {"phase": "Active", "attempt": 2, "notBefore": None},
            {"phase": "Active", "attempt": 2, "attempts": [ended]},
            {"phase": "Active", "attempt": 1},
            {"phase": "Waiting", "message": "m"},
            {"phase": "Failed", "error": ERROR},
            {"phase": "Cancelled", "error": ERROR},
            {"phase": "Succeeded"},
            {"phase": "Odd"},
            {"attempt": 0},
        )
        self.write(self.user("operator"), "apptasks", name, {"status": status}, "status")

    def commit(self) -> None:
        name = self.chance.choice(self.runs)
        count, first = self.chance.randint(0, 4), self.one(0, 0, 0, 1)
        status = self.one(
            {"checkpoints": [checkpoint(first + n) for n in range(count)]},
            {"checkpoints": [checkpoint(first + n) for n in range(count)], "phase": "Running"},
            {"checkpoints": [checkpoint(128 + n) for n in range(count)], "ledgerPages": 1},
            {"phase": self.one("Running", "Running", "Stalled", "Succeeded", "Odd")},
            {"ledgerPages": self.one(0, 1)},
            {"output": {"x": None}},
            {"observedGeneration": 1},
        )
        self.write(self.user("operator"), "appruns", name, {"status": status}, "status")

    def edit(self) -> None:
        """What a person changes of a run or a task."""
        plural = self.one("appruns", "appruns", "apptasks")
        name = self.chance.choice(self.runs) if plural == "appruns" else self.task_name()[2]
        change = self.one(
            {"spec": {"cancel": True}},
            {"spec": {"cancel": False}},
            {"spec": {"suspend": True}},
            {"spec": {"parallelism": 3}},
            {"spec": {"parallelism": None}},
            {"spec": {"parallelism": "three"}},
            {"spec": {"input": {"other": 1}}},
            {"spec": {"odd": 1}},
            {"metadata": {"labels": {"a": "b"}}},
            {"metadata": {"annotations": {"a": "b"}}},
            {"metadata": {"finalizers": ["apprun.dev/hold"]}},
            {"metadata": {"finalizers": []}},
            {"metadata": {"ownerReferences": []}},
            {"status": {"phase": "Failed"}},
            {},
        )
        path, before = self.twins.path(plural, name), self.twins.there(plural, name)
        self.twins.ask(self.user("person", "person", "collector"), "patch", path, change, kind=MERGE_PATCH)
        if before and not self.twins.there(plural, name):
            self.twins.settle()  # The last finalizer is gone, and the object with it.

    def interfere(self) -> None:
        """What a write of the status must not change, and what no patch can."""
        plural = self.one("appruns", "apptasks")
        name = self.chance.choice(self.runs) if plural == "appruns" else self.task_name()[2]
        body = self.one(
            {"metadata": {"labels": {"a": "b"}, "finalizers": ["apprun.dev/hold"]}, "status": {}},
            {"metadata": {"ownerReferences": []}, "status": None},
            {"spec": {"suspend": True}, "status": {}},
            [{"op": "remove", "path": "/status/nothing"}],
            [{"op": "replace", "path": "/status/nothing", "value": 1}],
            [{"op": "add", "path": "/status/no/where", "value": 1}],
            [{"op": "remove", "path": "/status"}],
        )
        kind = JSON_PATCH if isinstance(body, list) else MERGE_PATCH
        self.twins.ask("operator", "patch", self.twins.path(plural, name, "status"), body, kind=kind)

    # Deleting and reading

    def delete(self) -> None:
        plural = self.one("appruns", "apptasks", "apptasks", "apptasks", "appledgers")
        run = self.chance.choice(self.runs)
        name = {"appruns": run, "apptasks": self.task_name()[2], "appledgers": f"{run}-0"}[plural]
        if plural == "appruns" and self.likely(60):
            self.remove(self.user("person"), plural, name, {"preconditions": {"resourceVersion": "1"}})
            return
        policy = self.one("Background", "Background", "Foreground", "Orphan")
        held = self.twins.fake.objects.get(self.twins.place(plural, name), {}).get("metadata", {}).get("finalizers")
        if held and policy == "Foreground":
            policy = "Background"  # What is deleted with it then is a matter of luck, on a real cluster.
        if policy == "Orphan":
            time.sleep(0.5)  # The collector unties what it has heard of. The rest it finds left behind, and takes.
        self.remove(self.user("person", "person", "collector"), plural, name, {"propagationPolicy": policy})
        self.twins.settle()

    def remove(self, user: str, plural: str, name: str, options: Object) -> None:
        wanted = {
            field: self.twins.field(plural, name, field, right=self.likely(75))
            for field in ("uid", "resourceVersion")
            if self.likely(30)
        }
        bodies = [
            {
                "apiVersion": "v1",
                "kind": "DeleteOptions",
                **options,
                **({"preconditions": {field: both[side] for field, both in wanted.items()}} if wanted else {}),
            }
            for side in (0, 1)
        ]
        self.twins.ask(user, "delete", self.twins.path(plural, name), Pair(*bodies))

    def read(self) -> None:
        plural = self.chance.choice([*KINDS])
        run = self.chance.choice(self.runs)
        name = {"appruns": run, "apptasks": self.task_name()[2]}.get(plural, f"{run}-0")
        user = self.user("operator", "person", f"{run}-driver-1")
        if self.likely(30):
            self.twins.ask(user, "list", self.twins.path(plural))
        else:
            self.twins.ask(user, "get", self.twins.path(plural, name))


def _operations(preconditions: Object, change: Object) -> list[Object]:
    """The change as a JSON patch, as operator and pods write theirs."""
    made = [{"op": "replace", "path": f"/metadata/{name}", "value": value} for name, value in preconditions.items()]
    for part in ("spec", "status"):
        for name, value in change.get(part, {}).items():
            made.append({"op": "add", "path": f"/{part}/{name}", "value": value})
            if value is None:
                made.append({"op": "remove", "path": f"/{part}/{name}"})
    return made
