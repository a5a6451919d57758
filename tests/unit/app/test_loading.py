"""From `module:Class` to an app, or to a message that says what to change."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from application_sdk.app.loading import AppLoadError, load_app
from application_sdk.app.registry import AppRegistry

APP = """
from application_sdk.app import App
from application_sdk.contracts import Input, Output

class Given(Input):
    pass

class Made(Output):
    pass

class HelloWorldApp(App):
    async def run(self, input: Given) -> Made:
        return Made()

class Unfinished(App, abstract=True):
    pass

class Routeless(App):
    pass

class Plain:
    pass

number = 7
"""


@pytest.fixture
def source(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The first folder of the import path; what is imported from it is forgotten afterwards."""
    before = set(sys.modules)
    apps = AppRegistry.get_instance().snapshot()
    monkeypatch.syspath_prepend(str(tmp_path))
    yield tmp_path
    for name in set(sys.modules) - before:
        if str(tmp_path) in str(getattr(sys.modules[name], "__file__", "")):
            del sys.modules[name]
    AppRegistry.get_instance().restore(apps)


def refusal(entry: str) -> AppLoadError:
    with pytest.raises(AppLoadError) as caught:
        load_app(entry)
    return caught.value


def test_an_app_is_found(source: Path) -> None:
    (source / "loading_found.py").write_text(APP)
    assert load_app("loading_found:HelloWorldApp").__name__ == "HelloWorldApp"


def test_an_app_in_a_package_is_found(source: Path) -> None:
    (source / "loading_package").mkdir()
    (source / "loading_package" / "inner.py").write_text(APP)
    assert load_app("loading_package.inner:HelloWorldApp").__name__ == "HelloWorldApp"


@pytest.mark.parametrize("entry", ["app", "app:", ":App", "app.py:App", "app:a b", "a/b:App", "", "a..b:App"])
def test_an_entry_has_a_form(entry: str) -> None:
    message = str(refusal(entry))
    assert "'module:Class', for example 'app:HelloWorldApp'" in message or "there is no module" in message


def test_a_missing_module_is_compared_with_what_is_there(source: Path) -> None:
    (source / "hello.py").write_text(APP)
    message = str(refusal("helo:HelloWorldApp"))
    assert message.startswith(f"there is no module 'helo'. In {source} the modules there are hello")
    assert "Correct the entry or the source" in message


def test_a_missing_package_of_the_apps_is_named(source: Path) -> None:
    (source / "loading_needs.py").write_text("import surely_not_installed")
    error = refusal("loading_needs:HelloWorldApp")
    assert "No module named 'surely_not_installed'" in str(error)
    assert "Use an image that has the package" in str(error)
    assert 'loading_needs.py", line 1' in error.traceback


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("1 / 0", "ZeroDivisionError: division by zero"),
        ("def f(:\n", "SyntaxError"),
        ("raise SystemExit(2)", "SystemExit: 2"),
    ],
)
def test_a_module_that_fails_is_shown_with_its_own_traceback(source: Path, text: str, expected: str) -> None:
    (source / "loading_fails.py").write_text(text)
    error = refusal("loading_fails:HelloWorldApp")
    assert expected in str(error)
    assert "loading_fails.py" in error.traceback
    assert "loading.py" not in error.traceback


def test_an_interrupt_while_importing_is_not_swallowed(source: Path) -> None:
    (source / "loading_interrupted.py").write_text("raise KeyboardInterrupt")
    with pytest.raises(KeyboardInterrupt):
        load_app("loading_interrupted:App")


def test_a_misspelt_class_is_suggested(source: Path) -> None:
    (source / "loading_class.py").write_text(APP)
    assert str(refusal("loading_class:HelloWorlApp")).endswith("Did you mean 'HelloWorldApp'?")
    assert str(refusal("loading_class:Zebra")).endswith("Apps in it: HelloWorldApp")


def test_a_module_without_apps_says_so(source: Path) -> None:
    (source / "loading_empty.py").write_text("")
    assert "it defines no App at all" in str(refusal("loading_empty:HelloWorldApp"))


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("Plain", "a class that isn't derived from App"),
        ("number", "a int"),
    ],
)
def test_what_is_no_app_is_called_by_its_kind(source: Path, name: str, kind: str) -> None:
    (source / "loading_kinds.py").write_text(APP)
    assert f"is {kind}; an entry names a subclass of application_sdk.app.App" in str(refusal(f"loading_kinds:{name}"))


@pytest.mark.parametrize(
    ("name", "why"),
    [
        (
            "Unfinished",
            "Unfinished ({file}:15) is no complete app: it says abstract=True, so only others derive from it",
        ),
        (
            "Routeless",
            "Routeless ({file}:18) is no complete app: it has no run() and no @entrypoint, so there is nothing",
        ),
        ("App", "App is no complete app: it is what apps derive from"),
    ],
)
def test_what_is_no_complete_app_is_told_why(source: Path, name: str, why: str) -> None:
    file = source / "loading_parts.py"
    file.write_text(APP)
    message = str(refusal(f"loading_parts:{name}"))
    assert message.startswith(why.format(file=file))
    assert message.endswith("Apps in it: HelloWorldApp")
