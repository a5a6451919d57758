from application_sdk.app import App, task
from application_sdk.contracts import Input, Output


class FetchInput(Input):
    name: str = "World"


class FetchOutput(Output):
    message: str = ""


class HelloWorldApp(App):
    @task(timeout_seconds=10)
    async def create_greeting(self, input: FetchInput) -> FetchOutput:
        return FetchOutput(message=f"Hello, {input.name}!")

    async def run(self, input: FetchInput) -> FetchOutput:
        return await self.create_greeting(input)
