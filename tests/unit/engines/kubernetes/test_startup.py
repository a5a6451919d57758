"""A quick start changes when modules are found, never which."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from application_sdk.engines.kubernetes import bundle

WRITE = """
import sys
sys.path.insert(0, sys.argv[1])
from application_sdk.engines.kubernetes import write_bundle
import greeting, parcel.inner
names = ("greeting", "parcel", "parcel.inner", "sys")
print(write_bundle.write({name: sys.modules[name] for name in names}, sys.argv[2]))
"""
READ = """
import sys
sys.path.insert(0, sys.argv[1])
from application_sdk.engines.kubernetes import bundle
bundle.install(sys.argv[2])
import greeting, parcel.inner
print(greeting.TEXT, parcel.inner.__file__, parcel.__path__, type(greeting.__loader__).__name__)
"""
TWO = """
bundle.uninstall()
import later
print(type(later.__loader__).__name__, len(sys.meta_path))
"""

FAIL = """
import traceback
try:
    parcel.inner.fail()
except ValueError:
    print(traceback.format_exc())
"""


@pytest.fixture
def source(tmp_path: Path) -> Path:
    folder = tmp_path / "source"
    (folder / "parcel").mkdir(parents=True)
    (folder / "greeting.py").write_text("TEXT = 'hello'\n")
    (folder / "later.py").write_text("")
    (folder / "parcel" / "__init__.py").write_text("")
    (folder / "parcel" / "inner.py").write_text("def fail():\n    raise ValueError\n")
    return folder


@pytest.fixture
def bundled(tmp_path: Path, source: Path) -> Path:
    """A bundle of these modules."""
    path = tmp_path / "modules.bundle"
    assert python(WRITE, source, path) == "3"
    return path


def python(code: str, *arguments: Path, **environ: str) -> str:
    ended = subprocess.run(
        [sys.executable, "-c", code, *map(str, arguments)],
        env={**os.environ, **environ},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert ended.returncode == 0, ended.stderr
    return ended.stdout.strip()


def test_modules_and_packages_come_out_of_the_bundle_as_what_they_are(source: Path, bundled: Path) -> None:
    inner = source / "parcel" / "inner.py"
    assert python(READ, source, bundled) == f"hello {inner} ['{inner.parent}'] _BundleLoader"


def test_a_newer_source_wins_over_the_bundle(source: Path, bundled: Path) -> None:
    (source / "greeting.py").write_text("TEXT = 'good evening'\n")
    assert python(READ, source, bundled).startswith("good evening ")


def test_a_source_of_the_same_size_but_another_time_wins_too(source: Path, bundled: Path) -> None:
    (source / "greeting.py").write_text("TEXT = 'hullo'\n")
    os.utime(source / "greeting.py", (1, 1))
    assert python(READ, source, bundled).startswith("hullo ")


@pytest.mark.parametrize("content", [None, b"", b"short", b"\0" * 100], ids=["none", "empty", "short", "other Python"])
def test_without_a_readable_bundle_python_loads_as_ever(source: Path, tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "modules.bundle"
    if content is not None:
        path.write_bytes(content)
    assert python(READ, source, path).endswith("SourceFileLoader")


def test_code_that_is_cut_off_is_loaded_from_its_source(source: Path, bundled: Path) -> None:
    bundled.write_bytes(bundled.read_bytes()[:-20])
    assert python(READ, source, bundled).startswith("hello ")


def test_user_code_is_looked_for_as_ever(source: Path, bundled: Path) -> None:
    assert python(f"{READ}\n{TWO}", source, bundled).splitlines()[1].startswith("SourceFileLoader")


def test_tracebacks_show_the_lines_of_bundled_modules(source: Path, bundled: Path) -> None:
    assert "raise ValueError" in python(READ + FAIL, source, bundled)


def test_a_modules_bundle_is_never_part_of_the_source_tree() -> None:
    assert not Path(bundle.PATH).exists(), "made by hand? It would hide what is changed in these sources"


METADATA = """
from application_sdk.engines.kubernetes.startup import tune_startup
tune_startup()
import pydantic
class Model(pydantic.BaseModel):
    n: int = 0
import sys
print("email" in sys.modules, end=" ")
"""


def test_plugins_are_not_searched_for() -> None:
    assert python(METADATA, PYDANTIC_DISABLE_PLUGINS="__all__") == "False"


def test_plugins_are_searched_for_where_the_environment_asks() -> None:
    assert python(METADATA, PYDANTIC_DISABLE_PLUGINS="") == "True"


@pytest.mark.slow
@pytest.mark.parametrize(
    "use",
    [
        "import importlib.metadata; print(importlib.metadata.version('pydantic') == pydantic.VERSION)",
        "from importlib.metadata import version; print(version('pydantic') == pydantic.VERSION)",
        "from importlib import metadata; print(metadata.version('pydantic') == pydantic.VERSION)",
        "import importlib.metadata._meta; print('importlib.metadata._meta' in sys.modules)",
        "from importlib.metadata import entry_points; print(len(entry_points(group='console_scripts')) > 0)",
        "import importlib.metadata as m; print(issubclass(m.PackageNotFoundError, ImportError))",
    ],
)
def test_metadata_is_there_for_whoever_uses_it(use: str) -> None:
    assert python(METADATA + use, PYDANTIC_DISABLE_PLUGINS="__all__") == "False True"
