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

BackoffKey: TypeAlias = tuple[Key, str]
"""A key, and the name of the object of it that is paused; empty for the key as a whole."""
OnError: TypeAlias = Callable[[Key, str, Exception, float], None]

MAX_DOUBLINGS: Final = 16


class Backoff:
    """How long to leave alone what failed: longer each time, plus what the API server asks for. `chance` is jitter."""

    def __init__(self, first: float, last: float, jitter: Callable[[], float]) -> None:
        self._first = first
        self._last = last
        self._jitter = jitter
        self._failures: dict[BackoffKey, int] = {}

    def next_delay(self, key: BackoffKey, error: Exception) -> float:
        """Seconds until `what` may be tried again."""
        count = self._failures[key] = self._failures.get(key, 0) + 1
        bound: float = min(self._first * 2.0 ** min(count - 1, MAX_DOUBLINGS), self._last)
        asked = error.retry_after if isinstance(error, ApiError) else None
        return (asked or 0.0) + bound * (0.5 + self._jitter() / 2)

    def reset(self, key: BackoffKey) -> None:
        """It went well."""
        self._failures.pop(key, None)


async def run_loop(
    queue: KeyQueue,
    reconcile: Callable[[Key], Awaitable[None]],
    backoff: Backoff,
    on_error: OnError,
    replan_after: float = 0.0,
) -> None:
    """Reconcile keys until cancelled."""
    while True:
        key = await queue.get()
        try:
            await reconcile(key)
        except ReplanError:
            if replan_after:
                queue.put_after(key, replan_after)
            else:
                queue.put(key)
        except Exception as error:  # noqa: BLE001 (a bad object must not stop the others)
            delay = backoff.next_delay((key, ""), error)
            on_error(key, "", error, delay)
            queue.put_after(key, delay)
        else:
            backoff.reset((key, ""))
        finally:
            queue.done(key)
