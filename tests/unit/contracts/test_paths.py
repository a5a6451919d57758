"""A path in a payload is of somebody else's disk, unless it is known to be of this one."""

from __future__ import annotations

from typing import Annotated

import pytest

from application_sdk.contracts import (
    ContractValidationError,
    DownloadInput,
    FileReference,
    Input,
    MaxItems,
    UploadInput,
)
from application_sdk.contracts.codec import decode

SECRET = "/apprun/secrets/login/password"
STORED = {"storage_path": "retained/ns/a/b", "is_durable": True}


class Parts(Input):
    file: FileReference = FileReference()
    more: Annotated[list[FileReference], MaxItems(10)] = []


PAYLOAD = {"file": {"local_path": SECRET}, "more": [{"local_path": SECRET, **STORED}]}


def test_a_path_is_dropped_unless_asked_for() -> None:
    given = decode(Parts, PAYLOAD)
    assert (given.file.local_path, given.more[0].local_path) == (None, None)
    assert given.more[0].storage_path == STORED["storage_path"]


def test_a_path_of_this_machine_is_kept() -> None:
    assert decode(Parts, PAYLOAD, paths="keep").file.local_path == SECRET


def test_each_path_from_outside_is_refused_with_its_place() -> None:
    with pytest.raises(ContractValidationError) as caught:
        decode(Parts, PAYLOAD, paths="refuse")
    assert [problem.path for problem in caught.value.problems] == ["Parts.file.local_path", "Parts.more[0].local_path"]
    assert "give a reference with its storage_path" in caught.value.problems[0].reason


def test_a_stored_file_without_a_path_is_welcome() -> None:
    assert decode(Parts, {"file": STORED}, paths="refuse").file.is_durable


@pytest.mark.parametrize(
    ("contract", "payload"),
    [(UploadInput, {"local_path": SECRET}), (DownloadInput, {"storage_path": "a", "local_path": SECRET})],
)
def test_a_move_that_is_asked_for_from_outside_is_refused(
    contract: type[UploadInput | DownloadInput], payload: dict[str, str]
) -> None:
    with pytest.raises(ContractValidationError, match="can't be given from outside"):
        decode(contract, payload, paths="refuse")
    assert decode(contract, payload).local_path == SECRET, "a route's own request keeps it"


def test_at_most_twenty_faults_are_told() -> None:
    with pytest.raises(ContractValidationError) as caught:
        decode(Parts, {f"field{number}": number for number in range(5000)})
    assert (len(caught.value.problems), caught.value.count) == (20, 5000)
    assert str(caught.value).endswith("… and 4980 more.")
