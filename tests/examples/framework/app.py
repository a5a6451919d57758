"""A first app: one task, one route, served by `run_dev.py`."""

from application_sdk.app import App, task
from application_sdk.contracts import Input, Output


class BakeInput(Input):
    loaves: int = 1


class BakeOutput(Output):
    told: str = ""


class BakeryApp(App):
    @task(timeout_seconds=30)
    async def bake(self, input: BakeInput) -> BakeOutput:
        self.logger.info("baking loaves=%d", input.loaves)
        return BakeOutput(told=f"{input.loaves} loaves are in the oven")

    async def run(self, input: BakeInput) -> BakeOutput:
        return await self.bake(input)
