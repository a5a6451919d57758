"""What a newcomer is told, word for word: each misuse names its line and what to write instead."""

from __future__ import annotations

import linecache
import sys
import textwrap
import types
from collections.abc import Iterator
from typing import Any

import pytest

from application_sdk.app.registry import AppRegistry
from application_sdk.contracts import ContractValidationError
from application_sdk.contracts.codec import decode
from application_sdk.errors import AppDefinitionError, IncompleteAppError
from application_sdk.replay.history import LedgerFormatError
from application_sdk.testing import check_durability, replay, run_app
from application_sdk.testing.runs import FinishedRun

PRELUDE = """
import asyncio
from pathlib import Path
from application_sdk.app import App, entrypoint, task
from application_sdk.contracts import Input, Output

class Order(Input):
    id: int = 0

class Receipt(Output):
    text: str = ""
"""
TASK = """
class Shop(App):
    @task
    async def charge(self, order: Order) -> Receipt:
        return Receipt(text="charged")

    async def run(self, input: Order) -> Receipt:
"""
HOW = "async def charge(self, input: MyInput) -> MyOutput"


@pytest.fixture(autouse=True)
def _put_back() -> Iterator[None]:
    before = AppRegistry.get_instance().snapshot()
    yield
    AppRegistry.get_instance().restore(before)
    sys.modules.pop("app", None)


def load(text: str) -> Any:
    """A module `app`, in a file `app.py` that begins with the text."""
    module = types.ModuleType("app")
    module.__file__ = "app.py"
    sys.modules["app"] = module
    text = textwrap.dedent(text).lstrip("\n")
    linecache.cache["app.py"] = (len(text), None, text.splitlines(True), "app.py")
    exec(compile(PRELUDE, "prelude.py", "exec", dont_inherit=True), vars(module))
    exec(compile(text, "app.py", "exec", dont_inherit=True), vars(module))
    return module


def run(route: str) -> FinishedRun:
    """Run an app with a task `charge` and this route, which begins in line 7."""
    module = load(TASK + textwrap.indent(route, " " * 8))
    return run_app(module.Shop, module.Order(id=7))


def told(route: str) -> str:
    finished = run(route)
    assert finished.error is not None
    return finished.error["message"]


@pytest.mark.parametrize(
    ("method", "faults"),
    [
        pytest.param(
            "async def charge(self, order: Order, amount: int) -> Receipt: ...",
            [
                "takes exactly one parameter beside self, an Input; it has 2: order: app.Order, amount: int. Make them "
                f"fields of one Input class: {HOW}"
            ],
            id="two parameters",
        ),
        pytest.param(
            "async def charge(self) -> Receipt: ...",
            [
                "takes exactly one parameter beside self, an Input; it has 0: none. Make them fields of one Input "
                f"class: {HOW}"
            ],
            id="no parameter",
        ),
        pytest.param(
            "async def charge(self, *, order: Order) -> Receipt: ...",
            [
                "takes exactly one parameter beside self, an Input; it has 1: *, order: app.Order. Make them fields of "
                f"one Input class: {HOW}"
            ],
            id="a keyword parameter",
        ),
        pytest.param(
            "async def charge(self, order): ...",
            [
                f"doesn't say of which type 'order' is: annotate it with a subclass of Input, as in {HOW}",
                f"doesn't say what it returns: annotate it with a subclass of Output, as in {HOW}",
            ],
            id="missing annotations",
        ),
        pytest.param(
            "async def charge(self, order: Order) -> str: ...",
            [
                "returns str, which is no subclass of Output. Declare `class MyOutput(Output)` with it as a field, and "
                "return that"
            ],
            id="a return type that is no model",
        ),
        pytest.param(
            "async def charge(self, order: dict[str, int]) -> Receipt: ...",
            [
                "takes dict[str, int], which is no subclass of Input. Declare `class MyInput(Input)` with it as a "
                "field, and take that"
            ],
            id="an input that is no model",
        ),
        pytest.param(
            "async def charge(self, order: Order) -> Receipt: yield Receipt()",
            ["has a `yield`, but it returns exactly one Output: return one that holds all items"],
            id="a generator",
        ),
    ],
)
def test_a_task_of_another_form_is_refused(method: str, faults: list[str]) -> None:
    with pytest.raises(AppDefinitionError) as caught:
        load(f"""
            class Shop(App):
                @task
                {method}

                async def run(self, input: Order) -> Receipt: ...
            """)
    listed = "".join(f"\n  - task 'charge' (app.py:2) {fault}" for fault in faults)
    assert str(caught.value) == f"Shop (app.py:1) is no complete app:{listed}"


