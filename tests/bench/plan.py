"""`python -m tests.bench.plan`: the operator's processor time per call, by how long the run is.

No cluster: the bench stands for the API server, and applies what the plan asks for. Measured are `Cache.apply`,
`Cache.observe` and `plan`, through the last completions of a run of which all earlier calls are done (`at the end`),
and through the first ones of a run whose calls are all open (`at the start`).
"""

from __future__ import annotations

import argparse
import gc
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from tests.support.figures import write

from application_sdk.wire import names
from application_sdk.wire.digest import digest
from application_sdk.wire.fields import PAGE_SIZE
from apprun_operator.observe.cache import Cache
from apprun_operator.observe.kinds import Kind
from apprun_operator.observe.records import Key
from apprun_operator.observe.times import rfc3339
from apprun_operator.plan.actions import CreatePage, CreatePod, DeletePod, ItemAction, PatchRun, RunAction
from apprun_operator.plan.limits import Limits
from apprun_operator.plan.run.reconcile import plan

COMMAND = "python -m tests.bench.plan"
SIZES: Final = (1_000, 3_000, 10_000)
COMPLETIONS: Final = 300
PARALLELISM: Final = 50
LIMITS: Final = Limits(runtime_image="runtime:1", parallelism=PARALLELISM)
RUN: Final = Key("default", "bench")
UID: Final = "uid-bench"
NOW: Final = 1_800_000_000.0

# JSON of many kinds.
Object = dict[str, Any]


def key_of(number: int) -> str:
    return f"{number:016x}".ljust(names.KEY_LENGTH, "0")


