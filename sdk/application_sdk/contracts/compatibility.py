"""Whether a newer contract still reads what an older one wrote, and if not, each reason why.

For people and pipelines that are about to roll out a new version (`apprun manifest --check`, tests); never in a task
pod. Compares JSON Schemas as `contracts.schema` writes them, so a published schema will do where the old class is gone.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, NamedTuple

from pydantic import BaseModel
from typing_extensions import override

from application_sdk.contracts.codec import written_by_any_version
from application_sdk.contracts.schema import schema_of
from application_sdk.wire.digest import JSON, JSONObject, canonical_json

_NOTES: Final = frozenset({"title", "description", "default", "examples", "deprecated", "readOnly", "discriminator"})
"""What a schema says to people only."""
_UPPER: Final = ("maxLength", "maxItems", "maxProperties", "maximum", "exclusiveMaximum")
_LOWER: Final = ("minLength", "minItems", "minProperties", "minimum", "exclusiveMinimum")


@dataclass(frozen=True, slots=True)
class BreakingChange:
    """One change that makes payloads of the old contract unreadable."""

    path: str
    """Field, as `field.name`, `field[]` for items, `field{}` for values; empty for the contract as a whole."""
    reason: str

    @override
    def __str__(self) -> str:
        return f"{self.path}: {self.reason}" if self.path else self.reason


class Compatibility(NamedTuple):
    """The answer of `is_backwards_compatible`. True in a condition when compatible."""

    compatible: bool
    reasons: list[str]

    def __bool__(self) -> bool:
        return self.compatible


def is_backwards_compatible(old: type[BaseModel], new: type[BaseModel]) -> Compatibility:
    """Whether every payload of `old` is one of `new`, and the reasons if not.

    Fields may be added with a default, types and bounds widened. A field that is gone, renamed, narrower or newly
    required breaks runs in flight. Outputs are always stored with all their fields, so one may lose its default.
    """
    changes = breaking_changes(schema_of(old), schema_of(new), always_complete=written_by_any_version(old))
    return Compatibility(not changes, [str(change) for change in changes])


def breaking_changes(
    old: JSONObject, new: JSONObject, *, always_complete: bool = False, identifies: bool = False
) -> list[BreakingChange]:
    """Every change from schema `old` to schema `new` that makes an old payload unreadable.

    `always_complete` says that old payloads have all their fields, also those with a default: outputs do. `identifies`
    says that the identity of calls rests on these payloads, as it does on the inputs of tasks: then what counts of an
    old one has to be the same by the new schema (`contracts.identity_form`).
    """
    comparison = _Comparison(old, new, always_complete, identifies)
    comparison.node(old, new, "")
    return comparison.changes


class _Comparison:
    """One walk through two schemas at once."""

    def __init__(self, old: JSONObject, new: JSONObject, always_complete: bool, identifies: bool = False) -> None:
        self.changes: list[BreakingChange] = []
        self._old_root, self._new_root = old, new
        self._always_complete = always_complete
        self._identifies = identifies
        self._mixed = False
        """Whether the objects that are compared are of several classes that nothing tells apart, or within one."""
        self._compared: set[tuple[bytes, bytes, bool]] = set()

    def node(self, old: JSON, new: JSON, path: str) -> None:
        """Compare what is at `path`. Each pair of definitions is compared once, which also ends recursion."""
        old_cases, new_cases = _cases(old, self._old_root), _cases(new, self._new_root)
        if any(not case for case in new_cases):
            return
        around = self._mixed
        self._mixed = around or _are_mixed(new_cases)
        pair = (canonical_json(old), canonical_json(new), self._mixed)
        if pair not in self._compared or b"$ref" not in pair[0]:
            self._compared.add(pair)
            self._cases(old_cases, new_cases, path)
        self._mixed = around

    def _cases(self, old_cases: list[JSONObject], new_cases: list[JSONObject], path: str) -> None:
        for case in old_cases:
            fitting = [candidate for candidate in new_cases if _kind(candidate) in _READERS.get(_kind(case), ())]
            if not fitting and _kind(case) == "null":
                self._break(path, "took None, takes none now")
            elif not fitting:
                shown = ", ".join(sorted({_kind(candidate) for candidate in new_cases}))
                self._break(path, f"was {_kind(case)}, is {shown} now")
            elif not any(self._reads(case, candidate) for candidate in fitting):
                self._case(case, fitting[0], path)

    def _reads(self, old: JSONObject, new: JSONObject) -> bool:
        trial = _Comparison(self._old_root, self._new_root, self._always_complete, self._identifies)
        trial._mixed = self._mixed
        trial._compared = set(self._compared)
        trial._case(old, new, "")
        return not trial.changes

    def _case(self, old: JSONObject, new: JSONObject, path: str) -> None:
        self._bounds(old, new, path)
        self._values(old, new, path)
        for word in ("format", "pattern", "multipleOf"):
            if word in new and new[word] != old.get(word):
                self._break(path, f"{word} was {_shown(old.get(word))}, is {_shown(new[word])} now")
        if _kind(old) == "object":
            self._object(old, new, path)
        elif _kind(old) == "array":
            self._array(old, new, path)

    def _bounds(self, old: JSONObject, new: JSONObject, path: str) -> None:
        for word in (*_UPPER, *_LOWER):
            before, after = old.get(word), new.get(word)
            if not isinstance(after, int | float):
                continue
            if before is None:
                self._break(path, f"has {word} {after} now, had none")
            elif isinstance(before, int | float) and (after < before if word in _UPPER else after > before):
                self._break(path, f"{word} was {before}, is {after} now")

    def _values(self, old: JSONObject, new: JSONObject, path: str) -> None:
        allowed, before = _enumerated(new), _enumerated(old)
        if allowed is None:
            return
        if before is None:
            self._break(path, f"took any {_kind(old)}, is one of {_shown(allowed)} now")
            return
        for value in before:
            if value not in allowed:
                self._break(path, f"value {_shown(value)} is gone")

    def _object(self, old: JSONObject, new: JSONObject, path: str) -> None:
        before, after = _object_of(old, "properties"), _object_of(new, "properties")
        required_before, required = _names(old), _names(new)
        if self._identifies:
            self._defaults(old, new, path)
        for name, schema in before.items():
            place = f"{path}.{name}" if path else name
            if name in after:
                self.node(schema, after[name], place)
                if name in required and name not in required_before and not self._always_complete:
                    self._break(place, "is required now; payloads may lack it. Give it a default")
            elif after or new.get("additionalProperties") is False:
                self._break(place, "is gone or renamed. Keep it, with a default if it is no longer used")
        for name in sorted(required - before.keys()):
            self._break(f"{path}.{name}" if path else name, "is new and has no default. Give it one")
        if old.get("additionalProperties", True) is not False and not before:
            self._mapping_values(old, new, path)

    def _defaults(self, old: JSONObject, new: JSONObject, path: str) -> None:
        """Changes of defaults: what equals its default doesn't count for the identity of a call."""
        before, after = _object_of(old, "properties"), _object_of(new, "properties")
        for name, schema in after.items():
            place, default = f"{path}.{name}" if path else name, _default_of(schema)
            if name in before:
                if _default_of(before[name]) != default and default != _NO_DEFAULT:
                    was = _default_of(before[name])
                    told = "it had no default, it is" if was == _NO_DEFAULT else f"its default was {_shown(was)}, is"
                    self._break(
                        place, f"{told} {_shown(default)} now: calls under way that give it such a value diverge"
                    )
            elif name in _names(new):
                continue
            elif self._mixed:
                self._break(place, "is new in a class that nothing tells from others: calls under way diverge. "
                            "Give each class a Literal field with a value of its own")  # fmt: skip
            elif default == _NO_DEFAULT and isinstance(schema, dict) and schema.get("type") in _MADE_ANEW:
                self._break(
                    place, "is new, and each call makes its default anew: calls under way diverge. Use a constant"
                )

    def _mapping_values(self, old: JSONObject, new: JSONObject, path: str) -> None:
        after = new.get("additionalProperties", True)
        if after is False:
            self._break(path, "was a mapping with any keys, has fixed fields now")
        elif after is not True:
            before = old.get("additionalProperties", True)
            self.node({} if before is True else before, after, f"{path}{{}}")
        if "propertyNames" in new:
            self.node(old.get("propertyNames", {"type": "string"}), new["propertyNames"], f"{path}{{key}}")

    def _array(self, old: JSONObject, new: JSONObject, path: str) -> None:
        if new.get("uniqueItems") and not old.get("uniqueItems"):
            self._break(path, "is a set now: items that are there twice would be lost")
        before, after = _list_of(old, "prefixItems"), _list_of(new, "prefixItems")
        for index, (one, other) in enumerate(zip(before, after, strict=False)):
            self.node(one, other, f"{path}[{index}]")
        if not before and not after:
            self.node(old.get("items", {}), new.get("items", {}), f"{path}[]")

    def _break(self, path: str, reason: str) -> None:
        self.changes.append(BreakingChange(path, f"{reason}."))


