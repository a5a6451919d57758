"""`extra`: further fields of a credential, which some of its writers keep as an object and others
as its JSON."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from application_sdk.credentials.errors import CredentialValidationError

if TYPE_CHECKING:
    from application_sdk.wire.digest import JSONObject


def parse_credentials_extra(credentials: Mapping[str, Any], *, strict: bool = True) -> JSONObject:
    """The fields in `extra`, however they are kept; none if there is none.

    Raises CredentialValidationError for what is neither an object nor the JSON of one; with
    `strict=False` that is no field at all.
    """
    extra = credentials.get("extra")
    if extra is None or extra == "":
        return {}
    if isinstance(extra, str):
        try:
            extra = json.loads(extra)
        except ValueError:
            extra = False
    if isinstance(extra, Mapping):
        return dict(extra)
    if extra is None or not strict:
        return {}
    # The value isn't told: it may be a secret in the wrong place.
    raise CredentialValidationError("the credential's `extra` is neither a JSON object nor the text of one")
