"""The reconcile loop: takes keys from a queue and reconciles them, one at a time for each key.

An error costs the key that caused it a delay, and no other key anything. `run_worker` runs the loop
for AppRuns, `app_worker` for Apps.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Final, TypeAlias

from apprun_operator.act.executor import ReplanError
from apprun_operator.kube.errors import ApiError
from apprun_operator.observe.records import Key
from apprun_operator.reconcile.workqueue import KeyQueue

BackoffKey: TypeAlias = tuple[Key, str]
"""A key, and the name of the one object of it that is delayed; empty for the key as a whole."""
OnError: TypeAlias = Callable[[Key, str, Exception, float], None]
"""Called with the two parts of a `BackoffKey`, the error, and the delay in seconds."""

MAX_DOUBLINGS: Final = 16


class Backoff:
    """Exponential backoff for each key, with jitter.

    Args:
        first: Upper bound of the delay after the first failure, in seconds.
        last: Upper bound of every delay, in seconds.
        jitter: Returns a random number in [0, 1).
    """

    def __init__(self, first: float, last: float, jitter: Callable[[], float]) -> None:
        self._first = first
        self._last = last
        self._jitter = jitter
        self._failures: dict[BackoffKey, int] = {}

    def next_delay(self, key: BackoffKey, error: Exception) -> float:
        """Seconds until `key` may be tried again, the API server's `Retry-After` included."""
        count = self._failures[key] = self._failures.get(key, 0) + 1
        bound: float = min(self._first * 2.0 ** min(count - 1, MAX_DOUBLINGS), self._last)
        retry_after = error.retry_after if isinstance(error, ApiError) else None
        return (retry_after or 0.0) + bound * (0.5 + self._jitter() / 2)

    def reset(self, key: BackoffKey) -> None:
        """Forget the failures of `key`: it has succeeded."""
        self._failures.pop(key, None)


async def run_loop(
    queue: KeyQueue,
    reconcile: Callable[[Key], Awaitable[None]],
    backoff: Backoff,
    on_error: OnError,
    replan_after: float = 0.0,
) -> None:
    """Reconcile keys from `queue` until cancelled.

    Args:
        queue: Where keys come from, and where failed ones are put back.
        reconcile: One pass over a key. Raises ReplanError when its plan was out of date.
        backoff: How long a key that failed waits.
        on_error: Called for every other error.
        replan_after: Seconds until a key whose plan was out of date is taken again.
    """
    while True:
        key = await queue.get()
        try:
            await reconcile(key)
        except ReplanError:
            # The cache already holds what made the plan out of date, so this is no failure.
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
