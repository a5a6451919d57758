"""Which classes may be contracts, and what a refusal says."""

from __future__ import annotations

import array
import collections
import collections.abc as abc
import dataclasses
import datetime as dt
import enum
import ipaddress
import pathlib
import typing as t
import uuid
from decimal import Decimal

import annotated_types
import pydantic
import pytest
from pydantic import BaseModel, ConfigDict, Field, RootModel, create_model
from typing_extensions import TypeAliasType, TypedDict

from application_sdk.contracts import (
    BoundedDict,
    BoundedList,
    FileReference,
    GitReference,
    HeartbeatDetails,
    Input,
    MaxItems,
    Output,
    PayloadSafetyError,
    Record,
    validate_payload_safety,
)


class Colour(enum.StrEnum):
    RED = "red"


class Level(enum.IntEnum):
    LOW = 1


class Pair(t.NamedTuple):
    left: int
    right: str


class Options(TypedDict):
    fast: bool


class Cat(BaseModel):
    name: str


class Dog(BaseModel):
    name: str


class NamedCat(BaseModel):
    name: str
    nickname: str = ""


class Numbered(BaseModel):
    name: int


@dataclasses.dataclass
class Point:
    x: float
    y: float


class Row(BaseModel):
    name: str


class LooseRow(BaseModel):
    values: dict[str, t.Any]


class Anything:
    pass


class BytesEnum(enum.Enum):
    A = b"a"


@dataclasses.dataclass
class LoosePoint:
    tags: list[str]


UserId = t.NewType("UserId", str)
Blob = t.NewType("Blob", bytes)
Ids = TypeAliasType("Ids", t.Annotated[list[int], MaxItems(5)])
LooseIds = TypeAliasType("LooseIds", list[int])
JsonLike = TypeAliasType("JsonLike", "t.Annotated[list[JsonLike], MaxItems(3)] | None")
T = t.TypeVar("T")
Batch = TypeAliasType("Batch", t.Annotated[list[T], MaxItems(5)], type_params=(T,))

ACCEPTED = [
    str,
    int,
    float,
    bool,
    None,
    str | None,
    Decimal,
    dt.date,
    dt.datetime,
    dt.time,
    dt.timedelta,
    uuid.UUID,
    pydantic.UUID4,
    pydantic.HttpUrl,
    pydantic.PositiveInt,
    pydantic.AwareDatetime,
    pydantic.NaiveDatetime,
    pydantic.StrictStr,
    pathlib.Path,
    ipaddress.IPv4Address,
    ipaddress.IPv6Network,
    Colour,
    Level,
    t.Literal["a", 1, None],
    t.Literal[Colour.RED],
    t.Literal["auto"] | str,
    int | str,
    Cat | NamedCat,
    Cat | Numbered,
    t.Annotated[
        t.Annotated[Cat, pydantic.Tag("cat")] | t.Annotated[Dog, pydantic.Tag("dog")],
        pydantic.Discriminator(lambda value: "cat"),
    ],
    t.Annotated[list[int], MaxItems(3)] | t.Annotated[list[str], MaxItems(3)],
    t.Literal["auto"] | dt.date,
    Row,
    Row | FileReference,
    FileReference,
    GitReference,
    UserId,
    Ids,
    Batch[int],
    Point,
    Pair,
    Options,
    tuple[int, str],
    tuple[()],
    t.Annotated[list[int], MaxItems(3)],
    t.Annotated[list[int], Field(max_length=3)],
    t.Annotated[list[int], annotated_types.MaxLen(3)],
    t.Annotated[list[int], annotated_types.Len(0, 3)],
    t.Annotated[list[int] | None, MaxItems(3)],
    t.Annotated[tuple[int, ...], MaxItems(3)],
    t.Annotated[set[str], MaxItems(3)],
    t.Annotated[frozenset[str], MaxItems(3)],
    t.Annotated[collections.deque[str], MaxItems(3)],
    t.Annotated[abc.Sequence[str], MaxItems(3)],
    t.Annotated[t.Mapping[str, int], MaxItems(3)],
    t.Annotated[dict[str, t.Annotated[list[Row], MaxItems(2)]], MaxItems(3)],
    t.Annotated[dict[int, str], MaxItems(3)],
    t.Annotated[dict[uuid.UUID, str], MaxItems(3)],
    t.Annotated[dict[Colour, str], MaxItems(3)],
    t.Annotated[dict[t.Literal["a", "b"], str], MaxItems(3)],
    t.Annotated[dict[UserId, str], MaxItems(3)],
    pydantic.conlist(int, max_length=3),
    pydantic.conset(int, max_length=3),
    BoundedList[int, 5],
    BoundedDict[str, int, 5],
    BoundedList[int, t.Literal[5]],
    pydantic.Json[t.Annotated[list[int], MaxItems(2)]],
]

