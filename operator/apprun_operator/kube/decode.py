"""The API server's JSON to values, one object at a time, within bounds that no object can break.

Python's decoder recurses, and so does nearly everything that walks what it returns: an object that is nested deeply
enough would end whatever reads it. So each is measured first, and a field that is too deep is cut out of the text. What
is left says which object it is, whose it is, and under `CUT` what is missing: that is this object's problem, and nobody
else's.
"""

from __future__ import annotations

import json
import re
from collections.abc import Generator, Iterator, Mapping
from itertools import accumulate
from typing import Final, cast

from application_sdk.wire.digest import JSON, JSONObject
from apprun_operator.kube.errors import UndecodableError

MAX_DEPTH: Final = 256
"""Levels of an object, the object itself included. pydantic reads 255 at most, so no app could use more."""
CUT: Final = "x-apprun-cut"
"""Field of a decoded object that says what was cut out of it. The API server prunes it from any that it is sent."""
MANAGED_FIELDS: Final = "metadata.managedFields"
"""Nests as deep as the object does, and nobody reads it: its loss is no problem."""
FIELD: Final = 2
"""What is cut are fields of this level, such as `spec.input`."""

_STRING: Final = r'"[^"\\]*(?:\\.[^"\\]*)*"'
_STRINGS: Final = re.compile(_STRING, re.DOTALL)
_TOKENS: Final = re.compile(rf"({_STRING})(\s*:)?|[{{}}\[\]]", re.DOTALL)
_SPACE: Final = re.compile(r"[\s,]*")
_NO_BRACKETS: Final = bytes(set(range(256)) - set(b"{}[]"))
_STEPS: Final = tuple(1 if byte in b"{[" else -1 for byte in range(256))
_DECODER: Final = json.JSONDecoder()


def decode(body: bytes) -> JSONObject:
    """One object, less the fields that are too deep. Raises UndecodableError."""
    return _object(body.decode("utf-8", "replace"), FIELD)


def decode_event(line: bytes) -> JSONObject:
    """One event of a watch: `type` and `object`, less the object's fields that are too deep."""
    return _object(line.decode("utf-8", "replace"), FIELD + 1)


class Page:
    """One page of a list. Iterating decodes its objects one after the other; only then `details` is complete."""

    def __init__(self, body: bytes) -> None:
        self._text = body.decode("utf-8", "replace")
        self.details: JSONObject = {}
        """The list's own metadata."""

    def __iter__(self) -> Iterator[tuple[int, JSONObject]]:
        """The length of each object's text, and the object."""
        text, at = self._text, _expect(self._text, 0, "{")
        while (at := _skip(text, at)) < len(text) and text[at] != "}":
            name, at = _value(text, at)
            at = _expect(text, at, ":")
            if name == "items" and text.startswith("[", at):
                at = yield from self._items(at + 1)
                continue
            value, at = _value(text, at)
            if name == "metadata" and isinstance(value, dict):
                self.details = value
        if at >= len(text):
            raise UndecodableError("the list ends too early")

    def _items(self, at: int) -> Generator[tuple[int, JSONObject], None, int]:
        text = self._text
        while (at := _skip(text, at)) < len(text) and text[at] != "]":
            item, end = _item(text, at)
            yield end - at, item
            at = end
        return at + 1


def _item(text: str, at: int) -> tuple[JSONObject, int]:
    try:
        value, end = _DECODER.raw_decode(text, at)
    except RecursionError:
        end = _end(text, at)
        return _object(text[at:end], FIELD), end
    except ValueError as error:
        raise UndecodableError(str(error)) from error
    if not isinstance(value, dict):
        raise UndecodableError(f"the list has {type(value).__name__} among its objects")
    if _may_be_deep(text, at, end) and depth(text[at:end]) > MAX_DEPTH:
        return _object(text[at:end], FIELD), end
    return value, end


def _object(text: str, level: int) -> JSONObject:
    problem = ""
    # guard: depth-before-decode - decoding a deeply nested object would exhaust the stack
    if _may_be_deep(text, 0, len(text)) and depth(text) > MAX_DEPTH + level - FIELD:
        text, fields = _cut(text, level)
        listed = ", ".join(dict.fromkeys(field for field in fields if field != MANAGED_FIELDS))
        problem = f"{listed} is nested deeper than {MAX_DEPTH} levels" if listed else ""
    try:
        value = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise UndecodableError(repr(error)) from error
    if not isinstance(value, dict):
        raise UndecodableError(f"a {type(value).__name__} where an object should be")
    target = value if level == FIELD else value.get("object")
    if problem and isinstance(target, dict):
        target[CUT] = problem
    return value


def _may_be_deep(text: str, start: int, end: int) -> bool:
    return end - start > MAX_DEPTH and text.count("{", start, end) + text.count("[", start, end) > MAX_DEPTH


def depth(text: str) -> int:
    """How many levels a JSON text nests, without decoding it."""
    brackets = _STRINGS.sub("", text).encode("ascii", "replace").translate(None, _NO_BRACKETS)
    return max(accumulate(map(_STEPS.__getitem__, brackets)), default=0)


def _cut(text: str, level: int) -> tuple[str, list[str]]:
    """The text with null for each field of that level that nests too deep, and the names of these fields."""
    kept: list[str] = []
    fields: list[str] = []
    path = [""] * (level + 1)
    at, deep, start, deepest = 0, 0, 0, 0
    for token in _TOKENS.finditer(text):
        sign = text[token.start()]
        if sign == '"':
            if deep <= level and token.group(2):
                path[deep] = token.group(1)[1:-1]
        elif sign in "{[":
            if deep == level:
                start, deepest = token.start(), deep
            deep += 1
            deepest = max(deepest, deep)
        else:
            deep -= 1
            if deep == level and deepest > MAX_DEPTH + level - FIELD:
                kept += (text[at:start], "null")
                fields.append(".".join(path[level - FIELD + 1 :]))
                at = token.end()
    return "".join([*kept, text[at:]]), fields


def _end(text: str, at: int) -> int:
    """Where the object that begins there ends."""
    deep = 0
    for token in _TOKENS.finditer(text, at):
        sign = text[token.start()]
        if sign != '"':
            deep += 1 if sign in "{[" else -1
            if not deep:
                return token.end()
    raise UndecodableError("an object of the list ends too early")


def _value(text: str, at: int) -> tuple[JSON, int]:
    try:
        value, end = _DECODER.raw_decode(text, _skip(text, at))
    except (ValueError, RecursionError) as error:
        raise UndecodableError(repr(error)) from error
    return cast("JSON", value), end


def _skip(text: str, at: int) -> int:
    found = _SPACE.match(text, at)
    return at if found is None else found.end()


def _expect(text: str, at: int, sign: str) -> int:
    at = _skip(text, at)
    if not text.startswith(sign, at):
        raise UndecodableError(f"no {sign!r} where one should be")
    return _skip(text, at + 1)


def problem_of(raw: Mapping[str, object]) -> str:
    """What was cut out of a decoded object; empty for a whole one."""
    found = raw.get(CUT)
    return found if isinstance(found, str) else ""
