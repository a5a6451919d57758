"""What becomes of values on their way through JSON: each decision, and what is said when there is no way."""

from __future__ import annotations

import enum
import json
import math
import typing as t
from collections.abc import Callable
from datetime import UTC, datetime, timedelta, timezone
from zoneinfo import ZoneInfo

import pytest
from pydantic import AliasChoices, BaseModel, ConfigDict, Field, computed_field, field_serializer, field_validator

from application_sdk.contracts import (
    BoundedDict,
    BoundedList,
    ContractValidationError,
    HeartbeatDetails,
    Input,
    MaxItems,
    Output,
    Record,
    SerializableEnum,
)
from application_sdk.contracts.codec import decode, encode
from application_sdk.wire.digest import JSON, JSONObject, canonical_json


def through_json(value: BaseModel) -> t.Any:
    return decode(type(value), json.loads(canonical_json(encode(value))))


def refusal(act: Callable[[], object]) -> str:
    with pytest.raises(ContractValidationError) as caught:
        act()
    assert caught.value.retryable is False
    return str(caught.value)


class FetchInput(Input):
    name: str = "World"


class FetchOutput(Output):
    message: str = ""


class Settings(BaseModel):
    depth: int = 1


class Crawl(Input):
    url: str
    settings: Settings = Settings()


class CrawlResult(Output):
    settings: Settings = Settings()


# Unknown and missing fields


def test_a_field_that_an_input_does_not_have_is_refused_and_the_one_meant_is_named() -> None:
    assert refusal(lambda: decode(FetchInput, {"nmae": "Ada"})) == (
        "The JSON is no FetchInput:\n  FetchInput.nmae: 'Ada'\n    there is no such field. Did you mean name?"
    )


def test_a_field_that_a_nested_plain_model_does_not_have_is_refused_in_inputs() -> None:
    message = refusal(lambda: decode(Crawl, {"url": "x", "settings": {"breadth": 3}}))
    assert "Crawl.settings.breadth: 3\n    there is no such field. Settings has: depth." in message


def test_every_fault_of_a_payload_is_named_at_once() -> None:
    message = refusal(lambda: decode(Crawl, {"settings": {"depth": "deep"}, "usr": 1}))
    assert "Crawl.url\n    the field is required and has no default. Add it." in message
    assert "Crawl.settings.depth: 'deep'\n    input should be a valid integer" in message
    assert "Crawl.usr: 1\n    there is no such field. Did you mean url?" in message


def test_an_unknown_field_in_an_output_of_another_version_is_ignored() -> None:
    assert decode(FetchOutput, {"message": "hi", "added_later": 1}) == FetchOutput(message="hi")
    assert decode(CrawlResult, {"settings": {"depth": 2, "added_later": 1}}).settings.depth == 2


def test_an_unknown_field_in_the_heartbeat_of_another_version_is_ignored() -> None:
    class Progress(HeartbeatDetails):
        page: int = 0

    assert decode(Progress, {"page": 3, "added_later": 1}).page == 3


def test_the_caller_may_decide_on_unknown_fields() -> None:
    assert decode(FetchInput, {"extra": 1}, unknown="ignore") == FetchInput()
    assert "no such field" in refusal(lambda: decode(FetchOutput, {"extra": 1}, unknown="refuse"))


def test_a_typing_error_in_code_is_refused_for_outputs_too() -> None:
    with pytest.raises(ValueError, match="mesage"):
        FetchOutput(mesage="hi")  # type: ignore[call-arg]


def test_a_nested_model_with_a_rule_of_its_own_on_unknown_fields_is_read_by_it() -> None:
    class Tolerant(BaseModel):
        model_config = ConfigDict(extra="ignore")
        depth: int = 1

    class Holder(Input):
        tolerant: Tolerant

    assert decode(Holder, {"tolerant": {"depth": 2, "other": 3}}).tolerant.depth == 2
    assert "no such field" in refusal(lambda: decode(Holder, {"tolerant": {}, "other": 3}))


