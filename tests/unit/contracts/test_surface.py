"""The names that apps import, and what importing them costs."""

from __future__ import annotations

import importlib
import json
import subprocess
import sys

import pytest

import application_sdk.contracts as contracts

NAMES = {
    "BoundedDict",
    "BoundedList",
    "ContractValidationError",
    "DownloadInput",
    "DownloadOutput",
    "FileReference",
    "GitReference",
    "HeartbeatDetails",
    "Input",
    "MaxItems",
    "Output",
    "PayloadSafetyError",
    "PayloadTooLargeError",
    "Record",
    "SerializableEnum",
    "StorageTier",
    "UploadInput",
    "UploadOutput",
    "is_backwards_compatible",
    "validate_payload_safety",
    "ConnectionRef",
    "InputContract",
    "Lazy",
    "OutputContract",
    "PublishInputMixin",
    "get_contract_fields",
    "has_default",
    "validate_is_contract",
}

HOMES = {
    "application_sdk.contracts.base": [
        "ContractValidationError",
        "HeartbeatDetails",
        "Input",
        "MaxItems",
        "Output",
        "PayloadSafetyError",
        "Record",
        "SerializableEnum",
        "is_backwards_compatible",
        "validate_payload_safety",
    ],
    "application_sdk.contracts.types": [
        "BoundedDict",
        "BoundedList",
        "FileReference",
        "GitReference",
        "MaxItems",
        "StorageTier",
    ],
    "application_sdk.contracts.storage": ["DownloadInput", "DownloadOutput", "UploadInput", "UploadOutput"],
}


def test_the_public_names_are_these() -> None:
    assert set(contracts.__all__) == NAMES
    assert set(dir(contracts)) >= NAMES


@pytest.mark.parametrize("module", HOMES)
def test_each_name_is_the_same_object_in_the_module_it_is_known_from(module: str) -> None:
    home = importlib.import_module(module)
    for name in HOMES[module]:
        assert getattr(home, name) is getattr(contracts, name)


def test_a_name_that_is_not_there_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'Nothing'"):
        _ = contracts.Nothing  # type: ignore[attr-defined]
    with pytest.raises(AttributeError, match="no attribute 'Nothing'"):
        _ = importlib.import_module("application_sdk.contracts.base").Nothing


def modules_after(statement: str) -> set[str]:
    program = f"import json, sys\n{statement}\nprint(json.dumps(sorted(sys.modules)))"
    done = subprocess.run(
        [sys.executable, "-c", program], env={"PYTHONPATH": ":".join(sys.path)}, capture_output=True, check=True
    )
    return set(json.loads(done.stdout))


def test_a_task_pod_loads_nothing_but_pydantic_and_the_modules_that_check_contracts() -> None:
    bare = modules_after("from pydantic import BaseModel\nclass Model(BaseModel):\n    name: str = ''")
    ours = modules_after(
        "from application_sdk.contracts import Input, Output, MaxItems\nclass Model(Input):\n    name: str = ''"
    )
    assert {name for name in ours - bare if not name.startswith("application_sdk")} == set()
    assert {name for name in ours - bare if name.startswith("application_sdk")} == {
        "application_sdk",
        "application_sdk.contracts",
        *(
            f"application_sdk.contracts.{name}"
            for name in ("base", "bounds", "errors", "safety", "type_checker", "type_support")
        ),
    }
