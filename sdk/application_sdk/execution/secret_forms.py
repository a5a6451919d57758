"""The forms of a secret: the texts in which its value is commonly written by client libraries, URLs and logs.

Logs are searched for them to be masked (`redaction`), data to be refused (`secret_leaks`): both know the same.
All forms are made once, when a secret becomes known, and a search is one pass over the text (`pattern`).
"""

from __future__ import annotations

import json
import re
from itertools import groupby
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

SHORTEST: Final = 4
"""Shorter values have no forms: to look for each `1` would find nothing but what isn't meant."""
SHORTEST_PART: Final = 8
"""The same for a line of a value of several lines, and for what encodes a part of it."""
_URL_SAFE: Final = {ord("+"): "-", ord("/"): "_"}
_MARGINS: Final = (0, 2, 3)
"""How many digits of base64 depend on what stands before a value, by the number of bytes there modulo 3."""


def forms(value: str) -> frozenset[str]:
    """Every form of a whole `value`; none when it is too short to be looked for."""
    bare = value.strip()
    if len(bare) < SHORTEST:
        return frozenset()
    return frozenset(_forms({value, bare}))


def lines(value: str) -> frozenset[str]:
    """The lines of a value of several, such as a key: logs often hold it line by line."""
    found = [line.strip() for line in value.strip().splitlines()]
    if len(found) < 2:
        return frozenset()
    return frozenset(line for line in found if len(line) >= SHORTEST_PART and not line.startswith("-----"))


def pattern(found: Iterable[str]) -> re.Pattern[str]:
    """Finds the longest of these forms at each place of a text.

    By their first and second character, so that the cost per place doesn't grow with the number of forms: almost no
    place of a text begins like any of them.
    """
    # The longest first: a password that begins like another must not leave its rest.
    ordered = sorted(set(found), key=lambda form: (form[:1], form[1:2], -len(form), form))
    branches: list[str] = []
    for first, group in groupby(ordered, key=lambda form: form[:1]):
        inner: list[str] = []
        for second, same in groupby(group, key=lambda form: form[1:2]):
            inner.append(f"{re.escape(second)}(?:{'|'.join(re.escape(form[2:]) for form in same)})")
        branches.append(f"{re.escape(first)}(?:{'|'.join(inner)})")
    return re.compile("|".join(branches))


def _forms(values: set[str]) -> Iterator[str]:
    for form in values:
        yield from _quoted_in_text(form)
        yield from _in_address(form)
        content = form.encode("utf-8", "surrogatepass")
        digits = content.hex()
        if len(digits) >= SHORTEST_PART:
            yield from (digits, digits.upper())
        yield from _in_base64(content)


def _quoted_in_text(value: str) -> Iterator[str]:
    """As it is, and as JSON and `repr` escape it."""
    yield value
    yield json.dumps(value)[1:-1]
    yield json.dumps(value, ensure_ascii=False)[1:-1]
    yield repr(value)[1:-1]
    yield repr(value.encode("utf-8", "surrogatepass"))[2:-1]


def _in_address(value: str) -> Iterator[str]:
    """As in a URL's path, its query, or the body of a form; with escapes in capitals or small letters."""
    if value.isascii() and value.isalnum():
        return
    from urllib.parse import quote, quote_plus

    for quoted in (quote(value, errors="replace"), quote(value, safe="", errors="replace"),
                   quote_plus(value, errors="replace")):  # fmt: skip
        yield quoted
        yield _small_escapes(quoted)


def _small_escapes(quoted: str) -> str:
    first, *rest = quoted.split("%")
    return first + "".join(f"%{part[:2].lower()}{part[2:]}" for part in rest)


def _in_base64(value: bytes) -> Iterator[str]:
    """Encoded whole, or as part of something that is, such as `user:password` of Basic auth: three ways for it to be
    placed, without the digits at both ends that depend on its neighbours. In the standard alphabet and that of URLs."""
    from binascii import b2a_base64

    whole = b2a_base64(value, newline=False).decode()
    # With padding before without: the longest form is masked first, and leaves no "=" behind.
    found = [whole, whole.rstrip("=")]
    for before, margin in enumerate(_MARGINS):
        encoded = b2a_base64(bytes(before) + value, newline=False).decode().rstrip("=")
        spare = (before + len(value)) % 3
        found.append(encoded[margin : len(encoded) - bool(spare)])
    for digits in found:
        if len(digits) >= SHORTEST_PART:
            yield digits
            yield digits.translate(_URL_SAFE)
