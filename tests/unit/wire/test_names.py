"""Names of runs: which ones there may be, and what is made up where none is given. The same on every engine."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from application_sdk.engines.local.errors import RunNameError
from application_sdk.engines.local.run_store import RunStore
from application_sdk.server.document import NAME_FIELD
from application_sdk.server.runs import run_name_for_key
from application_sdk.wire import names

APPS = ["hello-world-app", "Großes App", "7", "7" * 70, "x" * 100, "-", "-a-"]


@pytest.mark.parametrize("name", ["orders-1", "1nightly", "1", "x" * 63, "a--b"])
def test_name_is_good_on_every_engine(tmp_path: Path, name: str) -> None:
    assert names.run_name_fault(name) == ""
    assert RunStore(tmp_path).create(name).run == name
    assert re.fullmatch(NAME_FIELD["pattern"], name)


@pytest.mark.parametrize("name", ["", "Orders", "a_b", "a-", "-a", "a.b", "x" * 64, "a/../b", "a\n"])
def test_name_is_refused_on_every_engine(tmp_path: Path, name: str) -> None:
    fault = names.run_name_fault(name)
    assert repr(name) in fault
    with pytest.raises(RunNameError) as refusal:
        RunStore(tmp_path).create(name)
    assert str(refusal.value) == fault


@pytest.mark.parametrize("app", APPS)
def test_made_up_name_is_a_good_one(app: str) -> None:
    name = names.run_name(app, "x" * 12)
    assert (names.run_name_fault(name), name[0].isalpha()) == ("", True)


def test_name_of_a_repeated_request_is_the_same_in_every_release() -> None:
    assert run_name_for_key("orders", "k1") == "orders-01de72f23190"
    assert run_name_for_key("7" * 70, "k1") == f"run-{'7' * 46}-{run_name_for_key('7' * 70, 'k1')[-12:]}"
