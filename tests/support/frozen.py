"""An app whose run's input has defaults: one that is edited between two lives, and one that is created for each run."""

from __future__ import annotations

import textwrap

APP = """
    import uuid
    from pydantic import Field
    from application_sdk.app import App, task
    from application_sdk.contracts import Input, Output

    class Given(Input):
        name: str
        limit: int = {limit}
        token: str = Field(default_factory=lambda: uuid.uuid4().hex)

    class Step(Input):
        text: str

    class Done(Output):
        text: str = ""

    class Frozen(App):
        @task
        async def work(self, input: Step) -> Done:
            return Done(text=input.text)

        async def run(self, input: Given) -> Done:
            text = f"{{input.name}} {{input.limit}} {{input.token}}"
            await self.work(Step(text=text))
            return await self.work(Step(text=text))
"""


def source(limit: int) -> str:
    return textwrap.dedent(APP).format(limit=limit)
