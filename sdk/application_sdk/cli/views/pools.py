"""What the warm pods of an App are doing: a row and a sentence for each pool. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from application_sdk.cli.sources.records import Pool

HEADINGS: Final = ("POOL", "TASKS", "SIZE", "BUSY", "IDLE", "STARTING", "DRAINING", "RENEWED")


def rows(pools: Sequence[Pool]) -> list[tuple[str, ...]]:
    """A row for each pool, for `HEADINGS`."""
    return [
        (pool.name, ", ".join(pool.tasks), *map(str, (pool.size, *_by_state(pool).values(), pool.renewed)))
        for pool in pools
    ]


def sentence(pool: Pool) -> str:
    """What the pods of a pool are doing."""
    tasks = f" ({', '.join(pool.tasks)})" if pool.tasks else ""
    counts = ", ".join(f"{count} {state}" for state, count in _by_state(pool).items() if count)
    renewed = f"; {pool.renewed} renewed" if pool.renewed else ""
    return f"Pool {pool.name}{tasks} has {pool.size} pod{'' if pool.size == 1 else 's'}: {counts}{renewed}."


def _by_state(pool: Pool) -> dict[str, int]:
    return {"busy": pool.busy, "idle": pool.idle, "starting": pool.starting, "draining": pool.draining}
