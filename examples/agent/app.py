"""An agent that survives a crash in mid-conversation: each turn of the model is recorded, and never asked for twice.

The model's turns are driver tasks, which take milliseconds. Its tools have pods of their own: they take time, talk to
other systems, and may hold secrets that the model's side has no business with.
"""

import os
import time
from typing import Annotated

from model import Scripted

from application_sdk.app import App, NonRetryableError, task
from application_sdk.contracts import Input, MaxItems, Output

MAX_TURNS = 8


class Conversation(Input):
    said: Annotated[list[str], MaxItems(2 * MAX_TURNS)] = []


class Turn(Output):
    text: str = ""


class Order(Input):
    number: str = ""


class Result(Output):
    text: str = ""


class Request(Input):
    request: str = ""


class Reply(Output):
    text: str = ""
    said: Annotated[list[str], MaxItems(2 * MAX_TURNS + 1)] = []


class SupportAgent(App):
    @task(runs_in="driver", timeout_seconds=15)
    async def think(self, input: Conversation) -> Turn:
        return Turn(text=Scripted().complete(input.said))

    @task
    async def look_up_order(self, input: Order) -> Result:
        _take_time()
        return Result(text=f"order {input.number} is 9 days late")

    @task(retry_max_attempts=5)
    async def refund(self, input: Order) -> Result:
        _take_time()
        # The same key in each attempt: a payment system that is asked twice pays once.
        return Result(text=f"Order {input.number} is refunded.")

    async def run(self, input: Request) -> Reply:
        tools = {"look_up_order": self.look_up_order, "refund": self.refund}
        said = [f"customer: {input.request}"]
        for _ in range(MAX_TURNS):
            turn = await self.think(Conversation(said=said))
            said.append(turn.text)
            tool, _, argument = turn.text.partition(": ")
            if tool == "answer":
                return Reply(text=argument, said=said)
            if tool not in tools:
                raise NonRetryableError(f"the model asks for {tool!r}; the tools are {', '.join(tools)}")
            result = await tools[tool](Order(number=argument))
            said.append(f"{tool}: {result.text}")
        raise NonRetryableError(f"no answer after {MAX_TURNS} turns")


def _take_time() -> None:
    """Be as slow as a real system, where that is wanted."""
    time.sleep(float(os.environ.get("TOOL_SECONDS", "0")))