REFUSED = [
    (t.Any, "Any", "anything fits in"),
    (object, "object", "anything fits in"),
    (bytes, "bytes", "FileReference"),
    (bytearray, "bytearray", "FileReference"),
    (pydantic.Base64Bytes, "bytes", "FileReference"),
    (Blob, "bytes", "FileReference"),
    (t.Literal[b"x"], "Literal[b'x']", "Use text"),
    (list, "list", "MaxItems"),
    (t.List, "list", "MaxItems"),  # noqa: UP006
    (dict, "dict", "MaxItems"),
    (tuple, "tuple", "Annotated[tuple[str, ...], MaxItems(1000)]"),
    (t.Tuple, "tuple", "MaxItems"),  # noqa: UP006
    (set, "set", "MaxItems"),
    (list[int], "list[int]", "Annotated[list[int], MaxItems(1000)]"),
    (list[int] | None, "list[int]", "MaxItems"),
    (t.Optional[t.List[int]], "list[int]", "MaxItems"),  # noqa: UP006, UP045
    (set[int], "set[int]", "MaxItems"),
    (frozenset[int], "frozenset[int]", "MaxItems"),
    (collections.deque[int], "deque[int]", "MaxItems"),
    (tuple[int, ...], "tuple[int, ...]", "MaxItems"),
    (dict[str, int], "dict[str, int]", "MaxItems"),
    (abc.Sequence[int], "Sequence[int]", "MaxItems"),
    (t.Mapping[str, int], "Mapping[str, int]", "MaxItems"),
    (abc.Iterable[int], "Iterable[int]", "needn't end"),
    (t.Annotated[abc.Iterable[int], MaxItems(3)], "Iterable[int]", "needn't end"),
    (t.Annotated[list[int], Field(min_length=1)], "list[int]", "MaxItems"),
    (t.Annotated[list[list[int]], MaxItems(3)], "list[int]", "MaxItems"),
    (t.Annotated[list[t.Any], MaxItems(3)], "Any", "anything fits in"),
    (tuple[int, list[int]], "list[int]", "MaxItems"),
    (int | bytes, "bytes", "FileReference"),
    (LooseIds, "list[int]", "MaxItems"),
    (JsonLike, "JsonLike", "contains itself"),
    (LooseRow, "dict[str, Any]", "MaxItems"),
    (t.Annotated[list[LooseRow], MaxItems(3)], "dict[str, Any]", "MaxItems"),
    (LoosePoint, "list[str]", "MaxItems"),
    (BytesEnum, "BytesEnum", "text values"),
    (abc.Callable[[int], str], "Callable[[int], str]", "code can't be stored"),
    (type[Row], "type[Row]", "code can't be stored"),
    (Anything, "Anything", "Make it a Record"),
    (array.array, "array", "FileReference"),
    (memoryview, "memoryview", "FileReference"),
    (Anything | None, "Anything", "Make it a Record"),
    (pydantic.SecretStr, "SecretStr", "get_secret"),
    (collections.Counter[str], "Counter[str]", "reads back as something else"),
    (collections.OrderedDict[str, int], "OrderedDict[str, int]", "reads back as something else"),
    (collections.defaultdict[str, int], "defaultdict[str, int]", "reads back as something else"),
    (int | float, "int | float", "written as JSON number"),
    (Decimal | float, "Decimal | float", "written as the same JSON number"),
    (str | dt.date | None, "str | date | None", "written as JSON text"),
    (uuid.UUID | pathlib.Path, "UUID | Path", "written as JSON text"),
    (t.Annotated[dict[tuple[int, int], str], MaxItems(3)], "tuple[int, int]", "JSON's keys are text"),
    (t.Annotated[dict[int | str, str], MaxItems(3)], "int | str", "JSON's keys are text"),
    (pydantic.Json, "Json", "anything fits in"),
    (Cat | Dog, "Cat | Dog", "a field that tells it"),
    (NamedCat | Cat, "NamedCat | Cat", "a field that tells it"),
    (Cat | t.Annotated[dict[str, str], MaxItems(3)], "Cat | dict[str, str]", "a field that tells it"),
    (
        t.Annotated[list[str], MaxItems(3)] | t.Annotated[list[dt.date], MaxItems(3)],
        "list[str] | list[date]",
        "a JSON array",
    ),
    (t.Annotated[list[int], MaxItems(3)] | tuple[int, int], "list[int] | tuple[int, int]", "a JSON array"),
    (t.Literal["2026-01-01"] | dt.date, "Literal['2026-01-01'] | date", "the same JSON value"),
    (RootModel[str] | str, "RootModel[str] | str", "written as JSON text"),
    (t.Annotated[int | str, Field(union_mode="left_to_right")], "int | str", "Drop union_mode"),
]


