"""What an app publishes of itself, and what is left out when that is too much."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from application_sdk.app import App, task
from application_sdk.app.publication import findings_of
from application_sdk.contracts import Input, MaxItems, Output
from application_sdk.wire.digest import canonical_json


class Row(Input):
    name: str = Field("", description="d" * 500)


class Given(Input):
    rows: Annotated[list[Row], MaxItems(5)] = []
    """Many."""


class Made(Output):
    rows: Annotated[list[Row], MaxItems(5)] = []


class Shop(App):
    @task
    async def pack(self, input: Given) -> Made:
        return Made()

    async def run(self, input: Given) -> Made:
        return await self.pack(input)


def size(limit: int) -> tuple[int, str, set[str]]:
    found = findings_of(Shop.definition, None, "1", limit)
    schemas = found["schemas"]
    both = {"entry": schemas["entrypoints"]["run"], "task": schemas["tasks"]["pack"]}
    kept = {f"{kind} {word}" for kind, one in both.items() for word in one}
    return len(canonical_json(found)), found.get("omitted", ""), kept  # type: ignore[arg-type]


def test_what_is_missed_least_is_left_out_first() -> None:
    whole, omitted, kept = size(100_000)
    assert (omitted, kept) == ("", {"entry input", "entry output", "task input", "task output"})
    for limit, left, expected in (
        (whole - 1, "the schemas of tasks", {"entry input", "entry output"}),
        (whole // 2, "the schemas of tasks and outputs", {"entry input"}),
        (whole // 4, "all schemas", set[str]()),
        (50, "all schemas and fields", set[str]()),
    ):
        found, omitted, kept = size(limit)
        assert (omitted, kept) == (left, expected)
        assert found <= limit or limit == 50


def test_an_app_is_compatible_with_itself() -> None:
    before = findings_of(Shop.definition, None, "1", 100_000)
    again = findings_of(Shop.definition, {**before}, "1", 100_000)  # type: ignore[typeddict-item,arg-type]
    assert again["changes"] == []


def test_what_an_earlier_version_had_left_out_is_compatible_with_anything() -> None:
    before = findings_of(Shop.definition, None, "1", 300)
    assert findings_of(Shop.definition, {**before}, "1", 100_000)["changes"] == []  # type: ignore[typeddict-item,arg-type]
