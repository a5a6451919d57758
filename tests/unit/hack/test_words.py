"""The lint of old words finds each kind of them, and only where they count."""

from __future__ import annotations

from pathlib import Path

import pytest
from hack.words import EXCEPTIONS, WORDS, in_code, in_prose, old_words, problems


@pytest.mark.parametrize(
    ("file", "source", "line", "word"),
    [
        ("sdk/told.py", "", 1, "told"),
        ("sdk/places/__init__.py", "", 1, "places"),
        ("hack/demo/report.py", "x = 1\n\nclass Wish:\n    pass\n", 3, "Wish"),
        ("sdk/a.py", "class _Standing:\n    pass\n", 1, "Standing"),
        ("operator/a.py", "class A:\n    async def tell(self): ...\n", 2, "tell"),
        ("operator/a.py", "def _said(): ...\n", 1, "said"),
        ("operator/a.py", "def give_up(): ...\n", 1, "give_up"),
    ],
)
def test_an_old_name_is_found_with_its_line(file: str, source: str, line: int, word: str) -> None:
    (old,) = in_code(file, source)
    assert (old.file, old.line, old.word) == (file, line, word)


@pytest.mark.parametrize(
    ("file", "source"),
    [
        ("sdk/a.py", "told = 1\nWish = told\n"),  # variables are left to reviews
        ("sdk/a.py", "def foretold(): ...\n\nclass WishList: ...\n"),
        ("sdk/a.py", '"""Told of a wish."""\n'),
        ("sdk/application_sdk/server/a.py", "def give_up(): ...\n"),  # an old word of the operator
    ],
)
def test_other_names_pass(file: str, source: str) -> None:
    assert list(in_code(file, source)) == []


@pytest.mark.parametrize(
    ("text", "line", "word"),
    [
        ("It begins anew.", 1, "anew"),
        ("One.\n\nIt runs For\never.", 3, "for ever"),
        ("What is nobody's", 1, "is nobody's"),
    ],
)
def test_a_translation_is_found_over_lines_and_case(text: str, line: int, word: str) -> None:
    (old,) = in_prose("docs/a.md", text)
    assert (old.line, old.word) == (line, word)


def test_words_inside_of_others_are_no_translation() -> None:
    assert list(in_prose("docs/a.md", "Renewal. Therefor everything. Untold offers.")) == []


def test_exceptions_hide_old_words_and_are_refused_unused(tmp_path: Path) -> None:
    (tmp_path / "hack").mkdir()
    (tmp_path / "hack" / "told.py").write_text("def tell(): ...\n")
    (tmp_path / "README.md").write_text("Anew.\n")
    words = list(old_words(tmp_path))
    assert [word.split(":")[0] for word in problems(words, {})] == ["hack/told.py", "hack/told.py", "README.md"]
    (unused,) = problems(words, {"hack/": "why", "README.md": "why", "sdk/": "why"})
    assert unused.startswith("sdk/: ")


def test_each_word_stands_once_and_each_exception_has_a_reason() -> None:
    assert len({(word.kind, word.old, word.where) for word in WORDS}) == len(WORDS)
    assert all(reason.strip() for reason in EXCEPTIONS.values())
