"""Apps to look at: one that gets on, one that fails loudly, one that is killed, one that no node takes."""

import sys

from application_sdk.app import App, NonRetryableError, task
from application_sdk.contracts import Input, Output


class Nothing(Input):
    pass


class Said(Output):
    text: str = ""


class Watched(App):
    @task(retry_max_attempts=3, retry_max_interval_seconds=1)
    async def flaky(self, input: Nothing) -> Said:
        if self.task_context.attempt == 1:
            raise OSError("not yet")
        return Said(text="there")

    @task
    async def calm(self, input: Nothing) -> Said:
        return Said(text="here")

    @task
    async def loud(self, input: Nothing) -> Said:
        self.logger.warning("about to fail", extra={"customer": "ada"})
        print("printed by the app")
        raise NonRetryableError("loud failure")

    @task(memory="96Mi", retry_max_attempts=1)
    async def hungry(self, input: Nothing) -> Said:
        print("reading all of it")
        sys.stdout.flush()
        eaten = []
        while True:
            eaten.append(bytearray(b"x" * 16 * 1024 * 1024))

    @task(node_selector={"apprun.dev/nowhere": "true"})
    async def nowhere(self, input: Nothing) -> Said:
        return Said()

    async def run(self, input: Nothing) -> Said:
        await self.flaky(input)
        return await self.calm(input)


class Loud(Watched):
    async def run(self, input: Nothing) -> Said:
        return await self.loud(input)


class Hungry(Watched):
    async def run(self, input: Nothing) -> Said:
        return await self.hungry(input)


class Held(Watched):
    async def run(self, input: Nothing) -> Said:
        self.logger.info("asking for a node")
        return await self.nowhere(input)