def test_extra_fields_that_the_hatch_allows_survive() -> None:
    class Open(Output, allow_unbounded_fields=True):
        model_config = ConfigDict(extra="allow")

    value = Open(a=1, b=[True])
    assert through_json(value) == value


@pytest.mark.parametrize("payload", [None, [], "text", 1])
def test_a_payload_that_is_no_object_is_refused(payload: JSON) -> None:
    assert refusal(lambda: decode(FetchInput, payload)).startswith("The JSON is no FetchInput:")


def test_something_that_is_no_json_at_all_is_refused() -> None:
    assert "is not JSON" in refusal(lambda: decode(FetchInput, {"name": object()}))  # type: ignore[dict-item]


# Numbers


class Numbers(Output):
    whole: int = 0
    real: float = 0.0
    maybe: float | None = None


@pytest.mark.parametrize("real", [math.inf, -math.inf, 1e308, 5e-324, 1e17, 2.0**63, 123456789012345680000.0, 0.1])
def test_floats_survive(real: float) -> None:
    assert through_json(Numbers(real=real, maybe=real)) == Numbers(real=real, maybe=real)


def test_nan_survives_as_text() -> None:
    assert encode(Numbers(real=math.nan))["real"] == "NaN"
    assert math.isnan(through_json(Numbers(real=math.nan)).real)
    assert math.isnan(through_json(Numbers(maybe=math.nan)).maybe)


def test_whole_numbers_that_doubles_cannot_tell_apart_are_written_as_text() -> None:
    assert encode(Numbers(whole=2**53 - 1))["whole"] == 2**53 - 1
    assert encode(Numbers(whole=2**53))["whole"] == "9007199254740992"
    for whole in (2**53 + 1, -(2**53) - 1, 2**64, 10**300):
        assert through_json(Numbers(whole=whole)).whole == whole


def test_a_float_without_fraction_is_written_as_every_json_library_would() -> None:
    written = encode(Numbers(real=3.0))
    assert type(written["real"]) is int
    assert type(through_json(Numbers(real=3.0)).real) is float


def test_a_large_float_is_written_with_the_digits_that_an_api_server_writes() -> None:
    assert encode(Numbers(real=2.0**63))["real"] == 9223372036854776000
    assert encode(Numbers(real=1e21))["real"] == 1e21


def test_an_int_where_a_float_is_declared_becomes_one_when_the_object_is_made() -> None:
    class Scored(Output):
        score: float = 3

    assert type(Scored().score) is float


def test_true_is_not_one() -> None:
    value = Numbers()
    value.whole = True
    assert "Numbers.whole: True (bool)" in refusal(lambda: encode(value))


# Times


class Times(Output):
    at: datetime
    took: timedelta = timedelta()


def test_a_time_without_zone_stays_without() -> None:
    assert through_json(Times(at=datetime(2026, 3, 29, 2, 30))).at.tzinfo is None


@pytest.mark.parametrize("zone", [UTC, timezone(timedelta(hours=-3, minutes=-30)), ZoneInfo("Europe/Berlin")])
def test_the_instant_and_the_offset_of_a_time_survive(zone: timezone | ZoneInfo) -> None:
    at = datetime(2026, 7, 1, 12, 0, 0, 123456, zone)
    again = through_json(Times(at=at)).at
    assert (again, again.utcoffset()) == (at, at.utcoffset())


def test_the_name_of_a_zone_does_not_survive() -> None:
    again = through_json(Times(at=datetime(2026, 7, 1, tzinfo=ZoneInfo("Europe/Berlin")))).at
    assert again + timedelta(days=180) != datetime(2026, 7, 1, tzinfo=ZoneInfo("Europe/Berlin")) + timedelta(days=180)


@pytest.mark.parametrize("took", [timedelta.max, timedelta.min, timedelta(microseconds=-1), timedelta(days=400)])
def test_durations_survive(took: timedelta) -> None:
    value = Times(at=datetime(2026, 1, 1), took=took)
    assert through_json(value).took == took


