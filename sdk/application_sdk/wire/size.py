"""What a payload weighs on its way: as JSON, in the form in which the API server gives it back."""

from __future__ import annotations

from typing import Final

from application_sdk.wire.digest import JSON, canonical_json
from application_sdk.wire.fields import MAX_PAYLOAD_BYTES

LARGEST_GROWTH: Final = 5
"""No payload grows by more than this on its way."""
_FIRST_PLAIN, _FIRST_WITH_EXPONENT = 1e16, 1e21


def travelling_size(payload: JSON) -> int:
    """Bytes of the payload's JSON, UTF-8 and with the escapes that JSON asks for.

    Kubernetes writes floats below 1e21 without an exponent, and they come back as integers: 1e20,
    five bytes here, has 21 there. So a payload that might outgrow the limit by that is measured
    with them written out.
    """
    size = len(canonical_json(payload))
    return size if size * LARGEST_GROWTH <= MAX_PAYLOAD_BYTES else size + _written_out(payload)


def _written_out(payload: JSON) -> int:
    """How many bytes more its large floats have without an exponent."""
    more, rest = 0, [payload]
    while rest:
        value = rest.pop()
        if isinstance(value, dict):
            rest.extend(value.values())
        elif isinstance(value, list):
            rest.extend(value)
        elif isinstance(value, float) and _FIRST_PLAIN <= abs(value) < _FIRST_WITH_EXPONENT:
            more += len(str(int(value))) - len(repr(value))
    return more
