"""The guard: clocks and chance in a route are the run's, I/O is refused with the line, and nobody else notices."""

from __future__ import annotations

import _thread
import asyncio
import builtins
import concurrent.futures
import datetime
import datetime as dt
import os
import queue
import random
import secrets
import select
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import uuid
import zoneinfo
from collections.abc import Callable
from datetime import date
from datetime import datetime as imported_datetime
from os import environ, getenv
from pathlib import Path
from random import choice as imported_choice
from time import sleep as imported_sleep
from time import time as imported_time
from uuid import uuid4 as imported_uuid4

import pytest
from tests.support.routes import Bench, run, with_uid

from application_sdk.app import App, task
from application_sdk.contracts import Input, Output
from application_sdk.replay.guard import installation
from application_sdk.replay.result import RouteResult

HERE = __file__
START = 1_767_225_600.0


class Nothing(Input):
    pass


class Text(Output):
    text: str = ""


class Question(App):
    """Asks one thing in the route, before and after a task that takes two seconds."""

    ask: Callable[[], object] = staticmethod(lambda: None)

    @task
    async def wait(self, input: Nothing) -> Text:
        return Text(text=repr(type(self).ask()))

    async def run(self, input: Nothing) -> Text:
        before = type(self).ask()
        await self.wait(Nothing())
        return Text(text=f"{before!r} then {type(self).ask()!r}")


def asking(question: Callable[[], object]) -> Bench:
    class Asked(Question):
        ask = staticmethod(question)

    return Bench(Asked, Nothing(), duration_of=lambda call, attempt: 2.0)


def answer(question: Callable[[], object]) -> str:
    result = asking(question).run()
    assert result.output is not None, result
    return str(result.output["text"])


def refusal(question: Callable[[], object]) -> str:
    result = asking(question).run()
    assert result.outcome == "Stalled", result
    assert result.error is not None
    assert result.error.get("stall") == "NonDeterministicRun"
    return result.error["message"]


def local_import() -> object:
    from datetime import datetime

    return datetime.now(datetime_utc).timestamp()


datetime_utc = datetime.UTC

CLOCKS: dict[str, Callable[[], object]] = {
    "time.time": lambda: time.time(),
    "imported time": lambda: imported_time(),
    "time.time_ns": lambda: time.time_ns() / 1e9,
    "datetime.now": lambda: datetime.datetime.now(datetime_utc).timestamp(),
    "imported datetime": lambda: imported_datetime.now(datetime_utc).timestamp(),
    "aliased module": lambda: dt.datetime.now(datetime_utc).timestamp(),
    "local import": local_import,
    "utcnow": lambda: imported_datetime.utcnow().replace(tzinfo=datetime_utc).timestamp(),
    "local time": lambda: imported_datetime.now().timestamp(),
    "datetime.today": lambda: imported_datetime.today().timestamp(),
    "time.clock_gettime": lambda: time.clock_gettime(time.CLOCK_REALTIME),
    "time.localtime": lambda: time.mktime(time.localtime()),
}


@pytest.mark.filterwarnings("ignore:.*utcnow:DeprecationWarning")
@pytest.mark.parametrize("clock", CLOCKS.values(), ids=CLOCKS.keys())
def test_every_clock_stands_at_the_last_completion(clock: Callable[[], object]) -> None:
    assert answer(clock) == f"{START!r} then {START + 2!r}"


@pytest.mark.parametrize(
    "clock",
    [
        time.monotonic,
        time.perf_counter,
        lambda: time.monotonic_ns() / 1e9,
        lambda: time.clock_gettime(time.CLOCK_MONOTONIC),
    ],
)
def test_monotonic_clocks_count_from_the_start_of_the_run(clock: Callable[[], float]) -> None:
    name = getattr(clock, "__name__", "")
    ask = clock if name == "<lambda>" else lambda: getattr(time, name)()
    assert answer(ask) == "0.0 then 2.0"


def test_today_is_the_day_of_the_last_completion() -> None:
    assert answer(lambda: date.today()) == "datetime.date(2026, 1, 1) then datetime.date(2026, 1, 1)"


