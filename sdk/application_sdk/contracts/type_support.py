"""What `contracts.type_checker` knows of single types: which are safe, which are collections, how each is written.

Pure tables and questions about a type, no walking.
"""

from __future__ import annotations

import collections
import collections.abc as abc
import dataclasses
import sys
import types
from enum import Enum
from typing import (
    Annotated,
    Any,
    Final,
    ForwardRef,
    Literal,
    NewType,
    NotRequired,
    Required,
    TypeVar,
    Union,
    get_args,
    get_origin,
    get_type_hints,
)

from pydantic import AliasChoices
from pydantic.fields import FieldInfo
from typing_extensions import ReadOnly, is_typeddict

QUALIFIERS: Final = frozenset({Final, Required, NotRequired, ReadOnly})

MAPPINGS: Final[frozenset[object]] = frozenset({dict, abc.Mapping, abc.MutableMapping})
COLLECTIONS: Final[frozenset[object]] = MAPPINGS | {
    list,
    set,
    frozenset,
    tuple,
    collections.deque,
    abc.Sequence,
    abc.MutableSequence,
    abc.Set,
    abc.MutableSet,
}

_NUMBERS = frozenset({"builtins.int", "builtins.float"})
_TEXTS = frozenset(
    {
        "builtins.str",
        "datetime.date",
        "datetime.datetime",
        "datetime.time",
        "datetime.timedelta",
        "decimal.Decimal",
        "fractions.Fraction",
        "uuid.UUID",
        *(f"ipaddress.IPv{version}{kind}" for version in "46" for kind in ("Address", "Interface", "Network")),
        *(
            f"{module}.{name}"
            for module in ("pathlib", "pathlib._local")
            for name in ("Path", "PurePath", "PurePosixPath")
        ),
        *(
            f"pydantic.types.{name}"
            for name in ("PastDate", "FutureDate", "AwareDatetime", "NaiveDatetime", "PastDatetime", "FutureDatetime")
        ),
        "pydantic.networks.EmailStr",
        "pydantic.networks.IPvAnyAddress",
        "pydantic.networks.IPvAnyInterface",
        "pydantic.networks.IPvAnyNetwork",
        "pydantic_core._pydantic_core.Url",
        "pydantic_core._pydantic_core.MultiHostUrl",
    }
)
_OTHER_SCALARS = frozenset({"builtins.bool", "builtins.NoneType", "pydantic.types.ByteSize"})
_URL_BASES = frozenset({"pydantic.networks._BaseUrl", "pydantic.networks._BaseMultiHostUrl"})

_BINARY = frozenset({bytes, bytearray, memoryview})
_ARRAY_PACKAGES = frozenset({"array", "numpy", "pandas", "polars", "pyarrow", "torch"})
_SECRETS = frozenset({"pydantic.types.SecretStr", "pydantic.types.SecretBytes", "pydantic.types.Secret"})
STREAMS: Final[frozenset[object]] = frozenset(
    {
        abc.Iterable,
        abc.Iterator,
        abc.Generator,
        abc.AsyncIterable,
        abc.AsyncIterator,
        abc.AsyncGenerator,
        abc.Collection,
    }
)


def qualified(cls: type) -> str:
    return f"{cls.__module__}.{cls.__qualname__}"


def is_scalar(cls: type) -> bool:
    """Whether a class is a leaf that JSON carries as one value and that reads back as itself."""
    name = qualified(cls)
    return name in _NUMBERS or name in _TEXTS or name in _OTHER_SCALARS or _is_url(cls)


def _is_url(cls: type) -> bool:
    return any(qualified(base) in _URL_BASES for base in cls.__mro__)


def limits(metadata: object) -> list[int]:
    """The limits of length in a piece of metadata: MaxItems, MaxLen, Len, Field(max_length=...)."""
    found = [getattr(metadata, name, None) for name in ("max_length", "limit")]
    nested = getattr(metadata, "metadata", None) or ()
    return [limit for limit in found if isinstance(limit, int)] + [limit for item in nested for limit in limits(item)]