def test_an_offset_that_a_serializer_changes_is_found_out() -> None:
    class InUtc(Output):
        at: datetime

        @field_serializer("at")
        def _utc(self, at: datetime) -> str:
            return at.astimezone(UTC).isoformat()

    assert encode(InUtc(at=datetime(2026, 1, 1, tzinfo=UTC)))
    assert "InUtc.at" in refusal(lambda: encode(InUtc(at=datetime(2026, 1, 1, tzinfo=ZoneInfo("Europe/Berlin")))))


def test_a_subclass_of_datetime_is_refused_rather_than_flattened() -> None:
    class Stamp(datetime):
        pass

    value = Times(at=Stamp(2026, 1, 1))
    assert "Times.at: " in refusal(lambda: encode(value))


# Text


def test_any_text_survives_nul_and_astral_characters_included() -> None:
    value = FetchOutput(message="a\x00b\u2028\U0001f600\r\n")
    assert through_json(value) == value


def test_half_a_surrogate_pair_is_refused() -> None:
    assert refusal(lambda: encode(FetchOutput(message="\ud800"))).startswith(
        "This FetchOutput can't be written as JSON:"
    )


# Subclasses


class Shape(Record):
    pass


class Circle(Shape):
    radius: float


class Drawing(Output):
    shape: Shape
    more: BoundedList[Shape, 3] = []


def test_a_subclass_in_a_field_is_refused_not_sliced() -> None:
    message = refusal(lambda: encode(Drawing(shape=Circle(id="1", radius=2))))
    assert "Drawing.shape: Circle(id='1', radius=2.0) (Circle)" in message
    assert "Circle is more than the declared Shape, which is all that would be read back." in message
    assert "Drawing.more[1]" in refusal(
        lambda: encode(Drawing(shape=Shape(id="0"), more=[Shape(id="1"), Circle(id="2", radius=1)]))
    )


def test_a_union_keeps_the_subclass() -> None:
    class Gallery(Output):
        shape: Circle | Shape

    for shape in (Shape(id="1"), Circle(id="1", radius=2)):
        assert type(through_json(Gallery(shape=shape)).shape) is type(shape)


def test_a_subclass_of_the_declared_contract_is_refused() -> None:
    class Longer(FetchOutput):
        more: int = 1

    message = refusal(lambda: encode(Longer(), FetchOutput))
    assert message.startswith("FetchOutput is declared, Longer was given.")
    assert "Longer derives from FetchOutput, which is all that would be read back. Declare Longer" in message


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (None, "FetchOutput is declared, None was given."),
        ({"message": "hi"}, "FetchOutput is declared, dict was given."),
        (FetchInput(), "FetchOutput is declared, FetchInput was given."),
    ],
)
def test_anything_but_the_declared_contract_is_refused(given: t.Any, message: str) -> None:
    assert refusal(lambda: encode(given, FetchOutput)).startswith(message)


NEW_YORK = ZoneInfo("America/New_York")


class Hours(Output):
    at: datetime
    days: t.Annotated[dict[datetime, int], MaxItems(3)] = {}
    seen: t.Annotated[set[datetime], MaxItems(3)] = set()


@pytest.mark.parametrize("fold", [0, 1])
@pytest.mark.parametrize("hour", [datetime(2026, 11, 1, 1, 30), datetime(2026, 3, 8, 2, 30)], ids=str)
def test_an_hour_that_a_zone_repeats_or_skips_is_stored(hour: datetime, fold: int) -> None:
    at = hour.replace(tzinfo=NEW_YORK, fold=fold)
    again = decode(Hours, encode(Hours(at=at, days={at: 1}, seen={at})))
    for found in (again.at, *again.days, *again.seen):
        assert (found.isoformat(), found.utcoffset()) == (at.isoformat(), at.utcoffset())


