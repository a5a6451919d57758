"""What a task returns is what the route gets: over random contracts, values, and ways that JSON is carried."""

from __future__ import annotations

import json
import subprocess
import sys
from decimal import Decimal

import pytest
from hypothesis import HealthCheck, given, settings
from tests.support.contracts import Anything, input_pairs, json_values, outputs, same, union_outputs

from application_sdk.contracts import Input, Output
from application_sdk.contracts.codec import decode, encode
from application_sdk.contracts.identity_form import encode_call
from application_sdk.wire.digest import JSON, canonical_json, digest

slow_to_draw = settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.too_slow])


def carried_by_an_api_server(payload: JSON) -> JSON:
    """What the API server makes of JSON: whole numbers are 64-bit or become doubles, doubles are written shortest,
    without a fraction or exponent where they need none."""

    def number(text: str) -> float | int:
        if text.lstrip("-").isdigit() and -(2**63) <= int(text) < 2**63:
            return int(text)
        double = float(text)
        if abs(double) < 1e21 and double.is_integer():
            return int(Decimal(repr(double)))
        return double

    carried: JSON = json.loads(canonical_json(payload), parse_int=number, parse_float=number)
    return carried


@slow_to_draw
@given(outputs())
def test_a_value_reads_back_as_itself_types_included(value: Output) -> None:
    again = decode(type(value), json.loads(canonical_json(encode(value))))
    assert same(value, again)


@pytest.mark.slow
@slow_to_draw
@given(outputs())
def test_an_api_server_in_between_changes_neither_the_json_nor_the_value(value: Output) -> None:
    payload = encode(value)
    carried = carried_by_an_api_server(payload)
    assert digest(carried) == digest(payload)
    assert same(value, decode(type(value), carried))


@pytest.mark.slow
@slow_to_draw
@given(outputs())
def test_what_was_read_is_written_as_it_was(value: Output) -> None:
    payload = encode(value)
    assert canonical_json(encode(decode(type(value), payload))) == canonical_json(payload)


@settings(slow_to_draw, max_examples=300)
@given(union_outputs())
def test_an_accepted_union_keeps_every_value_of_its_members(value: Output) -> None:
    again = decode(type(value), carried_by_an_api_server(encode(value)))
    assert same(value, again)


@settings(slow_to_draw, max_examples=200)
@given(input_pairs())
def test_inputs_have_one_identity_exactly_when_they_are_the_same(inputs: tuple[Input, Input]) -> None:
    one, other = (encode_call(value, type(value)) for value in inputs)
    assert (digest(one.counted) == digest(other.counted)) is same(*inputs)
    carried = decode(type(inputs[0]), carried_by_an_api_server(one.payload))
    assert encode_call(carried, type(carried)).counted == one.counted


@slow_to_draw
@given(json_values)
def test_a_json_value_reads_back_as_itself(value: JSON) -> None:
    payload = encode(Anything(value=value))
    again = decode(Anything, carried_by_an_api_server(payload))
    assert as_numbers(again.value) == as_numbers(value)
    assert canonical_json(encode(again)) == canonical_json(payload)


def as_numbers(value: object) -> object:
    """A JSON value for `==`: NaN is itself, and True isn't 1."""
    if isinstance(value, list):
        return [as_numbers(item) for item in value]
    if isinstance(value, dict):
        return {key: as_numbers(item) for key, item in value.items()}
    return ("NaN",) if value != value else (isinstance(value, bool), isinstance(value, str), value)


@pytest.mark.slow
def test_equal_inputs_have_one_digest_in_processes_that_hash_differently() -> None:
    program = (
        "from typing import Annotated\n"
        "from application_sdk.contracts import Input, MaxItems\n"
        "from application_sdk.contracts.codec import encode\n"
        "from application_sdk.wire.digest import digest\n"
        "class Tags(Input):\n"
        "    tags: Annotated[set[str], MaxItems(50)]\n"
        "print(digest(encode(Tags(tags={f'tag-{n}' for n in range(50)}))))\n"
    )
    digests = {
        subprocess.run(
            [sys.executable, "-c", program],
            env={"PYTHONHASHSEED": seed, "PYTHONPATH": ":".join(sys.path)},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for seed in ("1", "2")
    }
    assert len(digests) == 1
