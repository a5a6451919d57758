"""The generated pages of the command line are today's, and tell of all of it."""

from __future__ import annotations

import re

import pytest

from application_sdk.cli import exit_codes
from application_sdk.cli.reference import DOCS, cli_page, reasons_page
from application_sdk.cli.views.reason_help import APP, ATTEMPT, RUN


@pytest.mark.parametrize(("name", "page"), [("cli.md", cli_page), ("reasons.md", reasons_page)])
def test_a_page_is_what_make_generate_writes(name: str, page: object) -> None:
    assert callable(page)
    assert (DOCS / name).read_text() == page()


def test_every_exit_code_has_a_row_and_no_two_are_equal() -> None:
    codes = [value for name, value in vars(exit_codes).items() if name.isupper() and isinstance(value, int)]
    assert len(codes) == len(set(codes))
    assert {int(code) for code in re.findall(r"^\| (\d+) \|", cli_page(), re.MULTILINE)} == set(codes)


def test_every_reason_has_a_row() -> None:
    rows = set(re.findall(r"^\| `(\w+)` \|", reasons_page(), re.MULTILINE))
    assert rows == RUN.keys() | ATTEMPT.keys() | APP.keys()