def test_an_offset_of_seconds_is_refused_with_what_to_store() -> None:
    at = datetime(1880, 1, 1, tzinfo=NEW_YORK)
    message = refusal(lambda: encode(Hours(at=at)))
    assert "whole minutes" in message
    assert "astimezone(UTC)" in message
    assert decode(Hours, encode(Hours(at=at.astimezone(UTC)))).at == at


class Loose(Output):
    id: int | str
    ratio: float | str = 0.0


@pytest.mark.parametrize(
    ("value", "written"),
    [
        (Loose(id=5), {"id": 5, "ratio": 0}),
        (Loose(id=1234567890123456789), {"id": 1234567890123456789, "ratio": 0}),
        (Loose(id=2**70), {"id": "apprun.dev/number:1180591620717411303424", "ratio": 0}),
        (Loose(id="5", ratio=float("inf")), {"id": "5", "ratio": "apprun.dev/number:inf"}),
        (Loose(id="5", ratio="NaN"), {"id": "5", "ratio": "NaN"}),
        (Loose(id="apprun.dev/number:7"), {"id": "apprun.dev/number:=apprun.dev/number:7", "ratio": 0}),
    ],
    ids=repr,
)
def test_a_number_beside_text_is_kept_as_what_it_is(value: Loose, written: dict[str, object]) -> None:
    assert encode(value) == written
    assert decode(Loose, encode(value)) == value


def test_a_value_that_its_own_class_refuses_is_named() -> None:
    value = Numbers()
    value.real = "fast"  # type: ignore[assignment]
    message = refusal(lambda: encode(value))
    assert message.startswith(
        "This Numbers can't be stored: it holds what its own class refuses.\n  Numbers.real: 'fast'"
    )


def test_a_list_that_grew_beyond_its_bound_is_refused() -> None:
    class Few(Output):
        names: BoundedList[str, 2] = []

    value = Few(names=["a", "b"])
    value.names.append("c")
    assert "Few.names" in refusal(lambda: encode(value))


def test_a_field_that_was_never_set_is_named() -> None:
    class Two(Output):
        first: int
        second: int | None = None

    assert "Two.first" in refusal(lambda: encode(Two.model_construct()))


def test_a_validator_that_changes_its_own_results_is_found_out() -> None:
    class Growing(Output):
        name: str

        @field_validator("name")
        @classmethod
        def _grow(cls, name: str) -> str:
            return f"{name}!"

    message = refusal(lambda: encode(Growing(name="a")))
    assert "Growing.name: 'a!'\n    it would read back as 'a!!'." in message


def test_a_serializer_that_forgets_is_found_out() -> None:
    class Masked(Output):
        name: str

        @field_serializer("name")
        def _mask(self, name: str) -> str:
            return "***"

    assert "it would read back as '***'" in refusal(lambda: encode(Masked(name="a")))


# Aliases, defaults, computed fields


class Aliased(Output):
    page_size: int = Field(default=10, alias="pageSize")
    other: int = Field(default=0, validation_alias=AliasChoices("another", "more"))


def test_aliases_are_the_keys_of_the_json() -> None:
    assert encode(Aliased(page_size=5)) == {"other": 0, "pageSize": 5}
    assert through_json(Aliased(page_size=5)).page_size == 5


def test_a_field_is_read_under_its_own_name_and_under_each_alias() -> None:
    assert decode(Aliased, {"page_size": 5, "more": 3}) == decode(Aliased, {"pageSize": 5, "other": 3})


def test_a_nested_plain_model_is_read_under_names_and_aliases_too() -> None:
    class Paging(BaseModel):
        size: int = Field(alias="pageSize")

    class Query(Input):
        paging: Paging

    query = Query(paging=Paging(pageSize=3))
    assert encode(query) == {"paging": {"pageSize": 3}}
    assert decode(Query, {"paging": {"size": 3}}) == decode(Query, {"paging": {"pageSize": 3}}) == query


