"""`App.map`: one task for many items, a bounded number of calls at once, the outputs in the order of the items."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import TYPE_CHECKING, Literal, TypeVar

from application_sdk.app.task import BoundTask
from application_sdk.errors import MisuseError, TaskFailedError

if TYPE_CHECKING:
    from application_sdk.contracts.base import Input, Output

In = TypeVar("In", bound="Input")
Out = TypeVar("Out", bound="Output")


async def map_task(
    task: BoundTask[In, Out], items: Iterable[In], limit: int | None, on_error: Literal["raise", "collect"], line: str
) -> list[Out | TaskFailedError]:
    """What `App.map` does. `line` is where it was called."""
    if not isinstance(task, BoundTask):
        raise MisuseError(f"{line}: map() takes a task of the app, such as self.fetch, not {type(task).__name__}")
    if on_error not in ("raise", "collect"):
        raise MisuseError(f'{line}: map(on_error={on_error!r}): use "raise" or "collect"')
    if limit is not None and (type(limit) is not int or limit < 1):
        raise MisuseError(
            f"{line}: map(limit={limit!r}): use a whole number of calls from 1 up, or None for all at once"
        )
    inputs = list(items)
    slots = asyncio.Semaphore(limit or max(len(inputs), 1))

    async def call(item: In) -> Out | TaskFailedError:
        async with slots:
            try:
                return await task.call_from(line, item)
            except TaskFailedError as error:
                if on_error == "raise":
                    raise
                return error

    # A branch for each item, begun here: so an item's call keeps its key, whichever of the others is done first.
    branches = [asyncio.ensure_future(call(item)) for item in inputs]
    try:
        return list(await asyncio.gather(*branches))
    finally:
        for branch in branches:
            branch.cancel()
        await asyncio.gather(*branches, return_exceptions=True)