def test_a_datetime_made_in_the_route_is_a_real_one() -> None:
    def question() -> object:
        made = imported_datetime(2026, 1, 2, tzinfo=datetime_utc)
        return type(made).__name__, isinstance(made, imported_datetime), made.isoformat()

    assert "('datetime', True, '2026-01-02T00:00:00+00:00')" in answer(question)


CHANCES: dict[str, Callable[[], object]] = {
    "random.random": lambda: random.random(),
    "random.choice": lambda: random.choice(range(1_000_000)),
    "imported choice": lambda: imported_choice(range(1_000_000)),
    "random.gauss": lambda: random.gauss(0, 1),
    "random.shuffle": lambda: (lambda items: random.shuffle(items) or items)(list(range(50))),
    "random.Random": lambda: random.Random().random(),
    "uuid4": lambda: uuid.uuid4(),
    "imported uuid4": lambda: imported_uuid4(),
}


@pytest.mark.parametrize("chance", CHANCES.values(), ids=CHANCES.keys())
def test_chance_is_the_same_in_a_replay_and_another_in_another_run(chance: Callable[[], object]) -> None:
    bench = asking(chance)
    first = bench.run()
    assert first.outcome == "Succeeded"
    assert bench.run() == first
    other = asking(chance)
    other.info = with_uid("another")
    assert other.run() != first


def test_seeding_in_the_route_reaches_only_the_route() -> None:
    def question() -> object:
        random.seed(7)
        return random.random()

    expected = random.Random(7).random()
    random.seed(99)
    before = random.getstate()
    assert answer(question) == f"{expected!r} then {expected!r}"
    # The task drew in between as well, outside the route: there the process' own generator was seeded.
    assert random.getstate() != before


REFUSED: dict[str, tuple[Callable[[], object], str]] = {
    "open": (lambda: open(HERE), f"open({HERE!r}) in the route"),  # noqa: SIM115, PTH123
    "Path.read_text": (lambda: Path(HERE).read_text(), f"open({HERE!r}) in the route"),
    "Path.exists": (lambda: Path(HERE).exists(), "in the route"),
    "os.path.exists": (lambda: os.path.exists(HERE), "os.stat"),  # noqa: PTH110
    "os.listdir": (lambda: os.listdir("."), "os.listdir('.') in the route"),  # noqa: PTH208
    "os.getcwd": (lambda: os.getcwd(), "os.getcwd() in the route"),  # noqa: PTH109
    "tempfile": (lambda: tempfile.mkdtemp(), "in the route"),
    "socket": (lambda: socket.create_connection(("127.0.0.1", 1)), "in the route"),
    "subprocess": (lambda: subprocess.run(["true"], check=False), "process 'true' started in the route"),
    "os.system": (lambda: os.system("true"), "os.system(b'true') in the route"),
    "thread": (lambda: threading.Thread(target=print).start(), "started in the route"),
    "bare thread": (lambda: _thread.start_new_thread(print, ()), "_thread.start_new_thread("),
    "environ[]": (lambda: os.environ["HOME"], "environment variable 'HOME' in the route"),
    "environ.get": (lambda: environ.get("HOME"), "environment variable 'HOME' in the route"),
    "getenv": (lambda: getenv("HOME"), "environment variable 'HOME' in the route"),
    "environ items": (lambda: dict(os.environ), "os.environ in the route"),
    "time.sleep": (lambda: time.sleep(1), "time.sleep() in the route. Write `await self.sleep(seconds)`"),
    "imported sleep": (lambda: imported_sleep(1), "time.sleep() in the route"),
    "secrets": (lambda: secrets.token_hex(), "os.urandom() or secrets in the route"),
    "os.urandom": (lambda: os.urandom(4), "os.urandom() or secrets in the route"),
    "uuid1": (lambda: uuid.uuid1(), "uuid.uuid1() in the route. Write `self.uuid()`"),
    "input": (lambda: builtins.input(), "input() in the route"),
    "os.getrandom": (lambda: os.getrandom(4), "os.urandom() or secrets in the route"),
    "print of the environment": (lambda: str(os.environ), "os.environ in the route"),
    "check_output": (lambda: subprocess.check_output(["true"]), "process 'true' started in the route"),
    "os.pipe": (lambda: os.pipe(), "os.pipe() in the route"),
    "os.times": (lambda: os.times(), "os.times() in the route"),
    "select": (lambda: select.select([], [], [], 0), "select.select([]) in the route"),
    "signal": (lambda: signal.signal(signal.SIGUSR1, signal.SIG_DFL), "signal.signal("),
    "Event.wait": (lambda: threading.Event().wait(5), "waiting for a thread in the route. Between branches, use"),
    "Queue.get": (lambda: queue.Queue().get(timeout=5), "waiting for a thread in the route"),  # type: ignore[var-annotated]
    "Future.result": (lambda: concurrent.futures.Future().result(5), "waiting for a thread in the route"),
}