def test_defaults_are_written_out_so_that_a_later_default_changes_nothing_that_was_stored() -> None:
    assert encode(FetchInput()) == {"name": "World"}


def test_computed_fields_are_not_stored() -> None:
    class Square(Output):
        side: float

        @computed_field  # type: ignore[prop-decorator]
        @property
        def area(self) -> float:
            return self.side**2

    assert encode(Square(side=2)) == {"side": 2}
    assert through_json(Square(side=2)).area == 4


# Collections


def test_sets_are_sorted_so_that_equal_values_give_equal_json_in_every_process() -> None:
    class Tags(Output):
        tags: t.Annotated[set[str], MaxItems(100)]
        nested: BoundedDict[str, t.Annotated[frozenset[int], MaxItems(10)], 10]

    names = [f"tag-{n}" for n in range(50)]
    written = encode(Tags(tags=set(names), nested={"a": frozenset({30, 4, 100})}))
    assert written["tags"] == sorted(names)
    assert written["nested"] == {"a": [100, 30, 4]}


def test_the_keys_of_mappings_are_sorted_since_stores_do_not_keep_their_order() -> None:
    class Counts(Output):
        counts: BoundedDict[str, int, 10]

    assert list(t.cast("JSONObject", encode(Counts(counts={"b": 1, "a": 2}))["counts"])) == ["a", "b"]


def test_keys_of_mappings_keep_their_type() -> None:
    class Colour(SerializableEnum):
        RED = enum.auto()

    class Maps(Output):
        numbers: BoundedDict[int, str, 5]
        colours: BoundedDict[Colour, int, 5]
        days: BoundedDict[datetime, int, 5]

    value = Maps(numbers={10: "a", 2: "b"}, colours={Colour.RED: 1}, days={datetime(2026, 1, 1): 1})
    again = through_json(value)
    assert again == value
    assert type(next(iter(again.colours))) is Colour


def test_a_tuple_where_a_sequence_is_declared_is_refused_rather_than_made_a_list() -> None:
    class Holder(Output):
        items: t.Annotated[t.Sequence[int], MaxItems(3)]

    assert encode(Holder(items=[1]))
    assert "it would read back as [1] (list)" in refusal(lambda: encode(Holder(items=(1,))))


def test_what_any_holds_behind_the_hatch_is_refused_unless_json_has_it() -> None:
    class Loose(Output, allow_unbounded_fields=True):
        value: t.Any

    assert through_json(Loose(value={"a": [1, 2.5, None, "x"]})) == Loose(value={"a": [1, 2.5, None, "x"]})
    assert "Loose.value{a}" in refusal(lambda: encode(Loose(value={"a": datetime(2026, 1, 1)})))


def test_what_cannot_be_written_at_all_is_refused_with_the_class_named() -> None:
    class Loose(Output, allow_unbounded_fields=True):
        value: t.Any

    for value in (object(), b"\xff", 1j, lambda: 1):
        assert "Loose" in refusal(lambda value=value: encode(Loose(value=value)))  # type: ignore[misc]


def test_what_contains_itself_is_refused() -> None:
    class Loose(Output, allow_unbounded_fields=True):
        value: list[t.Any]

    value = Loose(value=[])
    value.value.append(value.value)
    assert refusal(lambda: encode(value)).startswith("This Loose can't be written as JSON:")


class Unfinished(Input):
    later: Nowhere  # type: ignore[name-defined]  # noqa: F821


def test_a_payload_of_a_class_that_is_not_complete_is_refused_with_the_reason() -> None:
    assert "forward references aren't resolved" in refusal(lambda: decode(Unfinished, {}))


def test_errors_can_be_sent_to_another_process() -> None:
    import pickle

    with pytest.raises(ContractValidationError) as caught:
        decode(FetchInput, {"nmae": 1})
    again = pickle.loads(pickle.dumps(caught.value))
    assert (str(again), again.contract, again.problems) == (str(caught.value), "FetchInput", caught.value.problems)
