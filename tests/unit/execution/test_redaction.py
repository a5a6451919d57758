"""A value that was hidden is found in no text, however it is written there."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from application_sdk.app.context import AppContext
from application_sdk.execution import redaction
from application_sdk.execution.error_info import error_fields
from application_sdk.execution.redaction import MASK, Redactor
from application_sdk.infrastructure import InfrastructureContext, using_infrastructure
from application_sdk.testing import MockSecretStore

SECRET = 'p"ss wörd/+\n'


@pytest.fixture
def redactor() -> Redactor:
    made = Redactor()
    made.hide(SECRET)
    return made


@pytest.fixture
def process() -> Iterator[None]:
    """The registry of this process, empty before and after."""
    redaction.clear()
    yield
    redaction.clear()


def test_without_secrets_a_text_stays_as_it_is() -> None:
    assert Redactor().redacted("all of it") == "all of it"


@pytest.mark.parametrize(
    "written",
    [
        SECRET,
        SECRET.strip(),
        json.dumps({"password": SECRET}),
        json.dumps({"password": SECRET}, ensure_ascii=False),
        repr({"password": SECRET}),
        f"postgres://me:{quote(SECRET.strip(), safe='')}@db/main",
        base64.b64encode(SECRET.strip().encode()).decode(),
    ],
    ids=["plain", "stripped", "json", "json in unicode", "repr", "address", "base64"],
)
def test_a_secret_is_masked_in_each_form_in_which_it_is_written(redactor: Redactor, written: str) -> None:
    cleaned = redactor.redacted(f"before {written} after")
    assert MASK in cleaned
    assert cleaned.startswith("before ")
    assert cleaned.endswith("after")
    assert "rd/+" not in cleaned
    assert "ss w" not in cleaned


@pytest.mark.parametrize("user", ["a", "ab", "abc", "abcd"])
def test_a_password_is_masked_inside_of_a_header(user: str) -> None:
    redactor = Redactor()
    redactor.hide("correct-horse")
    header = base64.b64encode(f"{user}:correct-horse".encode()).decode()
    cleaned = redactor.redacted(f"Authorization: Basic {header}")
    left = cleaned.removeprefix("Authorization: Basic ").replace(MASK, "")
    assert MASK in cleaned
    assert len(left) <= len(header) - 12


@given(
    before=st.binary(max_size=7), secret=st.text("abcXYZ019-_", min_size=12, max_size=40), after=st.binary(max_size=7)
)
def test_nothing_that_matters_of_an_encoded_secret_is_left(before: bytes, secret: str, after: bytes) -> None:
    redactor = Redactor()
    redactor.hide(secret)
    cleaned = redactor.redacted(base64.b64encode(before + secret.encode() + after).decode())
    assert MASK in cleaned


def test_each_line_of_a_key_is_masked() -> None:
    redactor = Redactor()
    redactor.hide("-----BEGIN KEY-----\nMIIEvQIBADAN\nBgkqhkiG9w0B\n-----END KEY-----\n")
    assert redactor.redacted("line 2 is MIIEvQIBADAN.") == f"line 2 is {MASK}."


def test_a_secret_that_begins_like_another_leaves_no_rest() -> None:
    redactor = Redactor()
    redactor.hide("hunter22")
    redactor.hide("hunter22-and-more")
    assert redactor.redacted("it is hunter22-and-more") == f"it is {MASK}"


def test_a_value_too_short_to_be_a_secret_masks_nothing() -> None:
    redactor = Redactor()
    redactor.hide("", "1", " ab \n")
    assert redactor.redacted("1 ab") == "1 ab"


@pytest.mark.usefixtures("process")
def test_errors_tell_no_secret() -> None:
    redaction.hide("correct-horse")
    try:
        raise ValueError("login as correct-horse failed")
    except ValueError as error:
        fields = error_fields(error)
    assert fields["message"] == f"login as {MASK} failed"
    assert "ValueError" in fields["traceback"]
    assert "correct-horse" not in fields["traceback"]


@pytest.mark.usefixtures("process")
async def test_a_secret_that_a_task_gets_is_masked_from_then_on() -> None:
    store = InfrastructureContext(secret_store=MockSecretStore({"token": "correct-horse"}))
    with using_infrastructure(store):
        assert await AppContext("shop").get_secret("token") == "correct-horse"
        assert redaction.redacted("token=correct-horse") == f"token={MASK}"
        redaction.clear()
        assert await AppContext("shop").get_secret_optional("token") == "correct-horse"
        assert redaction.redacted("token=correct-horse") == f"token={MASK}"
        assert await AppContext("shop").get_secret_optional("other") is None
