"""The API server's JSON to values, one object at a time, within bounds that no object can break.

Python's decoder recurses, and so does nearly everything that walks what it returns: an object that is nested deeply
enough would end whatever reads it. So each is measured first, and a field that is too deep is cut out of the text. What
is left says which object it is, whose it is, and under `CUT` what is missing: that is this object's problem, and nobody
else's.
"""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import AsyncIterator, Generator, Mapping
from itertools import accumulate
from typing import Final, TypeAlias, TypeVar, cast

from application_sdk.wire.digest import JSON, JSONObject
from apprun_operator.kube.errors import DecodeError

MAX_DEPTH: Final = 256
"""Levels of an object, the object itself included. pydantic reads 255 at most, so no app could use more."""
CUT: Final = "x-apprun-cut"
"""Field of a decoded object that says what was cut out of it. The API server prunes it from any that it is sent."""
MANAGED_FIELDS: Final = "metadata.managedFields"
"""Nests as deep as the object does, and nobody reads it: its loss is no problem."""
FIELD: Final = 2
"""What is cut are fields of this level, such as `spec.input`."""

LONG: Final = 64 * 1024
"""Characters of a text whose decoding takes a noticeable time: its steps leave the event loop to others in between."""
TOKENS_AT_A_TIME: Final = 40_000
"""So many brackets and strings of a text that is too deep are walked in one step."""

T = TypeVar("T")
Steps: TypeAlias = Generator[None, None, T]
"""Work that pauses where others may run, and returns its result."""

_TOKENS: Final = re.compile(r'("[^"\\]*(?:\\.[^"\\]*)*")(\s*:)?|[{}\[\]]', re.DOTALL)
_SPACE: Final = re.compile(r"[\s,]*")
_NO_STRUCTURE: Final = bytes(set(range(256)) - set(b'{}[]"'))
_ONE_KIND: Final = bytes.maketrans(b"{}", b"[]")
_STEPS: Final = tuple(1 if byte in b"{[" else -1 for byte in range(256))
_DECODER: Final = json.JSONDecoder()


def decode(body: bytes) -> JSONObject:
    """One object, less the fields that are too deep, without a pause. Raises DecodeError."""
    return _run_steps(_decoding(body, FIELD))


def decode_event(line: bytes) -> JSONObject:
    """One event of a watch: `type` and `object`, less the object's fields that are too deep, without a pause."""
    return _run_steps(_decoding(line, FIELD + 1))


async def decode_async(body: bytes) -> JSONObject:
    """`decode`, one step in each turn of the event loop. What is done with the object is the next turn's."""
    return await _run_steps_async(_decoding(body, FIELD))


async def decode_event_async(line: bytes) -> JSONObject:
    """`decode_event`, one step in each turn of the event loop."""
    return await _run_steps_async(_decoding(line, FIELD + 1))


class Page:
    """One page of a list. Iterating decodes its objects one after the other; only then `details` is complete."""

    def __init__(self, body: bytes) -> None:
        self._text = body.decode("utf-8", "replace")
        self.details: JSONObject = {}
        """The list's own metadata."""

    async def __aiter__(self) -> AsyncIterator[tuple[int, JSONObject]]:
        """The length of each object's text, and the object, decoded in steps as `decode_async` does it."""
        text, at = self._text, _expect(self._text, 0, "{")
        while (at := _skip(text, at)) < len(text) and text[at] != "}":
            name, at = _value(text, at)
            at = _expect(text, at, ":")
            if name == "items" and text.startswith("[", at):
                at += 1
                while (at := _skip(text, at)) < len(text) and text[at] != "]":
                    item, end = await _run_steps_async(_item(text, at))
                    yield end - at, item
                    at = end
                at += 1
                continue
            value, at = _value(text, at)
            if name == "metadata" and isinstance(value, dict):
                self.details = value
        if at >= len(text):
            raise DecodeError("the list ends too early")


def _run_steps(steps: Steps[T]) -> T:
    while True:
        try:
            next(steps)
        except StopIteration as end:
            return cast("T", end.value)


async def _run_steps_async(steps: Steps[T]) -> T:
    while True:
        try:
            next(steps)
        except StopIteration as end:
            return cast("T", end.value)
        await asyncio.sleep(0)


def _item(text: str, at: int) -> Steps[tuple[JSONObject, int]]:
    """The object of a list that begins there, and where it ends."""
    try:
        value, end = _DECODER.raw_decode(text, at)
    except RecursionError:
        pass
    except ValueError as error:
        raise DecodeError(str(error)) from error
    else:
        if not isinstance(value, dict):
            raise DecodeError(f"the list has {type(value).__name__} among its objects")
        if end - at > LONG:
            yield
        deep = _may_be_deep(text, at, end) and depth(text[at:end]) > MAX_DEPTH
        if end - at > LONG:
            yield
        if not deep:
            return value, end
        del value
    kept, fields, end = yield from _cut(text, at, FIELD)
    return _object(kept, FIELD, fields), end


