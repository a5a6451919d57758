"""How images are made and read without Docker."""

from __future__ import annotations

import configparser
import tarfile
from pathlib import Path

import pytest
from hack.cluster.errors import ClusterError
from hack.cluster.images import Archive
from hack.images.archive import write_single_file_image
from hack.images.build import copied_files, copy_sources, input_key, pip_config

DOCKERFILE = """\
ARG BASE=debian
FROM ${BASE} AS deps
COPY requirements.txt \\
     /tmp/
FROM ${BASE}
COPY --from=deps /opt /opt
COPY --chown=1:1 src lib/*.py /app/
"""
BASE = "localhost/debian-python:1"


def context(folder: Path) -> Path:
    (folder / "src" / "__pycache__").mkdir(parents=True)
    (folder / "lib").mkdir()
    for file in ("requirements.txt", "src/a.py", "src/__pycache__/a.pyc", "lib/b.py", "lib/c.txt", "README.md"):
        (folder / file).write_text(file)
    (folder / "Dockerfile").write_text(DOCKERFILE)
    return folder


def test_only_what_comes_from_the_context_counts_as_a_source() -> None:
    assert copy_sources(DOCKERFILE) == ["requirements.txt", "src", "lib/*.py"]


def test_image_files_are_those_the_dockerfile_copies(tmp_path: Path) -> None:
    folder = context(tmp_path)
    found = [str(file.relative_to(folder)) for file in copied_files(folder, DOCKERFILE)]
    assert found == ["lib/b.py", "requirements.txt", "src/a.py"]


def test_a_change_elsewhere_builds_nothing_anew(tmp_path: Path) -> None:
    folder = context(tmp_path)
    before = input_key(folder, "runtime", BASE)
    (folder / "README.md").write_text("changed")
    (folder / "src" / "__pycache__" / "a.pyc").write_text("changed")
    assert input_key(folder, "runtime", BASE) == before


@pytest.mark.parametrize("file", ["src/a.py", "lib/b.py", "requirements.txt", "Dockerfile"])
def test_a_change_of_an_input_builds_anew(tmp_path: Path, file: str) -> None:
    folder = context(tmp_path)
    before = input_key(folder, "runtime", BASE)
    (folder / file).write_text((folder / file).read_text() + "\n# changed\n")
    assert input_key(folder, "runtime", BASE) != before


def test_another_base_builds_anew(tmp_path: Path) -> None:
    folder = context(tmp_path)
    assert input_key(folder, "runtime", "localhost/other:1") != input_key(folder, "runtime", BASE)


def test_a_new_file_and_another_target_build_anew(tmp_path: Path) -> None:
    folder = context(tmp_path)
    before = input_key(folder, "runtime", BASE)
    assert input_key(folder, "operator", BASE) != before
    (folder / "src" / "new.py").touch()
    assert input_key(folder, "runtime", BASE) != before


def test_the_repositorys_dockerfile_copies_files_that_exist() -> None:
    root = Path(__file__).resolve().parents[3]
    sources = copy_sources((root / "Dockerfile").read_text())
    assert sources
    assert [source for source in sources if not list(root.glob(source))] == []


def test_a_package_index_of_the_environment_is_used() -> None:
    environment = {"PIP_INDEX_URL": "https://index.example/simple", "PIP_VERBOSE": "1", "PIP_PROXY": ""}
    written = configparser.RawConfigParser()
    written.read_string(pip_config("[global]\ncert = /x.crt\n", environment))
    assert dict(written["global"]) == {"cert": "/x.crt", "index-url": "https://index.example/simple"}


def test_without_one_pips_settings_stay_as_they_are() -> None:
    assert pip_config("[global]\ncert = /x.crt\n", {"HOME": "/root"}) == "[global]\ncert = /x.crt\n"


def test_a_single_file_image_is_an_archive_that_nodes_can_load(tmp_path: Path) -> None:
    program = tmp_path / "pause"
    program.write_bytes(b"\x7fELF")
    target = tmp_path / "image.tar"
    write_single_file_image(program, "localhost/pause:1", target)
    archive = Archive.read(target)
    assert list(archive.names) == ["localhost/pause:1"]
    with tarfile.open(target) as tar:
        assert set(tar.getnames()) == {"manifest.json", "layer.tar", *archive.names.values()}
    first = target.read_bytes()
    write_single_file_image(program, "localhost/pause:1", target)
    assert target.read_bytes() == first


def test_something_else_is_refused_as_an_image_archive(tmp_path: Path) -> None:
    file = tmp_path / "notes.txt"
    file.write_text("hello")
    with pytest.raises(ClusterError, match="no image archive"):
        Archive.read(file)
