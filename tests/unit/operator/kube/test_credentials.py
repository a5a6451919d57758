"""Whom a token was issued to, as the token itself says."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest

from apprun_operator.kube.credentials import account_of


def token(claims: Any) -> str:
    payload = base64.urlsafe_b64encode(json.dumps(claims).encode()).decode().rstrip("=")
    return f"header.{payload}.signature"


def test_account_of_a_bound_token_can_own_objects() -> None:
    claims = {"kubernetes.io": {"namespace": "n", "serviceaccount": {"name": "apprun", "uid": "u-1"}}}
    assert account_of(token(claims)) == {"apiVersion": "v1", "kind": "ServiceAccount", "name": "apprun", "uid": "u-1"}


@pytest.mark.parametrize(
    "odd", ["", "opaque", "a.b.c", token([]), token({}), token({"kubernetes.io": {"serviceaccount": {"name": "x"}}})]
)
def test_token_that_names_no_account_owns_nothing(odd: str) -> None:
    assert account_of(odd) is None
