"""Driver tasks in a driver pod as a whole: a real process, forked attempts, and what they record."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from tests.support.pods import PodProcess
from tests.support.run_world import RUN, UID, RunWorld
from tests.support.wire_server import WireServer
from tests.unit.engines.kubernetes.test_driver_main import DRIVER, driver_call

from application_sdk.engines.kubernetes.task_fork_server import KEPT_BYTES, LEAST_BYTES, memory_left
from application_sdk.wire.digest import JSONObject

pytestmark = pytest.mark.slow

APP = """
import asyncio, os, pathlib, random, signal, sys, tempfile
from application_sdk.app import App, task
from application_sdk.contracts import Input, Output
from application_sdk.errors import TaskFailedError

class Given(Input):
    how: str = ""

class Made(Output):
    said: str = ""

seen = []

class Subject(App):
    driver_secrets = ("openai",)

    @task(runs_in="driver", retry_initial_interval_seconds=0.01)
    async def work(self, input: Given) -> Made:
        print(f"body {input.how}", flush=True)
        attempt = self.task_context.attempt
        if input.how == "fails":
            raise ValueError("no")
        if input.how == "exits":
            os._exit(0)
        if input.how == "killed" and attempt == 1:
            os.kill(os.getpid(), signal.SIGKILL)
        if input.how == "once" and attempt == 1:
            raise ValueError("not yet")
        if input.how == "keeps":
            await self.context.save_state("count", {"n": 1})
        if input.how == "secret":
            return Made(said=await self.context.get_secret("openai"))
        if input.how == "terms":
            return Made(said=str(signal.getsignal(signal.SIGINT) is signal.default_int_handler))
        if input.how == "place":
            pathlib.Path("left").write_text("behind")
            named = tempfile.mkstemp()[1]
            return Made(said=f"{pathlib.Path.cwd()} {named} {os.environ.get('PYTHONHASHSEED')}")
        if input.how == "fresh":
            return Made(said=f"{len(seen)} {os.getppid() != 1} {sys.flags.hash_randomization} {random.random() >= 0}")
        return Made(said=f"{input.how} {attempt} {self.task_context.idempotency_key.partition('/')[0]}")

    async def run(self, input: Given) -> Made:
        seen.append("route")
