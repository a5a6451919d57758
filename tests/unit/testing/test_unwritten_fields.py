"""`check_durability` finds a field of the run's input that no record has: each life takes the default of that time."""

from __future__ import annotations

import pytest
from pydantic import BaseModel, Field

from application_sdk.app import App, task
from application_sdk.contracts import Input, Output
from application_sdk.testing import DurabilityError, check_durability


class Limits(BaseModel):
    most: int = Field(default=10, exclude=True)


class Given(Input, allow_unbounded_fields=True):
    limits: Limits = Limits()


class Done(Output):
    most: int = 0


class Excluding(App):
    @task
    async def work(self, input: Given) -> Done:
        return Done(most=input.limits.most)

    async def run(self, input: Given) -> Done:
        return await self.work(Given(limits=input.limits))


def test_a_field_that_is_not_written_is_found() -> None:
    with pytest.raises(DurabilityError, match=r"Given\.limits\.most of the run's input is left out"):
        check_durability(Excluding, Given())
