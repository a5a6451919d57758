"""A driver pod as a whole: a process that executes a route against one run's objects, and how it reports the end."""

from __future__ import annotations

from typing import Any

import pytest
from tests.support.kube import eventually
from tests.support.pods import PodProcess, call
from tests.support.run_world import RUN, UID, RunWorld
from tests.support.wire_server import WireServer

from application_sdk.engines.kubernetes.source import source_digest
from application_sdk.wire.pod import EXIT_REPORTED

APP = """
import asyncio
from application_sdk.app import App, task
from application_sdk.contracts import Input, Output

class Given(Input):
    page: int = 1

class Made(Output):
    page: int = 0

class Subject(App):
    @task
    async def work(self, input: Given) -> Made:
        return Made()

    async def run(self, input: Given) -> Made:
"""
DRIVER = f"{RUN}-driver"


@pytest.fixture
def world(server: WireServer) -> RunWorld:
    world = RunWorld()
    server.always = world
    return world


def driver_call(**fields: Any) -> dict[str, Any]:
    facts = {"run": RUN, "runUid": UID, "appTask": DRIVER, "role": "driver", "key": "driver", "task": "run"}
    return call(**(facts | {"entrypoint": "run", "replayRules": 1} | fields))


def test_route_that_continues_reports_input_and_entry_point_of_the_next_run(pod: PodProcess, world: RunWorld) -> None:
    pod.write(driver_call(input={"page": 4}), app=f"{APP}        self.continue_with(Given(page=input.page + 1))\n")
    ended = pod.run()
    assert ended.returncode == EXIT_REPORTED, ended.stderr
    report = world.reports[DRIVER]
    assert report["phase"] == "Succeeded"
    assert report["continueWith"] == {"input": {"page": 5}, "entrypoint": "run"}
    assert "output" not in report


def test_cancelled_route_cleans_up_and_reports_that_it_was_cancelled(pod: PodProcess, world: RunWorld) -> None:
    body = """
        try:
            return await self.work(input)
        except asyncio.CancelledError:
            await self.work(Given(page=99))
            raise
"""
    pod.write(driver_call(), app=APP + body)
    with pod.start() as process:
        eventually("the route has called a task", lambda: list(world.tasks) or None, 30)
        world.outputs["work"] = {"page": 99}
        world.cancel()
        assert process.wait(30) == EXIT_REPORTED
    assert [task["spec"].get("cleanup") for task in world.tasks.values()] == [None, True]
    assert world.reports[DRIVER]["error"]["type"] == "Cancelled"


def test_each_call_carries_the_digest_of_the_files_that_its_driver_was_given(pod: PodProcess, world: RunWorld) -> None:
    pod.write(driver_call(), app=f"{APP}        return await self.work(input)\n")
    with pod.start():
        eventually("the route has called a task", lambda: list(world.tasks) or None, 30)
        (made,) = world.tasks.values()
    assert made["spec"]["sourceDigest"] == source_digest(pod.source)


def test_driver_that_finds_other_files_than_its_run_began_with_executes_nothing(
    pod: PodProcess, world: RunWorld
) -> None:
    pod.write(
        driver_call(sourceDigest="0" * 32), app=f"print('imported')\n{APP}        return await self.work(input)\n"
    )
    ended = pod.run()
    assert ended.returncode == EXIT_REPORTED, ended.stderr
    assert world.reports[DRIVER]["error"]["stall"] == "CodeChanged"
    assert "imported" not in ended.stdout + ended.stderr
    assert not world.tasks


def test_an_input_that_names_a_file_of_some_disk_starts_nothing(pod: PodProcess, world: RunWorld) -> None:
    app = APP.replace("import Input", "import FileReference, Input").replace(
        "page: int = 1\n", "page: int = 1\n    file: FileReference = FileReference()\n", 1
    )
    pod.write(
        driver_call(input={"file": {"local_path": "/apprun/secrets/login/password"}}),
        app=f"{app}        return await self.work(input)\n",
    )
    ended = pod.run()
    assert ended.returncode == EXIT_REPORTED, ended.stderr
    error = world.reports[DRIVER]["error"]
    assert (error["stall"], "Given.file.local_path" in error["message"]) == ("InvalidInput", True)
    assert "give a reference with its storage_path" in error["message"]


