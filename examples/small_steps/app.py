"""A loop of 200 small steps: each reads one page of a feed, and says where the next one is.

A step takes milliseconds, so a pod of its own would cost more than the work does. Warm pods have imported the app
before they are called, and stay between calls.
"""

import hashlib

from application_sdk.app import App, ReusePolicy, task
from application_sdk.contracts import Input, Output

PAGES = 200


class Page(Input):
    cursor: str = ""
    number: int = 0


class Records(Output):
    cursor: str = ""
    count: int = 0
    cents: int = 0


class Feed(Input):
    pages: int = PAGES


class Totals(Output):
    pages: int = 0
    records: int = 0
    cents: int = 0


class SmallSteps(App):
    @task(timeout_seconds=30, reuse=ReusePolicy(replicas=4, scaledown_ttl=30))
    async def read_page(self, input: Page) -> Records:
        # In place of a request: what a page holds follows from its cursor, as it would from a server's data.
        content = hashlib.sha256(f"{input.number} {input.cursor}".encode()).digest()
        return Records(cursor=content.hex()[:16], count=content[0] % 50, cents=int.from_bytes(content[1:3]))

    async def run(self, input: Feed) -> Totals:
        totals, cursor = Totals(), ""
        for number in range(input.pages):
            page = await self.read_page(Page(cursor=cursor, number=number))
            totals = Totals(
                pages=totals.pages + 1, records=totals.records + page.count, cents=totals.cents + page.cents
            )
            cursor = page.cursor
        return totals
