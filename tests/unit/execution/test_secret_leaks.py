"""Secrets that an app was given are masked where text is told, and refused where data is kept."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from application_sdk.execution import secret_leaks
from application_sdk.execution.redaction import redacted

VALUE = "s3cr3t-value-42"


@pytest.fixture(autouse=True)
def _clean() -> Iterator[None]:
    secret_leaks.clear()
    yield
    secret_leaks.clear()


def test_confided_value_is_masked_in_text() -> None:
    secret_leaks.register_secret("payments", VALUE)
    assert VALUE not in redacted(f"login with {VALUE} failed")


def test_each_hidden_field_of_a_json_secret_is_masked_and_public_ones_are_not() -> None:
    secret_leaks.register_secret(
        "db", json.dumps({"username": "extractor", "password": VALUE, "nested": {"token": "t-0987654321"}})
    )
    told = redacted(f"extractor used {VALUE} and t-0987654321")
    assert told == "extractor used [redacted] and [redacted]"


@pytest.mark.parametrize(
    ("payload", "path"),
    [
        ({"message": f"token {VALUE}"}, "message"),
        ({"rows": [{"a": 1}, {"b": VALUE}]}, "rows[1].b"),
        ({VALUE: 1}, "its keys"),
    ],
)
def test_data_that_holds_a_secret_is_refused_with_the_field_and_not_the_value(
    payload: dict[str, object], path: str
) -> None:
    secret_leaks.register_secret("payments", VALUE)
    with pytest.raises(secret_leaks.SecretLeakError, match="payments") as caught:
        secret_leaks.check(payload, "the output of task 'x'")  # type: ignore[arg-type]
    assert path in str(caught.value)
    assert VALUE not in str(caught.value)


@pytest.mark.parametrize("value", ["short", "postgres"])
def test_short_values_and_plain_words_are_not_looked_for_in_data(value: str) -> None:
    secret_leaks.register_secret("weak", value)
    secret_leaks.check({"database": f"a {value} database"}, "the output")


def test_data_without_secrets_passes() -> None:
    secret_leaks.register_secret("payments", VALUE)
    secret_leaks.check({"message": "fine", "count": 3, "nothing": None}, "the output")


def test_environment_variables_of_a_place_are_no_secrets() -> None:
    mounted = [("store/AWS_DEFAULT_REGION", "eu-central-1"), ("store/AWS_SECRET_ACCESS_KEY", VALUE)]
    secret_leaks.register_source(lambda: mounted)
    assert secret_leaks.find_leak({"region": "eu-central-1"}) is None
    assert secret_leaks.find_leak({"key": VALUE}) is not None