@pytest.mark.parametrize("order", ["@task\n    @{kind}", "@{kind}\n    @task"])
@pytest.mark.parametrize("kind", ["staticmethod", "classmethod"])
def test_a_task_without_self_is_refused(kind: str, order: str) -> None:
    with pytest.raises(AppDefinitionError) as caught:
        load(f"""
class Shop(App):
    {order.format(kind=kind)}
    async def charge(order: Order) -> Receipt: ...

    async def run(self, input: Order) -> Receipt: ...
""")
    assert (
        f"task 'charge' (app.py:2) is a {kind}, but a task is a plain method: remove @{kind} and take self first"
    ) in str(caught.value)


def test_running_a_class_without_a_route_is_refused() -> None:
    app = load("""
        class Shop(App):
            @task
            async def charge(self, order: Order) -> Receipt: ...
        """)
    for use in (run_app, check_durability):
        with pytest.raises(IncompleteAppError) as caught:
            use(app.Shop, app.Order())
        assert str(caught.value) == (
            "Shop (app.py:1) is no complete app: it has no run() and no @entrypoint, so there is nothing to run. Add "
            "`async def run(self, input: MyInput) -> MyOutput`"
        )


def test_a_constructor_that_wants_arguments_is_refused() -> None:
    with pytest.raises(AppDefinitionError) as caught:
        load("""
            class Shop(App):
                def __init__(self, url, retries=3):
                    self.url = url

                async def run(self, order: Order) -> Receipt: ...
            """)
    assert str(caught.value) == (
        "Shop (app.py:1) is no complete app:\n"
        "  - __init__() (app.py:2) wants url, but each route and each task gets an instance made without arguments: "
        "give defaults, or pass it in the input"
    )


@pytest.mark.parametrize("name", ["sleep", "now", "context", "definition", "continue_with"])
@pytest.mark.parametrize("decorator", ["task", "entrypoint"])
def test_a_name_of_the_base_class_is_refused(decorator: str, name: str) -> None:
    with pytest.raises(AppDefinitionError) as caught:
        load(f"""
            class Shop(App):
                @{decorator}
                async def {name}(self, order: Order) -> Receipt: ...

                async def run(self, order: Order) -> Receipt: ...
            """)
    assert str(caught.value) == (
        "Shop (app.py:1) is no complete app:\n"
        f"  - {name!r} is a name of App's own, so no task and no entry point can have it: rename it"
    )


def test_the_name_of_timers_is_refused() -> None:
    with pytest.raises(AppDefinitionError) as caught:
        load("""
            class Shop(App):
                @task(name="sleep")
                async def rest(self, order: Order) -> Receipt: ...

                async def run(self, order: Order) -> Receipt: ...
            """)
    assert str(caught.value) == (
        "Shop (app.py:1) is no complete app:\n"
        "  - task 'sleep' (app.py:2) has the name that timers have in the ledger: rename it"
    )


@pytest.mark.parametrize(("decorator", "kind"), [("task", "tasks"), ("entrypoint", "entry points")])
def test_the_same_name_twice_is_refused(decorator: str, kind: str) -> None:
    with pytest.raises(AppDefinitionError) as caught:
        load(f"""
            class Shop(App):
                @{decorator}
                async def charge(self, order: Order) -> Receipt: ...

                @{decorator}
                async def charge(self, order: Order) -> Receipt: ...
            """)
    assert str(caught.value) == (
        f"Shop has two {kind} named 'charge': app.py:2 and app.py:5. The second would replace the first; rename one"
    )


def test_a_task_that_calls_a_task_fails_at_once() -> None:
    module = load("""
        class Shop(App):
            @task
            async def charge(self, order: Order) -> Receipt:
                return await self.ship(order)

            @task
            async def ship(self, order: Order) -> Receipt: ...

            async def run(self, input: Order) -> Receipt:
                return await self.charge(input)
        """)
    finished = run_app(module.Shop, module.Order())
    assert finished.executed == ["charge"]
    assert finished.error is not None
    assert finished.error["message"] == (
        "task 'charge' failed after 1 attempt: MisuseError: task 'charge' calls task 'ship' at app.py:4: a task can't "
        "call a task. Call both from the route, or make the inner one a plain method without @task."
    )


NOT_AWAITED = (
    "Called but never awaited, so never run: charge() at app.py:7. Write `await` before each, or give it to "
    "asyncio.gather() or asyncio.create_task() and await it"
)