def union_mode(metadata: object) -> object:
    """How a piece of metadata says that a union is read; None if it doesn't."""
    found = getattr(metadata, "__dict__", {}).get("union_mode")
    nested = getattr(metadata, "metadata", None) or ()
    return found or next((mode for item in nested if (mode := union_mode(item))), None)


def has_items(annotation: object) -> bool:
    """Whether `MaxItems` can limit a type: whether it is a collection of any length."""
    while isinstance(annotation, NewType) or is_alias(annotation) or is_alias(get_origin(annotation)):
        if isinstance(annotation, NewType):
            annotation = annotation.__supertype__
        else:
            annotation = alias_value(annotation, get_origin(annotation))
    if get_origin(annotation) is Annotated:
        return has_items(get_args(annotation)[0])
    if get_origin(annotation) is tuple:
        return Ellipsis in get_args(annotation)
    return annotation in COLLECTIONS or get_origin(annotation) in COLLECTIONS | STREAMS


def read_as(field: FieldInfo) -> tuple[str, ...]:
    """The keys, beside its own name, under which a field is read."""
    alias = field.validation_alias
    if isinstance(alias, AliasChoices):
        return tuple(choice for choice in alias.choices if isinstance(choice, str))
    return (alias,) if isinstance(alias, str) else ()


def is_alias(annotation: object) -> bool:
    return type(annotation).__name__ == "TypeAliasType"


def alias_value(annotation: object, origin: object) -> object:
    """What a type alias stands for, its parameters filled in."""
    alias = annotation if is_alias(annotation) else origin
    value = alias.__value__  # type: ignore[attr-defined]
    if isinstance(value, str):
        namespace = vars(sys.modules[alias.__module__])
        holder = types.SimpleNamespace(__annotations__={"value": value})
        value = get_type_hints(holder, namespace, include_extras=True)["value"]
    try:
        return value if alias is annotation else value[get_args(annotation)]
    except TypeError:  # the alias names its parameter nowhere
        return value


def members(annotation: object) -> list[object]:
    """The members of a union, of unions in it too; of any other type itself."""
    if get_origin(annotation) not in (Union, types.UnionType):
        return [annotation]
    return [member for part in get_args(annotation) for member in members(part)]


def accepts_none(annotation: object) -> bool:
    """Whether None fits. True where the type says too little to tell."""
    origin = get_origin(annotation)
    if annotation is None or annotation is types.NoneType or annotation is Any or annotation is object:
        return True
    if origin in (Union, types.UnionType):
        return any(accepts_none(member) for member in get_args(annotation))
    if origin is Annotated:
        return True if len(get_args(annotation)) > 2 else accepts_none(get_args(annotation)[0])
    if origin is Literal:
        return None in get_args(annotation)
    if isinstance(annotation, type) and origin is None:
        return not (is_scalar(annotation) or annotation in COLLECTIONS)
    return origin not in COLLECTIONS


def indistinct(members: list[object]) -> dict[str, list[object]]:
    """Members of a union that JSON writes alike, by what they are written as. A `Literal` beside `str` is none."""
    kinds: dict[str, list[object]] = {}
    for member in members:
        kind = json_kind(member)
        if kind:
            kinds.setdefault(kind, []).append(member)
    return {kind: found for kind, found in kinds.items() if len(found) > 1}


def json_kind(annotation: object) -> str:
    """Whether a type is written as text or as a number; empty for neither."""
    while True:
        if get_origin(annotation) is Annotated:
            annotation = get_args(annotation)[0]
        elif isinstance(annotation, NewType):
            annotation = annotation.__supertype__
        elif is_alias(annotation) or is_alias(get_origin(annotation)):
            annotation = alias_value(annotation, get_origin(annotation))
        else:
            break
    if not isinstance(annotation, type) or get_origin(annotation) is not None:
        return ""
    if getattr(annotation, "__pydantic_root_model__", False):
        return json_kind(annotation.model_fields["root"].annotation)  # type: ignore[attr-defined]
    if issubclass(annotation, Enum):
        return "text" if any(isinstance(member.value, str) for member in annotation) else "number"
    name = qualified(annotation)
    if name in _NUMBERS:
        return "number"
    return "text" if name in _TEXTS or _is_url(annotation) else ""


