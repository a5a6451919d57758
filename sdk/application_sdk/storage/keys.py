"""Where a file lies in a store, and who may read it there. Pure.

transient/<namespace>/<chain>/<run uid>/<sha256>   of one run: other runs of its chain may read it
retained/<namespace>/<run uid>/<sha256>            of one run: all runs of the namespace may read it
persistent/<namespace>/<app>/<sha256>              of an app anything else
named by the app itself, with `storage_path`

The digest is the name, so that storing something twice is storing it once; where a media type is
known, a digest of that follows, since a store keeps one for each object. Two files never meet under
one key.
"""

from __future__ import annotations

import hashlib
import re
from typing import Final, NamedTuple

from application_sdk.contracts.types import StorageTier
from application_sdk.storage.errors import UnsafeReferenceError

RESERVED: Final = frozenset({"transient", "retained", "persistent"})

_PLAIN: Final = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,62}")
_OBJECT: Final = re.compile(r"([0-9a-f]{64})(\.[0-9a-f]{8})?")
_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f]")


class Scope(NamedTuple):
    """On whose behalf files are stored and fetched."""

    namespace: str
    app: str
    run_uid: str
    chain: str
    """The run's correlation id: the same for those that it continues as."""

    def prefix(self, tier: StorageTier) -> str:
        """Where this run keeps files of a tier, with a slash at its end."""
        namespace = _part(self.namespace)
        if tier is StorageTier.TRANSIENT:
            return f"transient/{namespace}/{_part(self.chain)}/{_part(self.run_uid)}/"
        if tier is StorageTier.RETAINED:
            return f"retained/{namespace}/{_part(self.run_uid)}/"
        return f"persistent/{namespace}/{_part(self.app)}/"


def checked_key(key: str, what: str = "storage_path") -> str:
    """`key`, without slashes around it. Raises UnsafeReferenceError when it isn't a place below the
    store's prefix."""
    inner = key.strip("/")
    parts = inner.split("/")
    if not inner or any(part in ("", ".", "..") for part in parts) or _CONTROL.search(key) or len(key) > 1024:
        raise UnsafeReferenceError(
            f"{what} {key[:200]!r} is no key of a file: it needs names joined by '/', none of them empty, '.' or '..'"
        )
    return inner


def check_readable(key: str, scope: Scope) -> None:
    """Raise UnsafeReferenceError unless a run of `scope` may read the object of this key."""
    top, _, rest = key.partition("/")
    if top not in RESERVED:
        return
    namespace, _, below = rest.partition("/")
    if namespace != _part(scope.namespace):
        raise UnsafeReferenceError(
            f"{key!r} belongs to namespace {namespace!r}, and this run is in {scope.namespace!r}: files aren't shared "
            "between namespaces. Copy it to a key of its own with upload(storage_path=...)"
        )
    if top == "transient" and below.partition("/")[0] != _part(scope.chain):
        raise UnsafeReferenceError(
            f"{key!r} is a transient file of another run, for its own tasks only. Have that run return it with "
            "tier=StorageTier.RETAINED to hand it to other runs"
        )


def check_writable(key: str) -> None:
    """Raise UnsafeReferenceError for a key that an app may not choose."""
    top = key.partition("/")[0]
    if top in RESERVED:
        raise UnsafeReferenceError(
            f"storage_path {key!r} begins with {top!r}, which is where files are kept by their tier: choose another, "
            "or give a tier and no storage_path"
        )


def object_name(sha256: str, content_type: str, default_type: str) -> str:
    """The last part of a key, for a content of this digest and media type."""
    if content_type == default_type:
        return sha256
    return f"{sha256}.{hashlib.sha256(content_type.encode()).hexdigest()[:8]}"


def is_content_key(key: str) -> bool:
    """Whether the object of this key is named by its digest."""
    return key.partition("/")[0] in RESERVED and bool(_OBJECT.fullmatch(key.rpartition("/")[2]))


def digest_in(key: str) -> str | None:
    """The digest that a key promises."""
    found = _OBJECT.fullmatch(key.rpartition("/")[2]) if key.partition("/")[0] in RESERVED else None
    return found[1] if found else None


def _part(name: str) -> str:
    """`name` as one part of a key: itself if it is plain, else a digest of it."""
    if _PLAIN.fullmatch(name):
        return name
    return f"x{hashlib.sha256(name.encode('utf-8', 'replace')).hexdigest()[:32]}"