@dataclass
class Loop:
    """One run, the objects that exist, and the processor time that the operator has used for it."""

    cache: Cache = field(default_factory=lambda: Cache(lambda key: None, lambda: NOW))
    version: int = 1
    cpu: float = 0.0
    status: Object = field(default_factory=dict)
    running: list[int] = field(default_factory=list)
    """Calls whose pods run, in the order of their start."""
    committed: int = 0

    def __post_init__(self) -> None:
        self.cache.set_namespace_ready(RUN.namespace)

    def apply(self, kind: Kind, raw: Object) -> None:
        start = time.process_time()
        self.cache.apply(kind, raw)
        self.cpu += time.process_time() - start

    def metadata(self, name: str, owner_kind: str = "", owner: str = "", uid: str = "") -> Object:
        self.version += 1
        result: Object = {
            "name": name,
            "namespace": RUN.namespace,
            "uid": f"uid-{name}",
            "resourceVersion": str(self.version),
            "creationTimestamp": rfc3339(NOW),
            "annotations": {names.BEGAN_AS_ANNOTATION: UID},
        }
        if owner:
            result["ownerReferences"] = [{"kind": owner_kind, "name": owner, "uid": uid}]
        return result

    def put_run(self) -> None:
        spec = {"app": {"entry": "app:App"}, "parallelism": PARALLELISM}
        self.apply("appruns", {"metadata": self.metadata(RUN.name), "spec": spec, "status": self.status})

    def put_task(self, name: str, spec: Mapping[str, object], status: Object) -> None:
        metadata = self.metadata(name, names.APP_RUN_KIND, RUN.name, UID)
        self.apply("apptasks", {"metadata": metadata, "spec": {"run": RUN.name, "input": {}, **spec}, "status": status})

    def put_call(self, number: int, *, done: bool) -> None:
        status = {"phase": "Succeeded", "output": {"n": number}, "finishedAt": rfc3339(NOW)} if done else {}
        spec = {"role": "task", "key": key_of(number), "task": "work", "sequence": number}
        self.put_task(names.task_name(RUN.name, key_of(number)), spec, status)

    def put_pod(self, name: str, task: str) -> None:
        metadata = self.metadata(name, names.APP_TASK_KIND, task, f"uid-{task}")
        metadata["labels"] = {names.RUN_LABEL: RUN.name, names.ATTEMPT_LABEL: "1"}
        container = {"name": names.container_name("task"), "image": "runtime:1"}
        state = {**container, "state": {"running": {"startedAt": rfc3339(NOW)}}}
        spec, status = {"nodeName": "node", "containers": [container]}, {"phase": "Running"}
        self.apply("pods", {"metadata": metadata, "spec": spec, "status": {**status, "containerStatuses": [state]}})

    def checkpoint(self, number: int) -> Object:
        return {
            "sequence": number,
            "key": key_of(number),
            "task": "work",
            "outcome": "Succeeded",
            "attempts": 1,
            "digest": digest({"n": number}),
            "at": rfc3339(NOW),
        }

    def begin(self, done: int) -> None:
        """The run after `done` calls: their AppTasks, pages and the tail of the ledger."""
        pages = max(done - PAGE_SIZE, 0) // PAGE_SIZE
        tail = [self.checkpoint(number) for number in range(pages * PAGE_SIZE, done)]
        self.status = {
            "phase": "Running",
            "app": {"entry": "app:App"},
            "startedAt": rfc3339(NOW),
            "tasks": {"succeeded": done},
            "checkpoints": tail,
            "ledgerPages": pages,
        }
        self.committed = done
        self.put_run()
        for page in range(pages):
            entries = [self.checkpoint(number) for number in range(page * PAGE_SIZE, (page + 1) * PAGE_SIZE)]
            metadata = self.metadata(names.page_name(RUN.name, page), names.APP_RUN_KIND, RUN.name, UID)
            spec = {"run": RUN.name, "number": page, "checkpoints": entries}
            self.apply("appledgers", {"metadata": metadata, "spec": spec})
        driver = names.driver_task_name(RUN.name)
        self.put_task(driver, {"role": "driver", "key": "driver", "task": "driver"}, {"phase": "Active"})
        self.put_pod(names.pod_name(driver, 1, UID), driver)
        for number in range(done):
            self.put_call(number, done=True)

    def plan(self) -> None:
        """One pass, with all that it asks for carried out."""
        start = time.process_time()
        observed = self.cache.observe(RUN)
        assert observed is not None
        decided = plan(observed, NOW, LIMITS)
        self.cpu += time.process_time() - start
        for action in (*decided.first, *decided.then):
            self.execute(action)

    def execute(self, action: RunAction | ItemAction) -> None:
        if isinstance(action, PatchRun):
            self.status |= action.status
            self.committed += action.commits
            self.put_run()
        elif isinstance(action, CreatePage):
            spec = action.body["spec"]
            metadata = self.metadata(action.page.name, names.APP_RUN_KIND, RUN.name, UID)
            self.apply("appledgers", {"metadata": metadata, "spec": spec})
        elif isinstance(action, CreatePod):
            task = action.task_uid.removeprefix("uid-")
            self.put_pod(action.pod.name, task)
            self.running.append(int(task.removeprefix(f"{RUN.name}-"), 16))
        elif isinstance(action, DeletePod):
            start = time.process_time()
            self.cache.remove("pods", action.pod)
            self.cpu += time.process_time() - start

    def complete(self) -> None:
        """The oldest running call reports; its commit is planned, and then what follows from it."""
        self.put_call(self.running.pop(0), done=True)
        self.plan()
        self.plan()


def milliseconds(done: int, opened: int, window: bool) -> float:
    """Processor time per completion, after `done` calls, with `opened` further ones made at once.

    With `window`, the route makes the next call whenever one is done.
    """
    loop = Loop()
    loop.begin(done)
    for number in range(done, done + opened):
        loop.put_call(number, done=False)
    loop.plan()
    gc.collect()
    loop.cpu = 0.0
    for number in range(COMPLETIONS):
        if window:
            loop.put_call(done + opened + number, done=False)
        loop.complete()
    assert loop.committed == done + COMPLETIONS, f"{loop.committed} calls are committed, of {done + COMPLETIONS}"
    return loop.cpu / COMPLETIONS * 1000


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--write", action="store_true", help="put the figures into docs/benchmarks.md")
    arguments = parser.parse_args()
    lines = ["| calls | at the end, 50 open | at the start, all open |", "| ---: | ---: | ---: |"]
    for size in SIZES:
        end = milliseconds(size - PARALLELISM - COMPLETIONS, PARALLELISM, window=True)
        start = milliseconds(0, size, window=False)
        lines.append(f"| {size} | {end:.2f} ms | {start:.2f} ms |")
    print("\n".join(lines))
    if arguments.write:
        write(COMMAND, lines)


if __name__ == "__main__":
    main()
