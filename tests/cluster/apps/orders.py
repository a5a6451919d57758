"""An app with contracts worth publishing: nested inputs, two entry points, a task. It waits where a test asks it to."""

import asyncio
from typing import Annotated

from pydantic import BaseModel

from application_sdk.app import App, entrypoint, task
from application_sdk.contracts import Input, MaxItems, Output


class Row(BaseModel):
    name: str
    amount: int = 1


class Order(Input):
    customer: str
    rows: Annotated[list[Row], MaxItems(100)] = []
    seconds: float = 0


class Receipt(Output):
    total: int
    version: int = 1


class Orders(App):
    """Takes orders."""

    version = "1.0.0"

    @task
    async def add(self, input: Order) -> Receipt:
        """Adds up an order."""
        await asyncio.sleep(input.seconds)
        return Receipt(total=sum(row.amount for row in input.rows))

    @entrypoint(default=True)
    async def place(self, input: Order) -> Receipt:
        """Places an order."""
        first = await self.add(input)
        second = await self.add.keyed("again")(input)
        return Receipt(total=second.total, version=min(first.version, second.version))

    @entrypoint
    async def cancel(self, input: Order) -> Receipt:
        return Receipt(total=0)
