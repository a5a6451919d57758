"""Fields with defaults that are added to a task's Input while runs are under way: their calls stay the same calls."""

from dataclasses import replace
from typing import Any

from pydantic import create_model
from tests.support.routes import INFO, Bench

from application_sdk.app import App, task
from application_sdk.app.manifest import incompatibilities, manifest_of
from application_sdk.contracts import Input, Output
from application_sdk.engines.memory import SimulatedCrash


class Start(Input):
    pass


class Done(Output):
    text: str = ""


def app(page_size: int | None, *, explicit: int | None = None, zone: bool = False) -> type[App]:
    """An app whose task's Input has a field `page_size` of that default, or none."""

    place = create_model("Place", city=(str, ...), **({"zone": (str, "UTC")} if zone else {}))  # type: ignore[call-overload]
    added: dict[str, Any] = {} if page_size is None else {"page_size": (int, page_size)}
    fetch: Any = create_model("Fetch", __base__=Input, place=(place, ...), **added)

    class Fetching(App):
        @task
        async def load(self, input: fetch) -> Done:
            return Done(text=str(getattr(input, "page_size", None)))

        async def run(self, input: Start) -> Done:
            given = {} if explicit is None else {"page_size": explicit}
            first = await self.load(fetch(place=place(city="X"), **given))
            second = await self.load(fetch(place=place(city="X"), **given))
            return Done(text=f"{first.text} {second.text}")

    return Fetching


def after_a_crash(before: type[App], after: type[App], rules: int | None = None) -> Bench:
    """A run of `before` that dies with one of its two calls done, and goes on as `after`."""
    bench = Bench(before, Start(), info=replace(INFO, replay_rules=rules))
    try:
        bench.run(lambda step: step.kind == "after schedule" and step.committed == 1)
    except SimulatedCrash:
        pass
    assert len(bench.world.calls) == 2
    bench.result = bench.run(app=after)  # type: ignore[attr-defined]
    return bench


def end(bench: Bench) -> str:
    result = bench.result  # type: ignore[attr-defined]
    return str(result.output["text"]) if result.output else str(result.error["message"])


def test_runs_under_way_go_on_with_a_field_that_was_added() -> None:
    bench = after_a_crash(app(None), app(50, zone=True))
    assert end(bench) == "None None"  # Both had been called.
    assert bench.executed() == ["load", "load"]


def test_under_the_first_rules_they_stall() -> None:
    assert "place.zone: absent" in end(after_a_crash(app(None), app(50, zone=True), rules=1))


def test_a_field_that_has_another_value_than_its_default_counts() -> None:
    assert "page_size: absent → 7" in end(after_a_crash(app(None), app(50, explicit=7)))


def test_added_fields_are_not_blamed_for_a_divergence() -> None:
    told = end(after_a_crash(app(50, explicit=7), app(50, explicit=8, zone=True)))
    assert "page_size: 7 → 8" in told
    assert "zone" not in told


def test_a_changed_default_is_told_where_the_values_are_the_same() -> None:
    told = end(after_a_crash(app(50, explicit=50), app(60, explicit=50)))
    assert "a default that one of them equals has been changed" in told


def test_the_check_agrees() -> None:
    def check(old: type[App], new: type[App]) -> str:
        return " ".join(incompatibilities(manifest_of(old.definition), manifest_of(new.definition)))

    assert check(app(None), app(50, zone=True)) == ""
    assert "page_size: its default was 50, is 60 now" in check(app(50), app(60))