"""


@pytest.fixture
def world(server: WireServer) -> RunWorld:
    world = RunWorld()
    server.always = world
    return world


def run_driver(pod: PodProcess, route: str, **fields: Any) -> subprocess.CompletedProcess[str]:
    lines = "\n".join(f"        {line}" for line in route.splitlines())
    pod.write(driver_call(input={}, replayRules=2, **fields), app=f"{APP}{lines}\n")
    ended = pod.run()
    assert ended.returncode == 0, ended.stderr
    return ended


def said(world: RunWorld) -> str:
    report = world.reports[DRIVER]
    assert report.get("error") is None, report
    return str(report["output"]["said"])


def recorded(world: RunWorld) -> list[JSONObject]:
    return [task["spec"]["outcome"] for task in world.tasks.values()]


def calls(how: str) -> str:
    return f'return await self.work(Given(how="{how}"))'


def test_calls_are_recorded_in_the_order_of_the_route(pod: PodProcess, world: RunWorld) -> None:
    run_driver(pod, 'words = [(await self.work(Given(how=str(n)))).said for n in range(5)]\n'
                    'return Made(said=", ".join(words))')  # fmt: skip
    assert said(world) == ", ".join(f"{n} 1 {UID}" for n in range(5))
    assert [task["spec"]["role"] for task in world.tasks.values()] == ["local"] * 5
    assert [outcome["phase"] for outcome in recorded(world)] == ["Succeeded"] * 5
    labels = next(iter(world.tasks.values()))["metadata"]["labels"]
    assert labels["apprun.dev/role"] == "local"


@pytest.mark.parametrize(
    ("how", "reason"), [("fails", "ValueError"), ("exits", "NoReport")], ids=["an exception", "os._exit"]
)
def test_failure_is_recorded_and_the_route_goes_on(pod: PodProcess, world: RunWorld, how: str, reason: str) -> None:
    run_driver(pod, f'try:\n    await self.work(Given(how="{how}"))\nexcept TaskFailedError as error:\n'
                    '    return Made(said=f"{error.type} {error.attempts}")')  # fmt: skip
    assert said(world) == f"{reason} 3"
    [outcome] = recorded(world)
    assert (outcome["phase"], outcome["attempt"]) == ("Failed", 3)
    assert [entry["reason"] for entry in outcome["attempts"]] == [reason] * 3  # type: ignore[union-attr,index,call-overload]


@pytest.mark.parametrize("how", ["once", "killed"])
def test_attempt_is_repeated_in_place(pod: PodProcess, world: RunWorld, how: str) -> None:
    run_driver(pod, calls(how))
    assert said(world) == f"{how} 2 {UID}"


def test_recorded_call_is_not_executed_again(pod: PodProcess, world: RunWorld) -> None:
    route = 'await self.work(Given(how="first"))\nreturn await self.work(Given(how="second"))'
    first = run_driver(pod, route)
    assert (first.stdout.count("body first"), first.stdout.count("body second")) == (1, 1)
    # The second call wasn't recorded before the driver was lost: only that one is executed again.
    name = list(world.tasks)[1]
    del world.tasks[name]
    world.status["checkpoints"] = world.status["checkpoints"][:1]
    world._sequence = 1
    again = run_driver(pod, route, attempt=2)
    assert (again.stdout.count("body first"), again.stdout.count("body second")) == (0, 1)


def test_recorded_failure_is_given_back_in_replay(pod: PodProcess, world: RunWorld) -> None:
    route = ('try:\n    await self.work(Given(how="fails"))\nexcept TaskFailedError as error:\n'
             '    return Made(said=f"{error.type} {error.attempts}")')  # fmt: skip
    run_driver(pod, route)
    again = run_driver(pod, route, attempt=2)
    assert (said(world), again.stdout.count("body")) == ("ValueError 3", 0)


def test_record_of_an_earlier_driver_counts(pod: PodProcess, world: RunWorld) -> None:
    run_driver(pod, calls("plain"))
    [(name, task)] = world.tasks.items()
    # The zombie records while the next driver, which hasn't listed it, executes the same call.
    task["spec"]["outcome"]["output"] = {"said": "of the zombie"}
    world.status, world._sequence, world.tasks = {}, 0, {}
    create = world._create

    def late(handler: Any, request: Any) -> None:
        world.tasks.setdefault(name, task)
        create(handler, request)
        world.commit(task["spec"]["key"])

    world._create = late  # type: ignore[method-assign]
    ended = run_driver(pod, calls("plain"), attempt=2)
    assert said(world) == "of the zombie"
    assert ended.stdout.count("body plain") == 1
    assert "an earlier driver has recorded the call of work" in ended.stderr


def test_attempt_has_a_folder_of_its_own_that_goes_with_it(pod: PodProcess, world: RunWorld) -> None:
    pod.environ["PYTHONHASHSEED"] = "0"
    run_driver(pod, calls("place"))
    folder, named, seed = said(world).split()
    assert Path(folder).name.startswith("apprun-task-")
    assert Path(named).parent == Path(folder)
    assert seed == "None"
    assert not Path(folder).exists()


def test_attempt_is_forked_from_a_process_without_the_route(pod: PodProcess, world: RunWorld) -> None:
    run_driver(pod, calls("fresh"))
    assert said(world) == "0 True 1 True"


def test_attempt_answers_signals_as_a_fresh_process(pod: PodProcess, world: RunWorld) -> None:
    run_driver(pod, calls("terms"))
    assert said(world) == "False"  # The kernel's own answer: it ends the process.


def test_log_lines_say_which_call_they_are_of(pod: PodProcess, world: RunWorld) -> None:
    ended = run_driver(pod, calls("plain"))
    [name] = world.tasks
    line = next(json.loads(line) for line in ended.stdout.splitlines() if "body plain" in line)
    assert (line["appTask"], line["task"], line["attempt"], line["run"]) == (name, "work", 1, RUN)


def test_state_is_refused_with_the_remedy(pod: PodProcess, world: RunWorld) -> None:
    run_driver(pod, 'try:\n    await self.work(Given(how="keeps"))\nexcept TaskFailedError as error:\n'
                    '    return Made(said=error.message)')  # fmt: skip
    assert "a driver task keeps no state" in said(world)


def test_secret_is_masked_and_never_an_output(pod: PodProcess, world: RunWorld, tmp_path: Path) -> None:
    (tmp_path / "secrets" / "openai").mkdir(parents=True)
    (tmp_path / "secrets" / "openai" / "key").write_text("sk-0123456789abcdef")
    pod.environ["APPRUN_SECRETS_DIR"] = str(tmp_path / "secrets")
    run_driver(pod, 'try:\n    await self.work(Given(how="secret"))\nexcept TaskFailedError as error:\n'
                    '    return Made(said=error.type)')  # fmt: skip
    assert said(world) == "SecretLeakError"
    assert "sk-0123456789abcdef" not in json.dumps(world.tasks)


def test_app_moves_a_task_that_cannot_be_moved(pod: PodProcess, world: RunWorld) -> None:
    world.status["app"] = {"tasks": {"typo": {"runsIn": "driver"}}}
    pod.write(driver_call(input={}, replayRules=2), app=f"{APP}        return Made()\n")
    pod.run()
    error = world.reports[DRIVER]["error"]
    assert (error["stall"], "spec.tasks.typo of the App" in error["message"]) == ("LoadFailed", True)


# Memory


def cgroup(folder: Path, limit: str, used: int, inactive: int = 0) -> Path:
    (folder / "memory.max").write_text(f"{limit}\n")
    (folder / "memory.current").write_text(f"{used}\n")
    (folder / "memory.stat").write_text(f"anon 1\ninactive_file {inactive}\n")
    return folder


@pytest.mark.parametrize(
    ("limit", "used", "inactive", "left"),
    [("1000", 400, 100, 700), ("max", 400, 0, None), ("300", 400, 0, 0)],
)
def test_memory_left_is_what_the_container_may_still_use(
    tmp_path: Path, limit: str, used: int, inactive: int, left: int | None
) -> None:
    assert memory_left(cgroup(tmp_path, limit, used, inactive)) == left


def test_memory_left_is_unknown_without_a_cgroup(tmp_path: Path) -> None:
    assert memory_left(tmp_path / "none") is None


def test_attempt_that_wants_more_meets_a_memory_error() -> None:
    program = (
        "from application_sdk.engines.kubernetes.task_fork_server import limit_memory\n"
        f"limit_memory({KEPT_BYTES + 2 * LEAST_BYTES})\n"
        f"bytearray({LEAST_BYTES})\n"
        "try:\n"
        f"    bytearray({4 * LEAST_BYTES})\n"
        "except MemoryError:\n"
        "    print('refused')\n"
    )
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert ended.stdout == "refused\n"
