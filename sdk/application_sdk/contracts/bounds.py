"""How a contract says that a collection has an upper bound: `MaxItems`, `BoundedList`, `BoundedDict`.

User code gets these names through `contracts` or `contracts.types`. pydantic's own validators enforce the bound, so it
holds at run time and stands in the JSON Schema (`maxItems`, `maxProperties`). Whether a field needs a bound is decided
in `contracts.safety`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Literal, TypeVar, get_args, get_origin

from annotated_types import GroupedMetadata, MaxLen
from typing_extensions import override


@dataclass(frozen=True)
class MaxItems(GroupedMetadata):
    """At most `limit` items, checked whenever a value is made or read: `Annotated[list[str], MaxItems(500)]`.

    For list, set, frozenset, deque, tuple[T, ...], dict, Sequence and Mapping, each also with `| None`.
    Raises ValueError when the limit is not a whole number from 0 up.
    """

    limit: int

    def __post_init__(self) -> None:
        if type(self.limit) is not int or self.limit < 0:
            raise ValueError(f"MaxItems({self.limit!r}): the limit is a whole number, 0 or more")

    @override
    def __iter__(self) -> Iterator[object]:
        yield MaxLen(self.limit)


if TYPE_CHECKING:
    from typing_extensions import TypeAliasType

    _T = TypeVar("_T")
    _K = TypeVar("_K")
    _V = TypeVar("_V")
    _Limit = TypeVar("_Limit")
    BoundedList = TypeAliasType("BoundedList", list[_T], type_params=(_T, _Limit))
    BoundedDict = TypeAliasType("BoundedDict", dict[_K, _V], type_params=(_K, _V, _Limit))
else:

    class BoundedList:
        """`BoundedList[T, N]` is `Annotated[list[T], MaxItems(N)]`. Type checkers want `Literal[N]` for the number."""

        def __class_getitem__(cls, parameters):
            if not isinstance(parameters, tuple) or len(parameters) != 2:
                raise TypeError("BoundedList takes an item type and a limit: BoundedList[str, 500]")
            item, limit = parameters
            return Annotated[list[item], MaxItems(_limit(limit))]

    class BoundedDict:
        """`BoundedDict[K, V, N]` is `Annotated[dict[K, V], MaxItems(N)]`. Type checkers want `Literal[N]`."""

        def __class_getitem__(cls, parameters):
            if not isinstance(parameters, tuple) or len(parameters) != 3:
                raise TypeError("BoundedDict takes key type, value type and limit: BoundedDict[str, int, 500]")
            key, value, limit = parameters
            return Annotated[dict[key, value], MaxItems(_limit(limit))]


def _limit(parameter: object) -> int:
    if get_origin(parameter) is Literal:
        (parameter,) = get_args(parameter)
    if not isinstance(parameter, int):
        raise TypeError(f"the limit of a bounded collection is a whole number, not {parameter!r}")
    return parameter