def test_the_route_of_a_restored_run_has_the_identity_that_it_began_with(pod: PodProcess, world: RunWorld) -> None:
    body = "        return await self.work(Given(page=int(str(self.uuid()).replace('-', '')[:8], 16)))\n"
    pages: list[int] = []
    for fields in ({"runUid": UID, "originUid": "uid-before"}, {"runUid": "uid-before"}, {"runUid": UID}):
        world.tasks.clear()
        world.uid = fields["runUid"]
        pod.write(driver_call(**fields), app=APP + body)
        with pod.start():
            eventually("the route has called a task", lambda: list(world.tasks) or None, 30)
            (made,) = world.tasks.values()
        pages.append(made["spec"]["input"]["page"])
        assert [owner["uid"] for owner in made["metadata"]["ownerReferences"]] == [fields["runUid"]]
    assert pages[0] == pages[1] != pages[2]


# What a driver says of itself


def test_driver_that_is_done_soon_says_nothing_of_itself(pod: PodProcess, world: RunWorld, server: WireServer) -> None:
    pod.write(driver_call(), app=f"{APP}        return Made()\n")
    assert pod.run().returncode == EXIT_REPORTED
    assert len([request for request in server.requests if request.method == "PATCH"]) == 1


@pytest.mark.slow
def test_driver_that_calls_nothing_new_says_that_it_has_begun(pod: PodProcess, world: RunWorld) -> None:
    pod.write(driver_call(), app=f"{APP}        return await self.work(input)\n")
    with pod.start():
        eventually("the route has called a task", lambda: list(world.tasks) or None, 30)
    assert DRIVER not in world.reports
    with pod.start():
        eventually("the driver has said so", lambda: world.reports.get(DRIVER), 30)
    assert world.reports[DRIVER].keys() <= {"startedAt", "node"}
    assert "startedAt" in world.reports[DRIVER]


@pytest.mark.slow
def test_route_that_computes_for_ever_is_told_with_its_line(pod: PodProcess, world: RunWorld) -> None:
    pod.write(driver_call(), app=f"{APP}        while True:\n            pass\n")

    def told() -> str | None:
        progress = world.reports.get(DRIVER, {}).get("progress")
        return progress["message"] if progress else None

    with pod.start():
        message = eventually("the driver tells of it", told, 60)
    line = APP.count("\n") + 1
    assert f"app.py:{line}." in message or f"app.py:{line + 1}." in message


@pytest.mark.slow
def test_module_that_computes_for_ever_is_told_too(pod: PodProcess, world: RunWorld) -> None:
    pod.write(driver_call(), app="while True:\n    pass\n")

    def told() -> str | None:
        progress = world.reports.get(DRIVER, {}).get("progress")
        return progress["message"] if progress else None

    with pod.start():
        message = eventually("the driver tells of it", told, 60)
    assert message.startswith("the import of 'app' has computed for more than 10 s")


@pytest.mark.parametrize("settings", [{"memory": "1Gi"}, {"runsIn": "driver"}, {"reuse": {}}, {}])
def test_setting_of_a_task_that_is_not_there_stalls_the_run(
    pod: PodProcess, world: RunWorld, settings: dict[str, Any]
) -> None:
    world.status["app"] = {"tasks": {"typo": settings}}
    pod.write(driver_call(), app=f"{APP}        return await self.work(input)\n")
    pod.run()
    error = world.reports[DRIVER]["error"]
    assert error["type"] == "LoadFailed"
    assert error["message"] == (
        "spec.tasks.typo of the App: the app has no task of that name; it has work. Correct the name"
    )
    assert not world.tasks
