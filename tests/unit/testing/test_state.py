"""State in a test's run: kept with a task's success, given to the next run, and never half."""

from __future__ import annotations

import pytest

from application_sdk.app import App, task
from application_sdk.contracts import Input, Output
from application_sdk.testing import run_app
from application_sdk.wire.fields import MAX_STATE_BYTES


class Move(Input):
    how: str = "advance"
    key: str = "marker"


class Moved(Output):
    found: int = -1
    deleted: bool = False


class Marked(App):
    @task(retry_max_attempts=2)
    async def advance(self, input: Move) -> Moved:
        found = (await self.context.load_state(input.key) or {"at": 0})["at"]
        assert isinstance(found, int)
        await self.context.save_state(input.key, {"at": found + 1})
        own = await self.context.load_state(input.key)
        assert own == {"at": found + 1}
        if input.how == "fail-once" and self.task_context.attempt == 1:
            raise ValueError("after it had saved")
        return Moved(found=found)

    @task(retry_max_attempts=1)
    async def odd(self, input: Move) -> Moved:
        if input.how == "large":
            await self.context.save_state("large", {"text": "x" * MAX_STATE_BYTES})
        if input.how == "key":
            await self.context.save_state("", {})
        if input.how == "text":
            await self.context.save_state("text", "no object")  # type: ignore[arg-type]
        if input.how == "set":
            await self.context.save_state("set", {"value": {1}})  # type: ignore[dict-item]
        return Moved(deleted=await self.context.delete_state(input.key))

    async def run(self, input: Move) -> Moved:
        if input.how == "twice":
            await self.advance(input)
        if input.how in ("advance", "twice", "fail-once"):
            return await self.advance(Move(how=input.how, key=input.key))
        return await self.odd(input)


def test_later_task_of_a_run_sees_what_an_earlier_one_saved() -> None:
    finished = run_app(Marked, Move(how="twice"))
    assert finished.output.found == 1
    assert finished.state == {"marker": {"at": 2}}


def test_next_run_goes_on_from_what_is_kept() -> None:
    assert run_app(Marked, Move(), state={"marker": {"at": 7}}).output.found == 7


def test_attempt_that_fails_leaves_nothing_for_the_next_one() -> None:
    finished = run_app(Marked, Move(how="fail-once"))
    assert finished.output.found == 0
    assert finished.state == {"marker": {"at": 1}}


def test_deleted_key_is_gone_and_others_stay() -> None:
    finished = run_app(Marked, Move(how="delete"), state={"marker": {"at": 7}, "other": {}})
    assert finished.output.deleted
    assert finished.state == {"other": {}}


@pytest.mark.parametrize(
    ("how", "told"),
    [
        ("large", "files or in a store of your own"),
        ("key", "printable text"),
        ("text", "takes a JSON object"),
        ("set", "what JSON can say"),
    ],
)
def test_state_that_cannot_be_kept_fails_the_task_at_once_with_the_reason(how: str, told: str) -> None:
    finished = run_app(Marked, Move(how=how))
    assert finished.outcome == "Failed"
    assert told in finished.message
    assert finished.state == {}


def test_more_than_an_app_may_keep_in_all_is_refused() -> None:
    filled = {"old": {"text": "x" * (MAX_STATE_BYTES - 30)}}
    finished = run_app(Marked, Move(), state=filled)
    assert "StateTooLarge" in finished.message
    assert finished.state == filled
