"""`--input`: JSON on the command line, or `@file`, or `@-` for standard input, as JSON or YAML."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TextIO, cast

from application_sdk.cli.errors import InputError
from application_sdk.wire.digest import JSON, JSONObject


def read_input(text: str, stdin: TextIO) -> JSONObject:
    """The input that `text` stands for. Raises InputError, which says where it is wrong."""
    if not text.startswith("@"):
        return _object(_json(text, "--input"), "--input")
    if text == "@-":
        return _object(_yaml(stdin.read(), "standard input"), "standard input")
    path = Path(text[1:]).expanduser()
    try:
        content = path.read_text("utf-8")
    except OSError as error:
        raise InputError(f"--input {text}: {error.strerror or error}") from error
    except UnicodeDecodeError as error:
        raise InputError(
            f"--input {text}: the file isn't text in UTF-8 ({error.reason} at byte {error.start})"
        ) from error
    return _object(_json(content, str(path)) if path.suffix == ".json" else _yaml(content, str(path)), str(path))


def _object(value: JSON, origin: str) -> JSONObject:
    if isinstance(value, dict):
        return value
    description = "nothing" if value is None else f"a {_KINDS.get(type(value), 'value')}"
    raise InputError(f'{origin} holds {description}, but an input is an object, for example {{"name": "Ada"}}')


_KINDS: dict[type, str] = {list: "list", str: "text", int: "number", float: "number", bool: "truth value"}


def _json(text: str, origin: str) -> JSON:
    try:
        return cast("JSON", json.loads(text, parse_constant=_refuse_constant))
    except json.JSONDecodeError as error:
        hint = "; quotes around names and texts are double" if "'" in text else ""
        if origin == "--input" and Path(text).is_file():
            hint = f"; did you mean --input @{text}?"
        raise InputError(
            f"{origin} isn't JSON: {error.msg} at line {error.lineno}, column {error.colno}{hint}"
        ) from error
    except ValueError as error:
        raise InputError(f"{origin}: {error}") from error


def _refuse_constant(name: str) -> float:
    raise ValueError(f"{name} is no JSON number")


def _yaml(text: str, origin: str) -> JSON:
    import yaml

    class Loader(yaml.SafeLoader):
        """Knows only what JSON knows: a date stays a text, for the contract to read."""

    Loader.yaml_implicit_resolvers = {
        letter: [(tag, pattern) for tag, pattern in resolvers if tag != "tag:yaml.org,2002:timestamp"]
        for letter, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }
    try:
        value: object = yaml.load(text, Loader)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        place = f" at line {mark.line + 1}, column {mark.column + 1}" if mark else ""
        raise InputError(f"{origin} isn't YAML or JSON: {getattr(error, 'problem', None) or error}{place}") from error
    return _checked(value, origin, "")


def _checked(value: object, origin: str, path: str) -> JSON:
    if value is None or isinstance(value, bool | int | str):
        return value
    if isinstance(value, float):
        if value != value or value in (float("inf"), float("-inf")):
            raise InputError(f"{origin}: {path or 'it'} is {value}, which is no JSON number")
        return value
    if isinstance(value, list):
        return [_checked(item, origin, f"{path}[{index}]") for index, item in enumerate(value)]
    if isinstance(value, dict):
        for key in value:
            if not isinstance(key, str):
                raise InputError(
                    f"{origin}: the key {key!r} {f'in {path} ' if path else ''}isn't a text; put it in quotes"
                )
        return {key: _checked(item, origin, f"{path}.{key}" if path else key) for key, item in value.items()}
    raise InputError(f"{origin}: {path or 'it'} is a {type(value).__name__}, which JSON doesn't have; put it in quotes")
