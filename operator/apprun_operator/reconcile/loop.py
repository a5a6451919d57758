"""Works off a queue of keys for ever, one pass a key at a time. Whatever a pass runs into costs that key a pause, and
nobody else anything. `worker` does so with runs, `appworker` with Apps.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Final, TypeAlias

from apprun_operator.act.executor import ReplanError
from apprun_operator.kube.errors import ApiError
from apprun_operator.observe.records import Key
from apprun_operator.reconcile.workqueue import KeyQueue

What: TypeAlias = tuple[Key, str]
"""A key, and the name of the object of it that is paused; empty for the key as a whole."""
Told: TypeAlias = Callable[[Key, str, Exception, float], None]

MOST_DOUBLINGS: Final = 16


class Pauses:
    """How long to leave alone what failed: longer each time, plus what the API server asks for. `chance` is jitter."""

    def __init__(self, first: float, last: float, chance: Callable[[], float]) -> None:
        self._first = first
        self._last = last
        self._chance = chance
        self._failures: dict[What, int] = {}

    def after(self, what: What, error: Exception) -> float:
        """Seconds until `what` may be tried again."""
        count = self._failures[what] = self._failures.get(what, 0) + 1
        bound: float = min(self._first * 2.0 ** min(count - 1, MOST_DOUBLINGS), self._last)
        asked = error.retry_after if isinstance(error, ApiError) else None
        return (asked or 0.0) + bound * (0.5 + self._chance() / 2)

    def forget(self, what: What) -> None:
        """It went well."""
        self._failures.pop(what, None)


async def work_off(
    queue: KeyQueue, one_pass: Callable[[Key], Awaitable[None]], pauses: Pauses, tell: Told, replan_after: float = 0.0
) -> None:
    """Until cancelled. `tell` hears of each failure and its pause, `replan_after` is the pause after a stale plan."""
    while True:
        key = await queue.get()
        try:
            await one_pass(key)
        except ReplanError:
            if replan_after:
                queue.put_after(key, replan_after)
            else:
                queue.put(key)
        except Exception as error:  # noqa: BLE001 (a bad object must not stop the others)
            delay = pauses.after((key, ""), error)
            tell(key, "", error, delay)
            queue.put_after(key, delay)
        else:
            pauses.forget((key, ""))
        finally:
            queue.done(key)
