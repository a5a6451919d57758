"""What a run's code would surely refuse of its input: judged by the JSON Schema that the App
publishes of it.

Only half of a validator, on purpose. pydantic reads laxly ("3" is a number, 1 a boolean), and apps
may read more laxly still; the code has the last word when the driver starts. So a refusal here
needs proof, and whatever isn't understood passes: an input that the code takes is never refused. A
library for JSON Schema would refuse too much, and have to be told of each of these rules anyway.

Schema and input are written by users, and each may make the other one expensive: alternatives that
lead back to themselves multiply with each level of a value. So a check visits a bounded number of
nodes, and what it doesn't get to passes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from itertools import islice
from typing import Final, cast

from application_sdk.wire.digest import JSON, JSONObject, canonical_json
from application_sdk.wire.names import EXACT_NUMBER, TAKES_MORE

TOLD: Final = 5
"""So many faults are named; the rest is counted."""
DEPTH: Final = 64
"""What is nested deeper passes."""
VISITS: Final = 20_000
"""Nodes of schema and value that one check looks at: some 50 ms. The driver decodes the input
anyway, so that the rest passes costs a pod's start."""
MANY: Final = 100
"""So many faults are found in one object or list; nobody reads more."""
FIELDS: Final = 1000
"""An unknown field isn't compared with the names of more known ones, nor with longer ones, for a
hint."""
NAME: Final = 100
"""Characters of a name, or of a value, that a message shows."""
TRUTHS: Final = frozenset({"0", "off", "f", "false", "n", "no", "1", "on", "t", "true", "y", "yes"})
"""Text that is read as a boolean, in any case."""


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing that the code refuses."""

    path: str
    """Where, such as `spec.input.rows[3].name`."""
    problem: str


def faults(schema: Mapping[str, JSON], value: JSON, path: str) -> list[Fault]:
    """What about `value`, which stands at `path`, code with this schema refuses for sure."""
    try:
        return _Check(schema).node(schema, value, path, 0)
    except _BudgetSpentError:
        return []


def format_faults(found: list[Fault]) -> str:
    """Faults in a sentence."""
    more = f"; and {len(found) - TOLD} more" if len(found) > TOLD else ""
    return "; ".join(f"{_placed(fault.path)} {fault.problem}" for fault in found[:TOLD]) + more


def _placed(path: str) -> str:
    """A path in a message: of a long one both ends."""
    return path if len(path) <= 3 * NAME else f"{path[: 2 * NAME]}…{path[-NAME:]}"


class _BudgetSpentError(Exception):
    """The check costs too much: the code has the last word anyway."""


class _Check:
    def __init__(self, root: Mapping[str, JSON]) -> None:
        found = root.get("$defs")
        self._definitions = found if isinstance(found, dict) else {}
        self._visits = 0
        self._referred: dict[tuple[str, int, str], list[Fault] | None] = {}
        """What a definition had against a value, by its identity and place; None while that is
        being found out."""

    def _visit(self, count: int = 1) -> None:
        self._visits += count
        # guard: input-check-bounded - a schema can be made so that a check takes exponential time
        if self._visits > VISITS:
            raise _BudgetSpentError

    def node(self, schema: JSON | Mapping[str, JSON], value: JSON, path: str, depth: int) -> list[Fault]:
        self._visit()
        # guard: schema-may-reject - a model that accepts more than its schema says must decide for
        # itself in the pod
        if not isinstance(schema, Mapping) or TAKES_MORE in schema or depth > DEPTH:
            return []
        if isinstance(value, str) and value.startswith(EXACT_NUMBER):
            return []  # A number that JSON can't carry: a run wrote it for the one that it continues as.
        reference = schema.get("$ref")
        if isinstance(reference, str):
            return self._definition(reference.rpartition("/")[2], value, path, depth)
        for word in ("anyOf", "oneOf"):
            cases = schema.get(word)
            if isinstance(cases, list):
                return self._cases(cases, value, path, depth)
        allowed = _allowed(schema)
        if allowed is not None:
            self._visit(len(allowed))
            return (
                [] if _is_among(value, allowed) else [Fault(path, f"is {_shown(value)}, not one of {_listed(allowed)}")]
            )
        kind = schema.get("type")
        reads = _READS.get(kind) if isinstance(kind, str) else None
        if reads is None:
            return []
        if not reads(schema, value):
            return [Fault(path, f"is {_shown(value)}, not {_WORDS[str(kind)]}")]
        return list(islice(self._inside(str(kind), schema, value, path, depth), MANY))

    def _definition(self, name: str, value: JSON, path: str, depth: int) -> list[Fault]:
        """A value is held against each definition once: alternatives of alternatives would ask
        again and again. One that asks for itself about the same value says nothing about it."""
        place = (name, id(value), path)
        if place in self._referred:
            return self._referred[place] or []
        # guard: schema-reference-once - a schema that refers to itself would be followed without
        # end
        self._referred[place] = None
        found = self._referred[place] = self.node(self._definitions.get(name), value, path, depth + 1)
        return found

    def _cases(self, cases: list[JSON], value: JSON, path: str, depth: int) -> list[Fault]:
        """One of several kinds. Told is what is wrong with the one that comes nearest."""
        found: list[list[Fault]] = []
        for case in cases:
            faults = self.node(case, value, path, depth + 1)
            if not faults:
                return []
            found.append(faults)
        if not found:
            return []
        # A fault deep inside tells more than "not null".
        inner = [one for one in found if any(fault.path != path for fault in one)]
        if inner:
            return min(inner, key=len)
        plain = [one[0].problem.partition(", not ")[2] for one in found]
        words = list(dict.fromkeys(word for word in plain if word))
        return [Fault(path, f"is {_shown(value)}, not {' or '.join(words[:TOLD])}")] if words else found[0]

    def _inside(self, kind: str, schema: Mapping[str, JSON], value: JSON, path: str, depth: int) -> Iterator[Fault]:
        if kind == "object" and isinstance(value, dict):
            yield from self._object(schema, value, path, depth)
        elif kind == "array" and isinstance(value, list):
            yield from self._array(schema, value, path, depth)
        elif kind == "string" and isinstance(value, str):
            yield from _length(schema, "Length", len(value.strip()), len(value), path, "characters")
        elif kind in ("integer", "number") and isinstance(value, int | float) and not isinstance(value, bool):
            yield from _range(schema, value, path)

    def _object(self, schema: Mapping[str, JSON], value: JSONObject, path: str, depth: int) -> Iterator[Fault]:
        properties = schema.get("properties")
        known = properties if isinstance(properties, dict) else {}
        required = schema.get("required")
        for name in required if isinstance(required, list) else []:
            self._visit()
            if isinstance(name, str) and name not in value:
                yield Fault(f"{path}.{_cut(name)}", "is missing")
        others = schema.get("additionalProperties", True)
        for name, inner in value.items():
            place = f"{path}.{_cut(name)}"
            if name in known:
                yield from self.node(known[name], inner, place, depth + 1)
            elif others is False:
                self._visit(1 + len(known))
                yield Fault(place, f"is unknown: {_hint(name, known)}")
            else:
                yield from self.node(others, inner, place, depth + 1)

    def _array(self, schema: Mapping[str, JSON], value: list[JSON], path: str, depth: int) -> Iterator[Fault]:
        first = schema.get("prefixItems")
        places = first if isinstance(first, list) else []
        if not schema.get("uniqueItems"):
            # What is there twice counts once in a set, which may bring it below its limit.
            yield from _length(schema, "Items", len(value), len(value), path, "items")
        for number, inner in enumerate(value):
            wanted = places[number] if number < len(places) else schema.get("items")
            yield from self.node(wanted, inner, f"{path}[{number}]", depth + 1)


def _hint(name: str, known: Mapping[str, JSON]) -> str:
    """What may have been meant by an unknown field."""
    comparable = [other for other in known if len(other) <= NAME] if len(name) <= NAME and len(known) <= FIELDS else []
    close = get_close_matches(name, sorted(comparable), n=1)
    if close:
        return f"did you mean {close[0]}?"
    return f"it takes {listed_names(sorted(known)) or 'no fields'}"


def _cut(text: str) -> str:
    return text if len(text) <= NAME else f"{text[: NAME - 1]}…"


def listed_names(names: list[str]) -> str:
    """Names in a sentence, the first twenty of them."""
    return ", ".join([*map(_cut, names[:20]), *([f"and {len(names) - 20} more"] if len(names) > 20 else [])])


def _length(schema: Mapping[str, JSON], what: str, least: int, most: int, path: str, unit: str) -> Iterator[Fault]:
    """`least` and `most` is how long the value may be once the code has read it: it may strip
    text."""
    lower, upper = schema.get(f"min{what}"), schema.get(f"max{what}")
    if isinstance(lower, int) and most < lower:
        yield Fault(path, f"has {most} {unit}, at least {lower} are asked for")
    if isinstance(upper, int) and least > upper:
        yield Fault(path, f"has {least} {unit}, more than {upper}")


def _range(schema: Mapping[str, JSON], value: float, path: str) -> Iterator[Fault]:
    checks: tuple[tuple[str, Callable[[float, float], bool], str], ...] = (
        ("minimum", lambda found, limit: found < limit, "less than"),
        ("maximum", lambda found, limit: found > limit, "more than"),
        ("exclusiveMinimum", lambda found, limit: found <= limit, "not more than"),
        ("exclusiveMaximum", lambda found, limit: found >= limit, "not less than"),
    )
    for word, breaks, words in checks:
        limit = schema.get(word)
        if isinstance(limit, int | float) and breaks(value, limit):
            yield Fault(path, f"is {_shown(value)}, {words} {limit}")


# What pydantic reads as what


def _text(schema: Mapping[str, JSON], value: JSON) -> bool:
    # Times, paths and so on are text to JSON, but are read from numbers too.
    return isinstance(value, str) or ("format" in schema and isinstance(value, int | float))


def _integer(schema: Mapping[str, JSON], value: JSON) -> bool:
    if isinstance(value, float):
        return value.is_integer()
    return isinstance(value, int) or (isinstance(value, str) and _is_number(value))


def _number(schema: Mapping[str, JSON], value: JSON) -> bool:
    return isinstance(value, int | float) or (isinstance(value, str) and _is_number(value))


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _boolean(schema: Mapping[str, JSON], value: JSON) -> bool:
    if isinstance(value, str):
        return value.strip().lower() in TRUTHS
    return value in (0, 1) and isinstance(value, int | float)


def _null(schema: Mapping[str, JSON], value: JSON) -> bool:
    return value is None


def _list(schema: Mapping[str, JSON], value: JSON) -> bool:
    # A named tuple is read from an object too.
    return isinstance(value, list) or ("prefixItems" in schema and isinstance(value, dict))


def _mapping(schema: Mapping[str, JSON], value: JSON) -> bool:
    return isinstance(value, dict)


_READS: Final[Mapping[str, Callable[[Mapping[str, JSON], JSON], bool]]] = {
    "string": _text,
    "integer": _integer,
    "number": _number,
    "boolean": _boolean,
    "null": _null,
    "array": _list,
    "object": _mapping,
}
_WORDS: Final = {
    "string": "text",
    "integer": "a whole number",
    "number": "a number",
    "boolean": "true or false",
    "null": "null",
    "array": "a list",
    "object": "an object",
}


def _allowed(schema: Mapping[str, JSON]) -> list[JSON] | None:
    if "const" in schema:
        return [schema["const"]]
    values = schema.get("enum")
    return values if isinstance(values, list) else None


def _is_among(value: JSON, allowed: list[JSON]) -> bool:
    """Whether it is, or may be read as, one of these: 1, 1.0, "1", "1.0" and true are all the same
    here."""
    loosely = _loosely(value)
    return any(value == one or loosely == _loosely(one) for one in allowed)


def _loosely(value: JSON) -> str:
    if isinstance(value, bool):
        return str(int(value))
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    if isinstance(value, dict | list):
        return ""
    text = str(value).strip()
    try:
        return str(int(text))
    except ValueError:
        return _loosely(float(text)) if isinstance(value, str) and _is_number(text) else text


def _shown(value: JSON) -> str:
    """A value in a message. Long ones are cut, and containers named by their kind."""
    if isinstance(value, dict):
        return "an object"
    if isinstance(value, list):
        return "a list"
    if isinstance(value, str):
        value = value[:NAME]
    text = canonical_json(value).decode("utf-8", "replace")
    return text if len(text) <= 60 else f"{text[:59]}…"


def _listed(values: list[JSON]) -> str:
    shown = [_shown(value) for value in values[:10]]
    return ", ".join([*shown, "…"] if len(values) > 10 else shown)


def input_schema(contracts: JSONObject, entrypoint: str) -> Mapping[str, JSON] | None:
    """The published schema of an entry point's input; None when it isn't there."""
    schemas = contracts.get("schemas")
    entries = schemas.get("entrypoints") if isinstance(schemas, dict) else None
    one = entries.get(entrypoint) if isinstance(entries, dict) else None
    found = one.get("input") if isinstance(one, dict) else None
    return cast("Mapping[str, JSON]", found) if isinstance(found, dict) else None


def entrypoints(contracts: JSONObject) -> list[str]:
    """Names of the published entry points."""
    listed = contracts.get("entrypoints")
    return [str(one.get("name", "")) for one in listed if isinstance(one, dict)] if isinstance(listed, list) else []
