"""All that a cluster tells of the runs of a namespace: its objects, and the logs of its pods."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from threading import Event, Thread

from tests.support.runs import Runs


def all_objects(runs: Runs) -> dict[str, str]:
    """Every object of every kind in the namespace, but Secrets."""
    kube = runs.kube
    roots = [
        "/api/v1",
        *(f"/apis/{group['preferredVersion']['groupVersion']}" for group in kube.get("/apis")["groups"]),
    ]
    return {
        f"{root} {resource['name']}": str(kube.get(f"{root}/namespaces/{runs.namespace}/{resource['name']}"))
        for root in roots
        for resource in kube.get(root)["resources"]
        if resource["namespaced"] and "list" in resource["verbs"] and resource["name"] != "secrets"
    }


@contextmanager
def followed_logs(runs: Runs) -> Iterator[dict[str, str]]:
    """The whole logs of all pods of runs meanwhile, by pod."""
    logs: dict[str, str] = {}
    threads: dict[str, Thread] = {}
    over = Event()

    def follow(pod: str) -> None:
        logs[pod] = runs.kube.raw(f"{runs.core}/pods/{pod}/log?follow=true", seconds=300)

    def look() -> None:
        while not over.wait(0.1):
            for pod in runs.kube.items(f"{runs.core}/pods?labelSelector=apprun.dev/run"):
                name = pod["metadata"]["name"]
                if name not in threads and pod["status"]["phase"] == "Running":
                    threads[name] = Thread(target=follow, args=(name,))
                    threads[name].start()

    looking = Thread(target=look)
    looking.start()
    yield logs
    over.set()
    looking.join()
    for thread in threads.values():
        thread.join()