def is_key(annotation: object) -> bool:
    """Whether a mapping's key can be told again from the text that JSON makes of it."""
    origin = get_origin(annotation)
    if origin is Annotated:
        return is_key(get_args(annotation)[0])
    if origin is Literal:
        kinds = {type(value) for value in get_args(annotation)}
        return kinds == {str} or (len(kinds) == 1 and issubclass(kinds.pop(), Enum))
    if is_alias(annotation) or is_alias(origin):
        return is_key(alias_value(annotation, origin))
    if isinstance(annotation, NewType):
        return is_key(annotation.__supertype__)
    if isinstance(annotation, TypeVar):
        return True
    if not isinstance(annotation, type) or origin is not None:
        return False
    if issubclass(annotation, Enum):
        return all(isinstance(member.value, str) for member in annotation)
    name = qualified(annotation)
    return name in _TEXTS or name == "builtins.int" or _is_url(annotation)


def structure(cls: type, annotation: object = None) -> dict[str, object] | None:
    """Field types of a dataclass, TypedDict or NamedTuple; None for any other class."""
    named_tuple = issubclass(cls, tuple) and hasattr(cls, "_fields")
    if not (dataclasses.is_dataclass(cls) or is_typeddict(cls) or named_tuple):
        return None
    hints = get_type_hints(cls, include_extras=True)
    if dataclasses.is_dataclass(cls):
        hints = {field.name: hints[field.name] for field in dataclasses.fields(cls)}
    if annotation is not None:
        filled = dict(zip(getattr(cls, "__parameters__", ()), get_args(annotation), strict=False))
        hints = {name: filled.get(hint, hint) if isinstance(hint, TypeVar) else hint for name, hint in hints.items()}
    return hints


def refusal(found: object) -> tuple[str, str]:
    """Why a type that is no leaf, structure or collection is refused, and what to use."""
    if found is Any or found is object or getattr(found, "__name__", "") == "Json":
        return "anything fits in, of any size.", "Name the type; for one of several, a union."
    if found in _BINARY:
        return "binary data has no place in JSON and no limit.", "Put it in a file and pass a FileReference."
    module = getattr(found, "__module__", "") or ""
    name = getattr(found, "__name__", "") or str(found)
    if f"{module}.{name}" in _SECRETS:
        return "secrets must not be stored in a run.", "Pass the secret's name and call self.context.get_secret(name)."
    if module.partition(".")[0] in _ARRAY_PACKAGES:
        return "arrays and tables have no limit.", "Write them to a file and pass a FileReference."
    if found is abc.Callable or found is type:
        return "code can't be stored and sent.", "Pass a name, and choose by it in the task."
    if found in STREAMS:
        return "it needn't end, and reads back as something else.", "Write Annotated[list[T], MaxItems(1000)]."
    if module == "collections":
        return "it reads back as something else.", "Write Annotated[dict[K, V], MaxItems(1000)] or a list of pairs."
    return "objects of this class can't be read back from JSON.", "Make it a Record or another pydantic model."


def render(annotation: object) -> str:
    """A type as a person writes it: short names, no modules."""
    origin = get_origin(annotation)
    if annotation is None or annotation is types.NoneType:
        return "None"
    if annotation is Ellipsis:
        return "..."
    if isinstance(annotation, list):
        return f"[{', '.join(map(render, annotation))}]"
    if isinstance(annotation, str):
        return repr(annotation)
    if isinstance(annotation, ForwardRef):
        return annotation.__forward_arg__
    if origin in (Union, types.UnionType):
        return " | ".join(map(render, get_args(annotation)))
    if origin is Literal:
        return f"Literal[{', '.join(map(repr, get_args(annotation)))}]"
    if origin is Annotated:
        return render(get_args(annotation)[0])
    if origin is not None:
        return f"{_short(origin)}[{', '.join(map(render, get_args(annotation)))}]"
    return _short(annotation)


def _short(annotation: object) -> str:
    name = getattr(annotation, "__qualname__", None) or getattr(annotation, "__name__", None)
    return name.rpartition("<locals>.")[2] if name else str(annotation).removeprefix("typing.")
