"""The test bed's app for runs that wait: tasks that can't start, and a route that computes forever."""

import asyncio
from typing import Annotated, Any

from application_sdk.app import App, entrypoint, task
from application_sdk.contracts import Input, MaxItems, Output

Names = Annotated[list[str], MaxItems(100)]

WHAT: dict[str, dict[str, Any]] = {
    "works": {},
    "works too": {},
    "wants a node": {"node_selector": {"apprun.dev/test": "waits"}},
    "wants another node": {"node_selector": {"apprun.dev/test": "waits"}},
    "wants an image": {"image": "localhost:5000/absent:1"},
    "wants a secret": {"secrets": ["absent"]},
}


class Piece(Input):
    what: str = ""
    text: str = ""


class Wanted(Input):
    pieces: Names = []
    rounds: int = 1
    text: str = ""


class Waits(App):
    @task(secrets=[])
    async def work(self, input: Piece) -> Output:
        await asyncio.sleep(3)
        return Output()

    @entrypoint(default=True)
    async def run(self, input: Wanted) -> Output:
        for number in range(input.rounds):
            calls = [self.work.options(**WHAT[what])(Piece(what=what, text=str(number))) for what in input.pieces]
            await asyncio.gather(*calls)
        return Output()

    @entrypoint
    async def compute(self, input: Wanted) -> Output:
        number = 0
        while number >= 0:
            number += 1  # forever
        return Output()
