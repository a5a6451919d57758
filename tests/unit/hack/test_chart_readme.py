"""The chart's README says what values.yaml says; a value that nobody explained is named."""

from __future__ import annotations

from pathlib import Path

import pytest
from hack.chart_readme import BEGIN, CHART, END, UndescribedError, Value, main, rendered, table, values

TEXT = """
# How many.
replicas: 2

image:
  # Where from,
  # in two lines.
  repository: here

# Taken as a whole.
resources:
  requests: {cpu: 1}
"""


def test_each_value_has_its_default_and_its_comment() -> None:
    assert values(TEXT) == [
        Value("replicas", 2, "How many."),
        Value("image.repository", "here", "Where from, in two lines."),
        Value("resources", {"requests": {"cpu": 1}}, "Taken as a whole."),
    ]


def test_value_without_a_comment_is_named_with_its_line() -> None:
    with pytest.raises(UndescribedError, match=r"line 6: image\.repository"):
        values(TEXT.replace("  # Where from,\n  # in two lines.\n", ""))


def test_long_default_is_left_to_the_file() -> None:
    assert "| see values.yaml |" in table([Value("a", ["x" * 100], "long")])


def test_text_around_the_table_stays() -> None:
    made = rendered(f"before\n{BEGIN}\nold\n{END}\nafter\n", TEXT)
    assert made.startswith("before\n")
    assert made.endswith("\nafter\n")
    assert "old" not in made
    assert "| `replicas` | `2` | How many. |" in made


def test_stale_readme_is_told_and_written(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "values.yaml").write_text(TEXT)
    (tmp_path / "README.md").write_text(f"{BEGIN}{END}")
    assert main(["--check", "--chart", str(tmp_path)]) == 1
    assert "stale" in capsys.readouterr().err
    assert main(["--chart", str(tmp_path)]) == 0
    assert main(["--check", "--chart", str(tmp_path)]) == 0


def test_this_charts_values_are_all_explained() -> None:
    assert len(values((CHART / "values.yaml").read_text())) > 50
