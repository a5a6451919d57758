"""An app whose inputs got fields with defaults after runs of it were recorded: golden/rules-2-defaults.json.

The recording was made before each field marked `added` was there. Only such fields may be added here.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import Annotated, Literal

from pydantic import BaseModel, Field

from application_sdk.app import App, task
from application_sdk.contracts import Input, MaxItems, Output


class Address(BaseModel):
    city: str
    country: str = "DE"
    district: str | None = None  # added


@dataclass
class Weight:
    grams: int
    unit: str = "g"
    tare: Annotated[list[int], MaxItems(9)] = field(default_factory=list)  # added


class Letter(BaseModel):
    kind: Literal["letter"] = "letter"
    pages: int = 1
    colour: bool = False  # added


class Parcel(BaseModel):
    kind: Literal["parcel"] = "parcel"
    weight: Weight
    fragile: bool = False  # added


class Shipment(Input):
    to: Address
    via: Annotated[list[Address], MaxItems(9)] = Field(default_factory=list)
    goods: Letter | Parcel = Field(default_factory=Letter)
    priority: int = 3
    notes: Annotated[list[str], MaxItems(9)] = Field(default_factory=list)  # added
    insured: bool = False  # added


class Shipped(Output):
    text: str


class Order(Input):
    count: int = 3


class Evolved(App):
    @task
    async def ship(self, input: Shipment) -> Shipped:
        return Shipped(text=f"{input.to.city} {input.priority}")

    async def run(self, input: Order) -> Shipped:
        towns = [Address(city=f"town {n}") for n in range(input.count)]
        first = await self.ship(Shipment(to=towns[0]))
        done = await asyncio.gather(
            *(self.ship(Shipment(to=to, via=towns, goods=Parcel(weight=Weight(grams=5)))) for to in towns),
            self.ship(Shipment(to=towns[1], goods=Letter(pages=2), priority=1)),
        )
        return Shipped(text=" ".join(shipment.text for shipment in (first, *done)))
