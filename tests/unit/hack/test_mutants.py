"""The guards that `make mutants` takes away stand in the source, and each can be taken away."""

from __future__ import annotations

from pathlib import Path

import pytest
from hack.guards import Anchor, GuardError, anchors_in, replaced
from hack.mutants import MUTANTS, ROOT, Mutant, anchored, without_guard

SOURCE = """def add(a, b):
    if a < 0 or b < 0:
        raise ValueError
    # guard: sum - why
    return a + (
        b
    )
"""


@pytest.fixture(scope="module")
def where() -> dict[str, Anchor]:
    return anchored()


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    (tmp_path / "sdk").mkdir()
    (tmp_path / "sdk/a.py").write_text("# guard: one - why\nx = 1\n")
    return tmp_path


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.guard)
def test_guard_can_be_taken_away(mutant: Mutant, where: dict[str, Anchor]) -> None:
    anchor = where[mutant.guard]
    assert without_guard(mutant, anchor) != (ROOT / anchor.path).read_text("utf-8")
    for tests in mutant.tests:
        assert (ROOT / tests).exists()


def test_anchor_without_entry_is_refused(tree: Path) -> None:
    with pytest.raises(GuardError, match=r"sdk/a.py:1: the guard one has no entry"):
        anchored(tree, ())


def test_entry_without_anchor_is_refused(tree: Path) -> None:
    mutants = (Mutant("one", "pass", ()), Mutant("two", "pass", ()))
    with pytest.raises(GuardError, match=r"no comment .* for two"):
        anchored(tree, mutants)


def test_second_entry_for_a_guard_is_refused(tree: Path) -> None:
    with pytest.raises(GuardError, match="more than one entry for one"):
        anchored(tree, (Mutant("one", "pass", ()),) * 2)


def test_second_anchor_of_a_name_is_refused(tree: Path) -> None:
    (tree / "sdk/b.py").write_text("# guard: one - why\nx = 1\n")
    with pytest.raises(GuardError, match=r"sdk/b.py:1: the guard one stands at sdk/a.py:1 too"):
        anchored(tree, (Mutant("one", "pass", ()),))


@pytest.mark.parametrize("comment", ["# guard: one", "# guard: One thing - why", "# Guard: one -"])
def test_anchor_in_another_form_is_refused(comment: str) -> None:
    with pytest.raises(GuardError, match="not of the form"):
        list(anchors_in(f"x = 1\n{comment}\nx = 2\n", "a.py"))


def test_condition_is_replaced() -> None:
    text = "if x:\n    y = 1\n# guard: z - why\n# and more of it\nelif (\n    y\n    and x\n):\n    y = 2\n"
    assert replaced(text, Anchor("z", "a.py", 3), "", "False").endswith("elif (\n    False\n):\n    y = 2\n")


def test_simple_statement_is_replaced() -> None:
    assert replaced(SOURCE, Anchor("sum", "a.py", 4), "", "a = 1\nreturn a").endswith("    a = 1\n    return a\n")


def test_part_is_found_however_it_is_formatted() -> None:
    assert replaced(SOURCE, Anchor("sum", "a.py", 4), "a + (b)", "a").endswith("    return a\n")


def test_columns_are_those_of_characters() -> None:
    text = "# guard: z - why\nx = 'ä', y\n"
    assert replaced(text, Anchor("z", "a.py", 1), "y", "x") == "# guard: z - why\nx = 'ä', x\n"


@pytest.mark.parametrize(
    ("part", "without", "message"),
    [
        ("a - b", "a", "0 times"),
        ("b", "a +", "syntax error"),
        ("b", "b", "the same code"),
        ("", "return c", "c isn't a name of this file"),
    ],
)
def test_replacement_that_does_not_fit_is_refused(part: str, without: str, message: str) -> None:
    with pytest.raises(GuardError, match=message):
        replaced(SOURCE, Anchor("sum", "a.py", 4), part, without)


@pytest.mark.parametrize("follows", ["", "\nx = 1\n", "]\n"])
def test_anchor_without_a_statement_is_refused(follows: str) -> None:
    text = f"x = [\n# guard: z - why\n{follows}" if follows == "]\n" else f"# guard: z - why\n{follows}"
    with pytest.raises(GuardError, match="no statement follows"):
        replaced(text, Anchor("z", "a.py", text.count("\n", 0, text.index("#")) + 1), "", "pass")


def test_item_of_a_template_ends_where_the_next_begins() -> None:
    text = "a:\n  # guard: z - why\n  - b: x\n      && y\n  - b: x && y\n"
    expected = "a:\n  # guard: z - why\n  - b: true\n  - b: x && y\n"
    assert replaced(text, Anchor("z", "a.yaml", 2), "x && y", "true") == expected
