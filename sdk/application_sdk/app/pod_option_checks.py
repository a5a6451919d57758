"""Checks of the values of pod keywords: each returns the value as it goes on the wire, or says what to write instead.

Loaded only together with `pod_options`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Final

from application_sdk.wire import pod_rules

VARIABLE: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]*")
OBJECT_NAME: Final = re.compile(r"[a-z0-9]([-a-z0-9.]*[a-z0-9])?")
LABEL_VALUE: Final = re.compile(r"([A-Za-z0-9]([A-Za-z0-9_.-]*[A-Za-z0-9])?)?")
QUALIFIED: Final = re.compile(r"([a-z0-9]([-a-z0-9.]*[a-z0-9])?/)?[A-Za-z0-9]([A-Za-z0-9_.-]*[A-Za-z0-9])?")
KEY: Final = re.compile(r"[-._a-zA-Z0-9]+")


class InvalidOptionError(Exception):
    """A value that can't be meant. The message names the place of the value, and what to write there."""


def entries(value: object, where: str) -> dict[str, object]:
    """The entries of a mapping of texts. Raises InvalidOptionError."""
    if not isinstance(value, Mapping) or not all(isinstance(key, str) for key in value):
        raise InvalidOptionError(f"{where}={value!r} must be a mapping whose keys are texts")
    _check_length(value, where)
    return dict(value)


def items(value: object, where: str) -> list[object]:
    """The entries of a list. Raises InvalidOptionError."""
    if isinstance(value, str | bytes) or not isinstance(value, Sequence):
        raise InvalidOptionError(f"{where}={value!r} must be a list")
    _check_length(value, where)
    return list(value)


def _check_length(value: Mapping[str, object] | Sequence[object], where: str) -> None:
    if len(value) > pod_rules.MAX_ENTRIES:
        raise InvalidOptionError(f"{where} has {len(value)} entries: {pod_rules.MAX_ENTRIES} are the limit")


def fields(value: object, where: str, known: set[str], form: str) -> dict[str, object]:
    """The fields of one record, all of which are known. Raises InvalidOptionError."""
    if not isinstance(value, Mapping) or not value.keys() <= known:
        raise InvalidOptionError(f"{where} is {value!r}: write {form}")
    return dict(value)


def one_of(record: Mapping[str, object], choices: Sequence[str], where: str) -> str:
    """The one of `choices` that is a key of the record. Raises InvalidOptionError."""
    named = [choice for choice in choices if choice in record]
    if len(named) != 1:
        raise InvalidOptionError(
            f"{where} has {' and '.join(named) or 'none'} of {', '.join(choices)}: give exactly one"
        )
    return named[0]


def text(value: object, where: str) -> str:
    """A text within the limit. Raises InvalidOptionError."""
    if not isinstance(value, str):
        raise InvalidOptionError(f"{where} is {value!r}: write a text, such as {str(value)!r}")
    if len(value) > pod_rules.MAX_VALUE_CHARACTERS:
        limit = pod_rules.MAX_VALUE_CHARACTERS
        raise InvalidOptionError(
            f"{where} has {len(value):,} characters: {limit:,} are the limit. Mount a ConfigMap for more"
        )
    return value


def flag(value: object, where: str) -> bool:
    """True or False. Raises InvalidOptionError."""
    if not isinstance(value, bool):
        raise InvalidOptionError(f"{where} is {value!r}: write True or False")
    return value


def object_name(value: object, where: str) -> str:
    """The name of an object of Kubernetes. Raises InvalidOptionError."""
    if not isinstance(value, str) or len(value) > 253 or not OBJECT_NAME.fullmatch(value):
        raise InvalidOptionError(f"{where} is {value!r}: name an object with lower-case letters, digits, - and .")
    return value


def qualified(key: str, where: str) -> None:
    """Raise InvalidOptionError unless Kubernetes takes this as the key of a label, annotation or resource."""
    if not QUALIFIED.fullmatch(key) or len(key.rpartition("/")[2]) > 63 or len(key) > 317:
        raise InvalidOptionError(f"{where} is no key that Kubernetes takes: write name or prefix.example.com/name")
