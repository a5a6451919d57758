"""Moving the collector's work finds a route's cycles, and leaves the program's own objects alone."""

from __future__ import annotations

import gc
import weakref

from application_sdk.testing.gc_moments import collecting_often, older_objects_frozen


class Node:
    def __init__(self) -> None:
        self.itself = self


def work() -> None:
    """Allocate what a few steps of a program allocate."""
    kept = [[number] for number in range(100)]
    assert len(kept) == 100


def test_a_cycle_is_found_within_a_few_steps() -> None:
    with collecting_often():
        node = weakref.ref(Node())
        work()
        assert node() is None


def test_older_objects_are_not_looked_through() -> None:
    node = Node()
    with older_objects_frozen(), collecting_often():
        work()
        assert is_frozen(node)
    assert not is_frozen(node)


def test_objects_that_the_program_froze_stay_frozen() -> None:
    node = Node()
    gc.freeze()
    try:
        older = Node()
        with older_objects_frozen():
            work()
            assert is_frozen(older)
        assert is_frozen(node)
    finally:
        gc.unfreeze()


def is_frozen(node: Node) -> bool:
    return all(tracked is not node for tracked in gc.get_objects())
