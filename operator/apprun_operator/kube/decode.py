"""Decodes the API server's JSON, one object at a time, within bounds that no object can exceed.

Python's decoder recurses, and so does nearly everything that walks its results. An object that is
nested deeply enough would exhaust the stack of whatever reads it. So each is measured first, and a
field that is too deep is cut out of the text. What remains identifies the object and its owner, and
says under `CUT` what is missing, so that the problem stays with this object.
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
"""Levels of an object, the object itself included. pydantic reads at most 255, so no app could use
more."""
CUT: Final = "x-apprun-cut"
"""Field of a decoded object that says what was cut out of it. The API server drops it from objects
it receives."""
MANAGED_FIELDS: Final = "metadata.managedFields"
"""It nests as deep as the object and isn't read, so it may be cut without a mention."""
FIELD: Final = 2
"""Fields of this level, such as `spec.input`, are cut."""

LONG: Final = 64 * 1024
"""Characters from which on a text is decoded in steps, with the event loop free for others in
between."""
TOKENS_AT_A_TIME: Final = 40_000
"""How many brackets and strings of a text that is too deep are walked in one step."""

T = TypeVar("T")
Steps: TypeAlias = Generator[None, None, T]
"""Work in steps: it yields where others may run, and returns its result."""

_TOKENS: Final = re.compile(r'("[^"\\]*(?:\\.[^"\\]*)*")(\s*:)?|[{}\[\]]', re.DOTALL)
_SPACE: Final = re.compile(r"[\s,]*")
_NO_STRUCTURE: Final = bytes(set(range(256)) - set(b'{}[]"'))
_ONE_KIND: Final = bytes.maketrans(b"{}", b"[]")
_STEPS: Final = tuple(1 if byte in b"{[" else -1 for byte in range(256))
_DECODER: Final = json.JSONDecoder()


def decode(body: bytes) -> JSONObject:
    """Decode one object without the fields that are too deep, in one go. Raises DecodeError."""
    return _run_steps(_decoding(body, FIELD))


def decode_event(line: bytes) -> JSONObject:
    """Decode one event of a watch without its object's fields that are too deep, in one go.

    Raises DecodeError.
    """
    return _run_steps(_decoding(line, FIELD + 1))


async def decode_async(body: bytes) -> JSONObject:
    """Decode like `decode`, one step in each turn of the event loop.

    The caller continues in a turn of its own.
    """
    return await _run_steps_async(_decoding(body, FIELD))


async def decode_event_async(line: bytes) -> JSONObject:
    """Decode like `decode_event`, one step in each turn of the event loop."""
    return await _run_steps_async(_decoding(line, FIELD + 1))


class Page:
    """One page of a list.

    Iterating decodes its objects one by one; `details` is complete after that.
    """

    def __init__(self, body: bytes) -> None:
        self._text = body.decode("utf-8", "replace")
        self.details: JSONObject = {}
        """The list's own metadata."""

    async def __aiter__(self) -> AsyncIterator[tuple[int, JSONObject]]:
        """Yield the length of each object's text and the object, decoded in steps like
        `decode_async`."""
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
            raise DecodeError("the list is cut off")


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
    """Decode the object of a list that begins at `at`; returns it and its end."""
    try:
        value, end = _DECODER.raw_decode(text, at)
    except RecursionError:
        pass
    except ValueError as error:
        raise DecodeError(str(error)) from error
    else:
        if not isinstance(value, dict):
            raise DecodeError(f"the list contains a {type(value).__name__} instead of an object")
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
    """Decode a text, and note in the object the fields in `cut`, which are missing."""
    try:
        value = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise DecodeError(repr(error)) from error
    if not isinstance(value, dict):
        raise DecodeError(f"expected an object, got a {type(value).__name__}")
    listed = ", ".join(dict.fromkeys(field for field in cut if field != MANAGED_FIELDS))
    target = value if level == FIELD else value.get("object")
    if listed and isinstance(target, dict):
        target[CUT] = f"{listed} is nested deeper than {MAX_DEPTH} levels"
    return value


def _may_be_deep(text: str, start: int, end: int) -> bool:
    return end - start > MAX_DEPTH and text.count("{", start, end) + text.count("[", start, end) > MAX_DEPTH


def depth(text: str) -> int:
    """How many levels a JSON text nests, measured without decoding it."""
    # In JSON, backslashes occur in strings only, and a sequence of them pairs up from its start.
    if "\\" in text:
        text = text.replace("\\\\", "").replace('\\"', "")
    # Two adjacent quotes, in or between strings, don't change what is inside of quotes.
    signs = text.encode("ascii", "replace").translate(_ONE_KIND, _NO_STRUCTURE).replace(b'""', b"")
    brackets = b"".join(signs.split(b'"')[::2])
    # The deepest brackets are empty pairs. Removing all empty pairs leaves a text that is one level
    # less deep.
    level = 0
    while brackets and 2 * len(rest := brackets.replace(b"[]", b"")) <= len(brackets):
        brackets, level = rest, level + 1
    return level + max(accumulate(map(_STEPS.__getitem__, brackets)), default=0)


def _cut(text: str, start: int, level: int) -> Steps[tuple[str, list[str], int]]:
    """Cut the fields of `level` that nest too deep out of the object that begins at `start`.

    Returns:
        The object's text with null for each of these fields, their names, and where the object
            ends.
    """
    kept: list[str] = []
    fields: list[str] = []
    path = [""] * (level + 1)
    at, deep, opened, deepest = start, 0, 0, 0
    for count, token in enumerate(_TOKENS.finditer(text, start), 1):
        # guard: cut-in-steps - a walk over one hostile object would block the event loop for a
        # second
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
    raise DecodeError("an object is cut off")


def _value(text: str, at: int) -> tuple[JSON, int]:
    try:
        value, end = _DECODER.raw_decode(text, _skip(text, at))
    except (ValueError, RecursionError) as error:
        raise DecodeError(repr(error)) from error
    return cast("JSON", value), end


def _skip(text: str, at: int) -> int:
    space = _SPACE.match(text, at)
    return at if space is None else space.end()


def _expect(text: str, at: int, sign: str) -> int:
    at = _skip(text, at)
    if not text.startswith(sign, at):
        raise DecodeError(f"expected {sign!r}")
    return _skip(text, at + 1)


def problem_of(raw: Mapping[str, object]) -> str:
    """What was cut out of a decoded object; empty if it is complete."""
    problem = raw.get(CUT)
    return problem if isinstance(problem, str) else ""
