"""HTTP answers to errors by meaning."""

from __future__ import annotations

import json

import pytest

from apprun_operator.kube import errors
from apprun_operator.kube.errors import MAX_TEXT, TransientError, from_response


@pytest.mark.parametrize(
    ("status", "reason", "kind"),
    [
        (400, "BadRequest", errors.InvalidError),
        (401, "Unauthorized", errors.UnauthorizedError),
        (403, "Forbidden", errors.ForbiddenError),
        (404, "NotFound", errors.NotFoundError),
        (404, "", errors.UnavailableError),  # a proxy's: it says nothing about any object
        (409, "AlreadyExists", errors.AlreadyExistsError),
        (409, "Conflict", errors.ConflictError),
        (410, "Expired", errors.GoneError),
        (413, "RequestEntityTooLarge", errors.InvalidError),
        (422, "Invalid", errors.InvalidError),
        (429, "TooManyRequests", errors.ThrottledError),
        (500, "InternalError", errors.UnavailableError),
        (504, "Timeout", errors.UnavailableError),
    ],
)
def test_status_means_an_error(status: int, reason: str, kind: type[errors.ApiError]) -> None:
    error = from_response(status, json.dumps({"reason": reason, "message": "why"}).encode())
    assert type(error) is kind
    assert str(error) == f"why (HTTP {status})"


def test_only_what_may_pass_is_transient() -> None:
    passing = {
        s
        for s in (400, 401, 403, 404, 409, 410, 422, 429, 500, 503)
        if isinstance(from_response(s, b""), TransientError)
    }
    assert passing == {401, 404, 429, 500, 503}


def test_wish_of_a_throttling_server_is_kept() -> None:
    assert from_response(429, b"", "7").retry_after == 7


def test_body_that_is_no_status_object_is_shown_cut() -> None:
    assert len(str(from_response(502, b"<html>" + b"x" * 10_000))) <= MAX_TEXT


def test_403_of_a_starting_api_server_is_transient() -> None:
    """Taken for a policy's no, it would fail each task whose pod is created in the first seconds."""
    words = 'pods "r-a-1" is forbidden: not yet ready to handle request'
    error = from_response(403, json.dumps({"reason": "Forbidden", "message": words}).encode())
    assert isinstance(error, TransientError)


@pytest.mark.parametrize("code", [400, 403, 404, 409, 418])
def test_webhook_denial_is_forbidden_whatever_its_status_code(code: int) -> None:
    words = 'admission webhook "fridays.example.com" denied the request: no pods on Fridays'
    error = from_response(code, json.dumps({"message": words}).encode())
    assert type(error) is errors.ForbiddenError


def test_webhook_that_denies_for_now_is_asked_again() -> None:
    words = 'admission webhook "busy.example.com" denied the request: later'
    assert isinstance(from_response(429, json.dumps({"message": words}).encode()), TransientError)


def test_policy_denial_with_422_is_not_an_invalid_object() -> None:
    words = "pods \"x\" is forbidden: ValidatingAdmissionPolicy 'fridays' with binding 'fridays' denied request: no"
    body = json.dumps({"reason": "Invalid", "message": words}).encode()
    assert type(from_response(422, body)) is errors.ForbiddenError
