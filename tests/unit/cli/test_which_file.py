"""The file that is named is the one that runs, in the route and in its tasks, or the error says why it can't."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from tests.unit.cli.test_surroundings import apprun

APP = """
from application_sdk.app import App, task
from application_sdk.contracts import Input, Output

class Nothing(Input):
    pass

class Said(Output):
    text: str = ""

class Shop(App):
    @task
    async def where(self, input: Nothing) -> Said:
        return Said(text="task of {owner}")

    async def run(self, input: Nothing) -> Said:
        return Said(text="route of {owner}, " + (await self.where(input)).text)
"""


def write(folder: Path, owner: str, name: str = "app.py") -> None:
    (folder / owner).mkdir(exist_ok=True)
    (folder / owner / name).write_text(APP.replace("{owner}", owner))


@pytest.mark.slow
@pytest.mark.parametrize("target", ["mine/app.py", "mine/app.py:Shop"])
@pytest.mark.parametrize("options", [(), ("--in-process",)])
def test_a_namesake_before_it_on_the_import_path_is_not_run(
    tmp_path: Path, target: str, options: tuple[str, ...]
) -> None:
    write(tmp_path, "theirs")
    write(tmp_path, "mine")
    path = f"{tmp_path / 'theirs'}:{tmp_path / 'mine'}"
    result = apprun(tmp_path, "run", target, "-o", "json", *options, PYTHONPATH=path)
    assert json.loads(result.stdout)["output"] == {"text": "route of mine, task of mine"}


@pytest.mark.slow
@pytest.mark.parametrize("name", ["json.py", "queue.py", "time.py"])
def test_the_name_of_a_module_of_python_is_refused(tmp_path: Path, name: str) -> None:
    write(tmp_path, "mine", name)
    result = apprun(tmp_path, "run", f"mine/{name}:Shop")
    assert f"{name.removesuffix('.py')!r} is the name of a module of Python itself" in result.stderr
    assert "Rename it" in result.stderr


@pytest.mark.slow
def test_the_name_of_an_installed_package_is_refused(tmp_path: Path) -> None:
    write(tmp_path, "mine", "pydantic.py")
    result = apprun(tmp_path, "run", "mine/pydantic.py:Shop")
    assert "'pydantic' is the name of a module that is installed" in result.stderr


@pytest.mark.slow
def test_a_name_that_another_module_has_taken_is_told(tmp_path: Path) -> None:
    write(tmp_path, "mine", "shop.py")
    write(tmp_path, "theirs", "shop.py")
    (tmp_path / "hooks").mkdir()
    (tmp_path / "hooks" / "sitecustomize.py").write_text("import shop\n")
    path = f"{tmp_path / 'hooks'}:{tmp_path / 'theirs'}"
    result = apprun(tmp_path, "run", "mine/shop.py:Shop", PYTHONPATH=path)
    assert result.returncode != 0
    assert "'shop' is a module already that this process has imported" in result.stderr
    assert str(tmp_path / "theirs" / "shop.py") in result.stderr


@pytest.mark.slow
def test_a_package_beside_it_that_has_its_name_is_told(tmp_path: Path) -> None:
    write(tmp_path, "mine", "shop.py")
    (tmp_path / "mine" / "shop").mkdir()
    (tmp_path / "mine" / "shop" / "__init__.py").touch()
    assert "has its name. Rename one" in apprun(tmp_path, "run", "mine/shop.py:Shop").stderr
