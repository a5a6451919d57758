"""Makes asyncio's own sets keep an order in a route: coroutines and gathered futures would be sorted by their address.

Tasks and futures of `replay.loop` have stable hashes already. What is left are `as_completed(coroutines)`, which
puts them through a set, and `wait([gather(…), gather(…)])`, whose futures are of a class of asyncio's own.
"""

from __future__ import annotations

import asyncio.tasks
from collections.abc import Iterable
from typing import Any

from typing_extensions import override

from application_sdk.execution import current
from application_sdk.replay.guard.patches import Patch

_RealGathering: Any = asyncio.tasks._GatheringFuture  # type: ignore[attr-defined] # noqa: SLF001


class Gathering(_RealGathering):  # type: ignore[misc]
    """`gather`'s future; in a route its hash is its number."""

    def __init__(self, children: Any, *, loop: asyncio.AbstractEventLoop) -> None:
        number = getattr(loop, "next_number", None)
        self._hash = number() if number is not None else object.__hash__(self)
        super().__init__(children, loop=loop)

    @override
    def __hash__(self) -> int:
        return int(self._hash)


def _set(items: Iterable[object] | None = None) -> Iterable[object]:
    """Stands for `set` inside asyncio.tasks, which fills empty ones and only looks at full ones."""
    if items is None:
        return set()
    runtime = current.get()
    if runtime is None or not runtime.in_route:
        return set(items)
    return dict.fromkeys(items).keys()


def ordering_patches() -> list[Patch]:
    """For `asyncio.tasks`."""
    return [Patch(asyncio.tasks, "set", _set), Patch(asyncio.tasks, "_GatheringFuture", Gathering)]