def shown(value: object) -> str:
    return str(value)[:60]


@pytest.mark.parametrize("annotation", ACCEPTED, ids=shown)
def test_a_bounded_type_is_accepted(annotation: object) -> None:
    contract = create_model("Sample", __base__=Input, field=(annotation, ...))
    validate_payload_safety(contract)


@pytest.mark.parametrize(("annotation", "found", "remedy"), REFUSED, ids=shown)
def test_an_unsafe_type_is_refused_with_a_remedy(annotation: object, found: str, remedy: str) -> None:
    with pytest.raises(PayloadSafetyError) as caught:
        create_model("Sample", __base__=Input, field=(annotation, ...))
    problem = caught.value.problems[0]
    assert problem.path.startswith("Sample.field")
    assert problem.found == found
    assert remedy in f"{problem.reason} {problem.remedy}"


@pytest.mark.parametrize("base", [Input, Output, HeartbeatDetails, Record])
def test_every_base_class_is_checked(base: type[BaseModel]) -> None:
    with pytest.raises(PayloadSafetyError):
        create_model("Sample", __base__=base, field=(list[int], ...))


def test_all_faults_of_a_class_come_in_one_error_that_reads_well() -> None:
    with pytest.raises(PayloadSafetyError) as caught:

        class Extract(Input):
            rows: list[LooseRow]
            raw: bytes = b""
            name: str = None  # type: ignore[assignment]

    assert str(caught.value) == (
        f"{__name__}.test_all_faults_of_a_class_come_in_one_error_that_reads_well.<locals>.Extract"
        " can't be a contract, it has 5 problems:\n"
        "  Extract.rows: list[LooseRow]\n"
        "    there is no limit to its size. Write Annotated[list[LooseRow], MaxItems(1000)],"
        " or pass a FileReference to the data.\n"
        "  Extract.rows[].values: dict[str, Any]\n"
        "    there is no limit to its size. Write Annotated[dict[str, Any], MaxItems(1000)],"
        " or pass a FileReference to the data.\n"
        "  Extract.rows[].values{}: Any\n"
        "    anything fits in, of any size. Name the type; for one of several, a union.\n"
        "  Extract.raw: bytes\n"
        "    binary data has no place in JSON and no limit. Put it in a file and pass a FileReference.\n"
        "  Extract.name: str\n"
        "    the default None is not of this type. Write str | None.\n"
        "Where something else bounds the size: class Extract(Input, allow_unbounded_fields=True)."
    )


def test_a_class_with_hundreds_of_faults_shows_the_first_and_counts_the_rest() -> None:
    fields: dict[str, t.Any] = {f"f{n}": (bytes, ...) for n in range(50)}
    with pytest.raises(PayloadSafetyError, match="… and 30 more") as caught:
        create_model("Wide", __base__=Input, **fields)
    assert len(caught.value.problems) == 50


def test_the_escape_hatch_holds_for_the_class_its_subclasses_and_where_it_is_nested() -> None:
    class Loose(Input, allow_unbounded_fields=True):
        rows: list[t.Any]

    class Looser(Loose):
        raw: bytes

    class Outer(Input):
        inner: Looser

    validate_payload_safety(Outer)
    assert "__allow_unbounded_fields__" not in Outer.model_fields


def test_the_escape_hatch_of_a_nested_class_does_not_open_the_outer_one() -> None:
    class Loose(Record, allow_unbounded_fields=True):
        rows: list[t.Any]

    with pytest.raises(PayloadSafetyError) as caught:

        class Outer(Input):
            inner: Loose
            more: list[int]

    assert [problem.path for problem in caught.value.problems] == ["Outer.more"]


def test_fields_inherited_from_a_plain_mixin_are_checked() -> None:
    class Mixin(BaseModel):
        rows: list[int]

    with pytest.raises(PayloadSafetyError, match=r"Both\.rows"):

        class Both(Mixin, Input):
            pass


