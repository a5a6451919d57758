"""A loop of 200 small steps: in the test kit, and crashed at its steps."""

from __future__ import annotations

from tests.support.example import example

from application_sdk.testing import check_durability, run_app


def test_it_makes_its_200_steps_one_after_the_other() -> None:
    with example("small_steps", "app") as modules:
        app = modules["app"]
        finished = run_app(app.SmallSteps, app.Feed())
        assert finished.executed == ["read_page"] * 200
        assert finished.output.pages == 200
        assert finished.output.records > 0
        again = run_app(app.SmallSteps, app.Feed())
        assert again.output == finished.output


def test_it_goes_on_after_a_crash_at_any_step() -> None:
    with example("small_steps", "app") as modules:
        app = modules["app"]
        report = check_durability(app.SmallSteps, app.Feed(pages=20), orders=1, processes=0)
        assert report.checkpoints == 20
        assert report.executed == 20
        assert report.crashes >= 20


def test_its_steps_share_warm_pods() -> None:
    with example("small_steps", "app") as modules:
        reuse = modules["app"].SmallSteps.definition.task("read_page").settings.reuse
        assert reuse is not None
        assert reuse["replicas"] == {"min": 0, "max": 4}
