"""What a token says of itself: looked at before anybody is asked, so that garbage costs the API
server nothing.

Nothing here is proof, since nothing is verified: it only finds tokens that the API server would
refuse for sure.
"""

from __future__ import annotations

import json
import re
import time
from base64 import urlsafe_b64decode
from typing import TYPE_CHECKING, Final, cast

from application_sdk.wire import names

if TYPE_CHECKING:
    from application_sdk.wire.digest import JSONObject

MAX_LENGTH: Final = 8 * 1024
"""Of a token. Those of service accounts have about 1,200 characters."""
LEEWAY_SECONDS: Final = 60
_SHAPE: Final = re.compile(r"[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+")
_MAX_TOLD: Final = 200


def flaw(token: str, audience: str) -> str:
    """Why a token can't be good for `audience`; empty if it may be."""
    if len(token) > MAX_LENGTH:
        return f"a token has {MAX_LENGTH} characters at most"
    claims = _claims(token) if _SHAPE.fullmatch(token) else None
    if claims is None:
        return "that isn't a token of a Kubernetes service account"
    expires, issuer = claims.get("exp"), claims.get("iss")
    if not isinstance(issuer, str) or not isinstance(expires, int | float):
        return "the token doesn't say who issued it, or until when it is valid"
    if expires < time.time() - LEEWAY_SECONDS:
        return "the token has expired"
    given = claims.get("aud")
    audiences = [given] if isinstance(given, str) else given
    if not isinstance(audiences, list) or audience not in audiences:
        return _other_audience(cast("list[object]", audiences if isinstance(audiences, list) else []))
    # No handler of this version takes the old audience: a token for both serves callers while they
    # are upgraded.
    # guard: token-audience - a token that other services accept could be replayed against them
    if any(one not in (audience, names.GROUP) for one in audiences):
        return "the token is good for others than this app too, and this app's code sees it"
    return ""


def _other_audience(audiences: list[object]) -> str:
    if names.GROUP in audiences:
        return (
            f"tokens for the audience {names.GROUP} aren't taken any more, since each app could use them on all others"
        )
    shown = ", ".join(str(one) for one in audiences[:3])[:_MAX_TOLD]
    return f"the token is for {shown or 'nobody'}, not for this app"


def _claims(token: str) -> JSONObject | None:
    part = token.split(".")[1]
    try:
        claims = json.loads(urlsafe_b64decode(part + "=" * (-len(part) % 4)))
    except (ValueError, RecursionError):
        return None
    return claims if isinstance(claims, dict) else None