_NO_DEFAULT: Final[JSON] = {"there is": "no default"}
_MADE_ANEW: Final = ("string", "integer", "number", "boolean")
"""Factories of these make a time, a number or a name. What a factory of a list or a mapping makes is mostly empty."""


def _default_of(schema: JSON) -> JSON:
    return schema.get("default", _NO_DEFAULT) if isinstance(schema, dict) else _NO_DEFAULT


def _are_mixed(cases: list[JSONObject]) -> bool:
    """Whether there are objects of several classes without a field that has other fixed values in each."""
    objects = [_object_of(case, "properties") for case in cases if _kind(case) == "object"]
    if len(objects) < 2:
        return False
    for name in objects[0]:
        found = [_enumerated(schema) if isinstance(schema := one.get(name), dict) else None for one in objects]
        values = [_shown(value) for one in found for value in one or ()]
        if all(found) and len(values) == len(set(values)):
            return False
    return True


_READERS: Final[dict[str, tuple[str, ...]]] = {
    "integer": ("integer", "number"),
    "number": ("number",),
    "string": ("string",),
    "boolean": ("boolean",),
    "null": ("null",),
    "array": ("array",),
    "object": ("object",),
}
"""Which kinds of value can be read as which."""


def _cases(node: JSON, root: JSONObject) -> list[JSONObject]:
    """The alternatives of a schema, references followed, without notes for people. An empty one takes anything."""
    if not isinstance(node, dict):
        return [{}]
    node = {key: value for key, value in node.items() if key not in _NOTES}
    reference = node.get("$ref")
    if isinstance(reference, str):
        definitions = _object_of(root, "$defs")
        return _cases(definitions.get(reference.rpartition("/")[2]), root)
    for word in ("anyOf", "oneOf", "allOf"):
        alternatives = node.get(word)
        if isinstance(alternatives, list):
            return [case for alternative in alternatives for case in _cases(alternative, root)]
    return [node]


def _kind(case: JSONObject) -> str:
    kind = case.get("type")
    if isinstance(kind, str):
        return kind
    values = _enumerated(case)
    if values:
        return "string" if isinstance(values[0], str) else "boolean" if isinstance(values[0], bool) else "integer"
    return "anything"


def _enumerated(case: JSONObject) -> list[JSON] | None:
    if "const" in case:
        return [case["const"]]
    values = case.get("enum")
    return values if isinstance(values, list) else None


def _object_of(node: JSONObject, key: str) -> JSONObject:
    value = node.get(key)
    return value if isinstance(value, dict) else {}


def _list_of(node: JSONObject, key: str) -> list[JSON]:
    value = node.get(key)
    return value if isinstance(value, list) else []


def _names(node: JSONObject) -> set[str]:
    return {name for name in _list_of(node, "required") if isinstance(name, str)}


def _shown(value: JSON) -> str:
    return "none" if value is None else canonical_json(value).decode()
