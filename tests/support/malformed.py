"""Odd objects that the CRDs nevertheless admit: drawn from the schemas themselves, reproducible by their seed.

Odd means: whatever the schema doesn't forbid. Rules in CEL are the business of whoever uses the values.
"""

from __future__ import annotations

from datetime import UTC, datetime
from functools import cache
from typing import Any

import hypothesis
import yaml
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from tests.support.bed import ROOT

Schema = dict[str, Any]
MANY = 4
"""Elements of a list or map at most: what is odd shows in few, and objects have to fit into etcd."""
TIMES = st.datetimes(datetime(1970, 1, 2), datetime(2999, 1, 1), timezones=st.just(UTC)).map(
    lambda moment: moment.strftime("%Y-%m-%dT%H:%M:%S.%fZ")
)
TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=40)
ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.floats(allow_nan=False, allow_infinity=False) | TEXT,
    lambda inner: st.lists(inner, max_size=MANY) | st.dictionaries(TEXT, inner, max_size=MANY),
    max_leaves=12,
)


@cache
def schema(plural: str, part: str) -> Schema:
    """The schema of `spec` or `status` of a kind."""
    crd = yaml.safe_load((ROOT / "crds" / f"{plural}.yaml").read_text())
    part_schema: Schema = crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"][part]
    return part_schema


def values(node: Schema) -> st.SearchStrategy[Any]:
    """Whatever a structural schema admits."""
    if "enum" in node:
        return st.sampled_from(node["enum"])
    if node.get("x-kubernetes-int-or-string"):
        return st.integers(0, 2**31) | _texts(node)
    match node.get("type"):
        case "object":
            return _objects(node)
        case "array":
            return _lists(node)
        case "string":
            return TIMES if node.get("format") == "date-time" else _texts(node)
        case "integer":
            return st.integers(int(node.get("minimum", -(2**31))), int(node.get("maximum", 2**31 - 1)))
        case "number":
            return st.floats(node.get("minimum", -1e9), node.get("maximum", 1e9), allow_nan=False)
        case "boolean":
            return st.booleans()
        case None:
            return ANYTHING
        case other:
            raise AssertionError(f"a schema of type {other!r} is new here")


def _lists(node: Schema) -> st.SearchStrategy[Any]:
    least, most = node.get("minItems", 0), node.get("maxItems", MANY)
    if least > MANY:
        # Many that differ would take long to draw.
        few = st.lists(values(node["items"]), min_size=1, max_size=MANY)
        return few.map(lambda items: (items * least)[:least])
    keys = node.get("x-kubernetes-list-map-keys")
    unique = (lambda item: tuple(item.get(key) for key in keys)) if keys else None
    return st.lists(values(node["items"]), min_size=least, max_size=min(most, MANY), unique_by=unique)


def _objects(node: Schema) -> st.SearchStrategy[Any]:
    if "properties" in node:
        required = set(node.get("required", ()))
        fields = {name: values(child) for name, child in node["properties"].items()}
        return st.fixed_dictionaries(
            {name: strategy for name, strategy in fields.items() if name in required},
            optional={name: strategy for name, strategy in fields.items() if name not in required},
        )
    inner = node.get("additionalProperties")
    return st.dictionaries(TEXT.filter(bool), values(inner) if isinstance(inner, dict) else ANYTHING, max_size=MANY)


def _texts(node: Schema) -> st.SearchStrategy[str]:
    least, most = node.get("minLength", 0), node.get("maxLength", 10**9)
    if "pattern" in node:
        texts = st.from_regex(node["pattern"].replace("$", r"\Z"), fullmatch=True)
        return texts.map(lambda text: text[: min(most, 200)]).filter(lambda text: len(text) >= least)
    return st.text(
        st.characters(exclude_categories=["Cs"], exclude_characters="\0"),
        min_size=least,
        max_size=min(most, least + 40),
    )


def drawn(strategy: st.SearchStrategy[Any], count: int, seed: int) -> list[Any]:
    """So many values, always the same ones for a seed."""
    values_: list[Any] = []

    @hypothesis.seed(seed)
    @settings(
        max_examples=count,
        phases=[Phase.generate],
        database=None,
        deadline=None,
        suppress_health_check=list(HealthCheck),
    )
    @given(strategy)
    def collect(value: Any) -> None:
        values_.append(value)

    collect()
    return values_
