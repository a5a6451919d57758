"""`apprun init`: a project to begin with. It writes files where there are none, and nothing else."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from application_sdk.cli.errors import InputError
from application_sdk.cli.output import notify

APP: Final = '''"""A durable app: `run` is the plan, each `@task` does work that is recorded once it is done."""

from application_sdk.app import App, task
from application_sdk.contracts import Input, Output


class Name(Input):
    name: str = "World"


class Greeting(Output):
    text: str = ""


class Greeter(App):
    @task(timeout_seconds=60)
    async def greet(self, input: Name) -> Greeting:
        return Greeting(text=f"Hello, {input.name}!")

    async def run(self, input: Name) -> Greeting:
        greeting = await self.greet(input)
        await self.sleep(1)
        return greeting
'''

TEST: Final = '''"""Tests of the app: a task alone, a whole run in virtual time, and a crash at every step."""

from app import Greeter, Name

from application_sdk.testing import check_durability, run_app


async def test_a_task_is_a_method() -> None:
    assert (await Greeter().greet(Name(name="Ada"))).text == "Hello, Ada!"


def test_a_whole_run() -> None:
    assert run_app(Greeter, Name(name="Ada")).output.text == "Hello, Ada!"


def test_it_is_durable() -> None:
    check_durability(Greeter, Name())
'''

PYTEST: Final = """[pytest]
testpaths = .
pythonpath = .
# Tests that are `async def` need no mark.
asyncio_mode = auto
asyncio_default_fixture_loop_scope = function
"""

REQUIREMENTS: Final = """# What the tests need. AppRun itself comes from a clone or a wheel:
#   pip install /path/to/apprun    or    pip install apprun-0.1.0-py3-none-any.whl
pytest>=8
pytest-asyncio>=1
"""

FILES: Final = {"app.py": APP, "test_app.py": TEST, "pytest.ini": PYTEST, "requirements.txt": REQUIREMENTS}


def init(folder: Path) -> int:
    """Write the project, and return the exit code. Raises InputError, and writes nothing, if a file of it is there."""
    existing = [name for name in FILES if (folder / name).exists()]
    if existing:
        raise InputError(f"{folder} has {', '.join(existing)} already, and nothing is overwritten: name another folder")
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in FILES.items():
        (folder / name).write_text(content, encoding="utf-8")
    inside = "" if folder.resolve() == Path.cwd() else f"cd {folder} && "
    notify(f"{folder} has {', '.join(FILES)}. Next:")
    notify(f"  {inside}apprun run app.py")
    notify("  pip install -r requirements.txt && python -m pytest")
    return 0
