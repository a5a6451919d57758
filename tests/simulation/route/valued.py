"""An app whose calls have the values that the identity of a call is exact in: golden/rules-2-values.json."""

from __future__ import annotations

import asyncio
import math
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Generic, Literal, TypeVar
from zoneinfo import ZoneInfo

from pydantic import BaseModel, Field

from application_sdk.app import App, task
from application_sdk.contracts import Input, MaxItems, Output, SerializableEnum

Item = TypeVar("Item")
NEW_YORK = ZoneInfo("America/New_York")


class Inner(BaseModel):
    m: int = 0


class OtherInner(BaseModel):
    ft: int = 0


class Metres(BaseModel):
    size: Inner = Inner()


class Feet(BaseModel):
    size: OtherInner = OtherInner()


class Colour(SerializableEnum):
    RED = "red"


class ByMember(BaseModel):
    kind: Literal[Colour.RED] = Colour.RED
    a: int = 0


class ByText(BaseModel):
    kind: Literal["red"] = "red"
    b: int = 0


class Page(BaseModel, Generic[Item]):
    first: Item
    more: Item | None = None


class Values(Input):
    number: int = 0
    either: int | str = 0
    ratio: float = 0.0
    price: Decimal = Decimal(1)
    at: datetime = datetime(2026, 11, 1, 1, 30, tzinfo=NEW_YORK)
    length: Metres | Feet | None = None
    colour: ByMember | ByText | None = None
    where: Path | Inner = Path()
    page: Page[Inner] | None = None
    made: Annotated[list[int], MaxItems(9)] = Field(default_factory=list[int])
    looped: Annotated[list[int], MaxItems(9)] = Field(default_factory=lambda: [n for n in (1, 2)])  # noqa: C416


class Nothing(Output):
    pass


class Valued(App):
    @task
    async def take(self, input: Values) -> Nothing:
        return Nothing()

    async def run(self, input: Input) -> Nothing:
        await asyncio.gather(*map(self.take, VALUES))
        return Nothing()


VALUES = [
    Values(),
    *(Values(number=number) for number in (2**53, 2**60, 2**70)),
    *(Values(either=either) for either in ("0", 2**60, str(2**60), 2**70, "apprun.dev/number:7")),
    *(Values(ratio=ratio) for ratio in (math.nan, math.inf, 2.0**60, 0.1)),
    Values(price=Decimal("1.0")),
    *(Values(at=datetime(2026, 11, 1, 1, 30, tzinfo=NEW_YORK, fold=fold)) for fold in (0, 1)),
    Values(length=Metres()),
    Values(length=Feet()),
    Values(colour=ByMember()),
    Values(colour=ByText()),
    Values(where=Inner()),
    Values(page=Page[Inner](first=Inner(m=1), more=Inner())),
    Values(made=[1], looped=[1]),
]