@pytest.mark.parametrize(("question", "said"), REFUSED.values(), ids=REFUSED.keys())
def test_io_and_surroundings_are_refused_with_the_users_line(question: Callable[[], object], said: str) -> None:
    message = refusal(question)
    line = question.__code__.co_firstlineno
    assert message.startswith(f"{HERE}:{line}: "), message
    assert said in message


@pytest.mark.parametrize("question", [lambda: open(HERE), lambda: os.environ["HOME"]])  # noqa: SIM115, PTH123
def test_a_refusal_cannot_be_swallowed(question: Callable[[], object]) -> None:
    def swallow() -> object:
        try:
            return question()
        except BaseException:
            return "swallowed"

    assert "in the route" in refusal(swallow)


def test_a_refusal_in_a_branch_ends_the_route() -> None:
    class Branches(App):
        @task
        async def wait(self, input: Nothing) -> Text:
            return Text()

        async def branch(self) -> None:
            os.listdir(".")  # noqa: PTH208

        async def run(self, input: Nothing) -> Text:
            await asyncio.gather(self.branch(), self.wait(Nothing()), return_exceptions=True)
            return Text(text="went on")

    assert run(Branches, Nothing()).outcome == "Stalled"


THREADED: dict[str, Callable[[], object]] = {
    "to_thread": lambda: asyncio.to_thread(sorted, [2, 1]),
    "executor": lambda: asyncio.get_running_loop().run_in_executor(None, sorted, [2, 1]),
    "subprocess": lambda: asyncio.create_subprocess_exec("true"),
    "connection": lambda: asyncio.open_connection("127.0.0.1", 1),
}


@pytest.mark.parametrize("attempt", THREADED.values(), ids=THREADED.keys())
def test_the_loop_refuses_threads_processes_and_sockets(attempt: Callable[[], object]) -> None:
    class Reaching(App):
        async def run(self, input: Nothing) -> Text:
            await attempt()  # type: ignore[misc]
            return Text()

    result = run(Reaching, Nothing())
    assert result.error is not None
    assert "in the route. Move this into a @task" in result.error["message"]
    assert "test_guard.py" in result.error["message"]


def test_imports_and_logging_work_in_the_route(caplog: pytest.LogCaptureFixture) -> None:
    def question() -> object:
        sys.modules.pop("colorsys", None)
        import colorsys
        import logging

        logging.getLogger("users").warning("seen %s", colorsys.__name__)
        try:
            raise ValueError("logged with its traceback")
        except ValueError:
            logging.getLogger("users").exception("failed")
        return colorsys.ONE_SIXTH > 0

    assert answer(question) == "True then True"
    assert "seen colorsys" in caplog.text
    assert "logged with its traceback" in caplog.text


def test_a_module_that_the_route_imports_first_gets_the_runs_clock(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "late_helper.py").write_text(
        "from datetime import UTC, datetime\nfrom time import time\n\n\n"
        "def ask():\n    return datetime.now(UTC).timestamp(), time()\n"
    )
    monkeypatch.syspath_prepend(tmp_path)

    def question() -> object:
        import late_helper  # type: ignore[import-not-found]

        return late_helper.ask()

    try:
        assert answer(question) == f"{(START, START)!r} then {(START + 2, START + 2)!r}"
        helper = sys.modules["late_helper"]
        assert (helper.datetime, helper.time) == (datetime.datetime, time.time)
    finally:
        sys.modules.pop("late_helper", None)


