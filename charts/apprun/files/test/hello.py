from application_sdk.app import App, task
from application_sdk.contracts import Input, Output


class Who(Input):
    name: str = "World"


class Greeting(Output):
    message: str = ""


class Hello(App):
    @task(timeout_seconds=60)
    async def greet(self, input: Who) -> Greeting:
        return Greeting(message=f"Hello, {input.name}!")

    async def run(self, input: Who) -> Greeting:
        return await self.greet(input)
