"""What is said of names in `spec.tasks` that no task has."""

from __future__ import annotations

from application_sdk.wire.task_names import SHOWN, unknown_tasks


def test_names_of_tasks_are_right() -> None:
    assert unknown_tasks(["charge", "ship"], {"charge": 1, "ship": 2, "pack": 3}) == ""
    assert unknown_tasks([], []) == ""


def test_first_wrong_name_is_told_with_its_path_and_the_right_ones() -> None:
    assert unknown_tasks(["typo", "ship", "later"], ["ship", "charge"]) == (
        "spec.tasks.later of the App: the app has no task of that name; it has charge, ship. Correct the name"
    )
    assert "it has none" in unknown_tasks(["typo"], [])


def test_hundreds_of_tasks_are_not_all_listed() -> None:
    problem = unknown_tasks(["typo"], [f"task_{number:03}" for number in range(SHOWN + 7)])
    assert problem.endswith("task_019 and 7 more. Correct the name")