def test_what_a_module_draws_while_it_is_imported_is_not_the_routes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "drawing_helper.py").write_text(
        "import random, secrets, uuid\n\n"
        "seen = uuid.uuid4(), random.random(), random.Random().random(), secrets.token_hex()\n"
    )
    monkeypatch.syspath_prepend(tmp_path)

    def question() -> object:
        import drawing_helper  # type: ignore[import-not-found]

        assert drawing_helper.seen
        return random.random(), uuid.uuid4()

    bench = asking(question)
    try:
        first = bench.run()
        assert first.outcome == "Succeeded", first
        assert bench.run() == first
    finally:
        sys.modules.pop("drawing_helper", None)


def test_time_zones_are_known_in_the_route() -> None:
    def question() -> object:
        zoneinfo.ZoneInfo.clear_cache()
        return imported_datetime.now(zoneinfo.ZoneInfo("Europe/Berlin")).isoformat()

    assert answer(question) == "'2026-01-01T01:00:00+01:00' then '2026-01-01T01:00:02+01:00'"


def test_a_log_record_tells_the_real_time(caplog: pytest.LogCaptureFixture) -> None:
    import logging

    before = time.time()
    answer(lambda: logging.getLogger("users").warning("now"))
    assert all(record.created >= before for record in caplog.records)


def test_what_the_garbage_collector_closes_is_not_the_routes() -> None:
    class Closing:
        def __del__(self) -> None:
            Path(HERE).exists()
            Path(HERE).open().close()

    def question() -> object:
        Closing()
        return 1

    assert answer(question) == "1 then 1"


def test_tasks_are_not_guarded() -> None:
    class Free(App):
        @task
        async def work(self, input: Nothing) -> Text:
            assert abs(time.time() - imported_time()) < 5
            assert imported_datetime.now(datetime_utc).year >= 2024
            assert "PATH" in os.environ
            secrets.token_hex()
            return Text(text=Path(HERE).read_text()[:3])  # noqa: ASYNC240

        async def run(self, input: Nothing) -> Text:
            return await self.work(Nothing())

    result = run(Free, Nothing())
    assert result.output == {"text": '"""'}, result


def test_nothing_is_left_behind_in_the_process() -> None:
    watched = [
        (time, "time"), (time, "sleep"), (random, "random"), (random, "choice"), (uuid, "uuid4"), (os, "urandom"),
        (os, "stat"), (builtins, "__import__"), (type(os.environ), "__getitem__"), (threading.Thread, "start"),
        (random.Random, "seed"), (asyncio.tasks, "_GatheringFuture"), (sys.modules[__name__], "imported_datetime"),
        (sys.modules[__name__], "imported_choice"), (sys.modules[__name__], "dt"),
    ]  # fmt: skip
    before = [getattr(owner, name) for owner, name in watched]
    answer(lambda: 1)
    assert [getattr(owner, name) for owner, name in watched] == before
    assert "set" not in vars(asyncio.tasks)
    assert "random" not in vars(random._inst)  # type: ignore[attr-defined]


def test_an_interrupted_installation_leaves_nothing_behind(monkeypatch: pytest.MonkeyPatch) -> None:
    before = time.time

    def interrupt(*_: object) -> None:
        assert time.time is not before, "nothing is in place yet"
        raise KeyboardInterrupt

    with monkeypatch.context() as patching:
        # The last step of the installation, after clocks and chance.
        patching.setattr(installation, "factories", Interrupting(interrupt))
        with pytest.raises(KeyboardInterrupt):
            answer(lambda: time.time())
    assert time.time is before
    # The next route has a whole guard.
    assert answer(lambda: time.time()) == f"{START} then {START + 2}"


class Interrupting:
    """Raises when the guard tells it of its stand-ins, as a Ctrl-C may there, and not when it takes them back."""

    def __init__(self, interrupt: Callable[[], None]) -> None:
        vars(self)["interrupt"] = interrupt

    def __setattr__(self, name: str, value: object) -> None:
        vars(self).pop("interrupt", lambda: None)()


def test_unguarded_code_gets_the_real_thing() -> None:
    class Escaping(App):
        async def run(self, input: Nothing) -> Text:
            with self.unguarded():
                home = os.environ["PATH"]
                now = time.time()
            return Text(text=f"{bool(home)} {now != START}")

    result: RouteResult = run(Escaping, Nothing())
    assert result.output == {"text": "True True"}, result
