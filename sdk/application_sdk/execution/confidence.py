"""Secrets that an app was given: masked wherever text is told, and refused in data that is kept.

Whatever hands a secret to an app calls `confide`. Logs and errors are masked (`execution.redaction`); outputs,
heartbeat details and state are data, which can't be masked without changing it: so an attempt has one checked before it
lets go of it.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Final, NamedTuple

from application_sdk.errors import NonRetryableError
from application_sdk.execution import redaction

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

    from application_sdk.wire.digest import JSON

SHORTEST: Final = 8
"""Shorter values aren't looked for in data: they would be found where they aren't meant."""
PUBLIC_NAMES: Final = frozenset(
    {
        "catalog", "client_id", "database", "dbname", "driver", "endpoint", "expires_at", "header_name", "host",
        "hostname", "port", "prefix", "region", "schema", "scopes", "ssl_mode", "sslmode", "tenant", "token_url",
        "type", "user", "username", "warehouse",
    }
)  # fmt: skip
"""Fields of a secret that may be shown: where to go and as whom. All others are hidden."""

_known: Final[dict[str, str]] = {}
"""Names of secrets by values that data may not hold."""


class SecretLeakError(NonRetryableError):
    """What a task wants kept holds the value of a secret. The message names the field and the secret."""


class Leak(NamedTuple):
    """Where in a payload a secret's value is."""

    path: str
    secret: str


def confide(name: str, text: str, public: Collection[str] = PUBLIC_NAMES) -> None:
    """Keep the secret `name` from being told. Of one that is a JSON object, all fields but the `public` ones."""
    for value in _values(text, public):
        redaction.hide(value)
        if len(value) >= SHORTEST and not (value.isalpha() and value.islower()):
            _known[value.strip()] = name


def forget() -> None:
    """Know no secret any more. For tests."""
    _known.clear()
    redaction.forget()


def leak(payload: JSON) -> Leak | None:
    """The first field of `payload`, its keys included, that holds a secret's value."""
    return _leak(payload, "") if _known else None


def check(payload: JSON, what: str) -> None:
    """Raises SecretLeakError when `payload` holds a secret's value. `what` says in the message what it is."""
    found = leak(payload)
    if found is not None:
        where = f" in field {found.path!r}" if found.path else ""
        raise SecretLeakError(
            f"{what} holds the value of secret {found.secret!r}{where}. Everybody who may read the run would read it: "
            "pass the secret's name on, and get its value in the task that needs it"
        )


def _leak(payload: JSON, path: str) -> Leak | None:
    if isinstance(payload, str):
        return next((Leak(path, name) for value, name in _known.items() if value in payload), None)
    if isinstance(payload, dict):
        for name, value in payload.items():
            found = _leak(name, path or "its keys") or _leak(value, f"{path}.{name}" if path else name)
            if found is not None:
                return found
    elif isinstance(payload, list):
        for place, value in enumerate(payload):
            found = _leak(value, f"{path}[{place}]")
            if found is not None:
                return found
    return None


def _values(text: str, public: Collection[str]) -> Iterator[str]:
    if not text.lstrip().startswith("{"):
        yield text
        return
    try:
        fields = json.loads(text)
    except ValueError:
        yield text
        return
    yield text
    yield from _hidden(fields, public)


def _hidden(value: JSON, public: Collection[str]) -> Iterator[str]:
    if isinstance(value, dict):
        for name, inner in value.items():
            if name.lower() not in public:
                yield from _hidden(inner, public)
    elif isinstance(value, list):
        for inner in value:
            yield from _hidden(inner, public)
    elif isinstance(value, str):
        yield value