def test_an_inherited_field_can_be_made_safe_by_the_subclass() -> None:
    class Mixin(BaseModel):
        rows: list[int]

    class Both(Mixin, Input):
        rows: t.Annotated[list[int], MaxItems(3)]

    validate_payload_safety(Both)


def test_a_class_that_contains_itself_is_refused() -> None:
    with pytest.raises(PayloadSafetyError) as caught:

        class Node(Record):
            children: t.Annotated[list[Node], MaxItems(2)] = []

    assert [problem.path for problem in caught.value.problems] == ["Node.children[]"]
    assert "contains itself" in str(caught.value)


class First(BaseModel):
    second: Second | None = None


class Second(BaseModel):
    first: First | None = None


def test_classes_that_contain_each_other_are_refused() -> None:
    with pytest.raises(PayloadSafetyError, match="contains itself"):

        class Holder(Input):
            first: First


@dataclasses.dataclass
class Tree:
    left: Tree | None = None


def test_a_dataclass_that_contains_itself_is_refused() -> None:
    with pytest.raises(PayloadSafetyError) as caught:

        class Holder(Input):
            tree: Tree

    assert [problem.path for problem in caught.value.problems] == ["Holder.tree.left"]


class Early(Input):
    later: Later


class Later(BaseModel):
    rows: list[int]


def test_a_forward_reference_is_checked_when_its_class_is_there() -> None:
    with pytest.raises(PayloadSafetyError, match=r"Early\.later\.rows"):
        validate_payload_safety(Early)


class EarlyToo(Input):
    later: LaterToo


class LaterToo(BaseModel):
    rows: list[int]


def test_a_class_completed_by_its_first_use_is_checked_then() -> None:
    with pytest.raises(PayloadSafetyError, match=r"EarlyToo\.later\.rows"):
        EarlyToo(later={"rows": []})  # type: ignore[arg-type]


def test_a_name_that_is_defined_nowhere_is_named() -> None:
    class Broken(Input):
        later: Nowhere  # type: ignore[name-defined]  # noqa: F821

    with pytest.raises(
        PayloadSafetyError, match="Broken: 'Nowhere'\n    the name is unknown, so forward references aren't resolved"
    ):
        validate_payload_safety(Broken)


class Page(Output, t.Generic[T]):
    rows: t.Annotated[list[T], MaxItems(3)]


def test_a_generic_class_is_checked_when_it_is_given_its_types() -> None:
    validate_payload_safety(Page[int])
    with pytest.raises(PayloadSafetyError, match=r"rows\[\]"):
        Page[bytes]


def test_a_generic_class_without_its_types_is_no_contract() -> None:
    with pytest.raises(PayloadSafetyError, match="type variable is open"):
        validate_payload_safety(Page)


def test_root_models_are_checked_below_their_field() -> None:
    class Names(RootModel[list[str]]):
        pass

    with pytest.raises(PayloadSafetyError) as caught:

        class Holder(Input):
            names: Names

    assert [problem.path for problem in caught.value.problems] == ["Holder.names"]


def test_class_variables_and_private_attributes_are_no_fields() -> None:
    class Holder(Input):
        table: t.ClassVar[dict[str, bytes]] = {}
        _cache: dict[str, t.Any] = {}

    validate_payload_safety(Holder)


def test_extra_fields_of_any_name_are_refused() -> None:
    with pytest.raises(PayloadSafetyError, match="Declare the fields"):

        class Open(Input):
            model_config = ConfigDict(extra="allow")


def test_a_field_that_is_left_out_when_written_is_refused() -> None:
    with pytest.raises(PayloadSafetyError, match=r"Drop exclude=True"):

        class Holder(Input):
            name: str = Field(default="", exclude=True)


def test_a_field_that_is_written_under_a_name_it_is_not_read_under_is_refused() -> None:
    with pytest.raises(PayloadSafetyError, match=r"Use Field\(alias='shown'\)"):

        class Holder(Input):
            name: str = Field(default="", serialization_alias="shown")


def test_skip_fields_leaves_fields_of_the_class_itself_out() -> None:
    class Plain(BaseModel):
        rows: list[int]
        raw: bytes

    with pytest.raises(PayloadSafetyError) as caught:
        validate_payload_safety(Plain, skip_fields={"raw"})
    assert [problem.path for problem in caught.value.problems] == ["Plain.rows"]


def test_text_needs_no_limit() -> None:
    class FetchInput(Input):
        name: str = "World"

    assert FetchInput().name == "World"
