"""Secrets that an app was given: masked wherever text is told, and refused in data that is kept.

Whatever hands a secret to an app calls `register_secret`; a pod gives all that is mounted into it to
`register_source` when it
starts, since code may read those files without asking. Logs and errors are masked (`execution.redaction`); outputs,
heartbeat details and state are data, which can't be masked without changing it: so an attempt has one checked before it
lets go of it.
"""

from __future__ import annotations

import json
import re
import time
from typing import TYPE_CHECKING, ClassVar, Final, NamedTuple, TypeAlias

from application_sdk.errors import NonRetryableError
from application_sdk.execution import redaction, secret_forms

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Iterator, Sequence

    from application_sdk.wire.digest import JSON

SHORTEST: Final = 8
"""Shorter values aren't looked for in data: they would be found where they aren't meant."""
PUBLIC_NAMES: Final = frozenset(
    {
        "account", "account_name", "auth_type", "authtype", "bucket", "ca.crt", "catalog", "client_id", "database",
        "dbname", "driver", "endpoint", "expires_at", "header_name", "host", "hostname", "port", "prefix", "project_id",
        "region", "role", "schema", "scopes", "ssl_mode", "sslmode", "tenant", "tls.crt", "token_url", "type", "user",
        "username", "warehouse",
    }
)  # fmt: skip
"""Fields of a secret or a credential that may be shown: where to go and as whom. All others are hidden, and so is an
address with a password in it, whatever its field is called."""
RESCAN_SECONDS: Final = 1.0
"""How old the last look at mounted secrets may be when data is checked: they are replaced while a process lives."""

_PASSWORD: Final = re.compile(r"[a-z][a-z0-9+.-]{0,30}://[^/?#@\s:]{0,1000}:([^/?#\s]{1,4000})@", re.IGNORECASE)
"""The password in an address such as `postgres://user:password@host`."""

_known: Final[dict[str, str]] = {}
"""Names of secrets by values that data may not hold."""
PRIVATE_KEY: Final = "PRIVATE KEY-----"
_released: Final[set[str]] = set()
"""Values of fields that an app's own type of credential calls public, so that a later look doesn't hide them."""

Source: TypeAlias = "Callable[[], Iterable[tuple[str, str]]]"
"""Gives secrets as (name, text)."""


class SecretLeakError(NonRetryableError):
    """What a task wants kept holds the value of a secret. The message names the field and the secret."""


class Leak(NamedTuple):
    """Where in a payload a secret's value is."""

    path: str
    secret: str


def register_secret(name: str, text: str, public: Collection[str] = PUBLIC_NAMES) -> None:
    """Register the value of the secret `name`: logs mask it, and data that holds it is refused.

    Of a value that is a JSON object, every field is secret except the `public` ones.
    """
    _release(text, public)
    _keep([(name, value) for value in _values(text, public)])


def register_source(source: Source) -> None:
    """Register all secrets that `source` returns now, and those that it returns when data is checked later.

    A secret that is named as a public field, such as `db/username`, may be shown.
    """
    _Sources.all.append(source)
    _Sources.look()


def secret_values(field: str, value: str, public: Collection[str] = PUBLIC_NAMES) -> Iterator[str]:
    """What has to be hidden of a credential's field: all of it, its password if it is an address, or nothing."""
    password = _PASSWORD.search(value)
    if password is not None:
        yield value
        yield password[1]
    elif not _is_public(field, public):
        yield value


def _is_public(field: str, public: Collection[str]) -> bool:
    """`AWS_DEFAULT_REGION` and `DB_HOST` are as public as `region` and `host`: environment variables carry prefixes."""
    return field.lower() in public or (field.isupper() and field.rpartition("_")[2].lower() in public)


def clear() -> None:
    """Clear all registered secrets. For tests."""
    _known.clear()
    _Search.clear()
    _released.clear()
    _Sources.all.clear()
    _Sources.seen.clear()
    redaction.clear()


def find_leak(payload: JSON) -> Leak | None:
    """The first field of `payload`, its keys included, that holds a secret's value."""
    _Sources.look_again()
    known = _Search.pattern_of_all()
    return None if known is None else _find_leak(payload, "", known)


