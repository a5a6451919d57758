"""crds/ and the chart's copies are what the models say today."""

from __future__ import annotations

from pathlib import Path

import pytest

from apprun_operator.api import generate


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    generate.write(tmp_path)
    return tmp_path


def test_the_files_of_the_repository_are_current() -> None:
    assert generate.stale(generate.ROOT) == [], "run: python -m apprun_operator.api.generate"


def test_what_was_just_written_is_current(repository: Path) -> None:
    assert generate.stale(repository) == []
    assert generate.write(repository) == []


@pytest.mark.parametrize("folder", generate.FOLDERS, ids=str)
def test_a_file_that_was_edited_by_hand_is_stale(repository: Path, folder: Path) -> None:
    path = folder / "appruns.yaml"
    (repository / path).write_text((repository / path).read_text("utf-8") + "# mine\n", "utf-8")
    assert generate.stale(repository) == [path]
    assert generate.write(repository) == [path]
    assert generate.stale(repository) == []


def test_the_page_about_the_resources_is_written_with_them(repository: Path) -> None:
    page = repository / generate.PAGE
    assert "`log.tail`" in page.read_text("utf-8")
    page.write_text("mine", "utf-8")
    assert generate.stale(repository) == [generate.PAGE]
    assert generate.write(repository) == [generate.PAGE]
    assert generate.stale(repository) == []


def test_a_file_that_is_missing_is_stale(repository: Path) -> None:
    (repository / "crds/apps.yaml").unlink()
    assert generate.stale(repository) == [Path("crds/apps.yaml")]


def test_a_file_of_a_kind_that_is_no_more_is_stale_and_removed(repository: Path) -> None:
    left_over = Path("crds/appthings.yaml")
    (repository / left_over).write_text("kind: CustomResourceDefinition\n", "utf-8")
    assert generate.stale(repository) == [left_over]
    generate.write(repository)
    assert not (repository / left_over).exists()


def test_check_writes_nothing_and_names_what_is_stale(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert generate.main(["--check", "--root", str(tmp_path)]) == 1
    assert "stale: crds/appruns.yaml" in capsys.readouterr().out
    assert list(tmp_path.iterdir()) == []
    assert generate.main(["--root", str(tmp_path)]) == 0
    assert generate.main(["--check", "--root", str(tmp_path)]) == 0
