"""Each public name of the App Framework works here, or its import says what to use: none is a bare ImportError."""

from __future__ import annotations

import subprocess
import sys
from importlib import import_module

import pytest
from tests.unit.framework_names import NAMES

from application_sdk.unsupported_imports import AtlanOnlyError

ALL = [(package, name) for package, names in NAMES.items() for name in names.split()]
WORKING = 205
"""How many of them work. It may grow; the rest is refused with what to use."""


def imported(package: str, name: str) -> object:
    found: dict[str, object] = {}
    exec(f"from application_sdk.{package} import {name}", found)
    return found[name]


def test_the_table_has_all_names_of_the_eleven_packages() -> None:
    assert (len(NAMES), len(ALL)) == (11, 316)


@pytest.mark.parametrize(("package", "name"), ALL)
def test_a_name_works_or_says_what_to_use(package: str, name: str) -> None:
    try:
        assert imported(package, name) is not None
    except AtlanOnlyError as refusal:
        said = str(refusal)
        assert said.startswith(f"application_sdk.{package}.{name} is not part of this SDK. ")
        assert len(said.partition("SDK. ")[2]) > 20


def test_so_many_names_work() -> None:
    working = 0
    for package, name in ALL:
        try:
            imported(package, name)
        except AtlanOnlyError:
            continue
        working += 1
    assert working >= WORKING


@pytest.mark.parametrize(
    "module",
    [
        "application_sdk.app.client",
        "application_sdk.clients.sql",
        "application_sdk.common.utils",
        "application_sdk.credentials.atlan",
        "application_sdk.execution._temporal.worker",
        "application_sdk.handler.service",
        "application_sdk.infrastructure._dapr.client",
        "application_sdk.server.mcp",
        "application_sdk.storage.formats.parquet",
        "application_sdk.templates.sql_app",
        "application_sdk.testing.e2e",
        "application_sdk.transformers.query",
    ],
)
def test_a_module_out_of_scope_says_what_to_use(module: str) -> None:
    with pytest.raises(AtlanOnlyError, match=r"^application_sdk\.\S+ is not part of this SDK: .+\. .+\.$"):
        import_module(module)


def test_a_name_nobody_knows_is_an_error_as_ever() -> None:
    with pytest.raises(ImportError, match="cannot import name 'Nothing'"):
        imported("app", "Nothing")
    with pytest.raises(ModuleNotFoundError, match=r"application_sdk\.nothing"):
        import_module("application_sdk.nothing")


def test_refusals_are_loaded_when_something_is_refused() -> None:
    look = "import sys, application_sdk.app, application_sdk.contracts, application_sdk.attempt.attempt; "
    heavy = ["outofscope", "lazily", "errors.leaves", "errors.categories", "errors.details", "contracts.connections"]
    names = [f"application_sdk.{name}" for name in heavy]
    done = subprocess.run(
        [sys.executable, "-c", f"{look}print([n for n in {names} if n in sys.modules])"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.strip() == "[]"
