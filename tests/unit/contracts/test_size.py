"""A payload over the limit is refused once and for all, with the field that weighs most."""

from __future__ import annotations

import pickle

import pytest

from application_sdk.contracts import PayloadTooLargeError
from application_sdk.contracts.size import MAX_PAYLOAD_BYTES, check_size, size_of


def test_the_limit_is_240_kib_of_json() -> None:
    assert MAX_PAYLOAD_BYTES == 245760
    overhead = len('{"a":""}')
    assert check_size({"a": "x" * (MAX_PAYLOAD_BYTES - overhead)}) == MAX_PAYLOAD_BYTES
    with pytest.raises(PayloadTooLargeError):
        check_size({"a": "x" * (MAX_PAYLOAD_BYTES - overhead + 1)})


def test_text_weighs_its_bytes_not_its_characters() -> None:
    assert size_of("ä\U0001f600") == 2 + 2 + 4


def test_the_message_names_the_heaviest_field_and_the_way_out() -> None:
    payload = {"title": "x" * 100, "page": {"rows": [{"name": "y" * 90}] * 20, "next": ""}}
    with pytest.raises(PayloadTooLargeError) as caught:
        check_size(payload, 1024, contract="ExtractOutput")
    assert str(caught.value) == (
        "This ExtractOutput is 2.1 KiB of JSON, the limit is 1.0 KiB.\n"
        "  ExtractOutput.page.rows weighs most: 20 items, 2.0 KiB.\n"
        "Put the data in a file and pass a FileReference in its place. Trying again will not help."
    )
    assert caught.value.field == "ExtractOutput.page.rows"
    assert (caught.value.size_bytes, caught.value.limit_bytes) == (2180, 1024)


def test_where_no_part_dominates_the_field_that_holds_them_is_named() -> None:
    payload = {"pages": {f"page{n}": "x" * 100 for n in range(20)}, "title": ""}
    with pytest.raises(PayloadTooLargeError) as caught:
        check_size(payload, 1024, contract="Out")
    assert caught.value.field == "Out.pages"


def test_of_equally_heavy_fields_one_is_always_the_same() -> None:
    with pytest.raises(PayloadTooLargeError) as caught:
        check_size({"b": "x" * 9, "a": "x" * 9}, 10, contract="Out")
    assert caught.value.field == "Out.b"


def test_it_is_permanent_and_survives_the_way_to_another_process() -> None:
    with pytest.raises(PayloadTooLargeError) as caught:
        check_size({"a": "xxx"}, 5, contract="Out")
    again = pickle.loads(pickle.dumps(caught.value))
    assert again.retryable is False
    assert (again.field, again.size_bytes, str(again)) == ("Out.a", 11, str(caught.value))


def test_large_floats_weigh_what_they_weigh_when_they_come_back() -> None:
    payload = {"numbers": [1e20, -1.5e20] * 10_000}
    come_back = {"numbers": [10**20, -15 * 10**19] * 10_000}
    assert size_of(payload) == size_of(come_back) > MAX_PAYLOAD_BYTES