@pytest.mark.parametrize(
    ("route", "message"),
    [
        pytest.param("self.charge(input)\nreturn Receipt()", NOT_AWAITED, id="forgotten"),
        pytest.param("return self.charge(input)", NOT_AWAITED, id="returned"),
        pytest.param(
            "charged = self.charge(input)\nreturn Receipt(text=charged.text)",
            "app.py:8: 'text' of charge(), which was called at app.py:7 and not awaited, so there is no Receipt yet. "
            "Write `await` before the call",
            id="taken for its output",
        ),
    ],
)
def test_a_call_that_is_not_awaited_is_told(route: str, message: str) -> None:
    assert told(route) == message


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("7", "app.py:7: task 'charge' takes Order, but was given int. Write self.charge(Order(...))"),
        (
            "input, 7",
            "app.py:7: charge() takes one Input, its 'order', but was given Order, int. Put all that it needs into "
            "fields of that Input",
        ),
        (
            "id=7",
            "app.py:7: charge() takes one Input, its 'order', but was given id=…. Put all that it needs into fields of "
            "that Input",
        ),
        (
            "",
            "app.py:7: charge() takes one Input, its 'order', but was given nothing. Put all that it needs into fields "
            "of that Input",
        ),
    ],
)
def test_a_call_with_something_else_than_its_input_is_told(arguments: str, message: str) -> None:
    assert told(f"return await self.charge({arguments})") == message


@pytest.mark.parametrize("name", ["order", "input"])
def test_the_input_may_be_given_by_name(name: str) -> None:
    assert run(f"return await self.charge({name}=input)").output.text == "charged"


def test_memory_shared_by_tasks_is_told_to_be_none() -> None:
    message = told("self.app_state.set('rows', 3)")
    assert message == (
        "app.py:7: self.app_state is memory that tasks share, and here each task has a process of its own. Return it "
        "from the one task and give it to the other in its input, or keep it with self.context.save_state()"
    )


def test_a_key_used_twice_stops_the_run_until_it_is_corrected() -> None:
    route = 'for number in (1, 2):\n    await self.charge.keyed("order")(Order(id=number))\nreturn Receipt()'
    finished = run(route)
    assert finished.outcome == "Stalled"
    assert told(route) == (
        "app.py:8: charge.keyed('order') is used twice in this run; the first call is at app.py:8. A key names one "
        "call: put what tells the calls apart into it"
    )


@pytest.mark.slow
@pytest.mark.parametrize(
    ("statement", "message"),
    [
        (
            "open('orders.csv')",
            "open('orders.csv') in the route. A file may be another one, or gone, in a replay. Move this into a @task",
        ),
        ("Path('orders.csv').exists()", "os.stat(PosixPath('orders.csv')) in the route. Move this into a @task"),
        (
            "import urllib.request; urllib.request.urlopen('http://127.0.0.1:1')",
            "name '127.0.0.1' looked up in the route. Move this into a @task",
        ),
        ("import subprocess; subprocess.run(['ls'])", "process 'ls' started in the route. Move this into a @task"),
        (
            "import time; time.sleep(1)",
            "time.sleep() in the route. Write `await self.sleep(seconds)`, which is durable",
        ),
        ("await asyncio.to_thread(print)", "print() run in a thread in the route. Move this into a @task"),
        (
            "import os; os.environ['HOME']",
            "environment variable 'HOME' in the route. Another pod may have another environment. Pass it in the run's "
            "input, or read it in a @task",
        ),
        (
            "import os; os.getpid()",
            "os.getpid() in the route. Another pod answers otherwise. Pass it in the run's input, or read it in a "
            "@task",
        ),
    ],
)
def test_what_a_replay_cannot_repeat_is_refused_in_the_route(statement: str, message: str) -> None:
    assert told(f"{statement}\nreturn Receipt()") == f"app.py:7: {message}"


def test_an_input_that_is_no_json_object_is_told() -> None:
    module = load("")
    with pytest.raises(ContractValidationError) as caught:
        decode(module.Order, '{"id": 1')
    assert str(caught.value) == (
        'The JSON is no Order:\n  Order: \'{"id": 1\'\n    that is no JSON object. Write {"id": …}.'
    )


def test_an_input_of_another_type_is_told_where_the_run_is_started() -> None:
    module = load(TASK + "        return Receipt()")
    with pytest.raises(ContractValidationError) as caught:
        run_app(module.Shop, {"id": 1})  # type: ignore[arg-type]
    assert str(caught.value) == (
        "Order is declared, dict was given.\n  Order: {'id': 1}\n    that is not the declared type. Give Order(...)."
    )


def test_a_ledger_of_another_app_is_refused() -> None:
    exported = run("return await self.charge(input)").exported
    module = load("""
        class Office(App):
            async def run(self, input: Order) -> Receipt: ...
        """)
    with pytest.raises(LedgerFormatError) as caught:
        replay(module.Office, exported)
    assert str(caught.value) == "this ledger is of a run of app:Shop, not of app:Office"