def check(payload: JSON, what: str) -> None:
    """Raises SecretLeakError when `payload` holds a secret's value. `what` says in the message what it is."""
    found = find_leak(payload)
    if found is not None:
        where = f" in field {found.path!r}" if found.path else ""
        raise SecretLeakError(
            f"{what} holds the value of secret {found.secret!r}{where}. Everybody who may read the run would read it: "
            "pass the secret's name on, and get its value in the task that needs it"
        )


class _Search:
    """Finds the forms of all values that data may not hold. Made when data is checked, once for all that is known."""

    names: ClassVar[dict[str, str]] = {}
    """Of secrets, by form."""
    pattern: ClassVar[re.Pattern[str] | None] = None

    @classmethod
    def pattern_of_all(cls) -> re.Pattern[str] | None:
        if cls.pattern is None and _known:
            cls.names = {form: name for value, name in _known.items() for form in _in_data(value)}
            cls.pattern = secret_forms.pattern(cls.names)
        return cls.pattern

    @classmethod
    def clear(cls) -> None:
        cls.names, cls.pattern = {}, None


def _in_data(value: str) -> frozenset[str]:
    """What is looked for in data. Of a private key each line; of other texts of several lines, such as a file of
    settings, lines are often no secret."""
    # guard: secret-forms - a secret leaks base64-encoded or URL-quoted as well as plain
    found = secret_forms.forms(value)
    return found | secret_forms.lines(value) if PRIVATE_KEY in value else found


def _find_leak(payload: JSON, path: str, known: re.Pattern[str]) -> Leak | None:
    if isinstance(payload, str):
        match = known.search(payload)
        return None if match is None else Leak(path, _Search.names[match[0]])
    if isinstance(payload, dict):
        for name, value in payload.items():
            inner = f"{path}.{name}" if path else name
            found = _find_leak(name, path or "its keys", known) or _find_leak(value, inner, known)
            if found is not None:
                return found
    elif isinstance(payload, list):
        for place, value in enumerate(payload):
            found = _find_leak(value, f"{path}[{place}]", known)
            if found is not None:
                return found
    return None


class _Sources:
    """Where secrets are that nobody has asked for yet."""

    all: Final[list[Source]] = []
    seen: Final[dict[str, str]] = {}
    looked: float = 0.0

    @classmethod
    def look_again(cls) -> None:
        if cls.all and time.monotonic() - cls.looked >= RESCAN_SECONDS:
            cls.look()

    @classmethod
    def look(cls) -> None:
        cls.looked = time.monotonic()
        new: list[tuple[str, str]] = []
        for source in cls.all:
            for name, text in source():
                if cls.seen.get(name) == text:
                    continue
                cls.seen[name] = text
                field = name.rpartition("/")[2]
                public = _is_public(field, PUBLIC_NAMES)
                values = secret_values(field, text) if public else _values(text, PUBLIC_NAMES)
                new += [(name, value) for value in values if value.strip() not in _released]
        _keep(new)


def _keep(secrets: Sequence[tuple[str, str]]) -> None:
    # All at once: each change of what is hidden costs as much as all that is hidden.
    redaction.hide(*(value for _, value in secrets))
    _Search.clear()
    for name, value in secrets:
        if len(value) >= SHORTEST and not (value.isalpha() and value.islower()):
            _known[value.strip()] = name


def _release(text: str, public: Collection[str]) -> None:
    """Let data hold the fields that a type of credential calls public, and that a first look has hidden."""
    shown = {value.strip() for value in _values(text, ())} - {value.strip() for value in _values(text, public)}
    for value in shown:
        _released.add(value)
        _known.pop(value, None)
    _Search.clear()


def _values(text: str, public: Collection[str]) -> Iterator[str]:
    password = _PASSWORD.search(text)
    if password is not None:
        yield password[1]
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
            if not _is_public(name, public):
                yield from _hidden(inner, public)
            elif isinstance(inner, str):
                yield from secret_values(name, inner, public)
    elif isinstance(value, list):
        for inner in value:
            yield from _hidden(inner, public)
    elif isinstance(value, str):
        yield value