def _decoding(body: bytes, level: int) -> Steps[JSONObject]:
    text = body.decode("utf-8", "replace")
    fields: list[str] = []
    # guard: depth-before-decode - decoding a deeply nested object would exhaust the stack
    if _may_be_deep(text, 0, len(text)):
        deep = depth(text) > MAX_DEPTH + level - FIELD
        if len(text) > LONG:
            yield
        if deep:
            kept, fields, end = yield from _cut(text, 0, level)
            text = kept + text[end:]
    value = _object(text, level, fields)
    if len(text) > LONG:
        yield
    return value


def _object(text: str, level: int, cut: list[str]) -> JSONObject:
    """The decoded text, from which the fields named in `cut` are missing."""
    try:
        value = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise DecodeError(repr(error)) from error
    if not isinstance(value, dict):
        raise DecodeError(f"a {type(value).__name__} where an object should be")
    listed = ", ".join(dict.fromkeys(field for field in cut if field != MANAGED_FIELDS))
    target = value if level == FIELD else value.get("object")
    if listed and isinstance(target, dict):
        target[CUT] = f"{listed} is nested deeper than {MAX_DEPTH} levels"
    return value


def _may_be_deep(text: str, start: int, end: int) -> bool:
    return end - start > MAX_DEPTH and text.count("{", start, end) + text.count("[", start, end) > MAX_DEPTH


def depth(text: str) -> int:
    """How many levels a JSON text nests, without decoding it."""
    # In JSON a backslash is in strings only, and a run of them pairs up from its beginning.
    if "\\" in text:
        text = text.replace("\\\\", "").replace('\\"', "")
    # Two quotes side by side, in or between strings, change nothing of what is within quotes.
    signs = text.encode("ascii", "replace").translate(_ONE_KIND, _NO_STRUCTURE).replace(b'""', b"")
    brackets = b"".join(signs.split(b'"')[::2])
    # The deepest bracket has nothing within. Without all that have nothing within, the rest is one level less deep.
    level = 0
    while brackets and 2 * len(rest := brackets.replace(b"[]", b"")) <= len(brackets):
        brackets, level = rest, level + 1
    return level + max(accumulate(map(_STEPS.__getitem__, brackets)), default=0)


def _cut(text: str, start: int, level: int) -> Steps[tuple[str, list[str], int]]:
    """The object that begins there with null for each field of that level that nests too deep, the names of these
    fields, and where the object ends."""
    kept: list[str] = []
    fields: list[str] = []
    path = [""] * (level + 1)
    at, deep, opened, deepest = start, 0, 0, 0
    for count, token in enumerate(_TOKENS.finditer(text, start), 1):
        # guard: cut-in-steps - a walk over one hostile object would block the event loop for a second
        if count % TOKENS_AT_A_TIME == 0:
            yield
        sign = text[token.start()]
        if sign == '"':
            if deep <= level and token.group(2):
                path[deep] = token.group(1)[1:-1]
        elif sign in "{[":
            if deep == level:
                opened, deepest = token.start(), deep
            deep += 1
            deepest = max(deepest, deep)
        else:
            deep -= 1
            if deep == level and deepest > MAX_DEPTH + level - FIELD:
                kept += (text[at:opened], "null")
                fields.append(".".join(path[level - FIELD + 1 :]))
                at = token.end()
            if not deep:
                return "".join([*kept, text[at : token.end()]]), fields, token.end()
    raise DecodeError("an object ends too early")


def _value(text: str, at: int) -> tuple[JSON, int]:
    try:
        value, end = _DECODER.raw_decode(text, _skip(text, at))
    except (ValueError, RecursionError) as error:
        raise DecodeError(repr(error)) from error
    return cast("JSON", value), end


def _skip(text: str, at: int) -> int:
    found = _SPACE.match(text, at)
    return at if found is None else found.end()


def _expect(text: str, at: int, sign: str) -> int:
    at = _skip(text, at)
    if not text.startswith(sign, at):
        raise DecodeError(f"no {sign!r} where one should be")
    return _skip(text, at + 1)


def problem_of(raw: Mapping[str, object]) -> str:
    """What was cut out of a decoded object; empty for a whole one."""
    found = raw.get(CUT)
    return found if isinstance(found, str) else ""
