import asyncio
from typing import Annotated

from application_sdk.app import App, task
from application_sdk.contracts import Input, MaxItems, Output


class Day(Input):
    date: str = "2026-01-01"
    shops: int = 3
    seconds: int = 0


class Shop(Input):
    number: int
    seconds: int


class Orders(Output):
    shop: int
    count: int = 0


class Report(Output):
    counts: Annotated[list[int], MaxItems(1000)] = []


class DailyOrders(App):
    @task(timeout_seconds=300)
    async def count(self, input: Shop) -> Orders:
        await asyncio.sleep(input.seconds)
        return Orders(shop=input.number, count=10 * input.number)

    async def run(self, input: Day) -> Report:
        shops = [self.count(Shop(number=number, seconds=input.seconds)) for number in range(input.shops)]
        return Report(counts=[orders.count for orders in await asyncio.gather(*shops)])
